package transport

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeSize is how many bytes one direction of a pipe holds.
const pipeSize = 256 << 10

// Pipe gives the two ends of a connection in memory, of form Stream. Each
// direction holds up to 256 KiB that the other end has not read; then Write
// blocks. An end may be used by many goroutines, deadlines leave it usable, and
// it works in a testing/synctest bubble. It is a [TryWriter] and a [WaitReader].
//
// After Close of one end, the other reads what was written before and then
// io.EOF; every other call fails with io.ErrClosedPipe.
func Pipe() (a, b Conn) { return newPipe("") }

func newPipe(url string) (a, b Conn) {
	ab, ba := newPipeHalf(), newPipeHalf()
	return &pipeConn{r: ba, w: ab, url: url}, &pipeConn{r: ab, w: ba, url: url}
}

type pipeConn struct {
	r, w *pipeHalf
	url  string
}

func (c *pipeConn) Read(p []byte) (int, error)         { return c.r.read(p) }
func (c *pipeConn) WaitRead() error                    { return c.r.waitRead() }
func (c *pipeConn) Write(p []byte) (int, error)        { return c.w.write(p, true) }
func (c *pipeConn) TryWrite(p []byte) (int, error)     { return c.w.write(p, false) }
func (c *pipeConn) LocalAddr() net.Addr                { return pipeAddr{} }
func (c *pipeConn) RemoteAddr() net.Addr               { return pipeAddr{} }
func (c *pipeConn) SetReadDeadline(t time.Time) error  { return c.r.setDeadline(&c.r.readBy, t) }
func (c *pipeConn) SetWriteDeadline(t time.Time) error { return c.w.setDeadline(&c.w.writeBy, t) }
func (c *pipeConn) Form() Form                         { return Stream }
func (c *pipeConn) URL() string                        { return c.url }

func (c *pipeConn) SetDeadline(t time.Time) error {
	err := c.SetReadDeadline(t)
	if err2 := c.SetWriteDeadline(t); err == nil {
		err = err2
	}
	return err
}

func (c *pipeConn) Close() error {
	c.w.closeWriter()
	c.r.closeReader()
	return nil
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// A pipeHalf is one direction: a ring of bytes with a writer and a reader.
type pipeHalf struct {
	mu      sync.Mutex // guards all below
	changed sync.Cond  // bytes, room, close or a deadline
	ring    []byte     // grows up to pipeSize
	start   int        // of what is held in ring
	held    int

	writerClosed, readerClosed bool
	readBy, writeBy            pipeDeadline
}

// A pipeDeadline has passed or has a timer, or there is none.
type pipeDeadline struct {
	timer  *time.Timer
	passed bool
}

func newPipeHalf() *pipeHalf {
	h := &pipeHalf{}
	h.changed.L = &h.mu
	return h
}

// awaitRead waits for bytes or the end; called with mu held.
func (h *pipeHalf) awaitRead() error {
	for {
		switch {
		case h.readerClosed:
			return io.ErrClosedPipe
		case h.readBy.passed:
			return os.ErrDeadlineExceeded
		case h.held > 0:
			return nil
		case h.writerClosed:
			return io.EOF
		}
		h.changed.Wait()
	}
}

func (h *pipeHalf) waitRead() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.awaitRead(); err != io.EOF {
		return err
	}
	return nil
}

func (h *pipeHalf) read(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(p) == 0 && !h.readerClosed && !h.readBy.passed {
		return 0, nil
	}
	if err := h.awaitRead(); err != nil {
		return 0, err
	}
	for n < len(p) && h.held > 0 {
		m := copy(p[n:], h.ring[h.start:min(h.start+h.held, len(h.ring))])
		h.start = (h.start + m) % len(h.ring)
		h.held -= m
		n += m
	}
	h.changed.Broadcast()
	return n, nil
}

func (h *pipeHalf) write(p []byte, wait bool) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writerClosed || h.readerClosed:
			return n, io.ErrClosedPipe
		case h.writeBy.passed:
			return n, os.ErrDeadlineExceeded
		}
		n += h.put(p[n:])
		if n == len(p) || !wait {
			return n, nil
		}
		h.changed.Wait()
	}
}

// put takes what there is room for.
func (h *pipeHalf) put(p []byte) (n int) {
	p = p[:min(len(p), pipeSize-h.held)]
	if len(p) == 0 {
		return 0
	}
	if need := h.held + len(p); need > len(h.ring) {
		ring := make([]byte, min(max(need, 2*len(h.ring), 1<<10), pipeSize))
		m := copy(ring, h.ring[h.start:min(h.start+h.held, len(h.ring))])
		copy(ring[m:], h.ring[:h.held-m])
		h.ring, h.start = ring, 0
	}
	for n < len(p) {
		// p fits: what wraps around stays in front of start
		m := copy(h.ring[(h.start+h.held)%len(h.ring):], p[n:])
		h.held += m
		n += m
	}
	h.changed.Broadcast()
	return n
}

func (h *pipeHalf) setDeadline(d *pipeDeadline, t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writerClosed && d == &h.writeBy || h.readerClosed && d == &h.readBy {
		return io.ErrClosedPipe
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = false
	if t.IsZero() {
		return nil
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		h.changed.Broadcast()
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if d.timer == timer { // not replaced meanwhile
			d.passed = true
			h.changed.Broadcast()
		}
	})
	d.timer = timer
	return nil
}

func (h *pipeHalf) closeWriter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writerClosed = true
	h.writeBy.stop()
	h.changed.Broadcast()
}

func (h *pipeHalf) closeReader() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readerClosed = true
	h.readBy.stop()
	h.ring, h.start, h.held = nil, 0, 0
	h.changed.Broadcast()
}

func (d *pipeDeadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// PipeListener is a listener in memory, for tests and examples. It is ready
// after [NewPipeListener].
type PipeListener struct {
	*backlog
}

// NewPipeListener listens; connections come from its Dial.
func NewPipeListener() *PipeListener { return &PipeListener{newBacklog()} }

// Dial gives one end of a new [Pipe] when Accept has taken the other.
func (l *PipeListener) Dial(ctx context.Context) (Conn, error) {
	a, b := newPipe(l.URL())
	select {
	case l.ready <- accepted{conn: b}:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [Listener].
func (l *PipeListener) Close() error {
	l.close()
	return nil
}

// URL implements [Listener]: there is nothing to dial by URL.
func (l *PipeListener) URL() string { return "" }
