package transport

import (
	"context"
	"net"
	"sync"
)

// A backlog hands connections, and errors of accepting them, to callers of
// Accept. It is the part of a listener that ends a call with its context.
type backlog struct {
	ready  chan accepted
	closed chan struct{}
	close  func()
}

type accepted struct {
	conn Conn
	err  error
}

func newBacklog() *backlog {
	b := &backlog{ready: make(chan accepted), closed: make(chan struct{})}
	b.close = sync.OnceFunc(func() { close(b.closed) })
	return b
}

// put waits until an Accept takes the connection or error, and reports whether
// one did: false after close.
func (b *backlog) put(c Conn, err error) bool {
	select {
	case b.ready <- accepted{c, err}:
		return true
	case <-b.closed:
		return false
	}
}

// Accept implements [Listener].
func (b *backlog) Accept(ctx context.Context) (Conn, error) {
	select {
	case <-b.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case a := <-b.ready:
		return a.conn, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.closed:
		return nil, net.ErrClosed
	}
}
