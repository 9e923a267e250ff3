package classic

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/store"
)

// The attacker sends a client an error that was meant for another request, maybe
// for another client: the master token is no good.
func TestW05ReplayedError(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	sealed, err := w.server.Network.SealError(t.Context(), message.ErrorSpec{Err: mslerr.New(mslerr.MasterTokenUntrusted, "")})
	if err != nil {
		t.Fatal(err)
	}
	// Naive: an error that the service did sign is obeyed.
	naive := store.NewMemory().Holder("test")
	if err := naive.Put(t.Context(), w.newest()); err != nil {
		t.Fatal(err)
	}
	_, err = w.client.Network.Open(t.Context(), sealed.Raw, message.OpenOptions{Remote: w.client.Expected})
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok && e.Response == mslerr.EntityReauth {
		err = naive.Remove(t.Context(), w.newest().Token)
	}
	if held, _ := naive.Newest(t.Context()); held != nil || err != nil {
		t.Fatalf("the attack does not work: %v", err)
	}

	serial := w.newest().Token.Serial
	replay := func(c *Conn) {
		if _, err := c.readHeader(); err == nil {
			_ = c.write(sealed.Raw, true)
		}
	}
	w.accept = []func(*Conn){replay, replay}
	if _, err := w.do(Message{AllowReplay: true}, "data"); !errors.Is(err, mslerr.EntityReauth) {
		t.Errorf("error %v", err)
	}
	if held := w.newest(); held == nil || held.Token.Serial != serial {
		t.Error("the token is gone")
	}
	w.must(Message{}, "afterwards")
}

// The attacker repeats an old message, with its old timestamp, to have an expired
// token look fresh, or sends a future one to have a fresh one look expired.
func TestW22OldTimestamp(t *testing.T) {
	local := time.Now()
	expires := local.Add(time.Hour)
	for _, shift := range []time.Duration{-1000 * time.Hour, 1000 * time.Hour} {
		// Naive: the last timestamp that came is the time.
		var offset time.Duration
		for _, timestamp := range []time.Time{local, local.Add(shift)} {
			offset = timestamp.Sub(local)
		}
		at := local.Add(2 * time.Hour) // when the token has expired
		if shift > 0 {
			at = local
		}
		truth := at.After(expires)
		if at.Add(offset).After(expires) == truth {
			t.Fatal("the attack does not work")
		}

		var c Clock
		c.Learn(local, local, true)
		c.Learn(local.Add(shift), local, false)
		if c.Now(at).After(expires) != truth {
			t.Errorf("shifted by %v, the token's expiration is misjudged", shift)
		}
	}
}

// An entity is revoked while it waits for pushes.
func TestW25PushAfterRevocation(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	done := make(chan error, 1)
	w.handle = func(in *Incoming) error {
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
		serial := in.Header.MasterToken.Serial
		check := func() error { return w.issuer.Revoked(t.Context(), pskClient, serial, "", -1) }
		checkedOnce := check() // naive: when the message came, and not again
		if err := w.issuer.RevokeToken(t.Context(), pskClient, serial); err != nil {
			return err
		}
		if checkedOnce != nil || check() == nil {
			t.Errorf("the attack does not work: %v, %v", checkedOnce, check())
		}
		done <- in.Push(t.Context(), Message{Body: strings.NewReader("secret")})
		return nil
	}
	in, err := w.client.Send(t.Context(), w.opener(), Message{AllowReplay: true, Body: strings.NewReader("go")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close() }()
	if _, err := in.Next(t.Context()); !errors.Is(err, mslerr.EntityReauth) {
		t.Errorf("pushed: %v", err)
	}
	if err := <-done; !errors.Is(err, mslerr.MasterTokenIdentityRevoked) {
		t.Errorf("push to a revoked entity: %v", err)
	}
}

// The attacker lets a request through and answers it with an error of its own, so
// that it is sent once more.
func TestW26SentAgain(t *testing.T) {
	for _, naive := range []bool{true, false} {
		w := newWorld(t, entityauth.NewPSKData("psk-1"))
		w.must(login, "first")
		w.client.Network.EntityAuth = append(w.client.Network.EntityAuth, entityauth.None{})
		forger := &message.Network{Self: entityauth.NewNoneData("service"), SelfScheme: entityauth.None{}}
		attack := func(c *Conn) {
			in, err := w.server.Accept(t.Context(), c, nil)
			if err != nil {
				return
			}
			data, err := io.ReadAll(in)
			if err != nil {
				return
			}
			w.mu.Lock()
			w.served = append(w.served, string(data))
			w.mu.Unlock()
			sealed, err := forger.SealError(t.Context(), message.ErrorSpec{Err: mslerr.New(mslerr.MasterTokenUntrusted, ""), Request: in.Header})
			if err == nil {
				_ = c.write(sealed.Raw, true)
			}
		}
		w.accept = []func(*Conn){attack, attack}
		_, err := w.do(Message{}, "pay")
		if naive && err != nil { // whatever the error, try again
			_, _ = w.do(Message{}, "pay")
		}
		paid := strings.Count(strings.Join(w.served, " "), "pay")
		switch {
		case naive && paid != 2:
			t.Fatalf("the attack does not work: paid %d times", paid)
		case !naive && (paid != 1 || err == nil):
			t.Errorf("paid %d times, %v", paid, err)
		}
		if w.newest() == nil {
			t.Error("the token is gone")
		}
	}
}
