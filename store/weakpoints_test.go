package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store"
)

var victim = token.Entity{Scheme: "ED25519", Identity: "victim"}

// The attacker sends a recorded first contact again: the issuer makes a token
// for the victim, who does not know of it.
func TestW02ReplayedFirstContact(t *testing.T) {
	ctx := t.Context()
	// Naive: who has a new token has no other.
	naive, next := map[token.Entity]int64{}, int64(0)
	create := func(e token.Entity) int64 { next++; naive[e] = next; return next }
	inUse := create(victim)
	create(victim)
	if naive[victim] == inUse {
		t.Fatal("the attack does not work")
	}

	i := store.NewMemoryIssuer()
	serial, sequence, err := i.Create(ctx, victim)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Confirm(ctx, victim, serial, sequence); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, _, err := i.Create(ctx, victim); err != nil {
			break // refused: as good
		}
	}
	if err := i.Renewable(ctx, victim, serial, sequence); err != nil {
		t.Errorf("the token in use does not renew: %v", err)
	}
	if err := i.AcceptNonReplayable(ctx, "service", victim, serial, 1); err != nil {
		t.Errorf("the token in use is not accepted: %v", err)
	}
}

// The attacker sends one message to two servers at the same moment.
func TestW16Race(t *testing.T) {
	// Naive: the greatest ID is looked at, then written.
	largest := int64(4)
	first, second := largest, largest
	accepted := 0
	for _, seen := range []int64{first, second} {
		if 5 > seen {
			largest, accepted = 5, accepted+1
		}
	}
	if accepted != 2 || largest != 5 {
		t.Fatal("the attack does not work")
	}

	i := store.NewMemoryIssuer()
	serial, _, err := i.Create(t.Context(), victim)
	if err != nil {
		t.Fatal(err)
	}
	var once atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch err := i.AcceptNonReplayable(t.Context(), "service", victim, serial, 5); {
			case err == nil:
				once.Add(1)
			case !errors.Is(err, mslerr.MessageReplayed):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if once.Load() != 1 {
		t.Errorf("accepted %d times", once.Load())
	}
}

// Two renewals of one token arrive at the same moment; and a token that has been
// replaced comes back.
func TestW17Newest(t *testing.T) {
	// Naive: the newest number is looked at, then written.
	newest := int64(1)
	a, b := newest, newest
	if newest = a + 1; newest != b+1 {
		t.Fatal("the attack does not work")
	}

	ctx := t.Context()
	i := store.NewMemoryIssuer()
	serial, sequence, err := i.Create(ctx, victim)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	given := map[int64]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if next, err := i.Renew(ctx, victim, serial, sequence); err == nil {
				mu.Lock()
				defer mu.Unlock()
				given[next]++
			}
		})
	}
	wg.Wait()
	last := sequence
	for next, n := range given {
		if last = max(last, next); n != 1 {
			t.Errorf("number %d was given %d times", next, n)
		}
	}
	if len(given) == 0 {
		t.Fatal("nothing was renewed")
	}
	if err := i.Confirm(ctx, victim, serial, last); err != nil {
		t.Fatal(err)
	}
	if err := i.Renewable(ctx, victim, serial, sequence); !errors.Is(err, mslerr.MasterTokenSequenceNumberOutOfSync) {
		t.Errorf("a token that was replaced: %v", err)
	}
}

// A remote gives its tokens the numbers of another remote's.
func TestW28SameNumbers(t *testing.T) {
	issue := func(seed byte) (*token.Held, *token.UserIDToken) {
		key := make(mslcrypto.Key, 32)
		key[0] = seed
		c, err := mslcrypto.NewSymmetric("issuer", mslcrypto.SymmetricKeys{Encryption: key[:16], Signature: key})
		if err != nil {
			t.Fatal(err)
		}
		keys, now := token.NewKeys(c), time.Unix(1_700_000_000, 0)
		session := mslcrypto.SessionKeys{Encryption: key[:16], Signature: key}
		mt, err := token.MintMasterToken(token.MasterTokenSpec{RenewalWindow: now, Expiration: now.Add(time.Hour),
			Serial: 7, Sequence: 1, Identity: "me", Keys: session}, keys, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		uit, err := token.MintUserIDToken(token.UserIDTokenSpec{RenewalWindow: now, Expiration: now.Add(time.Hour), Serial: 8, User: "u"}, mt, keys, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return &token.Held{Token: mt, Keys: session}, uit
	}
	good, goodUser := issue(1)
	evil, evilUser := issue(2)

	// Naive: a token is found by its numbers.
	naive := map[[2]int64]*token.Held{}
	for _, held := range []*token.Held{good, evil} {
		naive[[2]int64{held.Token.Serial, held.Token.Sequence}] = held
	}
	if naive[[2]int64{7, 1}] != evil {
		t.Fatal("the attack does not work")
	}

	ctx := t.Context()
	holders := store.NewMemory()
	for _, v := range []struct {
		remote string
		held   *token.Held
		user   *token.UserIDToken
	}{{"good", good, goodUser}, {"evil", evil, evilUser}} {
		h := holders.Holder(v.remote)
		if err := errors.Join(h.Put(ctx, v.held), h.PutUserIDToken(ctx, "me", v.user)); err != nil {
			t.Fatal(err)
		}
	}
	if err := holders.Holder("evil").Remove(ctx, evil.Token); err != nil {
		t.Fatal(err)
	}
	h := holders.Holder("good")
	if got, err := h.Newest(ctx); err != nil || got == nil || got.Keys.Encryption[0] != 1 {
		t.Errorf("the good remote's token: %v, %v", got, err)
	}
	if got, err := h.UserIDToken(ctx, "me"); err != nil || got == nil {
		t.Errorf("the good remote's user ID token: %v, %v", got, err)
	}
}
