package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Subprotocols of a WebSocket, which decide a connection's [Form].
const (
	SubprotocolChannel = "msl.channel.1" // Batched
	SubprotocolClassic = "msl"           // Single
)

// Sizes of a WebSocket message.
const (
	// MaxBatch is how many bytes of whole objects and records a Batched
	// message may hold beside one record more.
	MaxBatch = 256 << 10
	// maxRecord is the largest record: 1 MiB of plaintext, header and tag.
	maxRecord = 1<<20 + 20
	// maxSingle is the largest classic message.
	maxSingle = 10 << 20
)

// closeTimeout bounds the sending of a close frame.
const closeTimeout = time.Second

// WebSocket is the transport for ws://host:port/path and wss://host:port/path.
// Its connections have form Batched or Single by subprotocol; those of form
// Single are [MessageConn], and those of form Batched over bare TCP can what
// those of [TCP] can. Compression is off, text messages are refused, and
// so are messages larger than [MaxBatch] and one record (Batched) or 10 MiB
// (Single), with a *[LimitError]. A Write is one message: it is the caller who
// keeps it small enough for the peer.
//
// A server's redirects are not followed. The environment's proxy is used, as
// package net/http does.
type WebSocket struct{}

// Schemes implements [Transport].
func (WebSocket) Schemes() []string { return []string{"ws", "wss"} }

// Protected implements [Transport].
func (WebSocket) Protected(scheme string) bool { return scheme == "wss" }

// Dial implements [Transport].
func (WebSocket) Dial(ctx context.Context, u *url.URL, opts *Options) (Conn, error) {
	if u.Host == "" {
		return nil, errors.New("the host is missing")
	}
	offer := opts.Subprotocols
	if offer == nil {
		offer = []string{SubprotocolChannel}
	}
	return dialWebSocket(ctx, u, offer, opts)
}

// Listen implements [Transport]. Only requests for the URL's path are served.
// A [WebSocketHandler] does the same in a web server that is there already.
func (WebSocket) Listen(ctx context.Context, u *url.URL, opts *Options) (Listener, error) {
	return listenWebSocket(ctx, u, opts)
}

// A LimitError says that the peer sent a WebSocket message over the limit. The
// connection is closed.
type LimitError struct {
	Limit int64 // bytes
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("transport: WebSocket message of more than the limit of %d bytes", e.Limit)
}

// A wsConn is a WebSocket of form Single, and in a browser of any form.
type wsConn struct {
	ws    *websocket.Conn
	wire  *wire // what the WebSocket runs over
	form  Form
	url   string
	limit int64

	message io.Reader    // being read; the reader's
	writing atomic.Int32 // writes begun and not done
	ending
}

// An ending happens to a connection once.
type ending struct {
	mu   sync.Mutex    // makes it happen once
	err  error         // why the connection ended; does not change after done is closed
	done chan struct{} // closed when the connection ends
}

// end notes why the connection ends, and reports whether it is the first time.
func (e *ending) end(cause error) (first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return false
	}
	e.err = cause
	close(e.done)
	return true
}

func (e *ending) ended() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

func isChannel(ws *websocket.Conn) bool {
	return strings.EqualFold(ws.Subprotocol(), SubprotocolChannel)
}

func newWSConn(ws *websocket.Conn, w *wire, url string) *wsConn {
	c := &wsConn{ws: ws, wire: w, form: Single, url: url, limit: maxSingle, ending: ending{done: make(chan struct{})}}
	if isChannel(ws) {
		c.form, c.limit = Batched, MaxBatch+maxRecord
	}
	ws.SetReadLimit(c.limit)
	return c
}

// conn is c with the methods of its form.
func (c *wsConn) conn() Conn {
	if c.form == Single {
		return &wsMessageConn{c}
	}
	return c
}

func (c *wsConn) Form() Form                         { return c.form }
func (c *wsConn) URL() string                        { return c.url }
func (c *wsConn) LocalAddr() net.Addr                { return c.wire.LocalAddr() }
func (c *wsConn) RemoteAddr() net.Addr               { return c.wire.RemoteAddr() }
func (c *wsConn) SetReadDeadline(t time.Time) error  { return c.wire.SetReadDeadline(t) }
func (c *wsConn) SetWriteDeadline(t time.Time) error { return c.wire.SetWriteDeadline(t) }
func (c *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(c.wire.SetReadDeadline(t), c.wire.SetWriteDeadline(t))
}

