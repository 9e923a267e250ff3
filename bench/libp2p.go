package main

import (
	"context"
	"crypto/rand"
	"net"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
)

// libp2pPeer is go-libp2p's noise and yamux over TCP, with its settings. A host
// would add the negotiation of both, two flights or more, at each set-up.
func libp2pPeer() *Peer {
	return &Peer{
		Name:        "libp2p noise+yamux",
		Multiplexes: true,
		Holds:       true,
		Listen: func(handle func(Stream)) (*Server, error) {
			security, id, err := libp2pSecurity()
			if err != nil {
				return nil, err
			}
			s, err := listenTCP(func(c net.Conn) { _ = serveLibp2p(security, c, handle) })
			if err == nil {
				s.Endpoint.Trust = []byte(id)
			}
			return s, err
		},
		Dialer: func(e Endpoint) (Dialer, error) {
			security, _, err := libp2pSecurity()
			return func(ctx context.Context) (Session, error) { return dialLibp2p(ctx, security, e) }, err
		},
	}
}

func libp2pSecurity() (*noise.Transport, peer.ID, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, "", err
	}
	t, err := noise.New(noise.ID, key, nil)
	return t, id, err
}

func serveLibp2p(security *noise.Transport, c net.Conn, handle func(Stream)) error {
	secure, err := security.SecureInbound(context.Background(), c, "")
	if err != nil {
		return err
	}
	s, err := yamux.DefaultTransport.NewConn(secure, true, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	return accept(s.AcceptStream, func(st network.MuxedStream) { handle(st) })
}

func dialLibp2p(ctx context.Context, security *noise.Transport, e Endpoint) (Session, error) {
	c, err := dialTCP(ctx, e.Addr)
	if err != nil {
		return nil, err
	}
	secure, err := security.SecureOutbound(ctx, c, peer.ID(e.Trust))
	if err != nil {
		c.Close()
		return nil, err
	}
	s, err := yamux.DefaultTransport.NewConn(secure, false, nil)
	if err != nil {
		c.Close()
		return nil, err
	}
	return streamSession{func(ctx context.Context) (Stream, error) { return s.OpenStream(ctx) }, s.Close}, nil
}
