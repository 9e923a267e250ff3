package link

import (
	"errors"
	"runtime"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/transport"
)

// errNothing means that nothing more has arrived. The reading that it ends can go on.
var errNothing = errors.New("nothing has arrived")

// A pollable connection can be read without blocking.
type pollable interface {
	transport.Conn
	transport.TryReader
	transport.WaitReader
}

// arrived reads what has arrived at a connection.
type arrived struct {
	conn    pollable
	drained bool // the last read took all there was
}

func (a *arrived) Read(p []byte) (int, error) {
	if a.drained {
		return 0, errNothing
	}
	n, err := a.conn.TryRead(p)
	a.drained = n < len(p)
	if n == 0 && err == nil {
		err = errNothing
	}
	return n, err
}

// shareReading lets others poll from now on, if the connection can be read
// without blocking. Called by the reading goroutine between records.
func (l *Link) shareReading(r *framing.Reader) {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	c, ok := conn.(pollable)
	if !ok {
		return
	}
	l.in.arrived = &arrived{conn: c}
	l.in.reader = r
	r.SetSource(l.in.arrived)
	l.duty.Store(newDuty())
	l.cfg.Streams.Share(l)
}

// awaitMore waits until something has arrived. Others may poll meanwhile.
func (l *Link) awaitMore() error {
	in := &l.in
	in.mu.Unlock()
	err := in.arrived.conn.WaitRead()
	in.mu.Lock()
	in.arrived.drained = false
	if l.backFromRecall(l.duty.Load(), err) {
		err = nil
	}
	if in.failed != nil {
		err = in.failed
	}
	return err
}

// poll handles the records that have arrived, if nobody does. The writer of
// bulk calls it between batches while small messages travel beside them: an
// answer need not wait until the reading goroutine's thread has a processor.
func (l *Link) poll() {
	if !l.in.mu.TryLock() {
		return
	}
	served := l.pollFor(l.duty.Load())
	l.in.mu.Unlock()
	if served {
		l.RecallLeader()
		runtime.Gosched() // it runs at once
	}
}

// pollFor polls until nothing more has arrived, or until the leader is served,
// which it reports. Called with input.mu held.
func (l *Link) pollFor(d *duty) bool {
	in := &l.in
	if in.reader == nil || in.failed != nil {
		return false
	}
	in.arrived.drained = false
	for {
		switch err := l.readRecord(in.reader); {
		case err == errNothing:
			return false
		case err != nil:
			in.failed = err
			_ = in.arrived.conn.SetReadDeadline(time.Unix(1, 0)) // wakes who reads
			l.Attend()
			return false
		}
		if d.leader != nil {
			if served, _, _ := d.leader.Served(); served {
				return true
			}
		}
	}
}