// Read gives the bytes of binary messages, one after the other.
func (c *wsConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.message == nil {
			r, err := c.next(context.Background())
			if err != nil {
				return 0, err
			}
			c.message = r
		}
		n, err := c.message.Read(p)
		if err == io.EOF {
			c.message, err = nil, nil
		}
		if n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			return 0, c.fail(err)
		}
	}
}

// next waits for the next binary message.
func (c *wsConn) next(ctx context.Context) (io.Reader, error) {
	kind, r, err := c.receive(ctx)
	if err != nil {
		return nil, c.fail(err)
	}
	if kind != websocket.MessageBinary {
		c.close(websocket.StatusUnsupportedData, "only binary messages", errors.New("transport: WebSocket text message refused"))
		return nil, c.err
	}
	return r, nil
}

// Write sends p as one binary message.
func (c *wsConn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.ended() {
		return 0, c.failWrite(net.ErrClosed) // a browser would take it
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	c.wire.gather()
	err := c.ws.Write(context.Background(), websocket.MessageBinary, p)
	if err2 := c.wire.flush(); err == nil {
		err = err2
	}
	if err != nil {
		return 0, c.failWrite(err)
	}
	return len(p), nil
}

// Close sends a close frame if no write is under way, for at most a second, and
// closes. A Read or Write that is blocked returns at once.
func (c *wsConn) Close() error {
	c.close(websocket.StatusNormalClosure, "", net.ErrClosed)
	return nil
}

func (c *wsConn) close(code websocket.StatusCode, reason string, cause error) {
	if !c.end(cause) {
		return
	}
	if c.writing.Load() == 0 {
		c.wire.shutdown(c.ws, code, reason)
	}
	c.wire.abort(c.ws)
}

// fail ends the connection because of err, if it has not ended, and tells why
// it ended.
func (c *wsConn) fail(err error) error {
	if c.end(explain(err, c.limit)) {
		c.wire.abort(c.ws)
	}
	return c.err
}

// failWrite is fail for a write, where the peer's end is an error.
func (c *wsConn) failWrite(err error) error {
	if err = c.fail(err); err == io.EOF {
		return net.ErrClosed
	}
	return err
}

// explain puts the package's errors in place of the library's.
func explain(err error, limit int64) error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return io.EOF
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, websocket.ErrMessageTooBig):
		return &LimitError{limit}
	}
	return fmt.Errorf("transport: WebSocket: %w", err)
}

// A wsMessageConn is a wsConn of form Single.
type wsMessageConn struct{ *wsConn }

// ReadMessage implements [MessageConn].
func (c *wsMessageConn) ReadMessage(ctx context.Context) (io.Reader, error) {
	if c.message != nil {
		if _, err := io.Copy(io.Discard, c.message); err != nil {
			return nil, c.fail(err)
		}
		c.message = nil
	}
	r, err := c.next(ctx)
	if err != nil {
		return nil, err
	}
	m := &messageReader{c, r}
	c.message = m
	return m, nil
}

// A messageReader reads one message: the library uses one reader for all.
type messageReader struct {
	c *wsMessageConn
	r io.Reader
}

func (m *messageReader) Read(p []byte) (int, error) {
	if m.c.message != m {
		return 0, io.EOF
	}
	n, err := m.r.Read(p)
	if err == io.EOF {
		m.c.message = nil
	} else if err != nil {
		if err = m.c.fail(err); err == io.EOF { // the peer closed inside the message
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// WriteMessage implements [MessageConn].
func (c *wsMessageConn) WriteMessage(ctx context.Context) (io.WriteCloser, error) {
	if c.ended() {
		return nil, c.failWrite(net.ErrClosed)
	}
	c.writing.Add(1)
	w, err := c.ws.Writer(ctx, websocket.MessageBinary)
	if err != nil {
		c.writing.Add(-1)
		return nil, c.failWrite(err)
	}
	return &messageWriter{c: c, w: w}, nil
}

type messageWriter struct {
	c      *wsMessageConn
	w      io.WriteCloser
	closed bool
}

func (m *messageWriter) Write(p []byte) (int, error) {
	if m.closed {
		return 0, net.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	m.c.wire.gather()
	n, err := m.w.Write(p)
	if err2 := m.c.wire.flush(); err == nil {
		err = err2
	}
	if err != nil {
		return n, m.c.failWrite(err)
	}
	return n, nil
}

// Close ends the message.
func (m *messageWriter) Close() error {
	if m.closed {
		return nil
	}
	m.closed = true
	defer m.c.writing.Add(-1)
	if err := m.w.Close(); err != nil {
		return m.c.failWrite(err)
	}
	return nil
}
