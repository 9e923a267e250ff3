//go:build !js

package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	maxHTTPHeader     = 16 << 10         // bytes of a request's or response's header
	httpHeaderTimeout = 10 * time.Second // for TLS, and for a request's header
	maxWaiting        = 128              // upgraded connections that no Accept has taken
)

// A WebSocketHandler makes connections of the WebSocket requests to a web
// server. Others get an HTTP error: 400 for subprotocols of which none is
// accepted, 403 for a foreign origin, 426 for what is no WebSocket request.
type WebSocketHandler struct {
	// Serve is called with each connection. It may return before the
	// connection is closed; ServeHTTP waits for the close.
	Serve func(Conn)
	// Options: Origins and Subprotocols are used. May be nil.
	Options *Options
	// URL under which the handler is reached, for [Conn].URL; may be empty.
	URL string
}

// ServeHTTP implements http.Handler.
func (h *WebSocketHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e := h.serve(w, r); e != nil {
		<-e.done
	}
}

// serve returns what happens to the connection in the end; nil if there is none.
func (h *WebSocketHandler) serve(w http.ResponseWriter, r *http.Request) *ending {
	opts := orZero(h.Options)
	if err := checkOrigins(opts.Origins); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return nil
	}
	accept := opts.Subprotocols
	if accept == nil {
		accept = []string{SubprotocolChannel, SubprotocolClassic, ""}
	}
	if !slices.Contains(accept, "") && !offers(r, accept) {
		http.Error(w, fmt.Sprintf("no subprotocol of these is offered: %s", strings.Join(accept, ", ")), http.StatusBadRequest)
		return nil
	}
	up := &upgrader{ResponseWriter: w}
	ws, err := websocket.Accept(up, r, &websocket.AcceptOptions{
		Subprotocols:    slices.DeleteFunc(slices.Clone(accept), func(s string) bool { return s == "" }),
		OriginPatterns:  opts.Origins,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil // Accept has answered
	}
	if !isChannel(ws) {
		c := newWSConn(ws, up.wire, h.URL)
		h.Serve(c.conn())
		return &c.ending
	}
	up.wire.release(ws)
	c, e, err := newBatched(up.wire, up.early, false, h.URL)
	if err != nil {
		up.wire.Conn.Close()
		return nil
	}
	h.Serve(c)
	return e
}

// offers reports whether the request offers a subprotocol of accept.
func offers(r *http.Request, accept []string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			if slices.ContainsFunc(accept, func(s string) bool { return strings.EqualFold(s, strings.TrimSpace(offer)) }) {
				return true
			}
		}
	}
	return false
}

func checkOrigins(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("origin pattern %q: %w", p, err)
		}
	}
	return nil
}

// An upgrader puts a wire in place of the connection that it gives away.
type upgrader struct {
	http.ResponseWriter
	wire  *wire
	early []byte // what came behind the request
}

func (u *upgrader) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	behind, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	u.early = bytes.Clone(behind)
	u.wire = &wire{Conn: c, top: c}
	if t, ok := c.(*tls.Conn); ok {
		u.wire.Conn = t.NetConn()
	}
	return u.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(u.wire)), nil
}

type wsListener struct {
	*backlog
	server  *http.Server
	url     string
	waiting chan struct{} // a place for each connection until it is accepted
	running sync.WaitGroup
}

func listenWebSocket(ctx context.Context, u *url.URL, opts *Options) (Listener, error) {
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("only a host, a port and a path may be given")
	}
	if u.Port() == "" {
		return nil, errors.New("the port is missing")
	}
	if err := checkOrigins(opts.Origins); err != nil {
		return nil, err
	}
	if t := opts.TLS; u.Scheme == "wss" &&
		(t == nil || len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil) {
		return nil, errors.New("wss needs a certificate in Options.TLS")
	}
	nl, err := listenTCP(ctx, u)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "wss" {
		nl = tls.NewListener(nl, http1Only(opts.TLS))
	}
	l := &wsListener{backlog: newBacklog(), url: u.String(), waiting: make(chan struct{}, maxWaiting)}
	l.server = &http.Server{
		Handler:           l.handler(u.Path, opts),
		ReadHeaderTimeout: httpHeaderTimeout,
		IdleTimeout:       httpHeaderTimeout,
		MaxHeaderBytes:    maxHTTPHeader,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	l.running.Go(func() {
		if err := l.server.Serve(nl); !errors.Is(err, http.ErrServerClosed) {
			l.put(nil, err)
		}
	})
	return l, nil
}

func (l *wsListener) handler(path string, opts *Options) http.Handler {
	if path == "" {
		path = "/"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		select {
		case l.waiting <- struct{}{}:
		default:
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
			return
		}
		leave := sync.OnceFunc(func() { <-l.waiting })
		defer leave()
		h := WebSocketHandler{URL: l.url, Options: opts, Serve: func(c Conn) {
			taken := l.put(c, nil)
			leave()
			if !taken {
				c.Close()
			}
		}}
		h.serve(w, r)
	})
}

func (l *wsListener) URL() string { return l.url }

func (l *wsListener) Close() error {
	l.close()
	err := l.server.Close()
	l.running.Wait()
	return err
}
