package link

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// One goroutine at a time reads the connection: the Link's own, or a reader of a
// stream, which leads, as it has to wait anyway. Bytes then reach who waits for
// them without another goroutine between, whose waking wakes a thread. A leader
// that has what it wanted leaves, and nobody reads until it comes back or another
// reader comes: soon, or the own goroutine takes over.
const (
	maxAbsence   = time.Millisecond       // of all readers; then the own goroutine reads
	longAbsence  = 500 * time.Microsecond // counts as late
	mostLate     = 8                      // more than one in so many, and nobody leads for a while:
	firstPenalty = 50 * time.Millisecond  // twice as long each time
	maxPenalty   = 5 * time.Second
)

// A Leader is a reader of a stream that may read the connection.
type Leader = interface {
	// Served says whether the reader need not wait any more; hurry, that it
	// should not wait for the rest of the batch, and alone, that no other reader
	// waits.
	Served() (served, hurry, alone bool)
}

// A Carrier is a writer to a stream that may write to the connection.
type Carrier = interface {
	// Waits says whether the writer may wait, and whether it has to, as bytes of
	// its own are not in a record.
	Waits() (may, must bool)
}

// A Connection is what readers and writers of streams can do at the connection
// themselves, instead of waiting for a goroutine that does.
type Connection = interface {
	// Vacant reports whether nobody reads the connection. It is cheap.
	Vacant() bool
	// Lead reads the connection and handles what comes until the leader is
	// served or the connection ends. It returns at once if somebody else reads.
	Lead(Leader)
	// RecallLeader makes Lead ask again whether the leader is served.
	RecallLeader()
	// Attend sees to it that somebody reads the connection: somebody waits who
	// does not lead. It is cheap.
	Attend()
	// Carry is [Link.Wake] for a writer that can wait until the connection has
	// taken what it is given.
	Carry(Carrier)
	// RecallCarrier makes Carry ask again whether the carrier may wait.
	RecallCarrier()
}

// Who reads.
const (
	own    int32 = iota // the Link's goroutine
	led                 // a reader of a stream
	vacant              // nobody, for a moment
)

// A duty is how the reading and writing of one connection is shared.
type duty struct {
	holder atomic.Int32  // own, led or vacant
	summon chan struct{} // tells the own goroutine that it holds the duty

	since   atomic.Int64 // instant when it became vacant
	watched atomic.Bool  // the timer runs, so that it is not vacant for long
	timer   *time.Timer  // made and set by who has set watched

	// Guarded by input.mu.
	leader   Leader // nil: nobody leads
	late     int    // mostLate for each late one, less one for each other
	penalty  time.Duration
	barredTo instant // nobody leads before

	// Guarded by Link.mu.
	readBy          time.Time // the connection's read deadline
	leaderRecalled  bool
	carrying        bool // a carrier waits, or is about to
	carrierRecalled bool
}

func newDuty() *duty { return &duty{summon: make(chan struct{}, 1)} }

// stepDown leaves reading to the reader of a stream, if one was just served: it
// waits again, or will soon. The own goroutine waits here until it is needed. Called
// by it with input.mu held, when all that has arrived is handled.
func (l *Link) stepDown(d *duty) bool {
	in := &l.in
	now := l.now()
	if !in.served || now < d.barredTo {
		return false
	}
	l.vacate(d, now)
	// It may have come back before it could see that.
	l.cfg.Streams.Appoint()
	in.mu.Unlock()
	<-d.summon
	in.mu.Lock()
	if now = l.now(); d.absent(now) >= maxAbsence {
		d.note(now, false)
	}
	in.arrived.drained = false
	return true
}

// vacate leaves the duty to whoever takes it.
func (l *Link) vacate(d *duty, now instant) {
	d.since.Store(int64(now))
	d.holder.Store(vacant)
	l.watchDuty(d, maxAbsence)
}

// absent is for how long nobody has read when the duty is vacant.
func (d *duty) absent(now instant) time.Duration { return now - instant(d.since.Load()) }

// watchDuty sets the timer, if it does not run.
func (l *Link) watchDuty(d *duty, after time.Duration) {
	switch {
	case !d.watched.CompareAndSwap(false, true):
	case d.timer == nil:
		// It must not end before it is known.
		d.timer = time.AfterFunc(time.Hour, func() { l.lookAtDuty(d) })
		fallthrough
	default:
		d.timer.Reset(after)
	}
}

// lookAtDuty is called when the timer ends.
func (l *Link) lookAtDuty(d *duty) {
	d.watched.Store(false)
	if d.holder.Load() != vacant {
		return
	}
	if left := maxAbsence - d.absent(l.now()); left > 0 {
		l.watchDuty(d, left)
		return
	}
	d.takeOver()
}

// takeOver gives the duty to the own goroutine if it is vacant.
func (d *duty) takeOver() {
	if d.holder.CompareAndSwap(vacant, own) {
		d.summon <- struct{}{}
	}
}

// note counts how readers keep time. If they are late too often, nobody leads
// for a while.
func (d *duty) note(now instant, inTime bool) {
	if inTime {
		d.late = max(d.late-1, 0)
		return
	}
	if d.late += mostLate; d.late < mostLate*mostLate {
		return
	}
	d.late = 0
	if now-d.barredTo > mostLate*d.penalty {
		d.penalty = firstPenalty
	} else {
		d.penalty = min(2*d.penalty, maxPenalty)
	}
	d.barredTo = now + d.penalty
}

// Vacant implements [Connection].
func (l *Link) Vacant() bool {
	d := l.duty.Load()
	return d != nil && d.holder.Load() == vacant
}

// Attend implements [Connection].
func (l *Link) Attend() {
	if d := l.duty.Load(); d != nil {
		d.takeOver()
	}
}

// Lead implements [Connection].
func (l *Link) Lead(w Leader) {
	d := l.duty.Load()
	if d == nil || !d.holder.CompareAndSwap(vacant, led) {
		return
	}
	in := &l.in
	in.mu.Lock() // which a poller may hold
	now := l.now()
	d.note(now, d.absent(now) < longAbsence)
	d.leader = w
	alone := l.readFor(w)
	d.leader = nil
	more := in.reader.HasRecord()
	if more {
		l.cfg.Streams.BatchEnd() // for the readers of what was handled
	}
	l.mu.Lock()
	ended := l.state.ended()
	l.mu.Unlock()
	if now = l.now(); in.failed != nil || ended || more && !alone || now < d.barredTo {
		d.holder.Store(own)
		d.summon <- struct{}{}
	} else {
		l.vacate(d, now)
	}
	in.mu.Unlock()
}

// readFor reads until the leader is served or the connection fails. It reports
// whether no other reader waits.
func (l *Link) readFor(w Leader) bool {
	in := &l.in
	for {
		served, hurry, alone := w.Served()
		if in.failed != nil || served && (alone || hurry || !in.reader.HasRecord()) {
			return alone
		}
		err := l.readRecord(in.reader)
		if err == errNothing {
			err = l.awaitMore()
		}
		if err != nil {
			in.failed = err
		}
	}
}

// RecallLeader implements [Connection].
func (l *Link) RecallLeader() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.duty.Load(); d != nil && l.conn != nil && d.holder.Load() == led {
		d.leaderRecalled = true
		_ = l.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// backFromRecall reports whether err of waiting to read says only that a leader
// was recalled.
func (l *Link) backFromRecall(d *duty, err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !d.leaderRecalled || l.conn == nil {
		return false
	}
	d.leaderRecalled = false
	_ = l.conn.SetReadDeadline(d.readBy)
	return true
}

var _ Connection = (*Link)(nil)
