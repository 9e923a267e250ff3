package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
)

// TCP is the transport for tcp://host:port. Its connections have form Stream,
// no delay for small writes and the operating system's keep-alive probes; on
// Unix they are [TryWriter], [TryReader] and [WaitReader], on Linux and Darwin [UnsentLimiter].
type TCP struct{}

// Schemes implements [Transport].
func (TCP) Schemes() []string { return []string{"tcp"} }

// Protected implements [Transport]: TCP protects nothing.
func (TCP) Protected(string) bool { return false }

// Dial implements [Transport]. opts is not looked at.
func (TCP) Dial(ctx context.Context, u *url.URL, _ *Options) (Conn, error) {
	if err := checkTCP(u); err != nil {
		return nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return newTCPConn(c, u.String())
}

// Listen implements [Transport]. An empty host means all addresses of this
// machine. opts is not looked at.
func (TCP) Listen(ctx context.Context, u *url.URL, _ *Options) (Listener, error) {
	if err := checkTCP(u); err != nil {
		return nil, err
	}
	nl, err := listenTCP(ctx, u)
	if err != nil {
		return nil, err
	}
	l := &tcpListener{backlog: newBacklog(), listener: nl, url: u.String()}
	l.running.Go(l.run)
	return l, nil
}

func checkTCP(u *url.URL) error {
	if u.Port() == "" {
		return errors.New("the port is missing")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return errors.New("only a host and a port may be given")
	}
	return nil
}

// listenTCP listens on u's host and port and writes the port that it got into u.
func listenTCP(ctx context.Context, u *url.URL) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		l.Close()
		return nil, err
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return l, nil
}

type tcpListener struct {
	*backlog
	listener net.Listener
	url      string
	running  sync.WaitGroup
}

func (l *tcpListener) run() {
	for {
		c, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var conn Conn
		if err == nil {
			conn, err = newTCPConn(c, l.url)
		}
		if !l.put(conn, err) && conn != nil {
			conn.Close()
		}
	}
}

func (l *tcpListener) URL() string { return l.url }

func (l *tcpListener) Close() error {
	l.close()
	err := l.listener.Close()
	l.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

type tcpConn struct {
	*net.TCPConn
	socket // calls of the operating system
	url    string
}

// newTCPConn makes a Conn of c, for which package net has set TCP_NODELAY.
func newTCPConn(c net.Conn, url string) (Conn, error) {
	tc, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("unexpected connection type %T", c)
	}
	conn := &tcpConn{TCPConn: tc, url: url}
	if err := conn.init(tc); err != nil {
		c.Close()
		return nil, err
	}
	return conn, nil
}

func (c *tcpConn) Form() Form  { return Stream }
func (c *tcpConn) URL() string { return c.url }
