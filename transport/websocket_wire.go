//go:build !js

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// gatherSize is how much of a message goes out in one call: the WebSocket
// library masks, and writes, 4 KiB at a time.
const gatherSize = 64 << 10

var gatherBuffers = sync.Pool{New: func() any { return new([gatherSize]byte) }}

// A wire is what a WebSocket's frames run over. Deadlines and addresses are
// those of the TCP connection, and so is the end: TLS would wait for its alert
// to be sent.
type wire struct {
	net.Conn               // TCP
	top      io.ReadWriter // the same, or TLS on it
	plain    bool          // no TLS anywhere
	released bool          // the library has no part in it any more

	mu      sync.Mutex // guards what follows, and the order of writes to top
	writers int        // between gather and flush
	buf     *[gatherSize]byte
	n       int // in buf
}

// Read turns the end of the stream into an error: a WebSocket ends with a close
// frame, and a message that is cut off must not look like one that ended.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.top.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writers == 0 && w.n == 0 {
		return w.top.Write(p)
	}
	if w.n+len(p) > gatherSize {
		if err := w.writeOut(); err != nil {
			return 0, err
		}
		if len(p) >= gatherSize {
			return w.top.Write(p)
		}
	}
	if w.buf == nil {
		w.buf = gatherBuffers.Get().(*[gatherSize]byte)
	}
	w.n += copy(w.buf[w.n:], p)
	return len(p), nil
}

// gather begins to gather writes until flush.
func (w *wire) gather() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writers++
}

// flush writes what was gathered.
func (w *wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writers--
	err := w.writeOut()
	if w.buf != nil {
		gatherBuffers.Put(w.buf)
		w.buf = nil
	}
	return err
}

func (w *wire) writeOut() error {
	if w.n == 0 {
		return nil
	}
	_, err := w.top.Write(w.buf[:w.n])
	w.n = 0
	return err
}

func (w *wire) Close() error {
	if w.released {
		return nil
	}
	return w.Conn.Close()
}

// release takes the wire away from the library, which gives up its buffers.
func (w *wire) release(ws *websocket.Conn) {
	w.released = true
	ws.CloseNow()
}

// shutdown sends a close frame and does not wait for the peer's: reads end at once.
func (w *wire) shutdown(ws *websocket.Conn, code websocket.StatusCode, reason string) {
	late := time.AfterFunc(closeTimeout, func() { w.Close() })
	defer late.Stop()
	w.SetReadDeadline(time.Unix(1, 0))
	ws.Close(code, reason)
}

// abort closes and waits until reads and writes have returned.
func (w *wire) abort(ws *websocket.Conn) {
	w.Close()
	ws.CloseNow()
}

// bypass leaves the HTTP client's reader out, and returns what it has read
// behind the response.
func (w *wire) bypass() ([]byte, error) {
	if err := w.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	early, err := io.ReadAll(w.top) // the connection gives nothing
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("read behind the response: %w", err)
	}
	w.top = w.Conn
	return early, w.SetReadDeadline(time.Time{})
}

func (c *wsConn) receive(ctx context.Context) (websocket.MessageType, io.Reader, error) {
	return c.ws.Reader(ctx)
}

func dialWebSocket(ctx context.Context, u *url.URL, offer []string, opts *Options) (Conn, error) {
	w := &wire{}
	dialer := &net.Dialer{}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
			w.Conn, err = dialer.DialContext(ctx, network, addr)
			return w.Conn, err
		},
		TLSClientConfig:        http1Only(opts.TLS),
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHTTPHeader,
	}
	ws, _, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport: upgrade{t, w},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
		HTTPHeader:      opts.Header,
		Subprotocols:    offer,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	shown := *u
	shown.User = nil // may be a password
	if !isChannel(ws) {
		return newWSConn(ws, w, shown.String()).conn(), nil
	}
	w.release(ws)
	var early []byte
	if w.plain {
		early, err = w.bypass()
	}
	var c Conn
	if err == nil {
		c, _, err = newBatched(w, early, true, shown.String())
	}
	if err != nil {
		w.Conn.Close()
		return nil, err
	}
	return c, nil
}

// http1Only is a copy of c that negotiates nothing but HTTP/1.1: HTTP/2 has no
// upgrade.
func http1Only(c *tls.Config) *tls.Config {
	if c = c.Clone(); c == nil {
		c = &tls.Config{}
	}
	c.NextProtos = []string{"http/1.1"}
	return c
}

// upgrade is a round trip after which the response's body is wire.
type upgrade struct {
	http.RoundTripper
	wire *wire
}

func (t upgrade) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	top, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		resp.Body.Close()
		return nil, errors.New("the connection cannot be taken over")
	}
	t.wire.top, t.wire.plain = top, resp.TLS == nil
	resp.Body = t.wire
	return resp, nil
}
