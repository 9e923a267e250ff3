package session

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/store"
)

// inbandWorld is a world with real stores, where users can log in.
func inbandWorld(t testing.TB) (*world, token.Holder) {
	w := newWorld(t)
	h := store.NewMemory().Holder(serviceName)
	w.initiator.Holder = h
	n := w.responder.Network
	n.Issuer = store.NewMemoryIssuer()
	n.UserAuth = userauth.Schemes{userauth.EmailPassword{Check: func(_ context.Context, email, password string) (token.User, error) {
		if password != "secret" {
			return "", mslerr.New(mslerr.EmailPasswordIncorrect, "no")
		}
		return token.User("user:" + email), nil
	}}}
	w.initiator.Network.UserAuth = n.UserAuth
	w.initiator.Limits.Idle, w.responder.Limits.Idle = -1, -1
	return w, h
}

func password(email, p string) userauth.Source {
	return userauth.Static(userauth.NewEmailPasswordData(email, p))
}

func closedWith(t *testing.T, s *Session, code Code) {
	t.Helper()
	<-s.Done()
	if e, ok := errors.AsType[*Error](s.Err()); !ok || e.Code != code {
		t.Errorf("ended with %v, want %v", s.Err(), code)
	}
}

// The master token is renewed inside the channel while data flows.
func TestRenewalInsideTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := inbandWorld(t)
		client, server := w.sessions(t)
		first, err := h.Newest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			time.Sleep(time.Hour)
			echo(t, client, server)
		}
		newest, err := h.Newest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if newest.Token.Serial != first.Token.Serial || newest.Token.Sequence != first.Token.Sequence+2 || newest.From != first.From || newest.Self != first.Self {
			t.Errorf("%v after %v", newest.Token, first.Token)
		}
		if old, err := h.Find(t.Context(), first.Token); old != nil || err != nil {
			t.Errorf("the first one is kept: %v, %v", old, err)
		}
		end(client, server)
		client, server = w.sessions(t) // the other side knows the keys of the new one
		if !client.Info().Resumed {
			t.Error("not resumed")
		}
		echo(t, client, server)
		end(client, server)
	})
}

func TestReauthenticate(t *testing.T) {
	w, h := inbandWorld(t)
	client, server := w.sessions(t)
	first, _ := h.Newest(t.Context())
	if err := client.Reauthenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	newest, _ := h.Newest(t.Context())
	if newest.Token.Serial == first.Token.Serial || !newest.From.Authenticated || newest.From.Issuer != w.server.name() {
		t.Errorf("%v after %v, from %+v", newest.Token, first.Token, newest.From)
	}
	echo(t, client, server)
	end(client, server)
	client, server = w.sessions(t)
	if !client.Info().Resumed {
		t.Error("not resumed")
	}
	if err := server.Reauthenticate(t.Context()); err == nil {
		t.Error("a responder asked its initiator for a token")
	}
}

func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := inbandWorld(t)
		client, server := w.sessions(t)
		asked := 0
		err := client.Login(t.Context(), "me", userauth.Func(func(_ context.Context, rejected error) (userauth.Data, error) {
			if asked++; asked == 1 {
				return userauth.NewEmailPasswordData("a@b", "wrong"), nil
			}
			if e, ok := errors.AsType[*mslerr.Error](rejected); !ok || !e.Remote || !errors.Is(rejected, mslerr.EmailPasswordIncorrect) {
				t.Errorf("rejected: %v", rejected)
			}
			return userauth.NewEmailPasswordData("a@b", "secret"), nil
		}))
		if err != nil || asked != 2 {
			t.Fatalf("%v after %d passwords", err, asked)
		}
		if c, s := client.Info().User, server.Info().User; c != "me" || s != "user:a@b" {
			t.Errorf("users %q and %q", c, s)
		}
		if u, err := h.UserIDToken(t.Context(), "me"); u == nil || err != nil {
			t.Errorf("held: %v, %v", u, err)
		}
		if err := client.Login(t.Context(), "you", password("c@d", "secret")); !errors.Is(err, ErrOtherUser) {
			t.Errorf("a second user: %v", err)
		}
		echo(t, client, server)
		// The user ID token is renewed too.
		before, _ := h.UserIDToken(t.Context(), "me")
		time.Sleep(4 * time.Hour)
		if after, _ := h.UserIDToken(t.Context(), "me"); !after.Expiration.After(before.Expiration) {
			t.Error("the user ID token is not renewed")
		}
		end(client, server)

		// In the next session the token stands for the password.
		client, server = w.sessions(t)
		if server.Info().User != "" {
			t.Error("somebody is logged in")
		}
		if err := client.Login(t.Context(), "me", password("", "")); err != nil || server.Info().User != "user:a@b" {
			t.Errorf("%q, %v", server.Info().User, err)
		}
		end(client, server)

		client, server = w.sessions(t)
		if err := client.Login(t.Context(), "you", password("c@d", "wrong")); !errors.Is(err, mslerr.EmailPasswordIncorrect) || client.Err() != nil {
			t.Errorf("a wrong password: %v, %v", err, client.Err())
		}
		end(client, server)
	})
}

