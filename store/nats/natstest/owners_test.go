package natstest

import (
	"errors"
	"testing"
	"time"

	"github.com/mslgo/msl/store/nats"
)

// A channel is found from another server while its owner keeps the claim, and no
// more when that is gone.
func TestOwners(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx, channel := t.Context(), []byte("channel")
	var owners [2]*nats.Owners
	for i := range owners {
		var err error
		owners[i], err = nats.OpenOwners(ctx, c.dial(t, i), nats.OwnersConfig{TTL: time.Second})
		check(t, err)
	}
	find := func() string {
		server, err := owners[1].Owner(ctx, channel)
		check(t, err)
		return server
	}
	claim, err := owners[0].Claim(ctx, channel, "tcp://first")
	check(t, err)
	for start := time.Now(); time.Since(start) < 2*time.Second; {
		check(t, claim.Keep(ctx))
		if server := find(); server != "tcp://first" {
			t.Fatalf("owner %q", server)
		}
	}
	eventually(t, "end of a claim that is not kept", func() bool { return find() == "" })
	if err := claim.Keep(ctx); !errors.Is(err, nats.ErrNotOwner) {
		t.Error(err)
	}
	next, err := owners[1].Claim(ctx, channel, "tcp://second")
	check(t, err)
	if err := claim.Release(ctx); !errors.Is(err, nats.ErrNotOwner) {
		t.Error(err)
	}
	check(t, next.Release(ctx))
	if server := find(); server != "" {
		t.Errorf("owner %q", server)
	}
}
