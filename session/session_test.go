package session

import (
	"testing"

	"github.com/mslgo/msl/protocol/keyx"
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
