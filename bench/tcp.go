package main

import (
	"context"
	"net"
)

// tcpWire is plain TCP.
type tcpWire struct{}

func (tcpWire) traits() Peer { return Peer{} }

func (tcpWire) listen(serve func(net.Conn)) (*Server, error) { return listenTCP(serve) }

func (tcpWire) dialer(e Endpoint) (func(context.Context) (net.Conn, error), error) {
	return func(ctx context.Context) (net.Conn, error) { return dialTCP(ctx, e.Addr) }, nil
}
