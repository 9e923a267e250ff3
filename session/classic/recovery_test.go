package classic

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session/internal/recent"
)

var pskClient = token.Entity{Scheme: "PSK", Identity: "psk-1"}

// rejectOnce lets the application refuse the first request.
func (w *world) rejectOnce(why func(*message.Header) *mslerr.Error) {
	first := true
	w.handle = func(in *Incoming) error {
		if !first {
			return w.echo(in)
		}
		first = false
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
		return in.Reject(w.t.Context(), why(in.Header))
	}
}

func (w *world) newest() *token.Held {
	w.t.Helper()
	h, err := w.holder.Newest(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// attempts gives its passwords in turn and then gives up.
func attempts(secrets ...string) userauth.Source {
	return userauth.Func(func(_ context.Context, rejected error) (userauth.Data, error) {
		if len(secrets) == 0 {
			return nil, rejected
		}
		p := password{"alice", secrets[0]}
		secrets = secrets[1:]
		return p, nil
	})
}

// For every response code that can be repaired (spec 08 section 1): the first
// attempt fails, the application sees one answer, its data arrived once.
func TestRecovery(t *testing.T) {
	user := Message{LocalUser: "me", Credentials: userauth.Static(password{"alice", "right"}), AllowReplay: true}
	for _, tt := range []struct {
		code  mslerr.ResponseCode
		name  string
		m     Message
		self  entityauth.Data
		setUp func(*world)
		chart []string
		check func(*world)
	}{
		{
			code: mslerr.EntityReauth, name: "token keys were lost", m: user,
			setUp: func(w *world) { w.server.Network.TokenKeys = tokenKeys(w.t, 50) },
			chart: []string{"C> [MT1] UIT", "S> error ENTITY_REAUTH", "C> [EAD] R kreq userauth", "S> [EAD] UIT kresp"},
		},
		{
			code: mslerr.EntityReauth, name: "token revoked", m: user,
			setUp: func(w *world) { _ = w.issuer.RevokeToken(w.t.Context(), pskClient, w.newest().Token.Serial) },
			chart: []string{"C> [MT1] UIT", "S> error ENTITY_REAUTH", "C> [EAD] R kreq userauth", "S> [EAD] UIT kresp"},
		},
		{
			code: mslerr.UserReauth, m: user,
			setUp: func(w *world) {
				w.rejectOnce(func(*message.Header) *mslerr.Error { return mslerr.New(mslerr.ResponseRequiresUserIDToken, "again") })
			},
			chart: []string{"C> [MT1] UIT", "S> error USER_REAUTH", "C> [MT1] R userauth", "S> [MT1] UIT"},
		},
		{
			code: mslerr.KeyxRequired, name: "no keys for the answer", m: Message{AllowReplay: true, InsecurePlaintext: true},
			self: entityauth.NewNoneData("x"),
			setUp: func(w *world) {
				_ = w.holder.Remove(w.t.Context(), w.newest().Token)
				w.client.Network.Self, w.client.Network.SelfScheme = identity(2).Self(), identity(2)
				turn := w.client.slot().Try() // somebody else's, so that no key is asked for
				w.handle = func(in *Incoming) error {
					turn.Publish(nil)
					if err := in.CanAnswer(Message{}); err != nil {
						return in.Reject(w.t.Context(), err)
					}
					return w.echo(in)
				}
			},
			chart: []string{"C> [EAD]", "S> error KEYX_REQUIRED", "C> [EAD] R kreq", "S> [EAD] kresp"},
		},
		{
			code: mslerr.EntityDataReauth, m: Message{AllowReplay: true},
			setUp: func(w *world) {
				_ = w.holder.Remove(w.t.Context(), w.newest().Token)
				w.client.Reauthenticate = func(context.Context, error) (entityauth.Data, error) {
					return entityauth.NewPSKData("psk-2"), nil
				}
				w.rejectOnce((*message.Header).EntityRejected)
			},
			chart: []string{"C> [EAD] R kreq", "S> error ENTITYDATA_REAUTH", "C> [EAD] R kreq", "S> [EAD] kresp"},
			check: func(w *world) {
				if got := w.newest().Self.Identity; got != "psk-2" {
					w.t.Errorf("the token names %q", got)
				}
			},
		},
		{
			code: mslerr.UserDataReauth, m: Message{LocalUser: "other", Credentials: attempts("wrong", "wronger", "right"), AllowReplay: true},
			setUp: func(*world) {},
			chart: []string{"C> [MT1] R userauth", "S> error USERDATA_REAUTH", "C> [MT1] R userauth", "S> error USERDATA_REAUTH", "C> [MT1] R userauth", "S> [MT1] UIT"},
		},
		{
			code: mslerr.UserDataReauth, name: "rejected by the application", m: Message{LocalUser: "me", Credentials: attempts("right"), AllowReplay: true},
			setUp: func(w *world) { w.rejectOnce((*message.Header).UserRejected) },
			chart: []string{"C> [MT1] UIT", "S> error USERDATA_REAUTH", "C> [MT1] R userauth", "S> [MT1] UIT"},
		},
		{
			code: mslerr.SSOTokenRejected, m: Message{LocalUser: "other", Credentials: attempts("sso", "right"), AllowReplay: true},
			setUp: func(*world) {},
			chart: []string{"C> [MT1] R userauth", "S> error SSOTOKEN_REJECTED", "C> [MT1] R userauth", "S> [MT1] UIT"},
		},
		{
			code: mslerr.Expired, m: user,
			setUp: func(w *world) {
				w.after(25 * time.Hour)
				w.client.clock.Learn(time.Now(), w.client.now(), true) // what it believes
			},
			chart: []string{"C> [MT1] UIT", "S> error EXPIRED", "C> [MT1] UIT R kreq", "S> [MT1] UIT kresp"},
			check: func(w *world) {
				if got := w.newest().Token.Sequence; got != 2 {
					w.t.Errorf("sequence number %d", got)
				}
			},
		},
		{
			code: mslerr.Replayed, m: Message{LocalUser: "me"},
			setUp: func(w *world) {
				if err := w.issuer.AcceptNonReplayable(w.t.Context(), "test", pskClient, w.newest().Token.Serial, 1); err != nil {
					w.t.Fatal(err)
				}
			},
			chart: []string{"C> [MT1] UIT nr", "S> error REPLAYED", "C> [MT1] UIT nr", "S> [MT1] UIT"},
		},
	} {
		t.Run(strings.TrimSuffix(tt.code.String()+" "+tt.name, " "), func(t *testing.T) {
			w := newWorld(t, entityauth.NewPSKData("psk-1"))
			w.must(login, "first")
			w.chart, w.served = nil, nil
			tt.setUp(w)
			data := strings.Repeat("data ", 30_000) // several chunks
			w.must(tt.m, data)
			w.wantChart(tt.chart...)
			if len(w.served) != 1 || w.served[0] != data {
				t.Errorf("the application was served %d times", len(w.served))
			}
			if tt.check != nil {
				tt.check(w)
			}
			if w.client.slot().Try() == nil {
				t.Error("the slot is still held")
			}
			w.handle = nil
			w.must(Message{AllowReplay: true}, "afterwards")
		})
	}
}

// FAIL and TRANSIENT_FAILURE are the application's (spec 08 checklist 3).
func TestNoRecovery(t *testing.T) {
	for _, code := range []mslerr.Code{mslerr.EntityNotFound, mslerr.InternalException} {
		w := newWorld(t, entityauth.NewPSKData("psk-1"))
		w.must(login, "first")
		w.chart = nil
		w.rejectOnce(func(*message.Header) *mslerr.Error { return mslerr.New(code, "so it is") })
		_, err := w.do(login, "data")
		if !errors.Is(err, code) || !errors.Is(err, code.Response()) {
			t.Errorf("error %v, want %v", err, code)
		}
		if e, ok := errors.AsType[*message.ErrorHeader](err); !ok || !e.Answers {
			t.Errorf("error %v is no error header", err)
		}
		w.wantChart("C> [MT1] UIT", "S> error "+code.Response().String())
		if w.newest() == nil {
			t.Error("the token is gone")
		}
		w.must(login, "afterwards")
	}
}

// Nobody is asked for credentials for ever.
func TestCredentialsGiveUp(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	_, err := w.do(Message{LocalUser: "me", Credentials: userauth.Static(password{"alice", "wrong"})}, "data")
	if !errors.Is(err, mslerr.UserDataReauth) || !errors.Is(err, mslerr.EmailPasswordIncorrect) {
		t.Errorf("error %v", err)
	}
}

// 12 messages at most, and the last error header is what the caller gets.
func TestMessageLimit(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	w.chart = nil
	n := 0
	w.handle = func(in *Incoming) error {
		n++
		_, _ = io.Copy(io.Discard, in)
		return in.Reject(t.Context(), mslerr.New(mslerr.MessageReplayed, "%d", n))
	}
	_, err := w.do(Message{}, "data")
	limit, ok := errors.AsType[*framing.LimitError](err)
	if !ok || limit.Max != 12 || !errors.Is(err, mslerr.Replayed) {
		t.Errorf("error %v", err)
	}
	if n != 6 {
		t.Errorf("%d attempts, want 6", n)
	}
}

// What is not kept cannot be sent again.
func TestBodyTooLongToRepeat(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	w.client.Limits.Repeat = 1000
	w.rejectOnce(func(*message.Header) *mslerr.Error { return mslerr.New(mslerr.MessageReplayed, "") })
	_, err := w.do(Message{}, strings.Repeat("x", 1_000_000))
	if limit, ok := errors.AsType[*framing.LimitError](err); !ok || limit.Max != 1000 || !errors.Is(err, mslerr.Replayed) {
		t.Errorf("error %v", err)
	}
}

// An old error header, sent again, costs a client nothing (W-05).
func TestReplayedErrorHeader(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	sealed, err := w.server.Network.SealError(t.Context(), message.ErrorSpec{Err: mslerr.New(mslerr.MasterTokenUntrusted, "")})
	if err != nil {
		t.Fatal(err)
	}
	replay := func(c *Conn) {
		if _, err := c.readHeader(); err == nil {
			_ = c.write(sealed.Raw, true)
		}
	}
	serial := w.newest().Token.Serial
	w.accept = []func(*Conn){replay, replay}
	_, err = w.do(Message{AllowReplay: true}, "data")
	if !errors.Is(err, mslerr.EntityReauth) {
		t.Errorf("error %v", err)
	}
	if w.newest() == nil || w.newest().Token.Serial != serial {
		t.Error("the token is gone")
	}
	w.must(Message{}, "afterwards")

	// Once, it is believed as far as to try without the token; that works, so it was true.
	w.client.errors = recent.Set[digest]{}
	w.accept = []func(*Conn){replay}
	w.must(Message{AllowReplay: true}, "data")
	if w.newest().Token.Serial == serial {
		t.Error("the token was not replaced")
	}
}

// Nobody but the service is believed: an error that proves nothing changes nothing.
func TestForgedErrorHeader(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	w.client.Network.EntityAuth = append(w.client.Network.EntityAuth, entityauth.None{})
	forger := &message.Network{Self: entityauth.NewNoneData(w.client.Expected.Identity[8:]), SelfScheme: entityauth.None{},
		Clock: func() time.Time { return time.Now().Add(1000 * time.Hour) }}
	for _, code := range []mslerr.Code{mslerr.MasterTokenUntrusted, mslerr.UserIDTokenRevoked, mslerr.MessageReplayed} {
		w.accept = []func(*Conn){func(c *Conn) {
			raw, err := c.readHeader()
			if err != nil {
				return
			}
			h, err := w.server.Network.Open(t.Context(), raw, message.OpenOptions{})
			if err != nil {
				return
			}
			sealed, _ := forger.SealError(t.Context(), message.ErrorSpec{Err: mslerr.New(code, ""), Request: h})
			_ = c.write(sealed.Raw, true)
		}}
		before := w.client.remoteNow()
		if _, err := w.do(login, "data"); err == nil {
			t.Error("forged error was recovered from")
		}
		if w.newest() == nil || w.client.remoteNow().Sub(before) > time.Minute {
			t.Error("a forged error changed something")
		}
	}
	w.chart = nil
	w.must(login, "afterwards")
	w.wantChart("C> [MT1] UIT", "S> [MT1] UIT")
}

// A handshake loop ends with a failure that says so.
func TestKeysThatNeverCome(t *testing.T) {
	w := newWorld(t, nil)
	w.client.Network.KeyExchange = nil
	_, err := w.do(Message{}, "data")
	if !errors.Is(err, mslerr.KeyxFactoryNotFound) {
		t.Errorf("error %v", err)
	}
}
