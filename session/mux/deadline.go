package mux

import "time"

// A deadline of one half of a stream; made when it is first set. Guarded by the
// Mux's lock.
type deadline struct {
	at     time.Time
	timer  *time.Timer
	passed bool
}

func (d *deadline) expired() bool { return d != nil && d.passed }

// setDeadline sets *d, making it if need be. Its passing calls wake for s.
func (s *Stream) setDeadline(d **deadline, at time.Time, wake func(*Stream)) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if *d == nil {
		if at.IsZero() {
			return
		}
		*d = &deadline{}
	}
	(*d).set(s, at, wake)
}

func (d *deadline) set(s *Stream, at time.Time, wake func(*Stream)) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.passed = at, false
	if at.IsZero() {
		return
	}
	switch left := time.Until(at); {
	case left <= 0:
		d.passed = true
		wake(s)
	case d.timer == nil:
		d.timer = time.AfterFunc(left, func() {
			s.m.mu.Lock()
			defer s.m.mu.Unlock()
			// It may have been moved while the timer was firing.
			if !d.at.IsZero() && !d.passed {
				d.set(s, d.at, wake)
			}
		})
	default:
		d.timer.Reset(left)
	}
}

// stop lets the timer go.
func (d *deadline) stop() {
	if d != nil && d.timer != nil {
		d.timer.Stop()
	}
}
