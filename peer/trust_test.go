package peer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
)

func TestPinIsNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "home", "known_peers")
	trust := PinOnFirstUse(path)
	if known, err := trust.Expect(t.Context(), "mslchat"); err != nil || known != (token.Entity{}) {
		t.Fatalf("before the first use: %v, %v", known, err)
	}
	if err := trust.Pin(t.Context(), "mslchat", entity("ed25519:a")); err != nil {
		t.Fatal(err)
	}
	if err := trust.Pin(t.Context(), "mslchat", entity("ed25519:a")); err != nil {
		t.Errorf("pinning the same again: %v", err)
	}
	if err := PinOnFirstUse(path).Pin(t.Context(), "mslchat", entity("ed25519:b")); !errors.Is(err, session.ErrUntrusted) {
		t.Errorf("pinning another: %v", err)
	}
	known, err := PinOnFirstUse(path).Expect(t.Context(), "mslchat")
	if err != nil || known != entity("ed25519:a") {
		t.Errorf("known: %v, %v", known, err)
	}
}

func TestPinFileIsReadWithCare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	if err := os.WriteFile(path, []byte("# mine\n\nmslchat ed25519:a # home\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	trust := PinOnFirstUse(path)
	if known, err := trust.Expect(t.Context(), "mslchat"); err != nil || known != entity("ed25519:a") {
		t.Errorf("known: %v, %v", known, err)
	}
	if _, err := trust.Expect(t.Context(), "other"); err == nil {
		t.Error("a damaged line was overlooked")
	}
	for _, name := range []string{"", "a b", "a\nmslchat", "a#b"} {
		if err := trust.Pin(t.Context(), name, entity("ed25519:x")); err == nil {
			t.Errorf("pinned the name %q", name)
		}
	}
	if err := trust.Pin(t.Context(), "new", token.Entity{Scheme: "NONE", Identity: "x"}); err == nil {
		t.Error("pinned an entity that proves nothing")
	}
}

func TestPinnedTrustsNobodyElse(t *testing.T) {
	one, two := Pinned("ed25519:a"), Pinned("ed25519:a", "ed25519:b")
	if known, err := one.Expect(t.Context(), "mslchat"); err != nil || known != entity("ed25519:a") {
		t.Errorf("the only pin: %v, %v", known, err)
	}
	if known, err := two.Expect(t.Context(), "ed25519:b"); err != nil || known != entity("ed25519:b") {
		t.Errorf("by its own name: %v, %v", known, err)
	}
	if _, err := two.Expect(t.Context(), "mslchat"); err == nil {
		t.Error("chose between two pins")
	}
	if one.Pin(t.Context(), "mslchat", entity("ed25519:c")) == nil {
		t.Error("Pinned takes new identities")
	}
}
