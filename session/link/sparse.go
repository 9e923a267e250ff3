package link

import "time"

// Beside bulk, a small message waits for bytes of bulk that went before it, for
// the goroutine that is to read it, and for a processor. While streams that are
// asked and answered travel beside bulk, a batch of the writer therefore ends
// with the record that holds a small message, and behind it the writer takes the
// answers itself (see poll) and yields its processor now and then.
const (
	bulkBatch  = 8 << 10              // bytes
	sparseTime = 3 * time.Millisecond // after a small message

	yieldInterval = 150 * time.Microsecond
	// Beside busy processes of others a yield costs a whole turn.
	yieldLimit = 1500 * time.Microsecond // one that took longer is the last
	yieldPause = 50 * time.Millisecond   // for so long
)

// noteSparse is called by the writer when it has formed a record. It reports
// whether small messages are in it.
func (l *Link) noteSparse(now instant) bool {
	o := &l.out
	n := l.cfg.Streams.Sparse()
	if n == o.sparseSeen {
		return false
	}
	o.sparseSeen, o.sparseAt = n, max(now, 1)
	return true
}

// makeWay is called by the writer behind each batch.
func (l *Link) makeWay() {
	o := &l.out
	if o.last < bulkBatch || o.sparseAt == 0 {
		return
	}
	now := l.now()
	if now-o.sparseAt >= sparseTime {
		return
	}
	l.poll()
	if now < o.yieldAt {
		return
	}
	yieldProcessor()
	after := l.now()
	o.yieldAt = after + yieldInterval
	if after-now > yieldLimit {
		o.yieldAt = after + yieldPause
	}
}
