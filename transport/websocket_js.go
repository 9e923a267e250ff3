package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall/js"
	"time"

	"github.com/coder/websocket"
)

// In a browser the page's WebSocket carries the bytes: it writes without
// blocking and cannot be broken off, only be left to itself.

var errBrowser = errors.New("a browser cannot listen")

// A wire keeps the deadlines, whose passing ends the connection.
type wire struct {
	remote      string
	passed      func() // when a deadline passes
	mu          sync.Mutex
	read, write *time.Timer
}

func (w *wire) gather()                            {}
func (w *wire) flush() error                       { return nil }
func (w *wire) LocalAddr() net.Addr                { return jsAddr("browser") }
func (w *wire) RemoteAddr() net.Addr               { return jsAddr(w.remote) }
func (w *wire) SetReadDeadline(t time.Time) error  { return w.set(&w.read, t) }
func (w *wire) SetWriteDeadline(t time.Time) error { return w.set(&w.write, t) }

func (w *wire) set(timer **time.Timer, t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
	if !t.IsZero() {
		*timer = time.AfterFunc(time.Until(t), w.passed)
	}
	return nil
}

// shutdown closes with the only code of the standard's that a page may send.
func (w *wire) shutdown(ws *websocket.Conn, _ websocket.StatusCode, reason string) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		ws.Close(websocket.StatusNormalClosure, reason)
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}

func (w *wire) abort(ws *websocket.Conn) {
	w.set(&w.read, time.Time{})
	w.set(&w.write, time.Time{})
	go ws.Close(websocket.StatusNormalClosure, "")
}

// receive leaves a read behind when the connection ends: the browser ends it.
func (c *wsConn) receive(ctx context.Context) (websocket.MessageType, io.Reader, error) {
	type message struct {
		kind websocket.MessageType
		r    io.Reader
		err  error
	}
	got := make(chan message, 1)
	go func() {
		kind, r, err := c.ws.Reader(ctx)
		got <- message{kind, r, err}
	}()
	select {
	case m := <-got:
		return m.kind, m.r, m.err
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	case <-c.done:
		return 0, nil, net.ErrClosed
	}
}

func dialWebSocket(ctx context.Context, u *url.URL, offer []string, _ *Options) (Conn, error) {
	if !js.Global().Get("WebSocket").Truthy() {
		return nil, errors.New("there is no WebSocket here")
	}
	ws, _, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{Subprotocols: offer})
	if err != nil {
		return nil, err
	}
	shown := *u
	shown.User = nil // may be a password
	w := &wire{remote: u.Host}
	c := newWSConn(ws, w, shown.String())
	w.passed = func() { c.fail(os.ErrDeadlineExceeded) }
	return c.conn(), nil
}

type jsAddr string

func (jsAddr) Network() string  { return "websocket" }
func (a jsAddr) String() string { return string(a) }

func listenWebSocket(context.Context, *url.URL, *Options) (Listener, error) {
	return nil, errBrowser
}

// A WebSocketHandler answers 501 in a browser, which cannot listen.
type WebSocketHandler struct {
	Serve   func(Conn)
	Options *Options
	URL     string
}

// ServeHTTP implements http.Handler.
func (h *WebSocketHandler) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, errBrowser.Error(), http.StatusNotImplemented)
}