// A user never becomes another.
func TestSecondUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := inbandWorld(t)
		client, server := w.sessions(t)
		if err := client.Login(t.Context(), "me", password("a@b", "secret")); err != nil {
			t.Fatal(err)
		}
		err := client.exchange.request(t.Context(), letter{renew: true, local: "you", credentials: userauth.NewEmailPasswordData("c@d", "secret")})
		if err == nil {
			t.Error("a second user logged in")
		}
		closedWith(t, server, frame.CodeControl)
		closedWith(t, client, frame.CodeControl)
		end(client, server)
	})
}

func TestServiceTokensBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := inbandWorld(t)
		contexts := token.ServiceContexts{"": serviceContext(t)}
		w.initiator.Network.ServiceContexts, w.responder.Network.ServiceContexts = contexts, contexts
		type got struct {
			name string
			data []byte
		}
		atClient, atServer := make(chan got, 1), make(chan got, 1)
		tell := func(c chan got) func(*Session, []*token.ServiceToken) {
			return func(s *Session, list []*token.ServiceToken) {
				data, _ := list[0].Data()
				c <- got{list[0].Name, data}
			}
		}
		w.initiator.ServiceTokens, w.responder.ServiceTokens = tell(atClient), tell(atServer)
		client, server := w.sessions(t)
		mint := func(name, data string) *token.ServiceToken {
			s, err := token.MintServiceToken(token.ServiceTokenSpec{Name: name, Data: []byte(data), Encrypt: true}, contexts, framing.JSON)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if err := client.SendServiceTokens(t.Context(), mint("up", "1")); err != nil {
			t.Fatal(err)
		}
		if g := <-atServer; g.name != "up" || string(g.data) != "1" {
			t.Errorf("%+v", g)
		}
		held := func() int {
			list, err := h.ServiceTokens(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		for _, data := range []string{"2", ""} {
			if err := server.SendServiceTokens(t.Context(), mint("down", data)); err != nil {
				t.Fatal(err)
			}
			if g := <-atClient; g.name != "down" || string(g.data) != data {
				t.Errorf("%+v", g)
			}
			if n := held(); n != min(1, len(data)) {
				t.Errorf("%d service tokens are held", n)
			}
		}
		echo(t, client, server)
		end(client, server)
	})
}

func serviceContext(t *testing.T) mslcrypto.Context {
	t.Helper()
	c, err := mslcrypto.NewSymmetric("service", mslcrypto.SymmetricKeys{Encryption: mslcrypto.Key(span(1, 16)), Signature: mslcrypto.Key(span(2, 32))})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Both sides at once, with bulk beside.
func TestCrossingRequests(t *testing.T) {
	w, _ := inbandWorld(t)
	w.responder.Network.ServiceContexts = token.ServiceContexts{"": serviceContext(t)}
	w.initiator.Network.ServiceContexts = w.responder.Network.ServiceContexts
	client, server := w.sessions(t)
	done := make(chan error, 3)
	go func() { done <- client.Reauthenticate(t.Context()) }()
	go func() { done <- server.SendServiceTokens(t.Context()) }()
	go func() { done <- client.Login(t.Context(), "me", password("a@b", "secret")) }()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
		echo(t, client, server)
	}
}

// raw sends the bytes of a message as they are.
func (s *Session) raw(b []byte, response bool) {
	s.control.inband.send(b, response)
	s.link.Wake()
}

func TestControlFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := inbandWorld(t)
		client, server := w.sessions(t)
		n := 0
		for client.Err() == nil && n < 20 {
			n++
			client.raw([]byte("{}"), false)
			select {
			case <-client.control.inband.answers:
			case <-client.Done():
			}
		}
		closedWith(t, server, frame.CodeAbuse)
		if n != controlsPerSecond+1 {
			t.Errorf("closed at message %d", n)
		}
		end(client, server)
	})
}

