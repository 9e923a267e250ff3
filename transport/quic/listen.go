package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"sync"

	quicgo "github.com/quic-go/quic-go"

	"github.com/mslgo/msl/transport"
)

// Listen implements [transport.Transport]. An empty host means all addresses of
// this machine. opts is not looked at. At most 128 connections are in handshake
// or wait for Accept, further ones are refused; from half of that on, the
// address of a dialler is verified before anything is kept for it (RFC 9000
// section 8.1.2).
func (Transport) Listen(ctx context.Context, u *url.URL, _ *transport.Options) (transport.Listener, error) {
	if err := checkURL(u); err != nil {
		return nil, err
	}
	cert, err := throwAway()
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	udp, err := lc.ListenPacket(ctx, "udp", u.Host)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(udp.LocalAddr().String())
	if err != nil {
		udp.Close()
		return nil, err
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)

	l, err := newListener(newSocket(udp), cert, u.String())
	if err != nil {
		return nil, err
	}
	return l, nil
}

// newListener takes over s.
func newListener(s *socket, cert tls.Certificate, url string) (*listener, error) {
	l := &listener{
		socket:  s,
		url:     url,
		places:  make(chan struct{}, maxWaiting),
		ready:   make(chan *conn),
		stopped: make(chan struct{}),
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	s.ConnContext = l.admit
	s.VerifySourceAddress = func(net.Addr) bool { return len(l.places) > maxWaiting/2 }
	var err error
	if l.quic, err = s.Listen(serverTLS(cert), config(1)); err != nil {
		l.stop()
		s.release()
		return nil, err
	}
	l.close = sync.OnceValue(l.shut)
	l.running.Go(l.run)
	return l, nil
}

type listener struct {
	socket  *socket
	quic    *quicgo.Listener
	url     string
	places  chan struct{} // one for each connection until it is accepted
	ready   chan *conn
	ctx     context.Context // of connections that are not accepted yet
	stop    context.CancelFunc
	close   func() error
	running sync.WaitGroup

	stopped chan struct{} // closed when run has ended
	err     error         // why, if not by Close; set before stopped is closed
}

type placeKey struct{}

var errFull = errors.New("too many connections are waiting")

// admit gives a dialler a place, or refuses it. The place is left by calling
// the value that its context has for placeKey, or when the connection ends.
func (l *listener) admit(ctx context.Context, _ *quicgo.ClientInfo) (context.Context, error) {
	select {
	case l.places <- struct{}{}:
	default:
		return nil, errFull
	}
	leave := sync.OnceFunc(func() { <-l.places })
	context.AfterFunc(ctx, leave)
	return context.WithValue(ctx, placeKey{}, leave), nil
}

func (l *listener) run() {
	defer close(l.stopped)
	for {
		// until the listener is closed and its queue is empty
		qc, err := l.quic.Accept(context.Background())
		if err != nil {
			if !errors.Is(err, quicgo.ErrServerClosed) {
				l.err = err
			}
			return
		}
		l.running.Go(func() { l.hand(qc) })
	}
}

// hand waits for the stream of a connection, then for an Accept.
func (l *listener) hand(qc *quicgo.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, firstBytes)
	defer cancel()
	stream, err := qc.AcceptStream(ctx)
	if err != nil {
		qc.CloseWithError(codeRefused, "no stream")
		return
	}
	c := newConn(l.socket, qc, stream, l.url, false)
	select {
	case l.ready <- c:
		if leave, ok := qc.Context().Value(placeKey{}).(func()); ok {
			leave()
		}
	case <-l.ctx.Done():
		c.abort(codeRefused)
	case <-qc.Context().Done():
		c.abort(codeRefused)
	}
}

// Accept implements [transport.Listener]. A connection comes with its first bytes.
func (l *listener) Accept(ctx context.Context) (transport.Conn, error) {
	if l.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	select {
	case c := <-l.ready:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	case <-l.stopped:
		if l.err == nil {
			return nil, net.ErrClosed
		}
		return nil, l.err
	}
}

func (l *listener) URL() string { return l.url }

// Close implements [transport.Listener].
func (l *listener) Close() error { return l.close() }

func (l *listener) shut() error {
	l.stop()
	err := l.quic.Close()
	l.running.Wait()
	return errors.Join(err, l.socket.release())
}
