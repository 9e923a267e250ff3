// Package file keeps tokens in one file, encrypted, for programs that start
// again. Several programs may use one file at the same time: each operation
// opens it, does one transaction and closes it, so that counters and renewals
// are right between them too. A crash leaves the file as it was before or after
// an operation, never between.
//
// Who gets hold of the file learns how many remotes, entities and revoked users
// it knows of and how much about each, and nothing else. Who can also write to
// it can put back an old state of it, which no key prevents.
package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/store/internal/state"
)

// DefaultTimeout is how long an operation waits for other programs that use the
// file.
const DefaultTimeout = 5 * time.Second

// Store is a file of tokens. It implements [token.Holders]; Issuer gives the
// other side. All methods may be called concurrently. There is nothing to close.
type Store struct {
	// Timeout is how long one operation waits for others, of this program and
	// of others, before it fails with a [BusyError]; 0 means [DefaultTimeout].
	// A context that ends before ends the wait too. Not changed once the store
	// is in use.
	Timeout time.Duration
	// ServiceContexts are the application's, to read service tokens again with
	// their data. Without them kept tokens are unverified. Not changed once the
	// store is in use.
	ServiceContexts token.ServiceContexts

	path  string
	turn  chan struct{} // held by the one operation of this program
	vault *vault
}

var _ token.Holders = (*Store)(nil)

// Open opens a store, or makes an empty one, readable by its owner only. The key
// has [KeySize] bytes and stays the same for the life of the file; [LoadKey]
// keeps one beside it. Errors: [ErrWrongKey], [*DamagedError], [*BusyError],
// those of the file system.
func Open(path string, key mslcrypto.Key) (*Store, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("store/file: key of %d bytes, not %d", len(key), KeySize)
	}
	s := &Store{path: path, turn: make(chan struct{}, 1)}
	err := s.transaction(context.Background(), os.O_CREATE, true, func(tx *bbolt.Tx, _ *bool) (err error) {
		s.vault, err = openVault(tx, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Holder returns the holder for a remote: the name of a service, or the identity
// of a peer.
func (s *Store) Holder(remote string) token.Holder {
	return state.Holding(func(ctx context.Context, write bool, f func(*state.Holder) error) error {
		return access(ctx, s, write, bucketHolders, []byte(remote), codec[state.Holder]{
			encode: (*state.Holder).Encode,
			decode: func(data []byte) (*state.Holder, error) { return state.DecodeHolder(data, s.ServiceContexts) },
		}, f)
	})
}

// Issuer returns the issuer of a service whose servers all use this file. It
// forgets no entity: a service that anybody may become an entity of, as with the
// scheme NONE, fills the disk of whoever runs it.
func (s *Store) Issuer() store.Issuer {
	i := state.NewIssuing(
		func(ctx context.Context, e token.Entity, write bool, f func(*state.Entity) error) error {
			return access(ctx, s, write, bucketEntities, entityName(e), codec[state.Entity]{
				encode: (*state.Entity).Encode,
				decode: state.DecodeEntity,
			}, f)
		},
		func(ctx context.Context, u token.User, write bool, f func(*state.User) error) error {
			return access(ctx, s, write, bucketUsers, []byte(u), codec[state.User]{
				encode: (*state.User).Encode,
				decode: state.DecodeUser,
			}, f)
		},
	)
	return &i
}

type codec[T any] struct {
	encode func(*T) ([]byte, error)
	decode func([]byte) (*T, error)
}

// access runs f in a transaction on one record; what is not there is a zero T.
func access[T any](ctx context.Context, s *Store, write bool, bucket string, name []byte, c codec[T], f func(*T) error) error {
	return s.transaction(ctx, 0, write, func(tx *bbolt.Tx, ours *bool) error {
		if err := s.vault.check(tx); err != nil {
			return err
		}
		v := new(T)
		data, err := s.vault.get(tx, bucket, name)
		if err != nil {
			return err
		}
		if data != nil {
			if v, err = c.decode(data); err != nil {
				return &DamagedError{Path: s.path, Err: err}
			}
		}
		*ours = true
		err = f(v)
		*ours = false
		if err != nil || !write {
			return err
		}
		if data, err = c.encode(v); err != nil {
			return err
		}
		return s.vault.put(tx, bucket, name, data)
	})
}

// transaction opens the file, runs f and closes the file. f sets ours while code
// runs whose panics do not come from a damaged file.
func (s *Store) transaction(ctx context.Context, flag int, write bool, f func(tx *bbolt.Tx, ours *bool) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	expired := time.NewTimer(timeout)
	defer expired.Stop()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-expired.C:
		return &BusyError{Path: s.path, Waited: timeout}
	}

	// A file that was cut short or written over makes its reader fault or
	// panic: it is mapped into memory.
	var ours bool
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if ours {
			return
		}
		if r := recover(); r != nil {
			err = &DamagedError{Path: s.path, Err: fmt.Errorf("%v", r)}
		}
	}()

	db, err := s.open(ctx, flag, write, expired.C, timeout)
	if err != nil {
		return err
	}
	defer func() {
		if closing := db.Close(); err == nil {
			err = closing
		}
	}()
	run := db.View
	if write {
		run = db.Update
	}
	return run(func(tx *bbolt.Tx) error { return f(tx, &ours) })
}

// open waits for the lock on the file. bbolt itself would wait without regard to
// ctx; it is asked to try once.
func (s *Store) open(ctx context.Context, flag int, write bool, expired <-chan time.Time, timeout time.Duration) (*bbolt.DB, error) {
	options := &bbolt.Options{
		Timeout:      time.Nanosecond,
		ReadOnly:     !write,
		FreelistType: bbolt.FreelistMapType,
		NoStatistics: true,
		// A file that was there and is not any more is an error, not a reason
		// to begin anew.
		OpenFile: func(name string, f int, mode os.FileMode) (*os.File, error) {
			return os.OpenFile(name, f&^os.O_CREATE|flag, mode)
		},
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 16*time.Millisecond) {
		db, err := bbolt.Open(s.path, 0o600, options)
		switch {
		case err == nil:
			return db, nil
		case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch),
			errors.Is(err, bolterrors.ErrInvalidMapping):
			return nil, &DamagedError{Path: s.path, Err: err}
		case !errors.Is(err, bolterrors.ErrTimeout):
			return nil, fmt.Errorf("store/file: %w", err)
		}
		retry := time.NewTimer(wait)
		select {
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return nil, ctx.Err()
		case <-expired:
			retry.Stop()
			return nil, &BusyError{Path: s.path, Waited: timeout}
		}
	}
}
