package mux

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

const (
	// Payload below this is copied, so that it never pins a large Buffer.
	retainFrom = 8 << 10
	// Up to here Read copies under the Mux's lock, as taking it twice costs more.
	copyLocked = 4 << 10
)

// recvState is where the receiving half of a stream stands.
type recvState uint8

const (
	recvOpen    recvState = iota
	recvFin               // FIN has arrived: all bytes are here or read
	recvReset             // RESET_STREAM has arrived
	recvStopped           // nobody reads any more; the peer has not ended it yet
	recvDone              // nobody reads any more, and the peer has ended it
)

type recvEvent uint8

const (
	recvGotFin   recvEvent = iota // STREAM with FIN
	recvGotReset                  // RESET_STREAM
	recvStop                      // CloseRead, Reset
)

// next is the state after e. It reports false if the peer must not send e.
func (s recvState) next(e recvEvent) (recvState, bool) {
	switch {
	case e == recvStop && s == recvOpen:
		return recvStopped, true
	case e == recvStop && s.ended():
		return recvDone, true
	case e == recvStop:
		return s, true
	case s.ended():
		return s, false
	case s == recvStopped:
		return recvDone, true
	case e == recvGotFin:
		return recvFin, true
	}
	return recvReset, true
}

// ended reports whether the peer has ended this half.
func (s recvState) ended() bool { return s == recvFin || s == recvReset || s == recvDone }

// readable reports whether somebody may still read.
func (s recvState) readable() bool { return s == recvOpen || s == recvFin }

// A segment is a run of received bytes in a Buffer that it holds. With room
// behind b the Buffer is the stream's own and more may be copied there.
type segment struct {
	b   []byte
	buf *framing.Buffer
}

func (g *segment) release() {
	if g.buf != nil {
		g.buf.Release()
	}
	*g = segment{}
}

// A recvHalf is the receiving half of a stream. All but reading is guarded by
// the Mux's lock.
type recvHalf struct {
	reading sync.Mutex // held by the one call that reads
	cond    sync.Cond  // that call waits here

	state    recvState
	busy     bool       // bytes of current are being read without the lock
	woken    bool       // in Mux.bulk
	bulk     bool       // the last frame was large
	waits    bool       // the call that reads waits for cond
	leads    bool       // the call that reads is in Connection.Lead
	code     frame.Code // of STOP_SENDING
	err      error      // why nobody reads any more, or the peer's reset
	deadline *deadline
	window   window

	current segment   // being read
	queue   []segment // after it, from head on
	head    int
	into    []byte // slice of a waiting Read
	got     int    // bytes that were put there
}

func (h *recvHalf) empty() bool { return len(h.current.b) == 0 && h.head == len(h.queue) }

// deliver takes a frame's data, which lies in buf, and reports whether it is small.
func (h *recvHalf) deliver(data []byte, buf *framing.Buffer) (small bool) {
	small = len(data) < retainFrom
	if small && h.into != nil && h.empty() {
		n := copy(h.into[h.got:], data)
		h.got += n
		data = data[n:]
	}
	if len(data) == 0 {
		return small
	}
	if !small {
		buf.Retain()
		h.push(segment{slices.Clip(data), buf})
		return small
	}
	if k := len(h.queue); k > h.head {
		last := &h.queue[k-1]
		n := min(len(data), cap(last.b)-len(last.b))
		last.b = append(last.b, data[:n]...)
		data = data[n:]
	}
	if len(data) > 0 {
		size := len(data)
		if len(h.queue) > h.head {
			size = quantum
		}
		own := framing.GetBuffer(size)
		h.push(segment{append(own.B[:0], data...), own})
	}
	return small
}

// push appends a segment to the queue.
func (h *recvHalf) push(g segment) {
	if h.head > 0 && len(h.queue) == cap(h.queue) {
		n := copy(h.queue, h.queue[h.head:])
		clear(h.queue[n:])
		h.queue, h.head = h.queue[:n], 0
	}
	h.queue = append(h.queue, g)
}

// advance makes the next segment the current one if that is used up.
func (h *recvHalf) advance() {
	if len(h.current.b) > 0 || h.head == len(h.queue) {
		return
	}
	h.current, h.queue[h.head] = h.queue[h.head], segment{}
	if h.head++; h.head == len(h.queue) {
		h.queue, h.head = h.queue[:0], 0
		if cap(h.queue) > 8 {
			h.queue = nil
		}
	}
}

// drop discards what is not read and returns how much that was.
func (h *recvHalf) drop() (n int) {
	for i := range h.queue[h.head:] {
		g := &h.queue[h.head+i]
		n += len(g.b)
		g.release()
	}
	h.queue, h.head = nil, 0
	if !h.busy { // else its reader sees to it
		n += len(h.current.b)
		h.current.release()
	}
	return n
}

