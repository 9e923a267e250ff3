package token

import (
	"errors"
	"sync"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

func TestKeysRotate(t *testing.T) {
	keys := newKeys(t, 1)
	first := mintMaster(t, keys)
	wrapped, err := keys.Primary().Wrap(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	keys.Rotate(newContext(t, 2), 1)
	second := mintMaster(t, keys)
	readable := func(mt *MasterToken) bool {
		got, err := ParseMasterToken(mt.Object(), keys)
		if err != nil {
			t.Fatal(err)
		}
		return got.Verified()
	}
	if !readable(first) || !readable(second) {
		t.Error("a token of the ring is not verified")
	}
	if _, err := keys.Unwrap(wrapped); err != nil {
		t.Error("an older key no longer unwraps:", err)
	}
	keys.Rotate(newContext(t, 3), 1)
	if readable(first) || !readable(second) {
		t.Error("the ring keeps too much or too little")
	}
	if _, err := keys.Unwrap(wrapped); !errors.Is(err, mslerr.UnwrapError) {
		t.Error(err)
	}
	keys.Rotate(newContext(t, 4), 0)
	if readable(second) {
		t.Error("the ring keeps too much")
	}
	if c, err := (*Keys)(nil).Verify(nil, nil); c != nil || err != nil {
		t.Error("no ring verifies", err)
	}
	if _, err := (*Keys)(nil).Unwrap(nil); !errors.Is(err, mslerr.UnwrapNotSupported) {
		t.Error(err)
	}
	if _, err := NewKeys(&mslcrypto.JWE{}).Verify(nil, nil); !errors.Is(err, mslerr.VerifyNotSupported) {
		t.Error(err)
	}
}

func TestKeysConcurrently(t *testing.T) {
	keys := newKeys(t, 1)
	contexts := []mslcrypto.Context{newContext(t, 2), newContext(t, 3)}
	var done sync.WaitGroup
	for i := range 4 {
		done.Go(func() {
			for n := range 50 {
				if i == 0 {
					keys.Rotate(contexts[n%2], 100)
				}
				mt, err := MintMasterToken(masterSpec(), keys, framing.JSON)
				if err != nil {
					t.Error(err)
					return
				}
				if mt, err = ParseMasterToken(mt.Object(), keys); err != nil || !mt.Verified() {
					t.Error("a token of the ring is not verified", err)
				}
			}
		})
	}
	done.Wait()
}
