package peer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPinIsNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "home", "known_peers")
	trust := PinOnFirstUse(path)
	if known, err := trust.Known("mslchat"); err != nil || len(known) != 0 {
		t.Fatalf("before the first use: %v, %v", known, err)
	}
	if err := trust.Pin("mslchat", "ed25519:a"); err != nil {
		t.Fatal(err)
	}
	if err := trust.Pin("mslchat", "ed25519:a"); err != nil {
		t.Errorf("pinning the same again: %v", err)
	}
	err := PinOnFirstUse(path).Pin("mslchat", "ed25519:b")
	var changed *ChangedIdentityError
	if !errors.As(err, &changed) || changed.Got != "ed25519:b" || !slices.Equal(changed.Known, []string{"ed25519:a"}) {
		t.Errorf("pinning another: %v", err)
	}
	known, err := PinOnFirstUse(path).Known("mslchat")
	if err != nil || !slices.Equal(known, []string{"ed25519:a"}) {
		t.Errorf("known: %v, %v", known, err)
	}
}

func TestPinFileIsReadWithCare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_peers")
	if err := os.WriteFile(path, []byte("# mine\n\nmslchat ed25519:a # home\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	trust := PinOnFirstUse(path)
	if known, err := trust.Known("mslchat"); err != nil || !slices.Equal(known, []string{"ed25519:a"}) {
		t.Errorf("known: %v, %v", known, err)
	}
	if _, err := trust.Known("other"); err == nil {
		t.Error("a damaged line was overlooked")
	}
	for _, name := range []string{"", "a b", "a\nmslchat", "a#b"} {
		if err := trust.Pin(name, "ed25519:x"); err == nil {
			t.Errorf("pinned the name %q", name)
		}
	}
}

func TestPinnedTrustsNobodyElse(t *testing.T) {
	trust := Pinned("ed25519:a", "ed25519:b")
	if known, _ := trust.Known("whatever"); !slices.Equal(known, []string{"ed25519:a", "ed25519:b"}) {
		t.Errorf("known: %v", known)
	}
	if trust.FirstUse() || trust.Pin("whatever", "ed25519:c") == nil {
		t.Error("Pinned takes new identities")
	}
}
