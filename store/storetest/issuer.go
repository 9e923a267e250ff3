package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store"
)

var (
	alice = token.Entity{Scheme: "ED25519", Identity: "alice"}
	bob   = token.Entity{Scheme: "ED25519", Identity: "bob"}
)

// TestIssuer tests issuers of tokens. open is called once per test, for an
// issuer that knows nothing. One that is a [store.Issuer] is tested as such.
func TestIssuer(t *testing.T, open func(t *testing.T) token.Issuer) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, token.Issuer)
	}{
		{"Create", issueCreate},
		{"Renew", issueRenew},
		{"RenewAfterLostAnswers", issueLostAnswers},
		{"ConfirmDiscardsOlder", issueConfirm},
		{"ReplayedCreation", issueReplayedCreation},
		{"NonReplayable", issueNonReplayable},
		{"NonReplayableUnknown", issueUnknown},
		{"NonReplayableOnceConcurrently", issueOnce},
		{"RenewConcurrently", issueRenewConcurrently},
		{"Context", issueContext},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	t.Run("Revocation", func(t *testing.T) {
		i, ok := open(t).(store.Issuer)
		if !ok {
			t.Skip("this issuer revokes by other means than store.Issuer")
		}
		issueRevocation(t, i)
	})
}

func create(t *testing.T, i token.Issuer, e token.Entity) (serial, sequence int64) {
	t.Helper()
	serial, sequence, err := i.Create(t.Context(), e)
	check(t, err)
	return serial, sequence
}

func renew(t *testing.T, i token.Issuer, e token.Entity, serial, sequence int64) int64 {
	t.Helper()
	check(t, i.Renewable(t.Context(), e, serial, sequence))
	next, err := i.Renew(t.Context(), e, serial, sequence)
	check(t, err)
	return next
}

// notRenewable checks both questions that an issuer is asked.
func notRenewable(t *testing.T, i token.Issuer, e token.Entity, serial, sequence int64) {
	t.Helper()
	wantCode(t, i.Renewable(t.Context(), e, serial, sequence), mslerr.MasterTokenSequenceNumberOutOfSync)
	_, err := i.Renew(t.Context(), e, serial, sequence)
	wantCode(t, err, mslerr.MasterTokenSequenceNumberOutOfSync)
}

func issueCreate(t *testing.T, i token.Issuer) {
	seen := make(map[int64]bool)
	for range 20 {
		serial, sequence := create(t, i, alice)
		if sequence != 1 || serial < 0 || serial > token.MaxNumber || seen[serial] {
			t.Fatalf("token %d/%d", serial, sequence)
		}
		seen[serial] = true
	}
	small := 0
	for serial := range seen {
		if serial < 1<<40 {
			small++
		}
	}
	if small > 1 {
		t.Errorf("%d of 20 serial numbers are below 2^40: are they random?", small)
	}
}

func issueRenew(t *testing.T, i token.Issuer) {
	serial, sequence := create(t, i, alice)
	check(t, i.Renewable(t.Context(), alice, serial, sequence))
	second := renew(t, i, alice, serial, sequence)
	third := renew(t, i, alice, serial, second)
	if second != 2 || third != 3 {
		t.Fatalf("sequence numbers %d, %d", second, third)
	}
	notRenewable(t, i, alice, serial, sequence) // older than the one before the newest
	notRenewable(t, i, alice, serial, third+1)  // never made
	notRenewable(t, i, alice, serial+1, third)  // of nobody
	notRenewable(t, i, bob, serial, third)      // of somebody else
	notRenewable(t, i, token.Entity{Scheme: "NONE", Identity: alice.Identity}, serial, third)
}

func issueLostAnswers(t *testing.T, i token.Issuer) {
	serial, sequence := create(t, i, alice)
	second := renew(t, i, alice, serial, sequence)
	third := renew(t, i, alice, serial, sequence) // the answer with 2 was lost
	if second == third {
		t.Fatal("the same sequence number twice")
	}
	fourth := renew(t, i, alice, serial, third)
	check(t, i.Confirm(t.Context(), alice, serial, fourth))
	notRenewable(t, i, alice, serial, third) // the answer has arrived
	last := renew(t, i, alice, serial, fourth)
	for range 1000 { // but not for ever
		next, err := i.Renew(t.Context(), alice, serial, fourth)
		if err != nil {
			wantCode(t, err, mslerr.MasterTokenSequenceNumberOutOfSync)
			check(t, i.Renewable(t.Context(), alice, serial, last))
			return
		}
		last = next
	}
	t.Fatal("a token renews without bound although no answer arrives")
}

