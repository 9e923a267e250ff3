package mux

import "context"

// A delivery is a Delivered call that waits. Guarded by the Mux's lock.
type delivery struct {
	s      *Stream
	offset uint64 // bytes of the stream that must be acknowledged
	fin    bool   // and its FIN
	left   bool   // they are in records up to seq
	seq    uint64
	done   bool
	err    error
	moved  chan struct{} // has one element when one of these changed
}

func (d *delivery) signal() {
	select {
	case d.moved <- struct{}{}:
	default:
	}
}

func (d *delivery) end(err error) {
	d.done, d.err = true, err
	d.signal()
}

// Delivered waits until every byte written to the stream before the call, and
// its FIN if it was closed, is acknowledged: verified and in order in the memory
// of the peer's process. That does not mean read, processed or stored. After an
// error the outcome is unknown.
func (s *Stream) Delivered(ctx context.Context) error {
	m, h := s.m, &s.send
	m.mu.Lock()
	d := &delivery{
		s: s, offset: h.sent + uint64(h.queued()), fin: h.state == sendClosing || h.state == sendFinished,
		moved: make(chan struct{}, 1),
	}
	switch {
	case h.err != nil:
		m.mu.Unlock()
		return h.err
	case d.offset == 0 && !d.fin || d.hasLeft() && h.last < m.acked:
		m.mu.Unlock()
		return nil
	case m.err != nil:
		m.mu.Unlock()
		return writeError(m.err)
	}
	if d.left = d.hasLeft(); d.left {
		d.seq = h.last
	}
	m.deliveries = append(m.deliveries, d)
	asked := false
	for !d.done {
		ask := d.left && !asked
		m.mu.Unlock()
		if ask {
			asked = true
			m.config.RequestAck()
		}
		select {
		case <-d.moved:
		case <-ctx.Done():
		}
		m.mu.Lock()
		if err := ctx.Err(); err != nil && !d.done {
			d.end(err)
		}
	}
	m.dropDeliveries()
	m.mu.Unlock()
	return d.err
}

func (d *delivery) hasLeft() bool {
	return d.s.send.sent >= d.offset && (!d.fin || d.s.send.state == sendFinished)
}

// noteLeft is called when bytes or FIN of s have gone into a record.
func (m *Mux) noteLeft(s *Stream) {
	for _, d := range m.deliveries {
		if d.s == s && !d.left && d.hasLeft() {
			d.left, d.seq = true, s.send.last
			d.signal()
		}
	}
}

// endDeliveries ends those who wait for s with err.
func (m *Mux) endDeliveries(s *Stream, err error) {
	for _, d := range m.deliveries {
		if d.s == s && !d.done {
			d.end(err)
		}
	}
}

// dropDeliveries forgets those that are done.
func (m *Mux) dropDeliveries() {
	keep := m.deliveries[:0]
	for _, d := range m.deliveries {
		if !d.done {
			keep = append(keep, d)
		}
	}
	clear(m.deliveries[len(keep):])
	m.deliveries = keep
}

// Acked tells that all records with numbers below n are acknowledged.
func (m *Mux) Acked(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked = max(m.acked, n)
	for _, d := range m.deliveries {
		if d.left && !d.done && d.seq < m.acked {
			d.end(nil)
		}
	}
}
