package session

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/session/link"
)

const (
	maxLiving  = 1 << 16 // durable channels of a responder; those beyond it are not durable
	maxClosed  = 4096    // closed channels that are remembered, the oldest out
	closedTime = time.Minute

	defaultRetained = 1 << 30          // bytes of records kept for all channels
	defaultMoves    = 10               // connections of one channel in moveTime
	moveTime        = 10 * time.Second //
)

// registry finds a responder's durable channels by their IDs: the living ones,
// and for a while those that were closed. It outlives connections and is never
// stored.
type registry struct {
	retained atomic.Int64 // bytes of records kept by all channels

	mu     sync.Mutex // guards all below
	byID   map[channelID]*channel
	closed []channelID // in the order in which they were
}

// A channel is what a responder keeps of one.
type channel struct {
	id      channelID
	entity  token.Entity
	epochs  *epochs
	durable time.Duration

	attaching sync.Mutex  // one attach at a time; guards what follows
	n         uint64      // of the newest attach
	moves     []time.Time // the newest attaches, the oldest first

	// Guarded by the registry's mutex.
	session *Session // nil: closed
	user    token.User
	code    frame.Code
	expiry  *time.Timer
}

// room says whether there is room for another durable channel.
func (g *registry) room(retained int64) bool {
	if retained <= 0 {
		retained = defaultRetained
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.retained.Load() < retained && len(g.byID)-len(g.closed) < maxLiving
}

// add begins to keep a channel.
func (g *registry) add(s *Session, entity token.Entity, durable time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byID == nil {
		g.byID = make(map[channelID]*channel)
	}
	g.byID[s.id] = &channel{id: s.id, entity: entity, epochs: s.epochs, durable: durable, session: s}
}

// find returns the channel with that ID, nil if there is none.
func (g *registry) find(id channelID) *channel {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byID[id]
}

// present is the session of a channel, or with what user and code it was closed.
func (g *registry) present(c *channel) (s *Session, user token.User, code frame.Code) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.session != nil {
		return c.session, c.session.exchange.who(), 0
	}
	return nil, c.user, c.code
}

// end is called when nothing of a session runs any more. If it was closed, that
// is remembered for those who did not hear it; if it was lost, it is forgotten.
func (g *registry) end(s *Session) {
	code, wasClosed := closeCode(s.link.Err())
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.byID[s.id]
	if c == nil || !wasClosed {
		delete(g.byID, s.id)
		s.epochs.erase()
		return
	}
	c.user, c.code, c.session = s.exchange.who(), code, nil
	g.closed = append(g.closed, c.id)
	if len(g.closed) > maxClosed {
		g.forget(g.byID[g.closed[0]])
	}
	c.expiry = time.AfterFunc(min(c.durable, closedTime), func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.forget(c)
	})
}

// forget drops a closed channel; called with mu held.
func (g *registry) forget(c *channel) {
	if g.byID[c.id] != c {
		return
	}
	delete(g.byID, c.id)
	c.expiry.Stop()
	c.epochs.erase()
	i := slices.Index(g.closed, c.id)
	copy(g.closed[1:], g.closed[:i]) // next to none, as the oldest goes first
	g.closed = g.closed[1:]
}

// move counts an attach, and reports whether there were few enough of late.
// Called with attaching held.
func (c *channel) move(most int) bool {
	if most <= 0 {
		most = defaultMoves
	}
	now := time.Now()
	for len(c.moves) > 0 && now.Sub(c.moves[0]) >= moveTime {
		c.moves = c.moves[1:]
	}
	if len(c.moves) >= most {
		return false
	}
	c.moves = append(c.moves, now)
	return true
}

// closeCode is the code of the CLOSE that ended a link, if one did.
func closeCode(err error) (frame.Code, bool) {
	if e, ok := errors.AsType[*link.CloseError](err); ok {
		return e.Code, true
	}
	if e, ok := errors.AsType[*frame.Error](err); ok {
		return e.Code, true
	}
	return 0, false
}
