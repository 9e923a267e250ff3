package muxsuite

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/mux"
)

// muxedConn is a session, or will be one, in libp2p's words.
type muxedConn struct {
	raw     net.Conn
	cancel  context.CancelFunc
	ready   chan struct{} // closed when session or err is set
	session *session.Session
	err     error
	once    sync.Once
	over    chan struct{}
}

func (c *muxedConn) fail(err error) {
	c.err = err
	close(c.ready)
}

func (c *muxedConn) wait(ctx context.Context) (*session.Session, error) {
	select {
	case <-c.ready:
		return c.session, c.err
	case <-c.over:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *muxedConn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	s, err := c.wait(ctx)
	if err != nil {
		return nil, err
	}
	st, err := s.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return muxedStream{st}, nil
}

func (c *muxedConn) AcceptStream() (network.MuxedStream, error) {
	s, err := c.wait(context.Background())
	if err != nil {
		return nil, err
	}
	st, err := s.AcceptStream(context.Background())
	if err != nil {
		return nil, err
	}
	return muxedStream{st}, nil
}

func (c *muxedConn) Close() error { return c.CloseWithError(0) }

func (c *muxedConn) CloseWithError(code network.ConnErrorCode) error {
	c.once.Do(func() {
		select {
		case <-c.ready:
			if c.session != nil {
				if code == 0 {
					c.session.Close()
				} else {
					c.session.CloseWithError(uint64(code), "")
				}
			}
		default: // not set up yet
		}
		close(c.over)
		c.cancel()
		c.raw.Close()
	})
	return nil
}

func (c *muxedConn) IsClosed() bool {
	select {
	case <-c.over:
		return true
	default:
	}
	select {
	case <-c.ready:
		return c.err != nil || c.session.Err() != nil
	default:
		return false
	}
}

func (*muxedConn) As(any) bool { return false }

// muxedStream is a stream in libp2p's words.
type muxedStream struct{ *session.Stream }

func (s muxedStream) Reset() error { return s.ResetWithError(0) }

func (s muxedStream) ResetWithError(code network.StreamErrorCode) error {
	return errors.Join(s.Stream.Reset(uint64(code)), s.Stream.CloseRead())
}

func (s muxedStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	return n, reset(err)
}

func (s muxedStream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	return n, reset(err)
}

// reset names a reset stream as libp2p does.
func reset(err error) error {
	if e, ok := errors.AsType[*mux.StreamError](err); ok {
		return &network.StreamError{ErrorCode: network.StreamErrorCode(e.Code), Remote: e.Remote, TransportError: err}
	}
	return err
}
