// Package transport gives duplex connections by URL: tcp://, ws://, wss:// and
// an in-memory pipe. Others are added as a value: see [Transport].
package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
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
// it. Connections for which there is no such call do not implement it.
type TryWriter interface {
	// TryWrite writes a part of p, perhaps nothing, and never blocks.
	TryWrite(p []byte) (n int, err error)
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
