package nats

import (
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// attemptTimeout is how long one request may take. Behind it stands a
	// server of NATS that is gone, and another one has to be asked.
	attemptTimeout = time.Second
	// maxPause is the longest pause before the next attempt.
	maxPause = 128 * time.Millisecond
	// turns is how many keys can be written to at the same time.
	turns = 64
)

// bucket is what is used of a jetstream.KeyValue.
type bucket interface {
	Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error)
	Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// A table has transactions on the records of a bucket.
type table struct {
	bucket  bucket
	timeout time.Duration
	seed    maphash.Seed
	// turn is held while a key with that hash is written to, so that the
	// goroutines of one server do not fight each other over the network.
	turn [turns]chan struct{}
}

func newTable(b bucket, timeout time.Duration) *table {
	t := &table{bucket: b, timeout: timeout, seed: maphash.MakeSeed()}
	for i := range t.turn {
		t.turn[i] = make(chan struct{}, 1)
	}
	return t
}

var errDoubt = errors.New("store/nats: so many others wrote since that it is not known whether we did")

// transaction calls f with the state under key, nil if there is none. If write is
// set and f succeeds, it replaces the state by what f returned, or calls f again
// if another was faster. On success it is f's last call that counts.
func (t *table) transaction(ctx context.Context, key string, write bool, f func(state []byte) ([]byte, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a := attempts{table: t, caller: ctx}
	var cancel context.CancelFunc
	a.ctx, cancel = context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if write {
		turn := t.turn[maphash.String(t.seed, key)%turns]
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-a.ctx.Done():
			return a.failed(errors.New("store/nats: others of this server are waiting for the same record"))
		}
	}

	var tried *record // our write that was refused because the record had changed
	for {
		r, revision, err := a.read(key)
		if err != nil {
			return err
		}
		if tried != nil {
			switch r.fate(tried) {
			case written:
				return nil
			case unseen:
				if err := a.pause(errChanged); err != nil {
					return err
				}
				continue
			case unknown:
				return errDoubt
			}
		}
		state, err := f(r.state)
		if err != nil || !write {
			return err
		}
		tried = r.next(state)
		err = a.replace(key, tried.encode(), revision)
		if err == nil || !errors.Is(err, errChanged) {
			return err
		}
		if err := a.pause(err); err != nil {
			return err
		}
	}
}

// attempts are the requests of one transaction.
type attempts struct {
	*table
	caller context.Context // the caller's
	ctx    context.Context // with the table's timeout
	pauses int
}

var errChanged = errors.New("store/nats: another writes to the same record")

// read asks until there is an answer. What is not there is a record that was
// never written, at revision 0.
func (a *attempts) read(key string) (*record, uint64, error) {
	for {
		ctx, cancel := context.WithTimeout(a.ctx, attemptTimeout)
		entry, err := a.bucket.Get(ctx, key)
		cancel()
		switch {
		case err == nil:
			r, err := decodeRecord(entry.Value())
			if err != nil {
				return nil, 0, &DamagedError{Key: key, Err: err}
			}
			return r, entry.Revision(), nil
		case errors.Is(err, jetstream.ErrKeyNotFound):
			return new(record), 0, nil
		}
		if err := a.again(err); err != nil {
			return nil, 0, err
		}
	}
}

// replace writes a value in place of a revision, errChanged if that is not the
// newest any more. A request without an answer is sent again as it was: whichever
// copies arrive, one of them at most is written, and none once another was.
func (a *attempts) replace(key string, value []byte, revision uint64) error {
	for {
		ctx, cancel := context.WithTimeout(a.ctx, attemptTimeout)
		var err error
		if revision == 0 {
			_, err = a.bucket.Create(ctx, key, value)
		} else {
			_, err = a.bucket.Update(ctx, key, value, revision)
		}
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
			return errChanged
		}
		if err := a.again(err); err != nil {
			return err
		}
	}
}

// again says whether a request that failed with err can be repeated: yes, unless
// the server of NATS has said no. It pauses.
func (a *attempts) again(err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.Code != http.StatusServiceUnavailable {
		return a.failed(err)
	}
	return a.pause(err)
}

// pause waits for a random time, longer each time, so that those who fight over
// a record part.
func (a *attempts) pause(cause error) error {
	limit := min(time.Millisecond<<min(a.pauses, 20), maxPause)
	a.pauses++
	timer := time.NewTimer(rand.N(limit))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-a.ctx.Done():
		return a.failed(cause)
	}
}

// failed is the error of a transaction that ends because of err.
func (a *attempts) failed(err error) error {
	switch {
	case a.caller.Err() != nil:
		return a.caller.Err()
	case a.ctx.Err() != nil:
		return &UnavailableError{Waited: a.timeout, Err: err}
	}
	return err
}
