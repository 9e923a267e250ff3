// Package faultnet is a faulty network for tests: links that delay, hold, cut
// and record what passes, a TCP proxy made of them, and connections that damage
// what is written. What happens where is chosen by the test or by a seed. Only
// injected delays take time, by timers: over pipes all of it works in a
// testing/synctest bubble.
package faultnet

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// A Path says what happens to the bytes of one direction. The zero value
// forwards them.
type Path struct {
	// CutAfter is how many bytes are forwarded before the link is cut: exactly
	// that many arrive. 0 means never, -1 before the first.
	CutAfter int64
	// Latency is added to each byte.
	Latency time.Duration
	// Rate in bytes per second; 0 is unlimited.
	Rate int
}

// A Link forwards between two connections until one side ends or it is cut.
// Its methods may be called by many goroutines.
type Link struct {
	client, server net.Conn
	done           chan struct{}
	stop           chan struct{} // closed by Cut
	cut            func()

	mu      sync.Mutex // guards what follows
	held    chan struct{}
	capture bool
	bytes   [2]bytes.Buffer
	flights int
	last    int // direction that was seen last, or -1
}

const (
	up   = 0 // client to server
	down = 1
)

// What a link holds between reading and writing: chunks of at most chunkSize.
const (
	chunkSize  = 16 << 10
	chunkCount = 64
)

// NewLink forwards between a connection that came from a client and one that
// leads to a server, and owns both from now on. With capture, it keeps what
// passes.
func NewLink(client, server net.Conn, upward, downward Path, capture bool) *Link {
	l := &Link{client: client, server: server, done: make(chan struct{}), stop: make(chan struct{}), capture: capture, last: -1}
	l.cut = sync.OnceFunc(func() { close(l.stop) })
	var both sync.WaitGroup
	both.Go(func() { l.forward(up, client, server, upward) })
	both.Go(func() { l.forward(down, server, client, downward) })
	go func() {
		defer close(l.done)
		both.Wait()
		client.Close()
		server.Close()
	}()
	return l
}

// Cut ends both connections at once, with what is under way.
func (l *Link) Cut() {
	l.cut()
	// unblocks both directions; the connections are closed when they are done
	past := time.Unix(1, 0)
	l.client.SetDeadline(past)
	l.server.SetDeadline(past)
}

// Wait returns when the link has ended and both connections are closed.
func (l *Link) Wait() { <-l.done }

// Hold stops forwarding, as a network does that loses everything, and with
// false goes on with what has gathered meanwhile.
func (l *Link) Hold(hold bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case hold && l.held == nil:
		l.held = make(chan struct{})
	case !hold && l.held != nil:
		close(l.held)
		l.held = nil
	}
}

// A Capture is what passed a link: what was written to each side.
type Capture struct {
	Up, Down []byte // client to server, server to client
	// Flights is how often the direction changed, the first byte included: a
	// request and its response are 2.
	Flights int
}

// Capture gives what has passed so far. Up and Down are empty without capture.
func (l *Link) Capture() Capture {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Capture{bytes.Clone(l.bytes[up].Bytes()), bytes.Clone(l.bytes[down].Bytes()), l.flights}
}

type chunk struct {
	data []byte
	due  time.Time // zero: at once
}

// forward runs one direction: one goroutine reads, this one waits and writes.
func (l *Link) forward(dir int, from, to net.Conn, path Path) {
	chunks := make(chan chunk, chunkCount)
	var reader sync.WaitGroup
	reader.Go(func() { l.read(from, chunks, path) })
	defer reader.Wait()
	sent := int64(0)
	if path.CutAfter < 0 {
		l.Cut()
		return
	}
	for c := range chunks {
		if !l.await(c.due) {
			return
		}
		last := path.CutAfter > 0 && sent+int64(len(c.data)) >= path.CutAfter
		if last {
			c.data = c.data[:path.CutAfter-sent]
		}
		l.note(dir, c.data)
		if _, err := to.Write(c.data); err != nil {
			l.Cut()
			return
		}
		sent += int64(len(c.data))
		if last {
			l.Cut()
			return
		}
	}
	// the side has ended: its end goes the same way
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	to.Close()
}

// read turns what comes into chunks with the time at which they are due.
func (l *Link) read(from net.Conn, chunks chan<- chunk, path Path) {
	defer close(chunks)
	var free time.Time // when the line has sent what came before
	for {
		buf := make([]byte, chunkSize)
		n, err := from.Read(buf)
		var c chunk
		if path.Latency > 0 || path.Rate > 0 {
			now := time.Now()
			if free.Before(now) {
				free = now
			}
			if path.Rate > 0 {
				free = free.Add(time.Duration(n) * time.Second / time.Duration(path.Rate))
			}
			c.due = free.Add(path.Latency)
		}
		if n > 0 {
			c.data = buf[:n]
			select {
			case chunks <- c:
			case <-l.stop:
				return
			}
		}
		if err != nil {
			if err != io.EOF { // no orderly end
				l.Cut()
			}
			return
		}
	}
}

// await waits until due and until the link is not held; false after a cut.
func (l *Link) await(due time.Time) bool {
	if !due.IsZero() {
		t := time.NewTimer(time.Until(due))
		defer t.Stop()
		select {
		case <-t.C:
		case <-l.stop:
			return false
		}
	}
	for {
		l.mu.Lock()
		held := l.held
		l.mu.Unlock()
		if held == nil {
			break
		}
		select {
		case <-held:
		case <-l.stop:
			return false
		}
	}
	select {
	case <-l.stop:
		return false
	default:
		return true
	}
}

func (l *Link) note(dir int, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != dir {
		l.last = dir
		l.flights++
	}
	if l.capture {
		l.bytes[dir].Write(p)
	}
}