// The token in use stays good until a new one is used in its place (W-02).
func issueConfirm(t *testing.T, i token.Issuer) {
	ctx := t.Context()
	old, _ := create(t, i, alice)
	check(t, i.Confirm(ctx, alice, old, 1))
	check(t, i.AcceptNonReplayable(ctx, "s", alice, old, 1))
	fresh, _ := create(t, i, alice)
	check(t, i.Renewable(ctx, alice, old, 1))
	check(t, i.AcceptNonReplayable(ctx, "s", alice, old, 2))
	check(t, i.AcceptNonReplayable(ctx, "s", alice, fresh, 1))
	later, _ := create(t, i, alice)

	check(t, i.Confirm(ctx, alice, old, 1)) // still in use: nothing changes
	check(t, i.Renewable(ctx, alice, fresh, 1))

	check(t, i.Confirm(ctx, alice, fresh, 1))
	notRenewable(t, i, alice, old, 1)
	wantCode(t, i.AcceptNonReplayable(ctx, "s", alice, old, 3), mslerr.MessageReplayedUnrecoverable)
	wantCode(t, i.AcceptNonReplayable(ctx, "s", alice, fresh, 1), mslerr.MessageReplayed)
	check(t, i.Renewable(ctx, alice, fresh, 1))
	check(t, i.Renewable(ctx, alice, later, 1))
	check(t, i.Confirm(ctx, alice, fresh, 1)) // again does nothing
	check(t, i.Confirm(ctx, alice, old, 1))   // nor does one that is gone
	check(t, i.Confirm(ctx, bob, fresh, 1))
	check(t, i.Renewable(ctx, alice, fresh, 1))
}

// Who replays another's first message makes tokens, and ousts none that is used.
func issueReplayedCreation(t *testing.T, i token.Issuer) {
	used, _ := create(t, i, alice)
	check(t, i.Confirm(t.Context(), alice, used, 1))
	for range 100 {
		create(t, i, alice)
	}
	check(t, i.Renewable(t.Context(), alice, used, 1))
	check(t, i.AcceptNonReplayable(t.Context(), "s", alice, used, 1))
}

func issueNonReplayable(t *testing.T, i token.Issuer) {
	serial, _ := create(t, i, alice)
	const ok mslerr.Code = -1
	for _, v := range []struct {
		service string
		id      int64
		want    mslerr.Code
	}{
		{"s", -1, mslerr.NonReplayableIDOutOfRange},
		{"s", token.MaxNumber + 1, mslerr.NonReplayableIDOutOfRange},
		{"s", 0, mslerr.MessageReplayed},
		{"s", 65537, mslerr.MessageReplayedUnrecoverable},
		{"s", 1, ok},
		{"s", 1, mslerr.MessageReplayed},
		{"other", 1, ok}, // another service that takes the same tokens
		{"s", 1 + 65537, mslerr.MessageReplayedUnrecoverable},
		{"s", 1 + 65536, ok},
		{"s", 1 + 65536, mslerr.MessageReplayed},
		{"s", 2, mslerr.MessageReplayedUnrecoverable},
		{"s", 1, mslerr.MessageReplayedUnrecoverable},
		{"s", 65538, ok},
		{"s", 65538, mslerr.MessageReplayed},
	} {
		err := i.AcceptNonReplayable(t.Context(), v.service, alice, serial, v.id)
		if v.want != ok {
			if !errors.Is(err, v.want) {
				t.Fatalf("ID %d at %s: error %v, want %v", v.id, v.service, err, v.want)
			}
		} else if err != nil {
			t.Fatalf("ID %d at %s: %v", v.id, v.service, err)
		}
	}
	renewed := renew(t, i, alice, serial, 1)
	check(t, i.Confirm(t.Context(), alice, serial, renewed))
	wantCode(t, i.AcceptNonReplayable(t.Context(), "s", alice, serial, 65538), mslerr.MessageReplayed)
}

// Of a token that is not known nobody knows which IDs were used: none is accepted.
func issueUnknown(t *testing.T, i token.Issuer) {
	serial, _ := create(t, i, alice)
	for _, v := range []struct {
		e      token.Entity
		serial int64
	}{{bob, serial}, {alice, serial + 1}, {token.Entity{Scheme: "NONE", Identity: "alice"}, serial}} {
		wantCode(t, i.AcceptNonReplayable(t.Context(), "s", v.e, v.serial, 1), mslerr.MessageReplayedUnrecoverable)
	}
}

