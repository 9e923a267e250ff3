package store_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.TestHolder(t, func(*testing.T) token.Holders { return store.NewMemory() })
}

func TestMemoryIssuer(t *testing.T) {
	storetest.TestIssuer(t, func(*testing.T) token.Issuer { return store.NewMemoryIssuer() })
}

// An issuer that hears of more entities than it is to know forgets those it has
// not heard of for longest, and no revocation.
func TestMemoryIssuerForgets(t *testing.T) {
	ctx := t.Context()
	i := store.NewMemoryIssuer()
	i.Entities = 10
	entity := func(n int) token.Entity { return token.Entity{Scheme: "NONE", Identity: fmt.Sprint(n)} }
	if err := i.RevokeEntity(ctx, entity(-1)); err != nil {
		t.Fatal(err)
	}
	serials := make([]int64, 30)
	for n := range serials {
		var err error
		if serials[n], _, err = i.Create(ctx, entity(n)); err != nil {
			t.Fatal(err)
		}
		if err := i.Renewable(ctx, entity(0), serials[0], 1); err != nil {
			t.Fatalf("the entity heard of most recently is forgotten after %d: %v", n, err)
		}
	}
	known := 0
	for n, serial := range serials {
		if i.Renewable(ctx, entity(n), serial, 1) == nil {
			known++
		}
	}
	if known == 0 || known >= 10 {
		t.Errorf("%d entities are known", known)
	}
	if err := i.Revoked(ctx, entity(-1), 1, "", -1); !errors.Is(err, mslerr.MasterTokenIdentityRevoked) {
		t.Errorf("a revocation is forgotten: %v", err)
	}
}
