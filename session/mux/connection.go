package mux

import "github.com/mslgo/msl/session/frame"

// A Connection is what readers and writers of streams can do at the connection
// themselves, see link.Connection.
type Connection = interface {
	Vacant() bool
	Lead(interface {
		Served() (served, hurry, alone bool)
	})
	RecallLeader()
	Attend()
	Carry(interface{ Waits() (may, must bool) })
	RecallCarrier()
}

// Share implements link.Source.
func (m *Mux) Share(c Connection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connection = c
}

// A leader is a Stream as link.Leader.
type leader Stream

// Served implements link.Leader.
func (l *leader) Served() (served, hurry, alone bool) {
	s := (*Stream)(l)
	m, h := s.m, &s.recv
	m.mu.Lock()
	defer m.mu.Unlock()
	served = h.got > 0 || !h.empty() || s.readErr() != nil
	return served, !h.woken, m.readers == 0 // woken: bulk, of which there is more
}

// A carrier is a Stream as link.Carrier.
type carrier Stream

// Waits implements link.Carrier.
func (c *carrier) Waits() (may, must bool) {
	s := (*Stream)(c)
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	may = s.writeErr() == nil
	return may, may && len(s.send.direct) > 0
}

// waitToRead waits for something that may let a read go on: the caller reads the
// connection itself if nobody does. Called with the Mux's lock held.
func (s *Stream) waitToRead() {
	m, h := s.m, &s.recv
	if m.connection != nil && m.connection.Vacant() {
		h.leads = true
		m.mu.Unlock()
		m.connection.Lead((*leader)(s))
		m.mu.Lock()
		h.leads = false
		return
	}
	m.readers++
	h.waits = true
	h.cond.Wait()
	h.waits = false
	m.readers--
}

// carry lets what waits to be sent leave, and the caller wait for the connection.
// Called with the Mux's lock held.
func (s *Stream) carry() {
	m, h := s.m, &s.send
	c := m.connection
	if c == nil || !m.sched.only(s) {
		m.unlockAndWake()
		m.mu.Lock()
		return
	}
	if m.refresh(); m.Waiting() == frame.None {
		return
	}
	h.carries = true
	m.mu.Unlock()
	c.Carry((*carrier)(s))
	m.mu.Lock()
	h.carries = false
}

// waitToWrite waits for something that may let a write go on. Called with the
// Mux's lock held.
func (s *Stream) waitToWrite() {
	if c := s.m.connection; c != nil {
		c.Attend() // the peer's credit and acknowledgements are waited for
	}
	h := &s.send
	h.waits = true
	h.cond.Wait()
	h.waits = false
}

// wakeReader lets the reader of s look why it need not wait.
func (s *Stream) wakeReader() {
	if s.recv.leads {
		s.m.connection.RecallLeader()
	} else {
		s.recv.cond.Signal()
	}
}

// wakeWriter lets the writer of s look why it need not wait.
func (s *Stream) wakeWriter() {
	if s.send.carries {
		s.m.connection.RecallCarrier()
	} else {
		s.send.cond.Signal()
	}
}

// feed wakes the reader of s, who will come back if more can follow.
func (s *Stream) feed() {
	h := &s.recv
	if (h.waits || h.leads) && h.state == recvOpen {
		s.m.fed = s
	}
	h.cond.Signal() // a leader looks for itself
}

// Appoint implements link.Source.
func (m *Mux) Appoint() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fed != nil {
		m.fed.recv.cond.Signal()
		m.fed = nil
	}
}
