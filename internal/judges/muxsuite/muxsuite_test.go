// Package muxsuite holds sessions against libp2p's suite for stream multiplexers,
// over the real sealed session with real keys.
package muxsuite

import (
	"context"
	"net"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	mux "github.com/libp2p/go-libp2p/p2p/muxer/testsuite"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
)

func TestSessionsAsMultiplexer(t *testing.T) {
	id, err := peer.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	mux.SubtestAll(t, &multiplexer{identity: id, keys: peer.NewTokenKeys()})
}

// streams is above the default limit, since the suite leaves many open.
const streams = 2000

// multiplexer makes both ends of connections as the suite asks for them: one
// after the other, in one goroutine. A set-up needs both, so it runs in the
// background, and whoever uses the connection waits for it.
type multiplexer struct {
	identity *peer.Identity
	keys     *token.Keys
}

func (m *multiplexer) NewConn(c net.Conn, isServer bool, _ network.PeerScope) (network.MuxedConn, error) {
	limits := session.Limits{Streams: streams}
	ctx, cancel := context.WithCancel(context.Background())
	conn := &muxedConn{raw: c, cancel: cancel, ready: make(chan struct{}), over: make(chan struct{})}
	if isServer {
		server := &peer.Server{
			Identity: m.identity, TokenKeys: m.keys, Service: "suite", Limits: limits,
			Session: func(_ context.Context, s *session.Session) {
				conn.session = s
				close(conn.ready)
				<-conn.over
			},
		}
		go func() {
			if err := server.ServeConn(ctx, c); err != nil {
				conn.fail(err)
			}
		}()
		return conn, nil
	}
	client := &peer.Client{Identity: m.identity, Service: "suite", Trust: peer.Pinned(m.identity.Fingerprint()), Limits: limits}
	go func() {
		s, err := client.NewSession(ctx, c)
		if err != nil {
			conn.fail(err)
			return
		}
		conn.session = s
		close(conn.ready)
	}()
	return conn, nil
}
