package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

const (
	smallWrite = 8 << 10  // up to here Write copies and returns
	queueLimit = 64 << 10 // bytes that wait so
)

// sendState is where the sending half of a stream stands.
type sendState uint8

const (
	sendOpen      sendState = iota
	sendClosing             // closed; FIN waits behind the bytes before it
	sendFinished            // FIN has left
	sendResetting           // RESET_STREAM waits; bytes that wait are dropped
	sendReset               // RESET_STREAM has left
)

type sendEvent uint8

const (
	sendClose     sendEvent = iota // CloseWrite
	sendAbort                      // Reset, or STOP_SENDING from the peer
	sendFinLeft                    // FIN went into a record
	sendResetLeft                  // RESET_STREAM went into a record
)

// next is the state after e; the same if e changes nothing.
func (s sendState) next(e sendEvent) sendState {
	switch {
	case s == sendOpen && e == sendClose:
		return sendClosing
	case s <= sendClosing && e == sendAbort:
		return sendResetting
	case s == sendClosing && e == sendFinLeft:
		return sendFinished
	case s == sendResetting && e == sendResetLeft:
		return sendReset
	}
	return s
}

// ended reports whether nothing more of this half goes out.
func (s sendState) ended() bool { return s == sendFinished || s == sendReset }

// A sendHalf is the sending half of a stream. All but writing is guarded by the
// Mux's lock.
type sendHalf struct {
	writing sync.Mutex // held by the one call that writes
	cond    sync.Cond  // that call waits here

	state    sendState
	compress bool
	carries  bool       // the call that writes is in Connection.Carry
	waits    bool       // for cond, and is not yet in Mux.resumed
	misses   uint8      // since a block got smaller; starting over at 256 does no harm
	turn     int32      // bytes left of its turn, see scheduler
	code     frame.Code // of RESET_STREAM
	err      error      // why it was reset
	deadline *deadline

	buf    *framing.Buffer // queue of small writes: B[r:w]; nil when empty
	r, w   int
	direct []byte // rest of the slice of a large Write, behind the queue

	sent  uint64 // bytes that have left
	said  int    // of them since something came
	limit uint64 // the peer's MAX_STREAM_DATA
	last  uint64 // record in which the newest bytes or FIN left

	bucket *bucket // nil: no limit
}

// queued is the number of bytes that were taken from writers and wait.
func (h *sendHalf) queued() int { return h.w - h.r }

// pending is the number of bytes that wait to leave.
func (h *sendHalf) pending() int {
	switch h.state {
	case sendOpen:
		return h.queued() + len(h.direct)
	case sendClosing: // what a Write had not handed over is not sent
		return h.queued()
	}
	return 0
}

// enqueue copies as much of p as the queue takes.
func (h *sendHalf) enqueue(p []byte) int {
	n := min(len(p), queueLimit-h.queued())
	if n <= 0 {
		return 0
	}
	need := h.queued() + n
	switch {
	case h.buf == nil:
		h.buf = framing.GetBuffer(need)
	case h.w+n <= len(h.buf.B):
	case need <= len(h.buf.B)/2:
		copy(h.buf.B, h.buf.B[h.r:h.w])
		h.r, h.w = 0, h.w-h.r
	default:
		b := framing.GetBuffer(min(queueLimit, 2*need))
		copy(b.B, h.buf.B[h.r:h.w])
		h.buf.Release()
		h.buf, h.r, h.w = b, 0, h.w-h.r
	}
	h.w += copy(h.buf.B[h.w:], p[:n])
	return n
}

// peek returns the next n bytes that wait, or those of them that lie in one piece.
func (h *sendHalf) peek(n int) []byte {
	if q := min(n, h.queued()); q > 0 {
		return h.buf.B[h.r : h.r+q]
	}
	return h.direct[:n]
}

// take appends the next n bytes that wait to dst.
func (h *sendHalf) take(dst []byte, n int) []byte {
	for n > 0 {
		b := h.peek(n)
		dst = append(dst, b...)
		h.left(len(b))
		n -= len(b)
	}
	return dst
}

// left takes the next n bytes that wait as sent.
func (h *sendHalf) left(n int) {
	h.sent += uint64(n)
	if q := min(n, h.queued()); q > 0 {
		if h.r += q; h.r == h.w {
			h.dropQueue()
		}
		n -= q
	}
	h.direct = h.direct[n:]
}

