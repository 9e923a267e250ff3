package natstest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store/nats"
	"github.com/mslgo/msl/store/storetest"
)

var alice = token.Entity{Scheme: "ED25519", Identity: "alice"}

func open(t testing.TB, c *cluster, node int, config nats.Config) *nats.Store {
	t.Helper()
	s, err := nats.Open(t.Context(), c.dial(t, node), config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	var buckets atomic.Int32
	storetest.TestIssuer(t, func(t *testing.T) token.Issuer {
		return open(t, c, 0, nats.Config{Bucket: fmt.Sprint("issuer", buckets.Add(1))})
	})
}

// With most of the nodes gone nothing is accepted, and nobody is told otherwise.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	s := open(t, c, 0, nats.Config{Timeout: 2 * time.Second})
	ctx := t.Context()
	serial, _, err := s.Create(ctx, alice)
	if err != nil {
		t.Fatal(err)
	}
	c.kill(1)
	c.kill(2)
	for what, call := range map[string]func() error{
		"AcceptNonReplayable": func() error { return s.AcceptNonReplayable(ctx, "service", alice, serial, 1) },
		"Create":              func() error { _, _, err := s.Create(ctx, alice); return err },
		"Renew":               func() error { _, err := s.Renew(ctx, alice, serial, 1); return err },
		"RevokeEntity":        func() error { return s.RevokeEntity(ctx, alice) },
	} {
		t.Run(what, func(t *testing.T) { wantUnavailable(t, call()) })
	}
	c.kill(0)
	t.Run("Revoked", func(t *testing.T) { wantUnavailable(t, s.Revoked(ctx, alice, serial, "", -1)) })
}

func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*nats.UnavailableError](err); !ok {
		t.Errorf("error %v", err)
	}
	if _, ok := errors.AsType[*mslerr.Error](err); ok {
		t.Errorf("a store that did not answer gives a verdict: %v", err)
	}
}

// A revocation at one server is seen by the others, and outlives all of them.
func TestRevocationReachesAll(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	first, second := open(t, c, 0, nats.Config{}), open(t, c, 1, nats.Config{})
	serial, _, err := first.Create(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.AcceptNonReplayable(t.Context(), "service", alice, serial, 1); err != nil {
		t.Fatal(err)
	}
	if err := second.RevokeEntity(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	third := open(t, c, 2, nats.Config{})
	for _, s := range []*nats.Store{first, third} {
		if err := s.Revoked(t.Context(), alice, serial, "", -1); !errors.Is(err, mslerr.MasterTokenIdentityRevoked) {
			t.Error(err)
		}
		if err := s.AcceptNonReplayable(t.Context(), "service", alice, serial, 2); !errors.Is(err, mslerr.MasterTokenIdentityRevoked) {
			t.Error(err)
		}
	}
}

// A bucket that would lose what it is told, or show it late, is not used.
func TestUnfitBucket(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	conn := c.dial(t, 0)
	js := newJetStream(t, conn)
	for name, config := range map[string]jetstream.KeyValueConfig{
		"direct":   {Replicas: 3},
		"replicas": {Replicas: 1},
		"memory":   {Replicas: 3, Storage: jetstream.MemoryStorage},
		"expiring": {Replicas: 3, TTL: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			config.Bucket = name
			if _, err := js.CreateKeyValue(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			_, err := nats.Open(t.Context(), conn, nats.Config{Bucket: name})
			if _, ok := errors.AsType[*nats.BucketError](err); !ok {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := nats.Open(t.Context(), conn, nats.Config{Bucket: "more.than a name"}); err == nil {
		t.Error("a bucket without a valid name is opened")
	}
}

// An operator may delete a record: then nothing is known of the entity, and it
// has to authenticate again.
func TestDeletedRecord(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	conn := c.dial(t, 0)
	s, err := nats.Open(t.Context(), conn, nats.Config{})
	if err != nil {
		t.Fatal(err)
	}
	serial, _, err := s.Create(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	js := newJetStream(t, conn)
	kv, err := js.KeyValue(t.Context(), nats.DefaultBucket)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := kv.Delete(t.Context(), keys[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.AcceptNonReplayable(t.Context(), "service", alice, serial, 1); !errors.Is(err, mslerr.MessageReplayedUnrecoverable) {
		t.Fatal(err)
	}
	if serial, _, err = s.Create(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if err := s.AcceptNonReplayable(t.Context(), "service", alice, serial, 1); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkAcceptNonReplayable(b *testing.B) {
	c := startCluster(b)
	s := open(b, c, 0, nats.Config{})
	serial, _, err := s.Create(b.Context(), alice)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	id := int64(0)
	for b.Loop() {
		id++
		if err := s.AcceptNonReplayable(b.Context(), "service", alice, serial, id); err != nil {
			b.Fatal(err)
		}
	}
}
