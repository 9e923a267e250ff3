package link

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	ackDelay      = 10 * time.Millisecond // an ACK waits this long for company
	pingInterval  = time.Second           // of round-trip samples while sending
	firstPing     = 64 << 10              // bytes that make the first one worth while
	idleInitiator = 25 * time.Second      // without a byte: PING
	idleResponder = 30 * time.Second
	minUnacked    = 5 * time.Second  // PING when an ACK is due this long, or four round trips
	probeTime     = 10 * time.Second // nothing this long after that: lost
	answerTime    = time.Second      // for the last ACK of a CLOSE
	maxSpan       = time.Minute      // of the spans above, when attaching brings no progress

	rateSamples  = 10
	rateInterval = time.Millisecond // the shortest one worth a sample

	minBatch  = 16 << 10
	maxBatch  = 256 << 10
	batchTime = 5 * time.Millisecond
)

// instant is a time since the Link was made, on the monotonic clock.
type instant = time.Duration

func (l *Link) now() instant { return time.Since(l.born) }

// meter measures the connection: the round trip from PING and PONG, the rate
// from acknowledged bytes (channel set-up 4.12.4).
type meter struct {
	roundTrip time.Duration // smoothed; 0: unknown
	least     time.Duration // the shortest of this connection: without what waits in queues

	pingSeq uint64  // the newest PING
	pingAt  instant // when it left
	pingOut bool    // it is not answered

	acked   int64   // bytes, in all
	mark    int64   // acked at markAt, where the sample began
	markAt  instant //
	samples [rateSamples]int64
	sample  int
	rate    int64 // bytes a second, the best of samples; 0: unknown
}

func (m *meter) pong(now instant) {
	m.pingOut = false
	rtt := max(now-m.pingAt, 1)
	if m.roundTrip == 0 {
		m.roundTrip, m.least = rtt, rtt
		return
	}
	m.least = min(m.least, rtt)
	m.roundTrip += (rtt - m.roundTrip) / 8
}

// due says that it is time for a PING. bytes have gone either way.
func (m *meter) due(now instant, bytes int64) bool {
	if m.roundTrip == 0 && bytes >= firstPing {
		return true
	}
	return now-m.pingAt >= pingInterval
}

// begin starts a sample when the first bytes after a pause leave.
func (m *meter) begin(now instant) { m.mark, m.markAt = m.acked, now }

// ack counts acknowledged bytes. While the application gives less than could
// be sent (limited), a sample says nothing unless it is the best one.
func (m *meter) ack(bytes int64, now instant, limited bool) {
	m.acked += bytes
	took := now - m.markAt
	if took < max(m.roundTrip, rateInterval) {
		return
	}
	rate := int64(float64(m.acked-m.mark) / took.Seconds())
	m.begin(now)
	if limited && rate <= m.rate {
		return
	}
	m.samples[m.sample] = rate
	m.sample = (m.sample + 1) % rateSamples
	m.rate = 0
	for _, s := range m.samples {
		m.rate = max(m.rate, s)
	}
}

// restart forgets what was measured: another connection is another path, and
// what was under way on the old one has no time.
func (m *meter) restart(now instant) {
	*m = meter{acked: m.acked}
	m.begin(now)
}

// batch is how many bytes are handed to the connection at once: what it
// carries in 5 ms. Where the kernel can be told how much unsent data it should
// take, this is the value: see [transport.UnsentLimiter].
func (m *meter) batch() int {
	return int(min(max(m.rate/int64(time.Second/batchTime), minBatch), maxBatch))
}

// budget is how many bytes of records with data may be unacknowledged.
func (m *meter) budget(least, most int64) int64 {
	b := 2 * float64(m.rate) * (m.roundTrip + ackDelay).Seconds()
	return min(max(int64(min(b, float64(most))), least), most)
}

// patience is how long an acknowledgement may take.
func (m *meter) patience() time.Duration { return max(minUnacked, 4*m.roundTrip) }

