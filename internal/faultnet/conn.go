package faultnet

import (
	"bytes"
	"math/rand/v2"
	"sync"

	"github.com/mslgo/msl/transport"
)

// Op is a kind of damage.
type Op int

const (
	Flip   Op = iota // one bit of each byte, of each write's first byte
	Drop             // N units
	Repeat           // N units, behind themselves
	Swap             // N units with the N that follow
)

// An Edit damages units of what is written to a connection: bytes, or whole
// writes. Edits that overlap happen in their order.
type Edit struct {
	Op     Op
	At     int64 // first unit, counted from 0 in what the edit before it gives
	N      int64 // units; 0 means 1
	Writes bool  // units are writes, not bytes
}

// Damage gives a connection whose writes are edited. The caller of Write
// notices nothing. What a Swap still holds when the connection is closed is lost.
func Damage(c transport.Conn, edits ...Edit) transport.Conn {
	d := &damaged{Conn: c}
	for _, e := range edits {
		e.N = max(e.N, 1)
		if e.Writes {
			d.writes = append(d.writes, &editor[[]byte]{Edit: e, flip: func(p []byte) []byte {
				p = bytes.Clone(p)
				p[0] ^= 1
				return p
			}})
		} else {
			d.bytes = append(d.bytes, &editor[byte]{Edit: e, flip: func(b byte) byte { return b ^ 1 }})
		}
	}
	return d
}

// RandomEdits gives n edits within the first span units. The same seed gives
// the same edits.
func RandomEdits(seed uint64, n int, span int64, writes bool) []Edit {
	r := rand.New(rand.NewPCG(seed, 0))
	edits := make([]Edit, n)
	for i := range edits {
		edits[i] = Edit{Op(r.IntN(int(Swap) + 1)), r.Int64N(span), 1 + r.Int64N(max(span/16, 1)), writes}
	}
	return edits
}

type damaged struct {
	transport.Conn // hides TryWrite: all bytes go through Write

	mu     sync.Mutex // guards the editors
	writes []*editor[[]byte]
	bytes  []*editor[byte]
}

func (d *damaged) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	out := [][]byte{bytes.Clone(p)} // a Swap keeps it beyond the call
	for _, e := range d.writes {
		out = e.edit(out)
	}
	for _, q := range out {
		for _, e := range d.bytes {
			q = e.edit(q)
		}
		if len(q) == 0 {
			continue
		}
		if _, err := d.Conn.Write(q); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// An editor does one edit to a stream of units.
type editor[T any] struct {
	Edit
	flip  func(T) T
	count int64 // units seen
	kept  []T   // by Repeat and Swap
}

func (e *editor[T]) edit(in []T) (out []T) {
	for _, u := range in {
		i := e.count - e.At
		e.count++
		inside := 0 <= i && i < e.N
		switch {
		case inside && e.Op == Flip:
			u = e.flip(u)
		case inside && e.Op == Drop:
			continue
		case inside && e.Op == Repeat:
			e.kept = append(e.kept, u)
		case inside && e.Op == Swap:
			e.kept = append(e.kept, u)
			continue
		}
		out = append(out, u)
		if e.Op == Repeat && i == e.N-1 || e.Op == Swap && i == 2*e.N-1 {
			out = append(out, e.kept...)
			e.kept = nil
		}
	}
	return out
}
