package nats

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeBucket is a bucket whose answers can be lost.
type fakeBucket struct {
	mu       sync.Mutex
	revision uint64
	entries  map[string]entry
	// fault is asked about each write: whether it takes place, and the error
	// that takes the place of its answer. Nil: no faults.
	fault func() (happens bool, err error)
	// stale, if it is not nil, answers the next read.
	stale *entry
	gets  int
}

type entry struct {
	jetstream.KeyValueEntry
	value    []byte
	revision uint64
}

func (e entry) Value() []byte    { return e.value }
func (e entry) Revision() uint64 { return e.revision }

func newFakeBucket() *fakeBucket { return &fakeBucket{entries: make(map[string]entry)} }

func (b *fakeBucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	if e := b.stale; e != nil {
		b.stale = nil
		return *e, nil
	}
	e, ok := b.entries[key]
	if !ok {
		return nil, jetstream.ErrKeyNotFound
	}
	return e, nil
}

func (b *fakeBucket) Create(ctx context.Context, key string, value []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	revision, err := b.Update(ctx, key, value, 0)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		err = jetstream.ErrKeyExists
	}
	return revision, err
}

func (b *fakeBucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	happens, fault := true, error(nil)
	if b.fault != nil {
		happens, fault = b.fault()
	}
	if happens && b.entries[key].revision == revision {
		b.revision++
		b.entries[key] = entry{value: value, revision: b.revision}
		revision = b.revision
	} else if fault == nil {
		return 0, jetstream.ErrKeyRevisionMismatch
	}
	return revision, fault
}

// count adds one to the number under "k".
func count(t *table, ctx context.Context) (result uint64, err error) {
	err = t.transaction(ctx, "k", true, func(state []byte) ([]byte, error) {
		result = 1
		if state != nil {
			result += binary.BigEndian.Uint64(state)
		}
		return binary.BigEndian.AppendUint64(nil, result), nil
	})
	return result, err
}

// counted is the number under "k".
func counted(t *testing.T, b *fakeBucket) uint64 {
	t.Helper()
	r, err := decodeRecord(b.entries["k"].value)
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint64(r.state)
}

