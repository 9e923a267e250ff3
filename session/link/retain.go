package link

import (
	"sync/atomic"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

// Limits of the account of records without data (channel set-up 4.12).
const (
	othersBudget = 64 << 10 // above it only an ACK alone is formed
	othersPing   = 28 << 10 // above it records carry a PING: one of 4 KiB later it is 32 KiB
	othersAbuse  = 1 << 20  // a peer that acknowledges nothing
)

// maxSettledRing is how many records at rest there is always room for.
const maxSettledRing = 16

// A sealed record is kept until it is acknowledged.
type sealed struct {
	buf    *framing.Buffer // what it lies in, with a reference; nil if only the length is kept
	off, n int32
	class  frame.Class
}

// retention holds the records that were sealed and are not yet acknowledged, in
// two accounts (channel set-up 4.12.1).
type retention struct {
	ring        []sealed // a power of two of them
	head, count int
	acked       uint64 // number of the oldest one
	data        int64  // bytes of records with data
	others      int64  // bytes of the other records
	asking      int    // how many ask for an ACK

	account *atomic.Int64 // of all retained bytes of the process; may be nil
}

// next is the number of the next record.
func (r *retention) next() uint64 { return r.acked + uint64(r.count) }

func (r *retention) push(s sealed) {
	if r.count == len(r.ring) {
		r.resize(max(4, 2*r.count))
	}
	r.ring[(r.head+r.count)&(len(r.ring)-1)] = s
	r.count++
	r.charge(s, 1)
}

func (r *retention) resize(size int) {
	ring := make([]sealed, size)
	for i := range r.count {
		ring[i] = *r.at(r.acked + uint64(i))
	}
	r.ring, r.head = ring, 0
}

// settle makes the records that are kept take as little memory as they need, and
// reports whether it did: at rest there are few, and small ones, which nothing
// asks the peer to acknowledge.
func (r *retention) settle() bool {
	if r.data+r.others > framing.SmallBuffer {
		return false
	}
	if len(r.ring) > maxSettledRing {
		r.resize(maxSettledRing)
	}
	if r.count == 0 {
		return true
	}
	oldest, newest := r.at(r.acked).buf, r.at(r.next()-1).buf
	if oldest == newest && (oldest == nil || len(oldest.B) <= framing.SmallBuffer) {
		return true
	}
	small, end := framing.GetBuffer(framing.SmallBuffer), int32(0)
	for n := r.acked; n < r.next(); n++ {
		s := r.at(n)
		copy(small.B[end:], s.buf.B[s.off:s.off+s.n])
		s.buf.Release()
		small.Retain()
		s.buf, s.off = small, end
		end += s.n
	}
	small.Release()
	return true
}

func (r *retention) charge(s sealed, sign int) {
	bytes := int64(sign) * int64(s.n)
	if s.class == frame.Data {
		r.data += bytes
	} else {
		r.others += bytes
	}
	if s.class > frame.Quiet {
		r.asking += sign
	}
	if r.account != nil && s.buf != nil {
		r.account.Add(bytes)
	}
}

// at is the record with number n, which is in range.
func (r *retention) at(n uint64) *sealed {
	return &r.ring[(r.head+int(n-r.acked))&(len(r.ring)-1)]
}

// piece is as many records from number n on, and below end, as lie behind one
// another in one buffer and have at most limit bytes, but at least one. It comes
// with a reference to the buffer.
func (r *retention) piece(n, end uint64, limit int) (b []byte, buf *framing.Buffer, next uint64) {
	first := r.at(n)
	to := first.off + first.n
	for next = n + 1; next < end; next++ {
		s := r.at(next)
		if s.buf != first.buf || s.off != to || int(to-first.off+s.n) > limit {
			break
		}
		to += s.n
	}
	first.buf.Retain()
	return first.buf.B[first.off:to:to], first.buf, next
}

// release drops the records below n, which is in range, and returns how many
// bytes they had.
func (r *retention) release(n uint64) (bytes int64) {
	for ; r.acked < n; r.acked++ {
		s := &r.ring[r.head]
		bytes += int64(s.n)
		r.charge(*s, -1) // before buf is given up
		if s.buf != nil {
			s.buf.Release()
		}
		*s = sealed{}
		r.head = (r.head + 1) & (len(r.ring) - 1)
		r.count--
	}
	return bytes
}
