package transport

import (
	"context"
	"io"
	"net/url"
)

// An Exchange carries one request of classic MSL and its answer. Reads and writes
// may run at the same time, one of each, where the transport is duplex.
type Exchange interface {
	io.Reader
	io.Writer
	// CloseWrite says that a message is complete. A transport that is not
	// duplex, such as HTTP, has an answer to read only then.
	CloseWrite() error
	// Close ends the exchange, also under a Read or Write that waits.
	Close() error
}

// An Exchanger makes exchanges for some URL schemes: transports for classic MSL
// that give no connection.
type Exchanger interface {
	Schemes() []string
	Exchange(ctx context.Context, u *url.URL, opts *Options) (Exchange, error)
}