func TestControlMisuse(t *testing.T) {
	part := func(flags byte, n int) []byte {
		return frame.AppendControl(nil, frame.ControlPart{Fin: flags&1 != 0, Response: flags&2 != 0, Data: make([]byte, n)})[1:]
	}
	for name, parts := range map[string][][]byte{
		"an answer to nothing":           {part(3, 1)},
		"a second request":               {part(1, 1), part(1, 1)},
		"two messages mixed":             {part(0, 1), part(2, 1)},
		"an empty part":                  {part(0, 1), part(0, 0)},
		"an empty message":               {part(1, 0)},
		"too long":                       {part(0, maxControl), part(1, 1)},
		"too long, in one part":          {part(1, maxControl+1)},
		"a second request, in its parts": {part(1, 1), part(0, 1)},
	} {
		var c inband
		c.init(func([]byte) {})
		var err error
		for _, b := range parts {
			if err != nil {
				t.Fatalf("%s: %v too early", name, err)
			}
			_, err = c.handle(b)
		}
		wantCode(t, name, err, frame.CodeControl)
	}
	seal := func(t *testing.T, n *message.Network, spec message.HeaderSpec) []byte {
		s, err := n.Seal(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return s.Raw
	}
	for name, raw := range map[string]func(*testing.T, *world, token.Holder) []byte{
		"a channel inside": func(t *testing.T, w *world, h token.Holder) []byte {
			held, _ := h.Newest(t.Context())
			return seal(t, w.initiator.Network, message.HeaderSpec{Under: held, Channel: Sentinel()})
		},
		"another entity": func(t *testing.T, w *world, _ token.Holder) []byte {
			return seal(t, newEntity(0x44).network(), message.HeaderSpec{})
		},
		"an entity of another class": func(t *testing.T, w *world, _ token.Holder) []byte {
			return seal(t, nobody("somebody"), message.HeaderSpec{})
		},
		"an error that answers nothing": func(t *testing.T, w *world, _ token.Holder) []byte {
			s, err := w.initiator.Network.SealError(t.Context(), message.ErrorSpec{Err: mslerr.New(mslerr.InternalException, "")})
			if err != nil {
				t.Fatal(err)
			}
			return s.Raw
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, h := inbandWorld(t)
				client, server := w.sessions(t)
				client.raw(raw(t, w, h), false)
				closedWith(t, server, frame.CodeControl)
				end(client, server)
			})
		})
	}
	t.Run("an answer that is none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := inbandWorld(t)
			client, server := w.sessions(t)
			server.control.inband.serve = func([]byte) { server.raw([]byte(`{"headerdata":"AA==","signature":""}`), true) }
			if err := client.Reauthenticate(t.Context()); err == nil {
				t.Error("taken")
			}
			closedWith(t, client, frame.CodeControl)
			end(client, server)
		})
	})
	t.Run("revoked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			client, server := w.sessions(t)
			w.issuer.revoked = mslerr.New(mslerr.MasterTokenIdentityRevoked, "gone")
			if err := client.SendServiceTokens(t.Context()); !errors.Is(err, &Error{Code: frame.CodeRevoked}) {
				t.Errorf("error %v", err)
			}
			end(client, server)
		})
	})
}

// The context of a request ends the waiting; what it brings is stored.
func TestRequestOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := inbandWorld(t)
		client, server := w.sessions(t)
		first, _ := h.Newest(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		w.responder.Network.Reject = nil
		serve := server.control.inband.serve
		server.control.inband.serve = func(b []byte) { cancel(); serve(b) }
		if err := client.Reauthenticate(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if newest, _ := h.Newest(t.Context()); newest.Token.Equal(first.Token) {
			t.Error("the new token is lost")
		}
		end(client, server)
		if err := client.Reauthenticate(t.Context()); err == nil {
			t.Error("after the end")
		}
	})
}

// Messages of any size and in any order of asking arrive whole.
func TestMessagesInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b inband
		var got []byte
		a.init(func([]byte) {})
		b.init(func(m []byte) { got = m })
		sent := rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(t, "message")
		a.send(sent, false)
		for a.waiting() {
			frames := a.append(nil, rapid.IntRange(0, 700).Draw(t, "room"))
			for len(frames) > 0 {
				typ, rest, err := frame.ParseType(frames)
				if err != nil || typ != frame.TypeControl {
					t.Fatal(typ, err)
				}
				if frames, err = b.handle(rest); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !bytes.Equal(got, sent) {
			t.Fatal("another message arrived")
		}
	})
}

// Frames of the session itself never do more than close the channel.
func FuzzControlFrames(f *testing.F) {
	f.Add(frame.AppendControl(nil, frame.ControlPart{Fin: true, Data: []byte("{}")}))
	f.Add(frame.AppendRekey(nil, frame.Rekey{Epoch: 1, KEM: 32, Share: make([]byte, 32)}))
	f.Add(frame.AppendRekeySwitch(frame.AppendRekeyAsk(nil), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, initiator := range []bool{true, false} {
			c := &control{}
			c.inband.init(func([]byte) {})
			hq, hp := vectorHashes()
			e, _ := firstEpoch(hq, hp, vectorKeys(), span(0x80, 32))
			c.rekey.init(initiator, &fakeKeys{}, &epochs{newest: e}, -1)
			c.rekey.kem = 32
			for rest := b; len(rest) > 0; {
				typ, body, err := frame.ParseType(rest)
				if err != nil || typ == frame.TypeAuth {
					break
				}
				if rest, err = c.HandleFrame(typ, body, nil); err != nil {
					break
				}
			}
			c.rekey.stop()
		}
	})
}

// A responder sends under the token that it issued, which it can read only with
// the keys that made it.
func TestRequestWithoutTokenKeys(t *testing.T) {
	w, _ := inbandWorld(t)
	client, server := w.sessions(t)
	w.responder.Network.TokenKeys.Rotate(serviceContext(t), 0)
	if err := server.SendServiceTokens(t.Context()); err != errTokenKeysGone {
		t.Error(err)
	}
	echo(t, client, server)
}
