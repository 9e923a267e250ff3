package link

import "time"

// Beside bulk, a small message waits for bytes of bulk that went before it, for
// the goroutine that is to read it, and for a processor. While streams that are
// asked and answered travel beside bulk, the writer of bulk therefore forms
// smaller batches, which end with the record that holds a small message, takes
// the answers itself (see poll), and yields its processor now and then.
const (
	sparseTime   = 3 * time.Millisecond // after a small message
	sparseBatch  = 48 << 10
	sparseRecord = 16 << 10

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

// besideSparse reports whether a small message left of late.
func (o *output) besideSparse(now instant) bool {
	return o.sparseAt != 0 && now-o.sparseAt < sparseTime
}

// makeWay is called by the writer behind each batch.
func (l *Link) makeWay() {
	o := &l.out
	if o.last < minBatch || o.sparseAt == 0 {
		return
	}
	now := l.now()
	if !o.besideSparse(now) {
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