// liveness decides when to ask the peer for a sign of life, and when it is
// lost (channel set-up 4.12.5). One timer runs for it, late rather than reset
// with every record.
type liveness struct {
	span     time.Duration // how long silence is normal
	heard    instant       // when a record came last
	askSince instant       // since when records that ask are unacknowledged
	probing  bool          // a PING was asked for
	probedAt instant
	timer    *time.Timer
	due      instant // when the timer ends; never: it does not run

	asking bool // when the connection was lost, records that ask were unacknowledged
	barren uint // attaches in a row that brought no progress
}

const never = instant(math.MaxInt64)

// attach counts attaches that bring no acknowledgement: on a slow connection
// the same record would else be sent again for ever.
func (v *liveness) attach(barren bool) {
	if barren {
		v.barren = min(v.barren+1, 8)
	} else {
		v.barren = 0
	}
}

// scale makes d as much longer as attaches were in vain.
func (v *liveness) scale(d time.Duration) time.Duration {
	return max(d, min(d<<v.barren, maxSpan))
}

func (v *liveness) init(initiator bool) {
	span := idleResponder
	if initiator {
		span = idleInitiator
	}
	v.span = time.Duration(float64(span) * (0.9 + 0.2*rand.Float64()))
}

// deadline is when silence until then means something.
func (v *liveness) deadline(asking bool, patience time.Duration) instant {
	if v.probing {
		return v.probedAt + v.scale(probeTime)
	}
	d := v.heard + v.scale(v.span)
	if asking {
		d = min(d, max(v.heard, v.askSince)+v.scale(patience))
	}
	return d
}

// watch makes the timer end no later than the deadline. Called with mu held.
func (l *Link) watch(now instant) {
	d := l.live.deadline(l.kept.asking > 0, l.meter.patience())
	if l.live.timer == nil {
		l.live.due = d
		l.live.timer = time.AfterFunc(d-now, l.lookAlive)
	} else if d < l.live.due {
		l.live.due = d
		l.live.timer.Reset(d - now)
	}
}

// lookAlive is called when the liveness timer ends.
func (l *Link) lookAlive() {
	l.mu.Lock()
	now := l.now()
	if l.state != running {
		l.mu.Unlock()
		return // closing has a timer of its own
	}
	d := l.live.deadline(l.kept.asking > 0, l.meter.patience())
	if now < d {
		l.live.due = d
		l.live.timer.Reset(d - now)
		l.mu.Unlock()
		return
	}
	if l.live.probing {
		l.mu.Unlock()
		l.broke(&LostError{ErrSilent})
		return
	}
	l.live.probing, l.live.probedAt = true, now
	l.live.due = l.live.deadline(false, 0)
	l.live.timer.Reset(l.live.due - now)
	l.pingWanted = true
	l.mu.Unlock()
	l.Wake()
}

// ackTimeout is called when the ACK timer ends. The timer is left running when
// an ACK goes out with another record, and set again here if need be.
func (l *Link) ackTimeout() {
	l.mu.Lock()
	l.acks.armed = false
	wake := false
	if l.acks.asked && l.state.connected() {
		if left := l.acks.askedAt + ackDelay - l.now(); left > 0 {
			l.acks.arm(l, left)
		} else {
			l.acks.due, wake = true, true
		}
	}
	l.mu.Unlock()
	if wake {
		l.Wake()
	}
}

// acks is what the peer is owed.
type acks struct {
	received uint64 // records handled
	sent     uint64 // the newest ACK in a record
	record   uint64 // the number of that record
	bytes    int64  // received since that ACK
	asked    bool   // one of the records since asks
	askedAt  instant
	due      bool // an ACK goes out now, alone if need be
	armed    bool
	timer    *time.Timer
}

func (a *acks) arm(l *Link, d time.Duration) {
	a.armed = true
	if a.timer == nil {
		a.timer = time.AfterFunc(d, l.ackTimeout)
	} else {
		a.timer.Reset(d)
	}
}
