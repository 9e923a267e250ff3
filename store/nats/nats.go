// Package nats is the issuer of a service of many servers: what it knows of
// entities and users is in a NATS JetStream key-value bucket that all servers
// share. A client that authenticated at one server continues at any other, and
// no two of them accept the same non-replayable message.
//
// # What is accepted, and what is not when in doubt
//
// Every change is a compare-and-set: it holds if, and only if, the bucket
// replaced the very revision that was read. Reading alone accepts nothing; it
// only refuses. A store that does not answer gives an error that is no
// *mslerr.Error, and its caller refuses too. The one exception is
// [Store.Revoked], which only reads: it asks the leader of the bucket, and a
// leader that was cut off from the others may answer without the newest
// revocations until it notices, which takes about ten seconds. A message with a
// non-replayable ID of an entity or token that was revoked is not accepted in that
// time either.
//
// # The servers of NATS
//
// A bucket has three replicas unless told otherwise, and works while most of
// them do. They write to disk before they answer, but to the disk's cache: if
// power may fail at most of them at once, set "sync_interval: always" in their
// configuration, or writes that were acknowledged can be lost, and with them the
// knowledge that a message came. The same holds for a bucket that is restored
// from an older copy.
//
// The bucket holds serial numbers, IDs and revocations under hashes of names,
// and no keys. Whoever may write to it can make a service accept messages again:
// keep it in an account of its own. It forgets no entity: a service that anybody
// may become an entity of, as with the scheme NONE, needs that account's limits.
package nats

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/store/internal/state"
)

// Defaults of a [Config].
const (
	DefaultBucket   = "msl"
	DefaultReplicas = 3
	DefaultTimeout  = 5 * time.Second
)

// Config of a store. The zero value is ready to use.
type Config struct {
	// Bucket is the name of the key-value bucket, the same at all servers of a
	// service, and not shared with another. Default [DefaultBucket].
	Bucket string
	// Replicas is how many servers of NATS keep the bucket, 1 to 5. A bucket
	// that is there already must have as many or more. Default [DefaultReplicas].
	Replicas int
	// Timeout is how long one operation may take before it fails with an
	// [*UnavailableError]. Default [DefaultTimeout]. The election of a new leader
	// takes NATS 4 to 9 seconds; messages that come meanwhile are refused or, if
	// this is longer, wait.
	Timeout time.Duration
}

// A Store implements [store.Issuer] for a service of many servers. All methods
// may be called concurrently. There is nothing to close but the connection,
// which stays the caller's.
type Store struct{ issuing }

// issuing has the methods of [store.Issuer].
type issuing = state.Issuing

var _ store.Issuer = (*Store)(nil)

// Open opens the bucket, or makes it if there is none. A bucket whose settings
// would lose state or show it late is refused: a *[BucketError].
func Open(ctx context.Context, conn *nats.Conn, c Config) (*Store, error) {
	c.Bucket = cmp.Or(c.Bucket, DefaultBucket)
	kv, err := openBucket(ctx, conn, c.stream(), c.Bucket)
	if err != nil {
		return nil, err
	}
	return newStore(kv, c.Timeout), nil
}

func newStore(b bucket, timeout time.Duration) *Store {
	t := newTable(b, cmp.Or(max(timeout, 0), DefaultTimeout))
	return &Store{state.NewIssuing(
		func(ctx context.Context, e token.Entity, write bool, f func(*state.Entity) error) error {
			return access(ctx, t, entityKey(e), write, (*state.Entity).Encode, state.DecodeEntity, f)
		},
		func(ctx context.Context, u token.User, write bool, f func(*state.User) error) error {
			return access(ctx, t, userKey(u), write, (*state.User).Encode, state.DecodeUser, f)
		},
	)}
}

// access runs f in a transaction on one record; what is not there is a zero T.
func access[T any](
	ctx context.Context, t *table, key string, write bool,
	encode func(*T) ([]byte, error), decode func([]byte) (*T, error), f func(*T) error,
) error {
	return t.transaction(ctx, key, write, func(data []byte) ([]byte, error) {
		v := new(T)
		if data != nil {
			var err error
			if v, err = decode(data); err != nil {
				return nil, &DamagedError{Key: key, Err: err}
			}
		}
		if err := f(v); err != nil || !write {
			return nil, err
		}
		return encode(v)
	})
}

// Keys in the bucket:
//
//	entity.HEX(SHA-256(u16(length of scheme) || scheme || identity))
//	user.HEX(SHA-256(user))
func entityKey(e token.Entity) string {
	name := binary.BigEndian.AppendUint16(nil, uint16(min(len(e.Scheme), 1<<16-1)))
	return hashed("entity", append(append(name, e.Scheme...), e.Identity...))
}

func userKey(u token.User) string { return hashed("user", []byte(u)) }

func hashed(kind string, name []byte) string {
	sum := sha256.Sum256(name)
	return kind + "." + hex.EncodeToString(sum[:])
}

// stream is the bucket's stream. That of a bucket that NATS makes by itself
// would let every replica answer reads, also one that is behind.
func (c *Config) stream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              streamName(c.Bucket),
		Description:       "MSL: issued tokens, non-replayable IDs, revocations",
		Subjects:          []string{"$KV." + c.Bucket + ".>"},
		Storage:           jetstream.FileStorage,
		Replicas:          cmp.Or(max(c.Replicas, 0), DefaultReplicas),
		MaxMsgsPerSubject: 1,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowRollup:       true, // nats kv purge
	}
}

func streamName(bucket string) string { return "KV_" + bucket }

// openBucket opens or makes a bucket whose stream is as want.
func openBucket(ctx context.Context, conn *nats.Conn, want jetstream.StreamConfig, name string) (jetstream.KeyValue, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("store/nats: %w", err)
	}
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another server was faster
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store/nats: bucket %q: %w", name, err)
	}
	if err := check(name, &stream.CachedInfo().Config, &want); err != nil {
		return nil, err
	}
	kv, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("store/nats: bucket %q: %w", name, err)
	}
	return kv, nil
}

// check says what of a bucket that we did not make would break our promises.
func check(name string, have, want *jetstream.StreamConfig) error {
	var wrong string
	switch {
	case have.Storage != jetstream.FileStorage:
		wrong = "it is not kept in files"
	case have.Replicas < want.Replicas:
		wrong = fmt.Sprintf("it has %d replicas, not %d", have.Replicas, want.Replicas)
	case have.AllowDirect:
		wrong = "all replicas answer reads (allow_direct), also those that are behind"
	case have.Discard != jetstream.DiscardNew:
		wrong = "it discards old records when it is full"
	case have.MaxAge != want.MaxAge:
		wrong = fmt.Sprintf("it forgets records after %v, not %v (0: never)", have.MaxAge, want.MaxAge)
	case have.Mirror != nil || len(have.Sources) > 0:
		wrong = "it is a copy of another"
	default:
		return nil
	}
	return &BucketError{Bucket: name, Reason: wrong}
}
