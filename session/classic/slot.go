package classic

import (
	"context"
	"sync"

	"github.com/mslgo/msl/protocol/token"
)

// A Slot is the renewal lock of spec 09 section 5.2: of all messages to one
// remote that may get new tokens, at most one is outstanding. The set-up of a
// channel takes it too where it asks for a token. The zero value is free; it may
// be used concurrently and is not copied.
type Slot struct {
	mu   sync.Mutex
	turn *Turn // who holds it; nil: nobody
}

// A Turn is the slot in the hands of one message, until Publish.
type Turn struct {
	slot   *Slot
	done   chan struct{}
	result *token.MasterToken // written before done is closed
}

// Try takes the slot if it is free, and else returns nil.
func (s *Slot) Try() *Turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != nil {
		return nil
	}
	s.turn = &Turn{slot: s, done: make(chan struct{})}
	return s.turn
}

// Acquire takes the slot if it is free, else it waits for its holder and returns
// what that one published: the master token it got or used, nil for nothing.
// Then the caller has no turn yet; it looks whether that token will do. The
// error is that of ctx.
func (s *Slot) Acquire(ctx context.Context) (*Turn, *token.MasterToken, error) {
	s.mu.Lock()
	holder := s.turn
	if holder == nil {
		s.turn = &Turn{slot: s, done: make(chan struct{})}
		defer s.mu.Unlock()
		return s.turn, nil, nil
	}
	s.mu.Unlock()
	select {
	case <-holder.done:
		return nil, holder.result, nil
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// Publish gives the slot back and tells those who wait for it with which master
// token they may go on; nil: they have to see for themselves. Only the first
// call counts, and a nil Turn has nothing to give back.
func (t *Turn) Publish(result *token.MasterToken) {
	if t == nil {
		return
	}
	t.slot.mu.Lock()
	defer t.slot.mu.Unlock()
	if t.slot.turn != t {
		return
	}
	t.slot.turn = nil
	t.result = result
	close(t.done)
}