// readErr is why a read with nothing to take ends, nil if it waits.
func (s *Stream) readErr() error {
	h := &s.recv
	switch {
	case h.state == recvFin:
		return io.EOF
	case h.state != recvOpen:
		return h.err
	case s.m.err != nil:
		return readError(s.m.err)
	case h.deadline.expired():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// await waits until there is something to read, or returns why there will not
// be; into receives small payload directly, n is how much of it. Called with the
// Mux's lock held.
func (s *Stream) await(into []byte) (n int, err error) {
	h := &s.recv
	if h.state.readable() && h.deadline.expired() {
		return 0, os.ErrDeadlineExceeded
	}
	if !h.empty() {
		return 0, nil
	}
	h.into = into
	for h.got == 0 && h.empty() && err == nil {
		if err = s.readErr(); err == nil {
			s.waitToRead()
		}
	}
	n, h.got, h.into = h.got, 0, nil
	if n > 0 {
		s.freed(n)
		err = nil
	}
	return n, err
}

// Read implements net.Conn. After the peer's FIN it returns io.EOF; when the
// peer reset the stream, a *StreamError; when the channel ended before the FIN,
// an error that is io.ErrUnexpectedEOF.
func (s *Stream) Read(p []byte) (n int, err error) {
	s.recv.reading.Lock()
	defer s.recv.reading.Unlock()
	m, h := s.m, &s.recv
	m.mu.Lock()
	if len(p) == 0 {
		if h.empty() {
			err = s.readErr()
		}
		m.mu.Unlock()
		return 0, err
	}
	n, err = s.await(p)
	for err == nil && n < len(p) && !h.empty() {
		h.advance()
		c := min(len(h.current.b), len(p)-n)
		b := h.current.b[:c]
		if c <= copyLocked {
			copy(p[n:], b)
		} else {
			h.busy = true
			m.mu.Unlock()
			copy(p[n:], b)
			m.mu.Lock()
			h.busy = false
		}
		s.consumed(c)
		n += c
	}
	m.unlockAfterRead()
	return n, err
}

// WriteTo implements io.WriterTo: w gets the received bytes without a copy.
func (s *Stream) WriteTo(w io.Writer) (n int64, err error) {
	s.recv.reading.Lock()
	defer s.recv.reading.Unlock()
	m, h := s.m, &s.recv
	for {
		m.mu.Lock()
		if _, err := s.await(nil); err != nil {
			m.mu.Unlock()
			if err == io.EOF {
				err = nil
			}
			return n, err
		}
		h.advance()
		b := h.current.b
		h.busy = true
		m.mu.Unlock()
		c, err := w.Write(b)
		if err == nil && c < len(b) {
			err = io.ErrShortWrite
		}
		m.mu.Lock()
		h.busy = false
		s.consumed(c)
		m.unlockAfterRead()
		n += int64(c)
		if err != nil {
			return n, err
		}
	}
}

// consumed takes the first n bytes of the current segment as read, and the rest
// of it as discarded if meanwhile nobody may read any more.
func (s *Stream) consumed(n int) {
	h := &s.recv
	h.current.b = h.current.b[n:]
	s.freed(n)
	if !h.state.readable() {
		s.m.freed(len(h.current.b))
		h.current.b = nil
	}
	if len(h.current.b) == 0 {
		h.current.release()
	}
}

// freed gives n bytes back to the peer that were read.
func (s *Stream) freed(n int) {
	h, m := &s.recv, s.m
	if need := h.window.free(n); need > needNone && h.state == recvOpen {
		m.addControl(s, controlMaxData)
		m.creditDue = m.creditDue || need == needNow
	}
	m.freed(n)
}

// CloseRead ends the receiving direction: what is not read is discarded and the
// peer is told to stop (STOP_SENDING with CANCELLED), unless it has ended the
// direction itself. A Read under way ends with net.ErrClosed.
func (s *Stream) CloseRead() error {
	s.m.mu.Lock()
	s.stopReading(frame.CodeCancelled, net.ErrClosed)
	s.m.unlockAndWake()
	return nil
}

// stopReading is CloseRead with err for reads from now on.
func (s *Stream) stopReading(code frame.Code, err error) {
	h := &s.recv
	was := h.state
	h.state, _ = was.next(recvStop)
	if h.state == was {
		return
	}
	h.err = err
	h.deadline.stop()
	s.wakeReader()
	s.m.freed(h.drop())
	if h.state == recvStopped {
		h.code = code
		s.m.addControl(s, controlStop)
	}
}
