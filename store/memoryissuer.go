package store

import (
	"container/list"
	"context"
	"sync"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store/internal/state"
)

// DefaultEntities is how many entities a [MemoryIssuer] knows of.
const DefaultEntities = 1 << 20

// MemoryIssuer is the issuer of a service that is one program: it knows nothing
// of tokens issued before the program started, so that their holders, once they
// want to renew or to send a non-replayable message, authenticate again.
// Revocations end with the program too.
//
// It forgets entities when they become too many: first those that it has not
// heard of for longest, never one with a revocation.
type MemoryIssuer struct {
	issuing

	// Entities is how many entities to know of; 0 means [DefaultEntities]. It
	// is not changed once the issuer is in use.
	Entities int

	mu       sync.Mutex
	entities map[token.Entity]*list.Element // of *knownEntity
	recent   list.List                      // most recent first
	users    map[token.User]*state.User     // those revoked
}

// issuing has the methods of [Issuer].
type issuing = state.Issuing

type knownEntity struct {
	name  token.Entity
	state state.Entity
}

var _ Issuer = (*MemoryIssuer)(nil)

// NewMemoryIssuer returns an issuer that knows nothing.
func NewMemoryIssuer() *MemoryIssuer {
	m := &MemoryIssuer{
		entities: make(map[token.Entity]*list.Element),
		users:    make(map[token.User]*state.User),
	}
	m.issuing = state.NewIssuing(m.entity, m.user)
	return m
}

func (m *MemoryIssuer) entity(ctx context.Context, e token.Entity, write bool, f func(*state.Entity) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if element := m.entities[e]; element != nil {
		m.recent.MoveToFront(element)
		return f(&element.Value.(*knownEntity).state)
	}
	known := &knownEntity{name: e}
	if err := f(&known.state); err != nil || !write {
		return err
	}
	m.forget()
	m.entities[e] = m.recent.PushFront(known)
	return nil
}

// forget makes room for one entity. Those it must not forget go to the front, so
// that they are not in its way the next time.
func (m *MemoryIssuer) forget() {
	limit := m.Entities
	if limit <= 0 {
		limit = DefaultEntities
	}
	for range m.recent.Len() {
		if m.recent.Len() < limit {
			return
		}
		oldest := m.recent.Back()
		known := oldest.Value.(*knownEntity)
		if !known.state.Forgettable() {
			m.recent.MoveToFront(oldest)
			continue
		}
		m.recent.Remove(oldest)
		delete(m.entities, known.name)
	}
}

func (m *MemoryIssuer) user(ctx context.Context, u token.User, write bool, f func(*state.User) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.users[u]
	if s == nil {
		s = new(state.User)
	}
	if err := f(s); err != nil || !write {
		return err
	}
	if s.Revoked {
		m.users[u] = s
	} else {
		delete(m.users, u)
	}
	return nil
}
