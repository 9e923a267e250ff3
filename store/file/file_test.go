package file_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store/file"
	"github.com/mslgo/msl/store/storetest"
)

// The test program is run again as one of several programs that use a store.
func TestMain(m *testing.M) {
	if path := os.Getenv("MSL_STORE_FILE"); path != "" {
		if err := hammer(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var testKey = mslcrypto.Key(bytes.Repeat([]byte{0x5a}, file.KeySize))

func open(t testing.TB) (*file.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	return reopen(t, path), path
}

func reopen(t testing.TB, path string) *file.Store {
	t.Helper()
	s, err := file.Open(path, testKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHolder(t *testing.T) {
	storetest.TestHolder(t, func(t *testing.T) token.Holders {
		s, _ := open(t)
		s.Timeout = time.Minute
		return s
	})
}

func TestIssuer(t *testing.T) {
	storetest.TestIssuer(t, func(t *testing.T) token.Issuer {
		s, _ := open(t)
		s.Timeout = time.Minute
		return s.Issuer()
	})
}

var (
	sessionKey = bytes.Repeat([]byte("SESSIONKEY"), 5)
	alice      = token.Entity{Scheme: "ED25519", Identity: "alice-of-wonderland"}
)

// masterToken is as its holder gets it.
func masterToken(t testing.TB, serial int64) *token.Held {
	t.Helper()
	c, err := mslcrypto.NewSymmetric("issuer", mslcrypto.SymmetricKeys{Encryption: testKey, Signature: testKey})
	if err != nil {
		t.Fatal(err)
	}
	keys := mslcrypto.SessionKeys{Encryption: sessionKey[:16], Signature: sessionKey[:32]}
	minted, err := token.MintMasterToken(token.MasterTokenSpec{
		RenewalWindow: time.Unix(1_700_000_000, 0), Expiration: time.Unix(1_800_000_000, 0),
		Serial: serial, Sequence: 1, Identity: alice.Identity, Keys: keys,
	}, token.NewKeys(c), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	mt, err := token.ParseMasterToken(minted.Object(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &token.Held{Token: mt, Keys: keys, Self: alice}
}

func TestReopen(t *testing.T) {
	ctx := t.Context()
	s, path := open(t)
	held := masterToken(t, 77)
	if err := s.Holder("hub").Put(ctx, held); err != nil {
		t.Fatal(err)
	}
	if id, err := s.Holder("hub").NextNonReplayable(ctx, held.Token); id != 1 || err != nil {
		t.Fatal(id, err)
	}
	serial, _, err := s.Issuer().Create(ctx, alice)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Issuer().AcceptNonReplayable(ctx, "s", alice, serial, 9); err != nil {
		t.Fatal(err)
	}

	s = reopen(t, path)
	got, err := s.Holder("hub").Newest(ctx)
	if err != nil || got == nil || !got.Token.Equal(held.Token) || !bytes.Equal(got.Keys.Encryption, held.Keys.Encryption) || got.Self != alice {
		t.Fatal("the token is not as it was put", err)
	}
	if id, err := s.Holder("hub").NextNonReplayable(ctx, held.Token); id != 2 || err != nil {
		t.Fatal(id, err)
	}
	if err := s.Issuer().AcceptNonReplayable(ctx, "s", alice, serial, 9); err == nil {
		t.Fatal("an ID is accepted again by a program that starts again")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
}

func TestStolenFileShowsNothing(t *testing.T) {
	ctx := t.Context()
	s, path := open(t)
	held := masterToken(t, 77)
	h := s.Holder("remote-service-name")
	st, err := token.MintServiceToken(token.ServiceTokenSpec{Name: "secret-token-name", Data: []byte("secret-data")},
		token.ServiceContexts{"": mslcrypto.Null{}}, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	serial, _, err := s.Issuer().Create(ctx, alice)
	err = errors.Join(err,
		h.Put(ctx, held),
		h.PutServiceTokens(ctx, []*token.ServiceToken{st}),
		s.Issuer().AcceptNonReplayable(ctx, "own-service-name", alice, serial, 1),
		s.Issuer().RevokeUser(ctx, "revoked-user"),
	)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{
		string(testKey), string(sessionKey[:16]), alice.Identity, "ED25519", "remote-service-name", "own-service-name",
		"secret-token-name", "secret-data", "revoked-user", "tokendata", "serialnumber", "version",
	} {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
			form = strings.TrimRight(form, "=")
			if bytes.Contains(data, []byte(form[:max(len(form)-2, 6)])) {
				t.Errorf("the file contains %q", form)
			}
		}
	}
}

func TestWrongKey(t *testing.T) {
	s, path := open(t)
	if err := s.Holder("hub").Put(t.Context(), masterToken(t, 1)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(path, file.NewKey()); !errors.Is(err, file.ErrWrongKey) {
		t.Fatalf("error %v", err)
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := file.Open(path, make(mslcrypto.Key, n)); err == nil {
			t.Errorf("a key of %d bytes is accepted", n)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Fatal("a wrong key changes the file", err)
	}
	if got, err := reopen(t, path).Holder("hub").Newest(t.Context()); got == nil || err != nil {
		t.Fatal("the right key no longer opens it", err)
	}
}

// records are all sealed records of a file, by bucket and key.
func edit(t *testing.T, path string, f func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func wantDamaged(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*file.DamagedError](err); !ok {
		t.Fatalf("error %v", err)
	}
}

func TestDamagedRecord(t *testing.T) {
	ctx := t.Context()
	s, path := open(t)
	held := masterToken(t, 1)
	for _, remote := range []string{"a", "b"} {
		if err := s.Holder(remote).Put(ctx, held); err != nil {
			t.Fatal(err)
		}
	}
	var keys, values [][]byte
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("holders")).ForEach(func(k, v []byte) error {
			keys, values = append(keys, bytes.Clone(k)), append(values, bytes.Clone(v))
			return nil
		})
	})
	if len(keys) != 2 {
		t.Fatal(len(keys))
	}
	flipped := bytes.Clone(values[0])
	flipped[len(flipped)/2] ^= 1
	for name, value := range map[string][]byte{"flipped": flipped, "short": values[0][:10], "empty": {}, "another record's": values[1]} {
		edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("holders")).Put(keys[0], value) })
		bad, good := 0, 0
		for _, remote := range []string{"a", "b"} {
			got, err := s.Holder(remote).Newest(ctx)
			if err == nil && got != nil {
				good++
				continue
			}
			bad++
			wantDamaged(t, err)
			_, err = s.Holder(remote).NextNonReplayable(ctx, held.Token)
			wantDamaged(t, err)
			wantDamaged(t, s.Holder(remote).Put(ctx, held))
		}
		if bad != 1 || good != 1 {
			t.Errorf("%s: %d records are damaged", name, bad)
		}
		edit(t, path, func(tx *bbolt.Tx) error { // nothing was written over it
			if !bytes.Equal(tx.Bucket([]byte("holders")).Get(keys[0]), value) {
				t.Errorf("%s: a damaged record was changed", name)
			}
			return tx.Bucket([]byte("holders")).Put(keys[0], values[0])
		})
	}
	for _, remote := range []string{"a", "b"} {
		if got, err := s.Holder(remote).Newest(ctx); got == nil || err != nil {
			t.Fatal(err)
		}
	}
	edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("entities")) })
	_, _, err := s.Issuer().Create(ctx, alice)
	wantDamaged(t, err)
	edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("salt")) })
	_, err = file.Open(path, testKey)
	wantDamaged(t, err)
}

