package session

import (
	"testing"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
)

func TestFirstContact(t *testing.T) {
	w := newWorld(t)
	client, server := w.sessions(t)
	echo(t, client, server)
	if got := client.Info(); got.Entity != w.server.name() || got.Resumed || got.KEM != keyx.KEMMLKEM768X25519 || got.Suite != defaultSuites()[0] {
		t.Errorf("client's info: %+v", got)
	}
	if got := server.Info(); got.Entity != w.client.name() || got.Resumed || got.KEM != keyx.KEMMLKEM768X25519 {
		t.Errorf("server's info: %+v", got)
	}
	if n := w.holder.count(); n != 1 {
		t.Errorf("%d tokens are held", n)
	}
	if n := w.issuer.confirmations(); n != 1 {
		t.Errorf("%d confirmations", n)
	}
}

func TestResumed(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		client, server := w.sessions(t)
		echo(t, client, server)
		if got := client.Info().Resumed; got != (i > 0) {
			t.Errorf("session %d: resumed %v", i, got)
		}
		if server.Info().Entity != w.client.name() {
			t.Errorf("session %d is with %v", i, server.Info().Entity)
		}
		end(client, server)
	}
}

func TestEverySuiteAndKEM(t *testing.T) {
	for _, suite := range []stream.Suite{stream.AES128GCM, stream.AES256GCM, stream.ChaCha20Poly1305} {
		for _, kem := range []uint16{keyx.KEMX25519, keyx.KEMMLKEM768X25519} {
			w := newWorld(t)
			w.initiator.Algorithms = Algorithms{Suites: []stream.Suite{suite}, KEMs: []uint16{kem}}
			for range 2 { // first contact, then by share
				client, server := w.sessions(t)
				echo(t, client, server)
				if i := server.Info(); i.Suite != suite || i.KEM != kem {
					t.Errorf("wanted %v and %d: %+v", suite, kem, i)
				}
				end(client, server)
			}
		}
	}
}

// An expired token is renewed by HPKE in the same pair.
func TestExpiredTokenIsRenewed(t *testing.T) {
	w := newWorld(t)
	w.firstContact(t)
	old := w.holder.held[0]
	later := func() time.Time { return time.Now().Add(48 * time.Hour) }
	w.initiator.Network.Clock, w.responder.Network.Clock = later, later
	client, server := w.sessions(t)
	echo(t, client, server)
	if !client.Info().Resumed {
		t.Error("not resumed")
	}
	h := w.holder.held[0]
	if w.holder.count() != 1 || h.Token.Serial != old.Token.Serial || h.Token.Sequence != old.Token.Sequence+1 {
		t.Errorf("held: %d tokens, %v after %v", w.holder.count(), h.Token, old.Token)
	}
	if h.From != old.From || h.Self != old.Self {
		t.Errorf("its origin changed: %+v, %+v", h.From, old.From)
	}
	end(client, server)
	w.initiator.Network.Clock, w.responder.Network.Clock = nil, nil
	client, server = w.sessions(t) // the keys of the renewed one are right
	echo(t, client, server)

	// Only the responder knows that it is expired.
	end(client, server)
	w.responder.Network.Clock = func() time.Time { return time.Now().Add(96 * time.Hour) }
	w.refused(t, mslerr.Expired)
}

func TestFreshDropsTheHeldToken(t *testing.T) {
	w := newWorld(t)
	w.firstContact(t)
	old := w.holder.held[0]
	w.initiator.Fresh = true
	client, server := w.sessions(t)
	echo(t, client, server)
	if client.Info().Resumed || w.holder.count() != 1 || w.holder.held[0].Token.Equal(old.Token) {
		t.Errorf("resumed %v, %d tokens", client.Info().Resumed, w.holder.count())
	}
}

func TestAnonymousInitiator(t *testing.T) {
	w := newWorld(t)
	w.initiator.Network = nobody("anonymous")
	for range 2 {
		client, server := w.sessions(t)
		echo(t, client, server)
		if e := server.Info().Entity; e != (token.Entity{Scheme: "NONE", Identity: "anonymous"}) {
			t.Errorf("the server sees %v", e)
		}
		end(client, server)
	}
}

// Two equals, who issue each other's tokens.
func TestPeers(t *testing.T) {
	w := newWorld(t)
	name := w.server.name().Identity
	w.initiator.To = name
	w.responder.Names = []string{name}
	for i, n := range []*message.Network{w.initiator.Network, w.responder.Network} {
		n.PeerToPeer = true
		n.TokenKeys, n.Issuer = tokenKeys(t, byte(i)), &issuer{}
		n.KeyExchange = keyx.Schemes{keyx.HPKE{}}
	}
	for i := range 2 {
		client, server := w.sessions(t)
		echo(t, client, server)
		if client.Info().Entity != w.server.name() || server.Info().Entity != w.client.name() || client.Info().Resumed != (i > 0) {
			t.Errorf("%+v, %+v", client.Info(), server.Info())
		}
		end(client, server)
	}
}
