package mux

import (
	"math"
	"slices"

	"github.com/mslgo/msl/session/frame"
)

// Early data leaves before the peer has answered the set-up (channel set-up
// 4.1.5): STREAM_OPEN and STREAM only. What becomes of it the answer says:
//
//	accepted   Grant
//	rejected   Grant, Unsent; the same frames leave once more, first of all; Resent
//	unknown    Grant, Forget

// AppendEarly is AppendFrames, with BatchSent, for an early record.
func (m *Mux) AppendEarly(dst []byte, room int, seq uint64) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return dst
	}
	dst = m.appendData(dst, len(dst)+room, seq)
	m.refresh()
	m.BatchSent()
	return dst
}

// Grant raises the limits that the peer was thought to have to those that it
// said at set-up: credit of each stream and of the channel, in bytes, streams, and
// bytes in a record.
func (m *Mux) Grant(window, credit, streams, maxRecord uint64) {
	m.mu.Lock()
	m.config.PeerWindow, m.config.PeerMaxRecord = window, maxRecord
	raise := func(s *Stream) {
		if s.local && window > s.send.limit {
			s.send.limit = window
			m.schedule(s)
		}
	}
	for _, s := range m.streams {
		raise(s)
	}
	for s := range m.unopened {
		raise(s)
	}
	m.sendLimit = max(m.sendLimit, credit)
	m.feedStarved()
	m.allowed = max(m.allowed, streams)
	m.releaseOpeners()
	m.unlockAndWake()
}

// feedStarved looks again at who waited for credit of the channel.
func (m *Mux) feedStarved() {
	if m.sent >= m.sendLimit {
		return
	}
	for m.starved.head != nil {
		m.schedule(m.starved.head)
	}
}

// resent is the number of a record that is not known yet.
const resent = math.MaxUint64

// Unsent tells that no record of those until now counts: what was in them waits
// to be sent again, and Delivered waits for that.
func (m *Mux) Unsent() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.streams {
		if s.local {
			s.send.last = resent
			m.unsent = append(m.unsent, s)
		}
	}
	m.renumber(func(uint64) bool { return true }, resent)
}

// Resent tells that all that was Unsent is in records up to seq. Some of its
// streams may have ended since: the first records are answered while others wait.
func (m *Mux) Resent(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.unsent {
		if s.send.last == resent {
			s.send.last = seq
		}
	}
	m.unsent = nil
	m.renumber(func(n uint64) bool { return n == resent }, seq)
}

// renumber has who waits for records of which is says so wait for record seq.
func (m *Mux) renumber(is func(uint64) bool, seq uint64) {
	for _, d := range m.deliveries {
		if d.left && is(d.seq) {
			d.seq = seq
		}
	}
}

// Forget ends the streams that were opened here and have left, with err, as if
// they had never been: the peer counts its streams and credit from zero. Those
// that have not left go on.
func (m *Mux) Forget(err error) {
	m.mu.Lock()
	for id, s := range m.streams {
		if !s.local {
			continue
		}
		s.settled = true // nothing of it leaves any more
		s.stopReading(frame.CodeCancelled, err)
		s.abort(frame.CodeCancelled, err)
		s.recv.err, s.send.err = err, err
		m.unschedule(s)
		m.endDeliveries(s, err)
		delete(m.streams, id)
		m.reserved--
	}
	gone := func(s *Stream) bool { return s.local && s.settled }
	m.urgent = slices.DeleteFunc(m.urgent, gone)
	m.quiet = slices.DeleteFunc(m.quiet, gone)
	m.numbered, m.sent = 0, 0
	m.feedStarved()
	m.releaseOpeners()
	m.checkDrained()
	m.unlockAndWake()
}