func TestFileReplaced(t *testing.T) {
	ctx := t.Context()
	s, path := open(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Holder("a").Put(ctx, masterToken(t, 1)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("a lost file was begun anew:", err)
	}
	reopen(t, path)
	wantDamaged(t, s.Holder("a").Put(ctx, masterToken(t, 1)))
}

// A file damaged anywhere gives an error or works, and never hangs or panics.
func TestDamagedFile(t *testing.T) {
	ctx := t.Context()
	s, path := open(t)
	for n := range 20 {
		if err := s.Holder(strconv.Itoa(n)).Put(ctx, masterToken(t, int64(n))); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	use := func(data []byte) (err error) {
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := file.Open(bad, testKey)
		if err != nil {
			return err
		}
		for n := range 3 {
			_, err := s.Holder(strconv.Itoa(n)).Newest(ctx)
			err2 := s.Holder(strconv.Itoa(n)).Put(ctx, masterToken(t, 1))
			if err := errors.Join(err, err2); err != nil {
				return err
			}
		}
		return nil
	}
	if err := use(good); err != nil {
		t.Fatal(err)
	}
	if err := use([]byte("this is no store at all, and quite short")); err == nil {
		t.Error("any file is a store")
	}
	for _, n := range []int{1, 100, 4096, 5000, 8192, len(good) / 2} {
		if err := use(good[:n]); err == nil {
			t.Errorf("a file cut to %d bytes is a store", n)
		}
	}
	for page := 0; page < len(good); page += 4096 {
		for _, at := range []int{8, 9, 10, 12, 16, 17, 20, 24, 28} {
			data := bytes.Clone(good)
			data[page+at] ^= 0x7f
			_ = use(data)
		}
	}
}

func TestBusy(t *testing.T) {
	s, path := open(t)
	db, err := bbolt.Open(path, 0o600, nil) // somebody else
	if err != nil {
		t.Fatal(err)
	}
	s.Timeout = 30 * time.Millisecond
	_, err = s.Holder("a").Newest(t.Context())
	var timeout net.Error
	var busy *file.BusyError
	if !errors.As(err, &busy) || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("error %v", err)
	}
	s.Timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.Holder("a").Newest(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Holder("a").Newest(t.Context()); err != nil {
		t.Fatal(err)
	}
}

const (
	programs = 2
	draws    = 40
)

// hammer draws numbers from a store and prints them.
func hammer(path string) error {
	ctx := context.Background()
	s, err := file.Open(path, testKey)
	if err != nil {
		return err
	}
	s.Timeout = time.Minute
	held, err := s.Holder("hub").Newest(ctx)
	if err != nil || held == nil {
		return fmt.Errorf("no token: %w", err)
	}
	serial, err := strconv.ParseInt(os.Getenv("MSL_STORE_SERIAL"), 10, 64)
	if err != nil {
		return err
	}
	sequence := int64(1)
	for range draws {
		id, err := s.Holder("hub").NextNonReplayable(ctx, held.Token)
		if err != nil {
			return err
		}
		fmt.Println("id", id)
		if next, err := s.Issuer().Renew(ctx, alice, serial, sequence); err == nil {
			fmt.Println("sequence", next)
			sequence = next
		}
		if err := s.Issuer().AcceptNonReplayable(ctx, "s", alice, serial, id); err == nil {
			fmt.Println("accepted", id)
		}
	}
	for id := range int64(programs * draws) {
		if err := s.Issuer().AcceptNonReplayable(ctx, "t", alice, serial, id+1); err == nil {
			fmt.Println("claimed", id+1)
		}
	}
	return nil
}

func TestSeveralPrograms(t *testing.T) {
	ctx := t.Context()
	s, path := open(t)
	if err := s.Holder("hub").Put(ctx, masterToken(t, 1)); err != nil {
		t.Fatal(err)
	}
	serial, _, err := s.Issuer().Create(ctx, alice)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var lines []string
	var done sync.WaitGroup
	for range programs {
		program := exec.CommandContext(ctx, os.Args[0])
		program.Env = append(os.Environ(), "MSL_STORE_FILE="+path, "MSL_STORE_SERIAL="+strconv.FormatInt(serial, 10))
		done.Go(func() {
			var errs bytes.Buffer
			program.Stderr = &errs
			out, err := program.Output()
			if err != nil {
				t.Errorf("%v: %s", err, errs.Bytes())
			}
			mu.Lock()
			lines = append(lines, strings.Split(strings.TrimSpace(string(out)), "\n")...)
			mu.Unlock()
		})
	}
	done.Wait()
	slices.Sort(lines)
	for i := 1; i < len(lines); i++ {
		if lines[i] == lines[i-1] {
			t.Errorf("%q twice", lines[i])
		}
	}
	counts := make(map[string]int)
	for _, line := range lines {
		kind, _, _ := strings.Cut(line, " ")
		counts[kind]++
	}
	if counts["id"] != programs*draws || counts["sequence"] == 0 || counts["accepted"] == 0 || counts["claimed"] == 0 {
		t.Errorf("drawn: %v", counts)
	}
	held := masterToken(t, 1)
	if id, err := s.Holder("hub").NextNonReplayable(ctx, held.Token); err != nil || id != programs*draws+1 {
		t.Errorf("the next ID is %d, %v", id, err)
	}
}

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	keys := make([]mslcrypto.Key, 16)
	var done sync.WaitGroup
	for i := range keys {
		done.Go(func() {
			var err error
			if keys[i], err = file.LoadKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	for _, key := range keys {
		if !bytes.Equal(key, keys[0]) || len(key) != file.KeySize {
			t.Fatal("not the same key for all")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Fatal("files are left behind:", entries, err)
	}
	if bytes.Equal(file.NewKey(), file.NewKey()) {
		t.Fatal("the same key twice")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := file.LoadKey(path); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a key open to others is used: %v", err)
	}
	for _, n := range []int{0, 31, 33} {
		short := filepath.Join(t.TempDir(), "short")
		if err := os.WriteFile(short, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := file.LoadKey(short); err == nil {
			t.Errorf("a key of %d bytes is used", n)
		}
	}
	if _, err := file.LoadKey(filepath.Join(t.TempDir(), "none", "key")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func BenchmarkNextNonReplayable(b *testing.B) {
	s, _ := open(b)
	held := masterToken(b, 1)
	h := s.Holder("hub")
	if err := h.Put(b.Context(), held); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.NextNonReplayable(b.Context(), held.Token); err != nil {
			b.Fatal(err)
		}
	}
}
