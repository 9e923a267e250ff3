package nats

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func wantOwner(t *testing.T, o *Owners, channel, want string) {
	t.Helper()
	got, err := o.Owner(t.Context(), []byte(channel))
	if err != nil || got != want {
		t.Errorf("owner %q, %v, want %q", got, err, want)
	}
}

func TestOwners(t *testing.T) {
	ctx, b := t.Context(), newFakeBucket()
	here, there := newOwners(b, 0), newOwners(b, 0)
	wantOwner(t, here, "c", "")
	first, err := here.Claim(ctx, []byte("c"), "tcp://here")
	if err != nil {
		t.Fatal(err)
	}
	wantOwner(t, there, "c", "tcp://here")
	wantOwner(t, there, "d", "")
	if err := first.Keep(ctx); err != nil {
		t.Error(err)
	}
	second, err := there.Claim(ctx, []byte("c"), "tcp://there")
	if err != nil {
		t.Fatal(err)
	}
	wantOwner(t, here, "c", "tcp://there")
	for _, err := range []error{first.Keep(ctx), first.Release(ctx)} {
		if !errors.Is(err, ErrNotOwner) {
			t.Errorf("error %v", err)
		}
	}
	if err := errors.Join(second.Keep(ctx), second.Release(ctx)); err != nil {
		t.Error(err)
	}
	wantOwner(t, here, "c", "")
	if err := second.Keep(ctx); !errors.Is(err, ErrNotOwner) {
		t.Errorf("error %v", err)
	}

	// A claim that expired is over, also when the next is of the same server.
	if first, err = here.Claim(ctx, []byte("c"), "tcp://here"); err != nil {
		t.Fatal(err)
	}
	clear(b.entries)
	if err := first.Keep(ctx); !errors.Is(err, ErrNotOwner) {
		t.Errorf("error %v", err)
	}
	if _, err = here.Claim(ctx, []byte("c"), "tcp://here"); err != nil {
		t.Fatal(err)
	}
	if err := first.Keep(ctx); !errors.Is(err, ErrNotOwner) {
		t.Errorf("error %v", err)
	}
}

// Of claims made at the same time one holds.
func TestOneOwner(t *testing.T) {
	b := newFakeBucket()
	var claims [8]*Claim
	var done sync.WaitGroup
	for i := range claims {
		done.Go(func() {
			var err error
			if claims[i], err = newOwners(b, 0).Claim(t.Context(), []byte("c"), "server"); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	var kept atomic.Int32
	for _, c := range claims {
		done.Go(func() {
			if c.Keep(t.Context()) == nil {
				kept.Add(1)
			}
		})
	}
	done.Wait()
	if kept.Load() != 1 {
		t.Errorf("%d claims hold", kept.Load())
	}
}
