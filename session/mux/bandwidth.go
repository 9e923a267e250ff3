package mux

import "time"

const (
	burstTime = 50 * time.Millisecond // of the rate, that may leave at once
	leastRoom = 1400                  // bytes in a bucket at least
	pieceTime = burstTime / 5         // of the rate, that is worth a frame
)

// A bucket limits a rate: it fills with time, and what leaves empties it. The
// zero value and nil limit nothing.
type bucket struct {
	rate   float64 // bytes a second; 0: no limit
	tokens float64 // bytes that may leave
	at     time.Duration
}

func (b *bucket) limits() bool { return b != nil && b.rate > 0 }

// room is how much the bucket holds.
func (b *bucket) room() float64 { return max(b.rate*burstTime.Seconds(), leastRoom) }

// set changes the rate. A bucket that begins to limit is full.
func (b *bucket) set(rate int64, now time.Duration) {
	if b.limits() {
		b.fill(now)
	} else {
		b.tokens, b.at = leastRoom, now
	}
	b.rate = float64(max(rate, 0))
	b.tokens = min(b.tokens, b.room())
}

func (b *bucket) fill(now time.Duration) {
	b.tokens = min(b.room(), b.tokens+b.rate*(now-b.at).Seconds())
	b.at = now
}

// missing is how long it takes until a frame of n bytes, or as much of them as
// is worth one, may leave; 0: it may now.
func (b *bucket) missing(n int, now time.Duration) time.Duration {
	if !b.limits() {
		return 0
	}
	b.fill(now)
	piece := max(b.rate*pieceTime.Seconds(), minPiece)
	lack := min(float64(n), piece) - b.tokens
	if lack <= 0 {
		return 0
	}
	return max(time.Duration(lack/b.rate*float64(time.Second)), time.Millisecond)
}

// most is how many of n bytes may leave.
func (b *bucket) most(n int) int {
	if !b.limits() {
		return n
	}
	return int(min(float64(n), max(b.tokens, 0)))
}

func (b *bucket) take(n int) {
	if b.limits() {
		b.tokens -= float64(n)
	}
}

// SetBandwidth limits what leaves on the stream from now on to bytesPerSecond
// bytes of data a second, in bursts of up to 50 ms; 0 or less: no limit. Other
// streams go on meanwhile. It is kept within 10 % if nothing else is slower.
func (s *Stream) SetBandwidth(bytesPerSecond int64) {
	m := s.m
	m.mu.Lock()
	m.unschedule(s)
	s.limit(bytesPerSecond)
	m.schedule(s)
	m.unlockAndWake()
}

// limit sets the rate of s.
func (s *Stream) limit(bytesPerSecond int64) {
	b := &s.send.bucket
	if *b == nil {
		if bytesPerSecond <= 0 {
			return
		}
		*b = &bucket{}
	}
	(*b).set(bytesPerSecond, s.m.now())
}

// SetBandwidth limits the data of all streams together, as [Stream.SetBandwidth]
// does of one. Who may send next is a matter of priorities.
func (m *Mux) SetBandwidth(bytesPerSecond int64) {
	m.mu.Lock()
	m.bucket.set(bytesPerSecond, m.now())
	m.held = false // AppendFrames looks again
	m.unlockAndWake()
}

// missing is how long the data of s has to wait for its bucket.
func (m *Mux) missing(s *Stream) time.Duration {
	b := s.send.bucket
	if !b.limits() {
		return 0
	}
	return b.missing(s.send.pending(), m.now())
}

// hold reports whether all data has to wait for the channel's bucket; s would be
// the next one.
func (m *Mux) hold(s *Stream) bool {
	if !m.bucket.limits() {
		return false
	}
	d := m.bucket.missing(max(1, s.send.pending()), m.now())
	if m.held = d > 0; m.held {
		m.refillIn(d)
	}
	return m.held
}

// pause lets s wait for its bucket.
func (m *Mux) pause(s *Stream, d time.Duration) {
	m.paused.push(s)
	m.refillIn(d)
}

// refillIn lets refill run in d at the latest.
func (m *Mux) refillIn(d time.Duration) {
	at := m.now() + d
	switch {
	case m.err != nil || m.refillAt > 0 && m.refillAt <= at:
		return
	case m.refillTimer == nil:
		m.refillTimer = time.AfterFunc(d, m.refill)
	default:
		m.refillTimer.Reset(d)
	}
	m.refillAt = at
}

// refill lets those go on whose buckets have filled.
func (m *Mux) refill() {
	m.mu.Lock()
	m.refillAt, m.held = 0, false
	for s := m.paused.head; s != nil; {
		next := s.next
		if d := m.missing(s); d > 0 {
			m.refillIn(d)
		} else {
			m.schedule(s)
		}
		s = next
	}
	m.unlockAndWake()
}
