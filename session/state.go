package session

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/link"
	"github.com/mslgo/msl/transport"
)

// State is how a session stands.
type State int

// The states of a session. The last two are final.
const (
	StateConnected    State = iota // records flow
	StateReconnecting              // the connection is gone, another may come
	StateLost                      // none came in time: [ErrChannelLost]
	StateClosed                    // closed by either side
)

func (s State) String() string {
	return [...]string{"connected", "reconnecting", "lost", "closed"}[s]
}

// presence is the connection of a session, and who is told of it.
type presence struct {
	conn atomic.Pointer[transport.Conn] // the present or last one

	mu         sync.Mutex // guards all below
	state      State
	reconnects int
	tell       func(State) // nil: nobody
	untold     []State
	telling    bool // one goroutine tells what is untold, in order
}

// connection is the present one, or the last.
func (p *presence) connection() transport.Conn { return *p.conn.Load() }

func (p *presence) set(to State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == to || p.state >= StateLost {
		return
	}
	p.state = to
	if p.tell == nil {
		return
	}
	if p.untold = append(p.untold, to); p.telling {
		return
	}
	p.telling = true
	for len(p.untold) > 0 {
		next := p.untold[0]
		p.untold = p.untold[1:]
		p.mu.Unlock()
		p.tell(next)
		p.mu.Lock()
	}
	p.telling = false
}

// State says how the session stands.
func (s *Session) State() State {
	if err := s.Err(); err != nil {
		return finalState(err) // which OnState may not have been told yet
	}
	s.presence.mu.Lock()
	defer s.presence.mu.Unlock()
	return s.presence.state
}

// move gives the session another connection. conn and r are its own if there is
// no error.
func (s *Session) move(conn transport.Conn, r *framing.Reader, z link.Resumption) error {
	p := &s.presence
	before := p.conn.Swap(&conn)
	p.mu.Lock()
	p.reconnects++
	n := p.reconnects
	p.mu.Unlock()
	p.set(StateConnected) // before it can be lost
	err := s.link.Resume(conn, r, z)
	if err != nil {
		p.conn.Store(before)
		p.set(StateReconnecting)
		return err
	}
	s.looks.recorder.Attached(n, conn.URL())
	return nil
}

// onLost is called by the link when it waits for another connection.
func (s *Session) onLost(err error) {
	s.presence.set(StateReconnecting)
	if s.log != nil {
		s.log.Info("msl session: connection lost", "err", err)
	}
	if s.reattacher != nil {
		s.reattacher.lost()
	}
}

// onDone is called by the link when nothing of it runs any more.
func (s *Session) onDone() {
	s.control.rekey.forget()
	if s.reattacher != nil {
		s.reattacher.end()
	}
	if s.channels != nil {
		s.channels.end(s)
	} else {
		s.epochs.erase()
	}
}

func finalState(err error) State {
	if errors.Is(err, ErrChannelLost) {
		return StateLost
	}
	return StateClosed
}
