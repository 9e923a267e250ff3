package mux

import (
	"sync"
	"time"
)

// A deadline of one half of a stream; made when it is first set. Guarded by the
// Mux's lock.
type deadline struct {
	at     time.Time
	timer  *time.Timer
	passed bool
}

func (d *deadline) expired() bool { return d != nil && d.passed }

// setDeadline sets *d, making it if need be. Its passing wakes who waits on c.
func setDeadline(d **deadline, c *sync.Cond, at time.Time) {
	c.L.Lock()
	defer c.L.Unlock()
	if *d == nil {
		if at.IsZero() {
			return
		}
		*d = &deadline{}
	}
	(*d).set(c, at)
}

func (d *deadline) set(c *sync.Cond, at time.Time) {
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
		c.Broadcast()
	case d.timer == nil:
		d.timer = time.AfterFunc(left, func() {
			c.L.Lock()
			defer c.L.Unlock()
			// It may have been moved while the timer was firing.
			if !d.at.IsZero() && !d.passed {
				d.set(c, d.at)
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