func TestLostAnswer(t *testing.T) {
	for _, v := range []struct {
		name    string
		happens bool // before the answer is lost
		others  int  // writes of others after that
		want    uint64
		total   uint64
		err     error
	}{
		{"lost request", false, 0, 3, 3, nil},
		{"lost request, another writes", false, 1, 4, 4, nil},
		{"lost request, others write", false, maxNonces, 3 + maxNonces, 3 + maxNonces, nil},
		{"lost answer", true, 0, 3, 3, nil},
		{"lost answer, another writes", true, 1, 3, 4, nil},
		{"lost answer, others write", true, maxNonces - 1, 3, 3 + maxNonces - 1, nil},
		{"lost answer, too many others write", true, maxNonces, 0, 3 + maxNonces, errDoubt},
	} {
		t.Run(v.name, func(t *testing.T) {
			b := newFakeBucket()
			us, them := newTable(b, time.Minute), newTable(b, time.Minute)
			for range 2 {
				if _, err := count(us, t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			first := true
			b.fault = func() (bool, error) {
				if !first {
					return true, nil
				}
				first = false
				return v.happens, nats.ErrTimeout
			}
			// The others come between our request and its repetition.
			b2 := &interloper{fakeBucket: b, when: 2, f: func() {
				for range v.others {
					if _, err := count(them, t.Context()); err != nil {
						t.Error(err)
					}
				}
			}}
			us.bucket = b2
			got, err := count(us, t.Context())
			if v.err == nil && (err != nil || got != v.want) || !errors.Is(err, v.err) {
				t.Errorf("%d, %v, want %d, %v", got, err, v.want, v.err)
			}
			if total := counted(t, b); total != v.total {
				t.Errorf("counted to %d, want %d", total, v.total)
			}
		})
	}
}

// An interloper does something just before a write.
type interloper struct {
	*fakeBucket
	when int
	f    func()
}

func (i *interloper) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if i.when--; i.when == 0 {
		i.f()
	}
	return i.fakeBucket.Update(ctx, key, value, revision)
}

// A read that is behind accepts nothing, and settles nothing.
func TestStaleReads(t *testing.T) {
	b := newFakeBucket()
	us := newTable(b, time.Minute)
	for n := range uint64(5) {
		old := b.entries["k"]
		if n > 0 {
			if _, err := count(us, t.Context()); err != nil {
				t.Fatal(err)
			}
			b.stale = &old
			if n == 1 {
				b.stale = nil // there was nothing yet
			}
		}
		got, err := count(us, t.Context())
		if err != nil || got != counted(t, b) {
			t.Fatal(got, err)
		}
	}
	if n := counted(t, b); n != 9 {
		t.Errorf("counted to %d", n)
	}

	// The answer is lost, and the read that is to settle it shows the time before.
	old := b.entries["k"]
	lost := 0
	b.fault = func() (bool, error) {
		if lost++; lost == 1 {
			b.stale = nil
			return true, nats.ErrTimeout
		}
		b.stale = &old
		return true, nil
	}
	if got, err := count(us, t.Context()); err != nil || got != 10 || counted(t, b) != 10 {
		t.Fatal(got, err, counted(t, b))
	}
}

// Servers that count at the same time, over a bucket that loses requests and
// answers, count each success once, and each error at most once.
func TestConcurrentFaults(t *testing.T) {
	b := newFakeBucket()
	b.fault = func() (bool, error) {
		switch rand.N(8) {
		case 0:
			return true, nats.ErrTimeout
		case 1:
			return false, nats.ErrNoResponders
		case 2:
			return false, &jetstream.APIError{Code: 503}
		case 3:
			return true, &jetstream.APIError{Code: 503}
		}
		return true, nil
	}
	const servers, each = 4, 50
	var mu sync.Mutex
	seen := make(map[uint64]bool)
	failed := 0
	var done sync.WaitGroup
	for range servers {
		us := newTable(b, time.Minute)
		done.Go(func() {
			for range each {
				n, err := count(us, t.Context())
				mu.Lock()
				switch {
				case errors.Is(err, errDoubt):
					failed++
				case err != nil:
					t.Error(err)
				case seen[n]:
					t.Errorf("%d twice", n)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	done.Wait()
	if total := int(counted(t, b)); total > servers*each || total < servers*each-failed {
		t.Errorf("counted to %d, %d in doubt", total, failed)
	}
}

func TestUnavailable(t *testing.T) {
	for name, err := range map[string]error{
		"no leader":  &jetstream.APIError{Code: 503},
		"no answer":  context.DeadlineExceeded,
		"no servers": nats.ErrNoResponders,
		"contention": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakeBucket()
				b.fault = func() (bool, error) { return false, err }
				us := newTable(b, 3*time.Second)
				start := time.Now()
				_, err := count(us, t.Context())
				if waited := time.Since(start); waited != 3*time.Second {
					t.Errorf("waited %v", waited)
				}
				u, ok := errors.AsType[*UnavailableError](err)
				if !ok || !u.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if _, ok := errors.AsType[*mslerr.Error](err); ok {
					t.Errorf("a verdict: %v", err)
				}
				if b.gets > 100 {
					t.Errorf("asked %d times in 3 s", b.gets)
				}
			})
		})
	}
}

// What the servers of NATS refuse is not asked again.
func TestRefused(t *testing.T) {
	b := newFakeBucket()
	asked := 0
	b.fault = func() (bool, error) {
		asked++
		return false, &jetstream.APIError{Code: 400, Description: "maximum bytes exceeded"}
	}
	_, err := count(newTable(b, time.Minute), t.Context())
	if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.Code != 400 || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// The end of a context ends its own call, wherever it waits.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBucket()
		b.fault = func() (bool, error) { return false, nats.ErrTimeout }
		us := newTable(b, time.Minute)
		for range 2 { // one waits for NATS, the other for the first
			go count(us, t.Context())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := count(us, ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := count(us, ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestIssuer(t *testing.T) {
	storetest.TestIssuer(t, func(*testing.T) token.Issuer { return newStore(newFakeBucket(), 0) })
}

func TestDamagedRecord(t *testing.T) {
	b := newFakeBucket()
	s := newStore(b, 0)
	alice := token.Entity{Scheme: "NONE", Identity: "alice"}
	if _, _, err := s.Create(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	e := b.entries[entityKey(alice)]
	for _, bad := range [][]byte{nil, e.value[:9], e.value[:12], e.value[:len(e.value)-1], append([]byte{2}, e.value[1:]...)} {
		b.entries[entityKey(alice)] = entry{value: bad, revision: e.revision}
		_, _, err := s.Create(t.Context(), alice)
		if _, ok := errors.AsType[*DamagedError](err); !ok {
			t.Errorf("%d bytes: error %v", len(bad), err)
		}
	}
}

func TestKeysAreUnambiguous(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range []token.Entity{{Scheme: "a", Identity: "bc"}, {Scheme: "ab", Identity: "c"}, {Scheme: "abc"}, {Identity: "abc"}} {
		if k := entityKey(e); seen[k] || len(k) != len("entity.")+64 {
			t.Errorf("key %q", k)
		} else {
			seen[k] = true
		}
	}
}

func FuzzRecord(f *testing.F) {
	r := new(record).next([]byte("{}"))
	f.Add(r.encode())
	f.Add(r.next([]byte("x")).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		if string(r.encode()) != string(data) {
			t.Fatal("another record is written than was read")
		}
		next := r.next([]byte("s"))
		if got := next.fate(next); got != written {
			t.Fatal(got)
		}
		if got := r.fate(next); got != unseen && r.writes != 1<<64-1 {
			t.Fatal(got)
		}
	})
}
