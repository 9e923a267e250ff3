package classic

import (
	"sync"
	"time"
)

// maxClockStep is how far a message that answers nothing may move the clock.
const maxClockStep = time.Minute

// Clock estimates the remote's clock (spec 09 section 6): the issuer of our tokens
// is who decides whether they are expired. The zero value knows nothing; it may
// be used concurrently.
//
// It learns from authenticated messages only, and from one that is not the
// answer to an outstanding request, which may be old, little (W-22).
type Clock struct {
	mu     sync.Mutex
	remote time.Time // zero: unknown
	base   time.Time // our own at the same moment, with its monotonic reading
}

// Now is the remote's time when ours is local; zero if it is unknown, which
// the tokens' Renewable and Expired understand.
func (c *Clock) Now(local time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(local)
}

func (c *Clock) now(local time.Time) time.Time {
	if c.remote.IsZero() {
		return time.Time{}
	}
	return c.remote.Add(local.Sub(c.base))
}

// Learn takes the timestamp of an authenticated message, received when our own
// time was local. answers says that it was the answer to an outstanding request.
func (c *Clock) Learn(timestamp, local time.Time, answers bool) {
	if timestamp.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !answers {
		now := c.now(local)
		if now.IsZero() {
			return
		}
		step := timestamp.Sub(now)
		timestamp = now.Add(max(-maxClockStep, min(step, maxClockStep)))
	}
	c.remote, c.base = timestamp, local
}
