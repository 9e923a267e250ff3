package mslcrypto

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestExpander(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")
		e := NewExpander(secret)
		for _, info := range rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "infos") {
			length := rapid.IntRange(0, 32).Draw(t, "length")
			want, err := hkdf.Expand(sha256.New, secret, info, length)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.Expand(info, length); !bytes.Equal(got, want) {
				t.Fatalf("%x, not %x", []byte(got), want)
			}
		}
	})
	if s := fmt.Sprintf("%v %+v %#v", NewExpander(nil), NewExpander(nil), NewExpander(nil)); s != redacted+" "+redacted+" "+redacted {
		t.Error(s)
	}
}
