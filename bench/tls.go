package main

import (
	"context"
	"crypto/tls"
	"net"
)

// tlsWire is crypto/tls 1.3 as it comes: hybrid ML-KEM, AES-128-GCM.
type tlsWire struct{}

func (tlsWire) traits() Peer { return Peer{Resumes: true} }

func (tlsWire) listen(serve func(net.Conn)) (*Server, error) {
	config, der, err := serverTLS()
	if err != nil {
		return nil, err
	}
	s, err := listenTCP(func(c net.Conn) { serve(tls.Server(c, config)) })
	if err == nil {
		s.Endpoint.Trust = der
	}
	return s, err
}

func (tlsWire) dialer(e Endpoint) (func(context.Context) (net.Conn, error), error) {
	config, err := clientTLS(e)
	return func(ctx context.Context) (net.Conn, error) {
		c, err := dialTCP(ctx, e.Addr)
		if err != nil {
			return nil, err
		}
		t := tls.Client(c, config)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return t, nil
	}, err
}
