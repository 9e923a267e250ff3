package session

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
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
		a, b := middle(t, func(n int, unit []byte) [][]byte {
			if n == 0 {
				o, err := framing.JSON.Parse(unit)
				if err != nil || (o["mastertoken"] != nil) != (i > 0) || (o["entityauthdata"] != nil) != (i == 0) {
					t.Errorf("request %d: token %v, entityauthdata %v, %v", i, o["mastertoken"] != nil, o["entityauthdata"] != nil, err)
				}
			}
			return pass(n, unit)
		}, pass)
		client, server, err1, err2 := w.connect(t.Context(), a, b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
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

// A service that has lost its token keys, or finds the token expired, is met by
// first contact; any other refusal is the caller's business.
func TestConnectFallsBackToFirstContact(t *testing.T) {
	w := newWorld(t)
	for _, k := range []struct {
		name     string
		spoil    func()
		attempts int
		fails    bool
	}{
		{"nothing", func() {}, 1, false},
		{"new token keys", func() { w.responder.Network.TokenKeys = tokenKeys(t, 9) }, 2, false},
		{"expired for the responder", func() {
			w.responder.Network.Clock = func() time.Time { return time.Now().Add(48 * time.Hour) }
		}, 2, false},
		{"another service", func() { w.responder.Names = []string{"other"} }, 1, true},
	} {
		t.Run(k.name, func(t *testing.T) {
			w.responder.Network.Clock = nil
			w.firstContact(t)
			k.spoil()
			attempts := 0
			var server chan accepted
			client, err := Connect(t.Context(), func(context.Context) (transport.Conn, error) {
				attempts++
				a, b := transport.Pipe()
				server = make(chan accepted, 1)
				go func(c chan accepted) {
					s, err := Accept(t.Context(), b, w.responder)
					c <- accepted{s, err}
				}(server)
				return a, nil
			}, w.initiator)
			got := <-server
			if (err != nil) != k.fails || attempts != k.attempts || w.initiator.Fresh {
				t.Errorf("%d attempts, %v", attempts, err)
			}
			if err == nil {
				echo(t, client, got.session)
				if w.holder.count() != 1 {
					t.Errorf("%d tokens", w.holder.count())
				}
			}
			end(client, got.session)
		})
	}
}

func TestTokenOfAnotherSelfIsNotUsed(t *testing.T) {
	w := newWorld(t)
	w.firstContact(t)
	other := newEntity(0x55)
	w.initiator.Network = other.network()
	client, server := w.sessions(t)
	if client.Info().Resumed || server.Info().Entity != other.name() {
		t.Errorf("resumed %v as %v", client.Info().Resumed, server.Info().Entity)
	}
}

func TestRejectAndAdmit(t *testing.T) {
	w := newWorld(t)
	w.responder.Network.Reject = func(_ context.Context, h *message.Header) error {
		return mslerr.New(mslerr.EntityRejectedByApp, "banned")
	}
	w.refused(t, mslerr.EntityDataReauth)
	w.responder.Network.Reject = nil
	w.responder.Admit = func(_ context.Context, i Info) error {
		if i.Entity != w.client.name() || i.Resumed {
			t.Errorf("%+v", i)
		}
		return &mslerr.Error{Code: mslerr.EntityRejectedByApp, Response: mslerr.TransientFailure}
	}
	w.refused(t, mslerr.TransientFailure)
	w.responder.Admit = nil
	w.firstContact(t)
	w.issuer.revoked = mslerr.New(mslerr.MasterTokenIdentityRevoked, "gone")
	w.refused(t, mslerr.EntityReauth)
}

// Headers of resumed set-ups are CBOR where the service reads it.
func TestCBOR(t *testing.T) {
	w := newWorld(t)
	for _, n := range []*message.Network{w.initiator.Network, w.responder.Network} {
		n.Formats = []framing.Format{framing.CBOR, framing.JSON}
	}
	size := 0
	for _, first := range []byte{'{', 0xd9} {
		a, b := middle(t, func(n int, unit []byte) [][]byte {
			if n == 0 && unit[0] != first {
				t.Errorf("the request begins with %#x, not %#x", unit[0], first)
			}
			if n == 0 {
				size = len(unit)
			}
			return pass(n, unit)
		}, pass)
		if err := errors.Join(w.attempt(t, a, b)); err != nil {
			t.Fatal(err)
		}
	}
	if size > 3000 {
		t.Errorf("a resumed request in CBOR has %d bytes", size)
	}
}

func TestContext(t *testing.T) {
	w := newWorld(t)
	client, server := w.sessions(t)
	if err := client.Context().Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.CloseWithError(7, "enough"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Session{client, server} {
		<-s.Context().Done()
		if closed, ok := errors.AsType[*Error](context.Cause(s.Context())); !ok || closed != s.Err() || closed.Reason != "enough" {
			t.Errorf("ended by %v, the session by %v", context.Cause(s.Context()), s.Err())
		}
	}
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.initiator.Limits.Bandwidth = 100_000
		client, server := w.sessions(t)
		defer end(client, server)
		for _, rate := range []int{100_000, 1_000_000} {
			if rate > 100_000 {
				client.SetBandwidth(int64(rate))
			}
			st, err := client.OpenStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			go func() {
				_, _ = st.Write(make([]byte, 3*rate))
				_ = st.CloseWrite()
			}()
			other, err := server.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, other); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begun); d < 2700*time.Millisecond || d > 3300*time.Millisecond {
				t.Errorf("3 s worth of data took %v", d)
			}
			_ = other.Close()
		}
	})
}
