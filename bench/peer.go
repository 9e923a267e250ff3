package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mslgo/msl/protocol/keyx"
)

// A Peer is one way to carry streams between two processes.
type Peer struct {
	Name string
	// Multiplexes: one session carries many streams. Without it each stream is
	// a connection of its own.
	Multiplexes bool
	// Resumes: a Dialer that has been used once sets up faster.
	Resumes bool
	// Prioritises: a stream can be opened as more urgent than others.
	Prioritises bool
	// OneSided: the two directions differ, as with WebSocket, where only the
	// client masks.
	OneSided bool
	// Reattaches: a session that loses its connection gets another.
	Reattaches bool
	// Holds: a stream stays open at the server without a goroutine. Elsewhere
	// it ends when its handler returns.
	Holds bool
	// Only names the cells that it takes part in; nil: all that it can.
	Only []string

	// Listen serves on loopback: each stream that is opened is handled in a
	// goroutine of its own.
	Listen func(handle func(Stream)) (*Server, error)
	// Dialer returns a client that knows nothing but the endpoint. What it
	// learns it keeps for its next dial.
	Dialer func(Endpoint) (Dialer, error)
}

// A Stream is what a session carries.
type Stream = io.ReadWriteCloser

// A Server listens until it is closed.
type Server struct {
	Endpoint Endpoint
	Close    func() error
}

// An Endpoint is what a client has to know of a server.
type Endpoint struct {
	Addr string // host:port
	UDP  bool
	// Trust is the certificate or key by which the client knows the server.
	Trust []byte
}

// A Dialer begins sessions.
type Dialer func(context.Context) (Session, error)

// A Session is one connection, or what stands for one where streams have
// connections of their own.
type Session interface {
	// Open opens a stream, more urgent than others if the peer can.
	Open(ctx context.Context, urgent bool) (Stream, error)
	Close() error
}

// peers are all there are to compare. They take turns in this order: those that
// the goals compare stand side by side.
func peers() []*Peer {
	hybrid, classical := []tls.CurveID{tls.X25519MLKEM768}, []tls.CurveID{tls.X25519}
	return []*Peer{
		direct("tcp", tcpWire{}),
		mslPeer("msl not durable", "tcp", mslOptions{fleeting: true}).only(cellBulk(64<<10, 1), cellBulk(1<<20, 1)),
		direct("tls mutual", tlsWire{mutual: true, curves: hybrid}).only(setUpCells...),
		mslPeer("msl", "tcp", mslOptions{}),
		direct("tls", tlsWire{}),
		muxed("tls+yamux", tlsWire{}, yamuxMux{}),
		direct("tls x25519", tlsWire{curves: classical}).only(setUpCells...),
		mslPeer("msl x25519", "tcp", mslOptions{kems: []uint16{keyx.KEMX25519}}).only(setUpCells...),
		mslPeer("msl early data", "tcp", mslOptions{early: true}).only(cellSetUpResumed, cellFlightsResumed),
		muxed("wss+yamux", webSocketWire{tls: true}, yamuxMux{}),
		mslPeer("msl ws", "ws", mslOptions{}),
		mslPeer("msl ws early data", "ws", mslOptions{early: true}).only(cellFlightsResumed),
		muxed("tls+smux", tlsWire{}, smuxMux{}),
		libp2pPeer(),
		quicPeer(),
		mslPeer("msl quic", "quic", mslOptions{}),
		sshPeer(),
		direct("ws", webSocketWire{}),
		direct("wss", webSocketWire{tls: true}),
		mslPeer("msl wss", "wss", mslOptions{}).only(cellBulk(64<<10, 1), cellDown(64<<10)),
		h2Peer(),
		grpcPeer(),
	}
}

// only has p take part in the named cells alone.
func (p *Peer) only(cells ...string) *Peer {
	p.Only = cells
	return p
}

// serve listens with the work on each stream.
func (p *Peer) serve() (*Server, error) {
	return p.Listen(func(s Stream) { handle(s, p.Holds) })
}

func findPeer(name string) *Peer {
	list := peers()
	if i := slices.IndexFunc(list, func(p *Peer) bool { return p.Name == name }); i >= 0 {
		return list[i]
	}
	return nil
}

// A wire gives plain connections, for peers that are made of one.
type wire interface {
	// listen serves each connection in a goroutine of its own.
	listen(serve func(net.Conn)) (*Server, error)
	dialer(Endpoint) (func(context.Context) (net.Conn, error), error)
	traits() Peer
}

// direct is the peer that uses a wire's connections as streams.
func direct(name string, w wire) *Peer {
	p := w.traits()
	p.Name = name
	p.Listen = func(handle func(Stream)) (*Server, error) {
		return w.listen(func(c net.Conn) { handle(c) })
	}
	p.Dialer = func(e Endpoint) (Dialer, error) {
		dial, err := w.dialer(e)
		return func(context.Context) (Session, error) { return directSession(dial), nil }, err
	}
	return &p
}

type directSession func(context.Context) (net.Conn, error)

func (s directSession) Open(ctx context.Context, _ bool) (Stream, error) { return s(ctx) }
func (s directSession) Close() error                                     { return nil }

// A muxer carries streams over one connection.
type muxer interface {
	client(net.Conn) (Session, error)
	// serve returns when the connection has ended.
	serve(c net.Conn, handle func(Stream)) error
}

// muxed is the peer that runs a muxer over a wire's connections.
func muxed(name string, w wire, m muxer) *Peer {
	p := w.traits()
	p.Name, p.Multiplexes, p.Holds = name, true, true
	p.Listen = func(handle func(Stream)) (*Server, error) {
		return w.listen(func(c net.Conn) { _ = m.serve(c, handle) })
	}
	p.Dialer = func(e Endpoint) (Dialer, error) {
		dial, err := w.dialer(e)
		return func(ctx context.Context) (Session, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			s, err := m.client(c)
			if err != nil {
				c.Close()
			}
			return s, err
		}, err
	}
	return &p
}

// streamSession is a Session made of two functions.
type streamSession struct {
	open  func(context.Context) (Stream, error)
	close func() error
}

func (s streamSession) Open(ctx context.Context, _ bool) (Stream, error) { return s.open(ctx) }
func (s streamSession) Close() error                                     { return s.close() }

// accept calls handle, in goroutines of their own, with what next returns, and
// returns next's error after all of them have.
func accept[T any](next func() (T, error), handle func(T)) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		v, err := next()
		if err != nil {
			return err
		}
		all.Go(func() { own(func() { handle(v) }) })
	}
}

// ownGoroutines is how many goroutines of a server are not the peer's: those that
// an application has for each session and stream.
var ownGoroutines atomic.Int64

// own calls f in a goroutine that is not the peer's.
func own(f func()) {
	ownGoroutines.Add(1)
	defer ownGoroutines.Add(-1)
	f()
}

// listenTCP serves TCP connections on loopback. Closing the server ends the
// connections too.
func listenTCP(serve func(net.Conn)) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = accept(l.Accept, func(c net.Conn) {
			mu.Lock()
			open[c] = true
			mu.Unlock()
			serve(c)
			c.Close()
			mu.Lock()
			delete(open, c)
			mu.Unlock()
		})
	}()
	return &Server{
		Endpoint: Endpoint{Addr: l.Addr().String()},
		Close: func() error {
			err := l.Close()
			mu.Lock()
			for c := range open {
				c.Close()
			}
			mu.Unlock()
			<-done
			return err
		},
	}, nil
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

var errClosed = errors.New("bench: closed")
