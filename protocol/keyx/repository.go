package keyx

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/mslgo/msl/protocol/mslcrypto"
)

// A Repository keeps the wrapping keys that a requester got by ladder exchanges,
// by their opaque wrapdata. What it holds should be stored together with the
// master tokens, or the ladder begins anew after a restart. All methods may be
// called concurrently.
type Repository interface {
	// Newest is the wrapdata that was added last and is still there, nil if none.
	Newest(ctx context.Context) (wrapdata []byte, err error)
	// Find is the key of a wrapdata, nil if there is none.
	Find(ctx context.Context, wrapdata []byte) (mslcrypto.Key, error)
	Add(ctx context.Context, wrapdata []byte, key mslcrypto.Key) error
	// Remove forgets a wrapdata; one that is not there is no error.
	Remove(ctx context.Context, wrapdata []byte) error
}

// maxRungs is how many keys a [MemoryRepository] keeps. One is in use, others are
// left over from exchanges that began anew.
const maxRungs = 8

// MemoryRepository is a [Repository] that lives as long as the process. Its zero
// value is empty and ready. It keeps the eight newest keys.
type MemoryRepository struct {
	redacted
	mu    sync.Mutex
	rungs []memoryRung // oldest first
}

type memoryRung struct {
	wrapdata []byte
	key      mslcrypto.Key
}

func (m *MemoryRepository) index(wrapdata []byte) int {
	return slices.IndexFunc(m.rungs, func(r memoryRung) bool { return bytes.Equal(r.wrapdata, wrapdata) })
}

// Newest implements [Repository].
func (m *MemoryRepository) Newest(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rungs) == 0 {
		return nil, nil
	}
	return slices.Clone(m.rungs[len(m.rungs)-1].wrapdata), nil
}

// Find implements [Repository].
func (m *MemoryRepository) Find(_ context.Context, wrapdata []byte) (mslcrypto.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.index(wrapdata)
	if i < 0 {
		return nil, nil
	}
	return slices.Clone(m.rungs[i].key), nil
}

// Add implements [Repository].
func (m *MemoryRepository) Add(_ context.Context, wrapdata []byte, key mslcrypto.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(m.index(wrapdata))
	m.rungs = append(m.rungs, memoryRung{slices.Clone(wrapdata), slices.Clone(key)})
	if len(m.rungs) > maxRungs {
		m.remove(0)
	}
	return nil
}

// Remove implements [Repository].
func (m *MemoryRepository) Remove(_ context.Context, wrapdata []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(m.index(wrapdata))
	return nil
}

// remove erases a rung; a negative index is none.
func (m *MemoryRepository) remove(i int) {
	if i >= 0 {
		m.rungs[i].key.Erase()
		m.rungs = slices.Delete(m.rungs, i, i+1)
	}
}
