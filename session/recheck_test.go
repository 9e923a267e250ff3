package session

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
)

// verdict is an issuer that can be told to refuse.
type verdict struct {
	token.Issuer
	err   atomic.Pointer[error]
	asked atomic.Int32
	user  atomic.Pointer[token.User]
}

func (v *verdict) Revoked(_ context.Context, _ token.Entity, _ int64, user token.User, userSerial int64) error {
	v.asked.Add(1)
	if userSerial >= 0 {
		v.user.Store(&user)
	}
	if err := v.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Sessions that stand are asked about by the hour.
func TestRevokedByTheHour(t *testing.T) {
	refusal := error(&mslerr.Error{Code: mslerr.MasterTokenIdentityRevoked})
	outage := error(&mslerr.Error{Code: mslerr.InternalException})
	for name, revoke := range map[string]func(*world, *verdict){
		"entity": func(_ *world, v *verdict) { v.err.Store(&refusal) },
		"policy": func(w *world, _ *verdict) {
			w.responder.Network.EntityPolicy.Revoked = func(context.Context, string) error { return errors.New("banned") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _ := inbandWorld(t)
				w.initiator.Limits.Rekey, w.responder.Limits.Rekey = -1, -1 // would find out first
				v := &verdict{Issuer: w.responder.Network.Issuer}
				w.responder.Network.Issuer = v
				client, server := w.sessions(t)
				time.Sleep(3*time.Hour + time.Minute)
				echo(t, client, server)
				if v.asked.Load() < 3 {
					t.Errorf("asked %d times in 3 hours", v.asked.Load())
				}
				revoke(w, v)
				begun := time.Now()
				closedWith(t, client, frame.CodeRevoked)
				closedWith(t, server, frame.CodeRevoked)
				if d := time.Since(begun); d > time.Hour {
					t.Errorf("ended after %v", d)
				}
			})
		})
	}
	t.Run("a store out of reach", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := inbandWorld(t)
			v := &verdict{Issuer: w.responder.Network.Issuer}
			w.responder.Network.Issuer = v
			client, server := w.sessions(t)
			v.err.Store(&outage)
			time.Sleep(61 * time.Minute)
			synctest.Wait()
			if asked := v.asked.Load(); asked < 1 {
				t.Errorf("asked %d times", asked)
			}
			echo(t, client, server)
			v.err.Store(&refusal)
			begun := time.Now()
			closedWith(t, client, frame.CodeRevoked)
			if d := time.Since(begun); d > 2*time.Minute {
				t.Errorf("asked again after %v", d)
			}
		})
	})
	t.Run("user", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := inbandWorld(t)
			v := &verdict{Issuer: w.responder.Network.Issuer}
			w.responder.Network.Issuer = v
			client, _ := w.sessions(t)
			if err := client.Login(t.Context(), "alice", password("alice@example.com", "secret")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(61 * time.Minute)
			if u := v.user.Load(); u == nil || *u != "user:alice@example.com" {
				t.Errorf("asked about user %v", u)
			}
		})
	})
	t.Run("never", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := inbandWorld(t)
			w.responder.Recheck = -1
			var asked atomic.Int32
			w.responder.Admit = func(context.Context, Info) error { asked.Add(1); return nil }
			client, server := w.sessions(t)
			time.Sleep(5 * time.Hour)
			echo(t, client, server)
			if asked.Load() != 1 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	})
}

// Admit is asked again too: by the hour, and at an attach.
func TestNoLongerAdmitted(t *testing.T) {
	no := errors.New("no")
	t.Run("by the hour", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := inbandWorld(t)
			w.responder.Recheck = time.Minute
			var banned atomic.Bool
			w.responder.Admit = func(context.Context, Info) error {
				if banned.Load() {
					return no
				}
				return nil
			}
			client, _ := w.sessions(t)
			time.Sleep(10 * time.Minute)
			if client.Err() != nil {
				t.Fatal(client.Err())
			}
			banned.Store(true)
			closedWith(t, client, frame.CodeRevoked)
		})
	})
	t.Run("at an attach", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var banned atomic.Bool
			w.responder.Admit = func(context.Context, Info) error {
				if banned.Load() {
					return no
				}
				return nil
			}
			x := newWires(t, w)
			client, server := x.sessions()
			banned.Store(true)
			x.cut()
			closedWith(t, server, frame.CodeRevoked)
			<-client.Done()
			end(client, server)
		})
	})
}
