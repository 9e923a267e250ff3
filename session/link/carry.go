package link

import (
	"errors"
	"os"
	"time"
)

// Carry implements [Connection].
func (l *Link) Carry(w Carrier) {
	if l.duty.Load() == nil {
		w = nil // it could not be recalled
	}
	l.wake(callerBatches, w)
}

// carry waits until the connection has taken what is pending, or returns when w
// may not wait any more.
func (l *Link) carry(w Carrier) error {
	o := &l.out
	d := l.duty.Load()
	if d == nil {
		return nil
	}
	l.Attend() // it may be the peer's reading that this waits for
	for len(o.pending) > 0 {
		l.mu.Lock()
		d.carrying = true
		l.mu.Unlock()
		var n int
		var err error
		may, _ := w.Waits() // asked when RecallCarrier works
		if may {
			n, err = o.conn.Write(o.pending)
			o.pending = o.pending[n:]
		}
		if l.carrierBack(d) && errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		if err != nil || !may {
			return err
		}
	}
	return nil
}

// carrierBack ends what RecallCarrier may have begun, and reports whether it had.
func (l *Link) carrierBack(d *duty) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.carrying = false
	if !d.carrierRecalled {
		return false
	}
	d.carrierRecalled = false
	if l.conn != nil {
		_ = l.conn.SetWriteDeadline(time.Time{})
	}
	return true
}

// RecallCarrier implements [Connection].
func (l *Link) RecallCarrier() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.duty.Load(); d != nil && d.carrying && l.conn != nil {
		d.carrierRecalled = true
		_ = l.conn.SetWriteDeadline(time.Unix(1, 0))
	}
}
