package quic

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/mslgo/msl/transport"
)

// A conn is a QUIC connection with its only stream.
type conn struct {
	quic    *quicgo.Conn
	stream  *quicgo.Stream
	url     string
	dialled bool
	release func() // the socket, once

	failed  atomic.Bool // a call has failed: nothing is left to be flushed
	writing sync.Mutex  // held by a Write
	peeked  [1]byte     // by WaitRead; only the stream touches it
	once    sync.Once   // of Close

	mu     sync.Mutex // orders setting deadlines before Close
	closed bool       // guarded by mu
}

var (
	_ transport.Conn       = (*conn)(nil)
	_ transport.WaitReader = (*conn)(nil)
)

// newConn becomes a user of s until the connection ends.
func newConn(s *socket, qc *quicgo.Conn, stream *quicgo.Stream, url string, dialled bool) *conn {
	s.use()
	c := &conn{quic: qc, stream: stream, url: url, dialled: dialled}
	c.release = sync.OnceFunc(func() { s.release() })
	context.AfterFunc(qc.Context(), c.release)
	return c
}

func (c *conn) Form() transport.Form { return transport.Stream }
func (c *conn) URL() string          { return c.url }
func (c *conn) LocalAddr() net.Addr  { return c.quic.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.quic.RemoteAddr() }

func (c *conn) Read(p []byte) (int, error) {
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	n, err := c.stream.Read(p)
	return n, c.outcome(err)
}

// WaitRead implements [transport.WaitReader].
func (c *conn) WaitRead() error {
	if c.isClosed() {
		return net.ErrClosed
	}
	if _, err := c.stream.Peek(c.peeked[:]); err != io.EOF {
		return c.outcome(err)
	}
	return nil
}

func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.isClosed() {
		return 0, net.ErrClosed
	}
	n, err := c.stream.Write(p)
	return n, c.outcome(err)
}

// CloseWrite ends the sending side: the peer reads io.EOF after what was
// written. It is not for use beside a Write.
func (c *conn) CloseWrite() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.isClosed() {
		return net.ErrClosed
	}
	return c.stream.Close()
}

// outcome is the error that a call of the stream ends with.
func (c *conn) outcome(err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case c.isClosed():
		return net.ErrClosed
	}
	c.failed.Store(true)
	return err
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *conn) SetDeadline(t time.Time) error     { return c.setDeadline(c.stream.SetDeadline, t) }
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadline(c.stream.SetReadDeadline, t) }
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.stream.SetWriteDeadline, t)
}

func (c *conn) setDeadline(set func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if !t.IsZero() && !t.After(time.Now()) {
		c.failed.Store(true) // whether or not a call waits
	}
	return set(t)
}

// Close ends calls that are waiting, then waits until the peer has read what
// was written and has closed too, for at most a second: QUIC lives in this
// process, no kernel sends the rest. After a call that failed, a timeout
// included, or a deadline in the past, it waits for nothing.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		c.closed = true
		c.stream.SetWriteDeadline(time.Unix(1, 0)) // ends a Write
		c.mu.Unlock()
		c.stream.CancelRead(0) // ends a Read, and the peer's Write
		c.writing.Lock()       // the Write has ended
		defer c.writing.Unlock()
		if !c.failed.Load() {
			c.linger()
		}
		c.abort(codeDone)
	})
	return nil
}

// linger sends the end of the stream and waits until the peer needs the
// connection no more. Closing the connection destroys what the peer has not read
// yet, so each side must know that before: the stream counts against the limit
// of one stream until the accepting side has sent all, has had it acknowledged,
// and has read the end or lost interest. Then the dialling side could open
// another; it closes the connection instead, for which the accepting side waits.
func (c *conn) linger() {
	if err := c.stream.Close(); err != nil {
		return // the peer reads no more
	}
	ctx, cancel := context.WithTimeout(c.quic.Context(), closing)
	defer cancel()
	if c.dialled {
		_, _ = c.quic.OpenStreamSync(ctx)
		return
	}
	<-ctx.Done()
}

// abort closes the connection as it is.
func (c *conn) abort(code quicgo.ApplicationErrorCode) {
	c.quic.CloseWithError(code, "")
	c.release()
}
