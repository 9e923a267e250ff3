package store

import (
	"context"
	"sync"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store/internal/state"
)

// Memory keeps what an entity was given by its remotes until the program ends.
// Its non-replayable counters end with it, and so do the tokens they belong to:
// a program that starts again gets new ones, and no ID is used twice.
type Memory struct {
	mu      sync.Mutex
	holders map[string]state.Holding
}

var _ token.Holders = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{holders: make(map[string]state.Holding)} }

// Holder returns the holder for a remote: the name of a service, or the identity
// of a peer.
func (m *Memory) Holder(remote string) token.Holder {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.holders[remote]
	if h == nil {
		h = newHolding()
		m.holders[remote] = h
	}
	return h
}

// newHolding is a holder under a lock of its own. Its operations wait for
// nothing else, and use contexts only to refuse work that is over.
func newHolding() state.Holding {
	var mu sync.Mutex
	var s state.Holder
	return func(ctx context.Context, _ bool, f func(*state.Holder) error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return f(&s)
	}
}