func issueOnce(t *testing.T, i token.Issuer) {
	const workers, ids = 6, 20
	serial, _ := create(t, i, alice)
	var mu sync.Mutex
	accepted := make(map[int64]int)
	var done sync.WaitGroup
	for range workers {
		done.Go(func() {
			for id := range int64(ids) {
				err := i.AcceptNonReplayable(t.Context(), "s", alice, serial, id+1)
				switch {
				case err == nil:
					mu.Lock()
					accepted[id+1]++
					mu.Unlock()
				case !errors.Is(err, mslerr.MessageReplayed) && !errors.Is(err, mslerr.MessageReplayedUnrecoverable):
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	for id, n := range accepted {
		if n != 1 {
			t.Errorf("ID %d was accepted %d times", id, n)
		}
	}
	if accepted[ids] != 1 {
		t.Error("the last ID was not accepted")
	}
}

func issueRenewConcurrently(t *testing.T, i token.Issuer) {
	serial, sequence := create(t, i, alice)
	var mu sync.Mutex
	seen := make(map[int64]bool)
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			next, err := i.Renew(t.Context(), alice, serial, sequence)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[next] {
				t.Errorf("sequence number %d twice, or %v", next, err)
			}
			seen[next] = true
		})
	}
	done.Wait()
}

func issueContext(t *testing.T, i token.Issuer) {
	serial, _ := create(t, i, alice)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := i.AcceptNonReplayable(ctx, "s", alice, serial, 1)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if e := new(mslerr.Error); errors.As(err, &e) {
		t.Fatalf("a store that was not asked gives a verdict: %v", err)
	}
	check(t, i.AcceptNonReplayable(t.Context(), "s", alice, serial, 1))
}

func issueRevocation(t *testing.T, i store.Issuer) {
	ctx := t.Context()
	serial, sequence := create(t, i, alice)
	other, _ := create(t, i, bob)
	check(t, i.Revoked(ctx, alice, serial, "", -1))
	check(t, i.Revoked(ctx, alice, serial, "u", 1))
	check(t, i.Revoked(ctx, alice, serial+1, "", -1)) // unknown is not revoked

	check(t, i.RevokeUser(ctx, "u"))
	wantCode(t, i.Revoked(ctx, alice, serial, "u", 1), mslerr.UserIDTokenRevoked)
	check(t, i.Revoked(ctx, alice, serial, "v", 1))
	check(t, i.Revoked(ctx, alice, serial, "", -1))
	check(t, i.ReinstateUser(ctx, "u"))
	check(t, i.Revoked(ctx, alice, serial, "u", 1))

	check(t, i.RevokeToken(ctx, alice, serial))
	check(t, i.RevokeToken(ctx, alice, serial)) // again does nothing
	wantCode(t, i.Revoked(ctx, alice, serial, "", -1), mslerr.MasterTokenIdentityRevoked)
	wantCode(t, i.Renewable(ctx, alice, serial, sequence), mslerr.MasterTokenIdentityRevoked)
	_, err := i.Renew(ctx, alice, serial, sequence)
	wantCode(t, err, mslerr.MasterTokenIdentityRevoked)
	check(t, i.Revoked(ctx, bob, serial, "", -1))
	fresh, _ := create(t, i, alice)
	check(t, i.Revoked(ctx, alice, fresh, "", -1))
	check(t, i.Confirm(ctx, alice, fresh, 1))
	wantCode(t, i.Revoked(ctx, alice, serial, "", -1), mslerr.MasterTokenIdentityRevoked)

	check(t, i.RevokeEntity(ctx, alice))
	wantCode(t, i.Revoked(ctx, alice, fresh, "", -1), mslerr.MasterTokenIdentityRevoked)
	_, _, err = i.Create(ctx, alice)
	wantCode(t, err, mslerr.MasterTokenIdentityRevoked)
	check(t, i.Revoked(ctx, bob, other, "", -1))
	check(t, i.ReinstateEntity(ctx, alice))
	check(t, i.Revoked(ctx, alice, fresh, "", -1))
	wantCode(t, i.Revoked(ctx, alice, serial, "", -1), mslerr.MasterTokenIdentityRevoked)
}
