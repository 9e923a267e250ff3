package peer

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestOpenIdentityMakesOneAndKeepsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	first, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.Fingerprint() != again.Fingerprint() {
		t.Errorf("opened %v, then %v", first, again)
	}
	info, err := os.Stat(filepath.Join(dir, IdentityFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v", info.Mode().Perm())
	}
}

func TestOpenIdentityAtOnceAgrees(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	names := make([]string, 8)
	for i := range names {
		wg.Go(func() {
			id, err := OpenIdentity(dir)
			if err != nil {
				t.Error(err)
				return
			}
			names[i] = id.Fingerprint()
		})
	}
	wg.Wait()
	for _, n := range names {
		if n != names[0] {
			t.Fatalf("identities differ: %v", names)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".new-*"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOpenIdentityRefusesWhatIsNoKey(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, IdentityFile), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentity(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("err = %v", err)
	}
}

func TestIdentityPrintsItsFingerprintOnly(t *testing.T) {
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = byte(i)
	}
	id := &Identity{ed25519.NewKeyFromSeed(seed)}
	const want = "ed25519:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw"
	if id.Fingerprint() != want {
		t.Errorf("fingerprint %s, want %s", id.Fingerprint(), want)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		s := fmt.Sprintf(verb, id)
		if !strings.Contains(s, want) || strings.Contains(s, hex.EncodeToString(seed[:8])) {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}
