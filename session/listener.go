package session

import (
	"context"
	"net"
)

// Listener gives the streams that the other side opens to programs that know
// nothing of sessions, such as http.Serve. Closing it leaves the session alone.
func (s *Session) Listener() net.Listener {
	l := &listener{session: s}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

type listener struct {
	session *Session
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
}

func (l *listener) Accept() (net.Conn, error) {
	st, err := l.session.AcceptStream(l.ctx)
	switch {
	case l.ctx.Err() != nil && st == nil:
		return nil, net.ErrClosed
	case err != nil:
		return nil, err
	}
	return st, nil
}

func (l *listener) Close() error {
	l.cancel()
	return nil
}

func (l *listener) Addr() net.Addr { return l.session.connection().LocalAddr() }

// DialContext opens a stream for programs that dial, such as http.Transport and
// gRPC. The names of network and address mean nothing here: at the other end is
// who the session is with.
func (s *Session) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	st, err := s.OpenStream(ctx)
	if err != nil {
		return nil, err // not a nil *Stream in a net.Conn
	}
	return st, nil
}
