package mux

import (
	"math/bits"

	"github.com/mslgo/msl/session/frame"
)

const (
	quantum  = 16 << 10 // bytes of one turn
	minPiece = 256      // a smaller part of what waits is not worth a frame
	sparse   = 4 << 10  // who begins to wait with no more goes before bulk
)

// A list of streams, linked through the streams: one is in at most one list.
type list struct{ head, tail *Stream }

func (l *list) insertBefore(s, at *Stream) {
	s.in, s.next = l, at
	if at == nil {
		s.prev, l.tail = l.tail, s
	} else {
		s.prev, at.prev = at.prev, s
	}
	if s.prev == nil {
		l.head = s
	} else {
		s.prev.next = s
	}
}

func (l *list) push(s *Stream) { l.insertBefore(s, nil) }

// pushOrdered puts s behind those that were opened before it.
func (l *list) pushOrdered(s *Stream) {
	at := (*Stream)(nil)
	for t := l.tail; t != nil && s.before(t); t = t.prev {
		at = t
	}
	l.insertBefore(s, at)
}

func (l *list) remove(s *Stream) {
	if s.prev == nil {
		l.head = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.tail = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.in, s.next, s.prev = nil, nil, nil
}

// A level holds the streams of one urgency that can send now.
type level struct {
	fresh    list // sparse ones, which go first, but not for more than every other quantum
	ring     list // incremental ones (RFC 9218), round robin
	sequence list // the others, one after the other in the order of opening

	spent   int  // bytes of fresh ones since another had its turn
	flipped bool // it is the sequence's turn
}

func (l *level) empty() bool {
	return l.fresh.head == nil && l.ring.head == nil && l.sequence.head == nil
}

// pick returns whose turn it is, and whether it is the only one.
func (l *level) pick() (s *Stream, alone bool) {
	ring, sequence := l.ring.head, l.sequence.head
	bulk := ring
	if sequence != nil && (ring == nil || l.flipped) {
		bulk = sequence
	}
	s = l.fresh.head
	if s == nil || bulk != nil && l.spent >= quantum {
		s = bulk
	}
	alone = s.next == nil && s.prev == nil && (l.fresh.head == nil || s.in == &l.fresh) &&
		(ring == nil || s.in == &l.ring) && (sequence == nil || s.in == &l.sequence)
	return s, alone
}

// A scheduler says which stream fills the next frame: by urgency, and inside one
// by turns of 16 KiB.
type scheduler struct {
	levels [frame.MaxUrgency + 1]*level // nil: not used yet
	busy   uint8                        // a bit for each level that is not empty
}

func (q *scheduler) any() bool { return q.busy != 0 }

// add puts s into its level.
func (q *scheduler) add(s *Stream) {
	l := q.levels[s.priority.Urgency]
	if l == nil {
		l = new(level)
		q.levels[s.priority.Urgency] = l
	}
	q.busy |= 1 << s.priority.Urgency
	s.send.turn = quantum
	switch {
	case s.send.pending() <= sparse:
		l.fresh.push(s)
	case s.priority.Incremental:
		l.ring.push(s)
	default:
		l.sequence.pushOrdered(s)
	}
}

// remove takes s out of its level.
func (q *scheduler) remove(s *Stream) {
	s.in.remove(s)
	if q.levels[s.priority.Urgency].empty() {
		q.busy &^= 1 << s.priority.Urgency
	}
}

// next returns whose turn it is and how many bytes of data it may send at most.
func (q *scheduler) next() (s *Stream, most int) {
	s, alone := q.levels[bits.TrailingZeros8(q.busy)].pick()
	if alone {
		return s, 1 << 30
	}
	return s, int(s.send.turn)
}

// only reports whether s, which can send, is the only one that can.
func (q *scheduler) only(s *Stream) bool {
	if q.busy != 1<<s.priority.Urgency {
		return false
	}
	_, alone := q.levels[s.priority.Urgency].pick()
	return alone
}

// served counts n bytes that s sent. If more waits, its turn ends when its
// quantum does.
func (q *scheduler) served(s *Stream, n int, more bool) {
	l := q.levels[s.priority.Urgency]
	s.send.turn -= int32(n)
	if s.in == &l.fresh {
		l.spent += n
	} else if s.send.turn < minPiece || !more {
		l.spent = 0
		l.flipped = s.in == &l.ring
	}
	switch {
	case !more:
		q.remove(s)
	case s.in == &l.fresh || s.send.turn < minPiece:
		s.send.turn = quantum
		s.in.remove(s)
		if s.priority.Incremental {
			l.ring.push(s)
		} else {
			l.sequence.pushOrdered(s)
		}
	}
}
