package nats

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// Defaults of an [OwnersConfig].
const (
	DefaultOwnersBucket = "msl-owners"
	DefaultTTL          = 10 * time.Minute
)

// ErrNotOwner says that a channel was claimed by another, or that the claim was
// not kept in time.
var ErrNotOwner = errors.New("store/nats: the channel is another's")

// OwnersConfig configures [Owners]. The zero value is ready to use.
type OwnersConfig struct {
	// Bucket, Replicas and Timeout are as in [Config], but for the default of
	// Bucket, [DefaultOwnersBucket]. It is a bucket of its own.
	Bucket   string
	Replicas int
	Timeout  time.Duration
	// TTL is how long a claim lasts unless it is kept, which ends those of a
	// server that is gone; the same at all servers. Default [DefaultTTL].
	TTL time.Duration
}

// Owners knows which server of a service holds a channel. A channel lives in the
// memory of one server and does not move: another one, at which a client attaches
// because a load balancer sent it there, can say or find out where it has to go.
// All methods may be called concurrently.
type Owners struct{ table *table }

// OpenOwners opens the bucket, or makes it if there is none; errors are as with
// [Open].
func OpenOwners(ctx context.Context, conn *nats.Conn, c OwnersConfig) (*Owners, error) {
	bucket := Config{Bucket: cmp.Or(c.Bucket, DefaultOwnersBucket), Replicas: c.Replicas}
	stream := bucket.stream()
	stream.Description = "MSL: owners of channels"
	stream.MaxAge = cmp.Or(max(c.TTL, 0), DefaultTTL)
	kv, err := openBucket(ctx, conn, stream, bucket.Bucket)
	if err != nil {
		return nil, err
	}
	return newOwners(kv, c.Timeout), nil
}

func newOwners(b bucket, timeout time.Duration) *Owners {
	return &Owners{newTable(b, cmp.Or(max(timeout, 0), DefaultTimeout))}
}

// owner is the state of a record under a channel's key.
type owner struct {
	Claim  []byte `json:"claim"`  // random, tells claims of one server apart
	Server string `json:"server"` // "": it was released
}

func encodeOwner(o *owner) ([]byte, error) { return json.Marshal(o) }

func decodeOwner(data []byte) (*owner, error) {
	o := new(owner)
	return o, json.Unmarshal(data, o)
}

func (o *Owners) access(ctx context.Context, key string, write bool, f func(*owner) error) error {
	return access(ctx, o.table, key, write, encodeOwner, decodeOwner, f)
}

// Claim makes a server the owner of a channel, named by its ID, in place of
// whoever was: an earlier claim is over. server is what the servers know each
// other by, such as a URL.
func (o *Owners) Claim(ctx context.Context, channel []byte, server string) (*Claim, error) {
	c := &Claim{owners: o, key: hashed("channel", channel), id: make([]byte, 16)}
	rand.Read(c.id) // never fails
	err := o.access(ctx, c.key, true, func(s *owner) error {
		*s = owner{c.id, server}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Owner is the server that claimed a channel, "" if there is none. It may have
// changed when the caller learns it: a server asks its own [Claim] before it acts.
func (o *Owners) Owner(ctx context.Context, channel []byte) (server string, err error) {
	err = o.access(ctx, hashed("channel", channel), false, func(s *owner) error {
		server = s.Server
		return nil
	})
	return server, err
}

// A Claim is the ownership of a channel. It may be used concurrently.
type Claim struct {
	owners *Owners
	key    string
	id     []byte
}

// Keep renews the claim for another TTL; [ErrNotOwner] if it is over. That it
// holds was true when the bucket was written to, and is not only what was read.
func (c *Claim) Keep(ctx context.Context) error {
	return c.owners.access(ctx, c.key, true, c.check)
}

// Release ends the claim; [ErrNotOwner] if it is over already.
func (c *Claim) Release(ctx context.Context) error {
	return c.owners.access(ctx, c.key, true, func(s *owner) error {
		if err := c.check(s); err != nil {
			return err
		}
		*s = owner{}
		return nil
	})
}

func (c *Claim) check(s *owner) error {
	if string(s.Claim) != string(c.id) {
		return ErrNotOwner
	}
	return nil
}
