// Package http carries classic MSL over HTTP: http:// and https:// URLs. The body
// of a POST request has one or more messages, the body of the response the
// answers and what is pushed (spec 09 sections 1 and 15). The status of a
// response and the type of a body are not part of the protocol: no decision
// depends on them.
//
// A client names [Transport] among its exchangers, a server puts a [Handler] into
// its web server. A channel needs a connection, which HTTP does not give; dialling
// one fails with [ErrNoChannel].
//
// # Duplex
//
// An answer can be read while its request is still being written, with HTTP/1.1
// and HTTP/2, if both ends and whatever stands between allow it. Our own do.
// Programs in a browser do not: there the answer comes after
// [transport.Exchange].CloseWrite, and a server that answers early has to read
// the whole request first. When an answer has come to its end, what is still to
// be written of its request is lost.
//
// # Repeating
//
// Every exchange is one POST. It is never repeated here, because what was written
// is not kept: who wants to try again keeps it, as MSL's state machine does, and
// begins another exchange.
package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/mslgo/msl/transport"
)

// ErrNoChannel says that there are no connections over http and https, and so
// neither channels nor sessions.
var ErrNoChannel = errors.New("transport/http: HTTP carries single requests and no channel: dial ws://, wss:// or tcp:// for a session, or send a classic request to this URL")

// DefaultMaxBody is how long a body may be, in bytes.
const DefaultMaxBody = 1 << 30

// A LimitError says that a body that we read is longer than allowed.
type LimitError struct {
	Limit int64 // bytes
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("transport/http: body of more than the limit of %d bytes", e.Limit)
}

// A StatusError says that a server gave no answer but a status.
type StatusError struct{ Status string }

func (e *StatusError) Error() string {
	return fmt.Sprintf("transport/http: no answer, status %q", e.Status)
}

// Schemes implements [transport.Exchanger] and [transport.Transport].
func (*Transport) Schemes() []string { return []string{"http", "https"} }

// Protected implements [transport.Transport].
func (*Transport) Protected(scheme string) bool { return scheme == "https" }

// Dial implements [transport.Transport]. It is always [ErrNoChannel].
func (*Transport) Dial(context.Context, *url.URL, *transport.Options) (transport.Conn, error) {
	return nil, ErrNoChannel
}

// Listen implements [transport.Transport]. It is always [ErrNoChannel]: a web
// server listens, and has a [Handler].
func (*Transport) Listen(context.Context, *url.URL, *transport.Options) (transport.Listener, error) {
	return nil, ErrNoChannel
}

// limited counts the bytes of a body.
type limited struct {
	body io.Reader
	max  int64 // negative: any number
	n    int64
}

func newLimited(body io.Reader, max int64) *limited {
	if max == 0 {
		max = DefaultMaxBody
	}
	return &limited{body: body, max: max}
}

// Read reads one byte over the limit before it fails.
func (l *limited) Read(p []byte) (int, error) {
	if l.max < 0 {
		n, err := l.body.Read(p)
		l.n += int64(n)
		return n, err
	}
	left := l.max - l.n
	if left < 0 {
		return 0, &LimitError{l.max}
	}
	if int64(len(p)) > left+1 {
		p = p[:left+1]
	}
	n, err := l.body.Read(p)
	l.n += int64(n)
	if l.n > l.max {
		return n - 1, &LimitError{l.max}
	}
	return n, err
}