// mayGoOn reports whether a writer waits that need not any more: all of its
// bytes have left, or there is room in the queue.
func (h *sendHalf) mayGoOn() bool {
	return h.waits && len(h.direct) == 0 && h.queued() < queueLimit
}

func (h *sendHalf) dropQueue() {
	if h.buf != nil {
		h.buf.Release()
		h.buf, h.r, h.w = nil, 0, 0
	}
}

// writeErr is why a write cannot go on, nil if it can.
func (s *Stream) writeErr() error {
	h := &s.send
	switch {
	case h.state == sendOpen && s.m.err != nil:
		return writeError(s.m.err)
	case h.state == sendOpen && h.deadline.expired():
		return os.ErrDeadlineExceeded
	case h.state == sendOpen:
		return nil
	case h.err != nil:
		return h.err
	}
	return net.ErrClosed
}

// Write implements net.Conn. Up to 8 KiB are copied and leave as soon as they
// can; more are sent from p itself, and Write returns when the last of them has
// gone into a record; that may be at the connection, until it has taken the
// record. It waits for credit of the peer and for room in the
// channel's retention budget, no longer than the write deadline. After an error
// the first n bytes, and no others, count as written.
func (s *Stream) Write(p []byte) (n int, err error) {
	s.send.writing.Lock()
	defer s.send.writing.Unlock()
	return s.write(p)
}

func (s *Stream) write(p []byte) (n int, err error) {
	m, h := s.m, &s.send
	m.mu.Lock()
	if err = s.writeErr(); err != nil || len(p) == 0 {
		m.mu.Unlock()
		return 0, err
	}
	if len(p) <= smallWrite {
		for err == nil {
			n += h.enqueue(p[n:])
			m.schedule(s)
			m.unlockAndWake()
			if n == len(p) {
				return n, nil
			}
			m.mu.Lock()
			for h.queued() == queueLimit && s.writeErr() == nil {
				s.waitToWrite()
			}
			err = s.writeErr()
		}
		m.mu.Unlock()
		return n, err
	}
	h.direct = p
	m.schedule(s)
	s.carry()
	for len(h.direct) > 0 && s.writeErr() == nil {
		s.waitToWrite()
	}
	n = len(p) - len(h.direct)
	h.direct = nil
	if n < len(p) {
		err = s.writeErr()
		m.unschedule(s)
		m.schedule(s) // for what is still in the queue
		m.refresh()
	}
	m.mu.Unlock()
	return n, err
}

// ReadFrom implements io.ReaderFrom: what r gives goes into records without
// another copy.
func (s *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	s.send.writing.Lock()
	defer s.send.writing.Unlock()
	buf := framing.GetBuffer(queueLimit)
	defer buf.Release()
	for {
		c, readErr := r.Read(buf.B[:queueLimit])
		if c > 0 {
			w, err := s.write(buf.B[:c])
			n += int64(w)
			if err != nil {
				return n, err
			}
		}
		if readErr == io.EOF {
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
	}
}

// CloseWrite ends the sending direction: the peer reads EOF after what was
// written. It does not wait. A Write under way ends with net.ErrClosed.
func (s *Stream) CloseWrite() error {
	s.m.mu.Lock()
	s.closeWrite()
	s.m.unlockAndWake()
	return nil
}

func (s *Stream) closeWrite() {
	h := &s.send
	if next := h.state.next(sendClose); next != h.state && s.m.err == nil {
		h.state = next
		s.openNow = true
		h.deadline.stop()
		s.wakeWriter()
		s.m.unschedule(s) // its bytes may be fewer now
		s.m.schedule(s)
	}
}

// abort ends the sending direction at once: what waits is dropped and
// RESET_STREAM goes out. err is what writing returns from now on.
func (s *Stream) abort(code frame.Code, err error) {
	h := &s.send
	next := h.state.next(sendAbort)
	if next == h.state {
		return
	}
	h.state, h.code, h.err = next, code, err
	h.deadline.stop()
	h.dropQueue()
	s.wakeWriter()
	s.m.unschedule(s)
	s.m.endDeliveries(s, err)
	if s.left {
		cause, ok := errors.AsType[*StreamError](err)
		s.m.config.Recorder.StreamReset(s.id, code, ok && cause.Remote)
		s.m.addControl(s, controlReset)
	} else {
		s.m.forget(s)
	}
}
