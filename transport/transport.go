// Package transport gives duplex connections by URL: tcp://, ws://, wss:// and
// an in-memory pipe. Others are added as a value: see [Transport].
package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Form says how messages lie on a connection (channel design, section 1).
type Form int

const (
	// Stream: objects and records back to back (tcp, pipe, quic).
	Stream Form = iota
	// Batched: every Write is one WebSocket binary message of whole objects
	// or records; its borders mean nothing else (subprotocol msl.channel.1).
	Batched
	// Single: one classic message per WebSocket binary message, no channel
	// (subprotocol msl, or none).
	Single
)

// Conn is a connection that carries MSL. Reads and writes may run at the same
// time, one of each. A deadline or a failed call ends the connection: deadlines
// that leave it usable live at the streams above.
//
// Each Write is given whole objects or records.
type Conn interface {
	net.Conn
	Form() Form
	// URL is what was dialled, or what the listener that accepted it listens
	// on; empty if there is none.
	URL() string
}

// A TryWriter writes as much as it can without blocking, so that the caller of
// a stream's Write may write to the connection itself without being caught in
// it. Connections for which there is no such call do not implement it. The write
// deadline of those that do ends a Write, which says how much of p was taken, and
// not the connection: when it is moved, writing can go on with the rest.
type TryWriter interface {
	// TryWrite writes a part of p, perhaps nothing, and never blocks as long
	// as no other goroutine is writing.
	TryWrite(p []byte) (n int, err error)
}

// A TryReader reads without blocking.
type TryReader interface {
	// TryRead reads what has arrived, at most len(p) bytes; 0 and no error mean
	// that nothing has. It may be called while WaitRead waits. Deadlines do not
	// concern it.
	TryRead(p []byte) (int, error)
}

// A WaitReader waits for bytes without a buffer to read them into, so that an
// idle connection holds none.
type WaitReader interface {
	// WaitRead returns nil when Read would not block: there are bytes, or the
	// end. (A WebSocket's bytes may be a frame without data: then Read goes on
	// waiting.) Close and the read deadline end it as they end a Read.
	WaitRead() error
}

// An UnsentLimiter can be told how many bytes the operating system should take
// that it cannot send yet: what is written after them can still be chosen.
type UnsentLimiter interface {
	// SetUnsentLowWater lets writes wait while n bytes or more are unsent.
	SetUnsentLowWater(n int) error
}

// A MessageConn shows the borders of messages: connections of form Single.
// Read and Write work too: each Write is one message, Read runs over borders.
type MessageConn interface {
	Conn
	// ReadMessage waits for the next message, drops what is left of the
	// current one, and returns a reader that ends with io.EOF at the message's
	// end. ctx bounds the call and the reader; its end ends the connection.
	ReadMessage(ctx context.Context) (io.Reader, error)
	// WriteMessage begins a message that ends with Close of the writer. ctx
	// bounds the call and the writer; its end ends the connection.
	WriteMessage(ctx context.Context) (io.WriteCloser, error)
}

// Listener accepts connections.
type Listener interface {
	// Accept waits for the next connection; the end of ctx ends this call only.
	Accept(ctx context.Context) (Conn, error)
	// Close stops listening. Connections that were accepted live on.
	Close() error
	// URL is the address with the port really in use.
	URL() string
}

// A Transport makes connections for some URL schemes.
type Transport interface {
	Schemes() []string
	// Protected says that the transport itself encrypts and authenticates
	// (wss), which decides where an attach may go.
	Protected(scheme string) bool
	Dial(ctx context.Context, u *url.URL, opts *Options) (Conn, error)
	Listen(ctx context.Context, u *url.URL, opts *Options) (Listener, error)
}

// Options of a dial or a listener. The zero value is ready to use.
type Options struct {
	// Transports to choose from; nil means Defaults().
	Transports []Transport
	// TLS for wss. Listening on wss needs a certificate. Nil when dialling
	// means the system's roots.
	TLS *tls.Config
	// Header is added to a WebSocket dial's request.
	Header http.Header
	// Origins a browser may come from (WebSocket listeners): host patterns as
	// in path.Match. The request's own host is always allowed; nil means
	// nothing else is.
	Origins []string
	// Subprotocols offered (dial) or accepted (listen), best first. Nil means
	// "msl.channel.1" when dialling, and "msl.channel.1", "msl" and none when listening.
	Subprotocols []string
}

// Defaults are the transports that this package brings: tcp, ws and wss.
func Defaults() []Transport { return []Transport{TCP{}, WebSocket{}} }

// A SchemeError says that there is no transport for a URL's scheme.
type SchemeError struct {
	Scheme string
	Have   []string // schemes there are
}

func (e *SchemeError) Error() string {
	return fmt.Sprintf("transport: no transport for scheme %q (there are: %s)", e.Scheme, strings.Join(e.Have, ", "))
}

// Find parses rawURL and gives the first transport of opts for its scheme. The
// error is a *[SchemeError] if there is none.
func Find(rawURL string, opts *Options) (Transport, *url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: %w", err)
	}
	list := Defaults()
	if opts != nil && opts.Transports != nil {
		list = opts.Transports
	}
	var have []string
	for _, t := range list {
		if slices.Contains(t.Schemes(), u.Scheme) {
			return t, u, nil
		}
		have = append(have, t.Schemes()...)
	}
	return nil, nil, &SchemeError{u.Scheme, have}
}

// Dial connects to rawURL with the transport for its scheme; opts may be nil.
// ctx bounds the dial only, not the connection.
func Dial(ctx context.Context, rawURL string, opts *Options) (Conn, error) {
	t, u, err := Find(rawURL, opts)
	if err != nil {
		return nil, err
	}
	c, err := t.Dial(ctx, u, orZero(opts))
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", u.Redacted(), err)
	}
	return c, nil
}

// Listen listens on rawURL with the transport for its scheme; opts may be nil.
// Port 0 means any free one, see [Listener]. ctx bounds the call only.
func Listen(ctx context.Context, rawURL string, opts *Options) (Listener, error) {
	t, u, err := Find(rawURL, opts)
	if err != nil {
		return nil, err
	}
	l, err := t.Listen(ctx, u, orZero(opts))
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", u.Redacted(), err)
	}
	return l, nil
}

func orZero(opts *Options) *Options {
	if opts == nil {
		return &Options{}
	}
	return opts
}
