package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/transport"
)

const (
	handshakeTimeout = 10 * time.Second
	// idleTimeout is how long an unused connection is kept: less than servers
	// keep theirs, since a request on one that is being closed fails.
	idleTimeout = 30 * time.Second
	// endTimeout is how long Close waits for the end of an answer, behind
	// MSL's own end of it, so that the connection can be used again.
	endTimeout = 50 * time.Millisecond
)

// Transport makes exchanges, each of them a POST. The zero value is ready to use;
// it keeps connections for the next exchange, and is not copied. Redirects are
// not followed, and the environment's proxy is used, as package net/http does.
type Transport struct {
	// RoundTripper does the requests. Nil: HTTP/2, or HTTP/1.1 where the server
	// has no better, with the TLS configuration of the options.
	RoundTripper http.RoundTripper
	// MaxBody is how long an answer's body may be, in bytes. Default
	// [DefaultMaxBody]; negative: any length. More is a *[LimitError].
	MaxBody int64

	mu  sync.Mutex
	tls *tls.Config // of own
	own *http.Transport
}

var (
	_ transport.Exchanger = (*Transport)(nil)
	_ transport.Transport = (*Transport)(nil)
)

// Exchange begins a POST to u, with the header of opts. ctx governs the exchange
// until it is closed. What goes wrong with the connection is seen by its Read and
// Write. A server that points to another place, or gives an empty body and no
// status of success, gives a *[StatusError].
func (t *Transport) Exchange(ctx context.Context, u *url.URL, opts *transport.Options) (transport.Exchange, error) {
	if u.Host == "" {
		return nil, errors.New("transport/http: the host is missing")
	}
	if u.User != nil || u.Fragment != "" {
		return nil, errors.New("transport/http: only a host, a port, a path and a query may be given")
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), r)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("transport/http: %w", err)
	}
	request.ContentLength = -1
	if opts != nil {
		for name, values := range opts.Header {
			request.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	request.Header.Set("Content-Type", contentType)
	e := &exchange{url: u.Redacted(), ctx: ctx, cancel: cancel, request: w, done: make(chan struct{})}
	go e.run(t.roundTripper(opts), request, t.MaxBody)
	return e, nil
}

// contentType stands for bytes that nobody is to guess about.
const contentType = "application/octet-stream"

// CloseIdleConnections closes the connections that no exchange uses.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.own != nil {
		t.own.CloseIdleConnections()
	}
}

func (t *Transport) roundTripper(opts *transport.Options) http.RoundTripper {
	if t.RoundTripper != nil {
		return t.RoundTripper
	}
	var config *tls.Config
	if opts != nil {
		config = opts.TLS
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.own != nil && t.tls == config {
		return t.own
	}
	if t.own != nil {
		t.own.CloseIdleConnections()
	}
	t.tls = config
	t.own = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     config.Clone(),
		TLSHandshakeTimeout: handshakeTimeout,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     idleTimeout,
		// Compressed ciphertext grows; and an answer is to come as it is sent.
		DisableCompression: true,
	}
	return t.own
}

// An exchange is a POST from its client's side. Its request is done by a goroutine
// of its own, which Close waits for.
type exchange struct {
	url     string
	ctx     context.Context
	cancel  context.CancelFunc
	request *io.PipeWriter
	written atomic.Bool // CloseWrite was called
	closed  atomic.Bool

	done     chan struct{} // closed when the following are set
	err      error
	response *http.Response
	body     *limited
}

func (e *exchange) run(rt http.RoundTripper, request *http.Request, max int64) {
	defer close(e.done)
	if e.response, e.err = rt.RoundTrip(request); e.err != nil {
		e.err = fmt.Errorf("transport/http: post %s: %w", e.url, e.err)
		return
	}
	e.body = newLimited(e.response.Body, max)
}

// Read waits for the answer and reads it.
func (e *exchange) Read(p []byte) (int, error) {
	<-e.done
	if e.err != nil {
		return 0, e.failure(e.err)
	}
	class := e.response.StatusCode / 100
	if class == 3 {
		return 0, &StatusError{e.response.Status}
	}
	n, err := e.body.Read(p)
	switch {
	case err == io.EOF && e.body.n == 0 && class != 2:
		err = &StatusError{e.response.Status}
	case err != nil && err != io.EOF:
		err = e.failure(err)
	}
	return n, err
}

// Write sends p at once.
func (e *exchange) Write(p []byte) (int, error) {
	if e.written.Load() {
		return 0, errors.New("transport/http: write behind the end of the request")
	}
	n, err := e.request.Write(p)
	if err != nil {
		err = e.failure(e.cause())
	}
	return n, err
}

// cause is why the request takes no more: whoever sends it has closed its end.
func (e *exchange) cause() error {
	<-e.done
	if e.err != nil {
		return e.err
	}
	return fmt.Errorf("transport/http: the server ended the exchange before the end of the request: %w", io.ErrClosedPipe)
}

// failure is err, or our own part in it.
func (e *exchange) failure(err error) error {
	if e.closed.Load() {
		return net.ErrClosed
	}
	if e.ctx.Err() != nil {
		return context.Cause(e.ctx)
	}
	return err
}

// CloseWrite ends the request's body.
func (e *exchange) CloseWrite() error {
	e.written.Store(true)
	return e.request.Close()
}

// Close ends the exchange. The connection can be used again if the request and
// the answer have come to their ends.
func (e *exchange) Close() error {
	if e.closed.Swap(true) {
		<-e.done
		return nil
	}
	defer e.cancel()
	select {
	case <-e.done:
		if e.response != nil && e.written.Load() {
			defer time.AfterFunc(endTimeout, e.cancel).Stop()
			_, _ = io.CopyN(io.Discard, e.response.Body, 1)
		}
	default:
	}
	e.cancel()
	e.request.CloseWithError(net.ErrClosed)
	<-e.done
	if e.response != nil {
		e.response.Body.Close()
	}
	return nil
}
