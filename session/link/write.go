package link

import (
	"encoding/binary"
	"runtime"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

const (
	callerBatches = 4                      // that a caller of Wake writes, for others too
	smallBatch    = 4 << 10                // batches below it are worth waiting for more,
	streamingTime = 200 * time.Microsecond // when one follows the other so soon

	recordAfterIdle = 1400 // plaintext of the first record after a pause: about one MTU
	idleTime        = time.Second

	smallestBuffer   = 4 << 10 // each step is four times as large
	largestBuffer    = 256 << 10
	sparseBuffers    = 8        // in a row make the next ones smaller
	roomAlwaysEnough = 16 << 10 // in a record: longer frames are made to fit it
)

// output is what the writer works with: the holder of writeMu.
type output struct {
	conn   transport.Conn
	try    transport.TryWriter // conn, if it is one
	unsent transport.UnsentLimiter
	low    int    // what it was told last; 0: nothing
	failed bool   // a write did: nothing more is formed
	header []byte // to be sent before the first record

	buf     *framing.Buffer // where records are formed, one behind the other; nil while there are none
	end     int             // of what is used of it
	pending []byte          // sealed and not yet written; lies in buf
	size    int             // of the next buffer
	sparse  int             // buffers in a row that were hardly used
	last    int             // bytes of the last batch with data
	lastAt  instant
	data    bool // in the batch being formed

	sparseSeen uint64  // the count of small messages at the last look
	sparseAt   instant // when there was a new one; 0: never
	yieldAt    instant // when the processor is yielded again at the earliest

	woken chan<- struct{} // told of Wake while there is no connection, see SendAhead; nil: nobody is

	resend, resendEnd uint64          // numbers of kept records to be sent again; none if equal
	lent              *framing.Buffer // what pending lies in, if it is sent again

	generation struct{ records, bytes int64 } // under the present key
	switchTo   []byte                         // secret for what follows the record being formed
}

// Wake makes the caller the writer if nobody writes: it forms, seals and writes
// what waits, as far as that goes without blocking. What does not go at once is
// left to a goroutine that ends when nothing waits. If somebody writes, that
// one takes up what waits now.
func (l *Link) Wake() { l.wake(callerBatches, nil) }

func (l *Link) wake(batches int, w Carrier) {
	l.wanted.Store(true)
	for l.wanted.Load() && l.writeMu.TryLock() {
		if l.leaveToFlusher(w) || !l.send(batches, w) {
			go l.flush() // holds writeMu from now on
			return
		}
		l.writeMu.Unlock()
	}
}

// leaveToFlusher reports whether the caller had better not write: the
// connection might block it, or it gives small pieces one after the other and
// waits for no answer, so that a moment later there will be more of them.
func (l *Link) leaveToFlusher(w Carrier) bool {
	o := &l.out
	if o.try == nil {
		return o.conn != nil
	}
	if w != nil || o.last >= smallBatch || o.last == 0 || l.prompt.Load() {
		return false
	}
	return l.now()-o.lastAt < streamingTime
}

// flusher writes until nothing waits. It may block.
func (l *Link) flusher() {
	for {
		l.send(0, nil)
		// Who gives small pieces gets a chance to give some more.
		if runtime.Gosched(); l.wanted.Load() {
			continue
		}
		l.writeMu.Unlock()
		if !l.wanted.Load() || !l.writeMu.TryLock() {
			return
		}
	}
}

// send writes what is pending and what waits. With batches > 0 it blocks only
// while w, if there is one, may wait, and returns false when there is more than it
// should write.
func (l *Link) send(batches int, w Carrier) bool {
	o := &l.out
	for n := 0; ; n++ {
		if len(o.pending) == 0 {
			l.wanted.Store(false)
			if !l.formBatch() {
				return true
			}
		}
		if batches > 0 && n >= batches && !mustGoOn(w) {
			return false
		}
		if err := l.give(batches == 0, w); err != nil {
			l.writeFailed(err)
			return true
		}
		if len(o.pending) > 0 {
			return false
		}
		o.pending = nil
		o.giveBack()
		l.mu.Lock()
		l.written = l.kept.next()
		if o.resend < o.resendEnd {
			l.written = o.resend
		}
		ending := l.state == answering
		if ending && l.closeAt > 0 && !l.closeSent {
			l.closeSent = true
			l.expireAfter(max(answerTime, 4*l.meter.roundTrip))
		}
		l.mu.Unlock()
		if ending {
			l.finish()
		}
		l.makeWay()
	}
}

// give gives what is pending to the connection: what it takes at once, and all if
// the caller can wait.
func (l *Link) give(patient bool, w Carrier) error {
	o := &l.out
	var n int
	var err error
	if o.try != nil {
		n, err = o.try.TryWrite(o.pending)
	} else {
		n, err = o.conn.Write(o.pending)
	}
	o.pending = o.pending[n:]
	l.cfg.Streams.BatchSent()
	switch {
	case err != nil || len(o.pending) == 0:
	case patient:
		n, err = o.conn.Write(o.pending)
		o.pending = o.pending[n:]
	case w != nil:
		err = l.carry(w)
	}
	return err
}

func mustGoOn(w Carrier) bool {
	if w == nil {
		return false
	}
	_, must := w.Waits()
	return must
}

// writeFailed ends the connection, but what has arrived is read before: it may
// be the peer's CLOSE.
func (l *Link) writeFailed(err error) {
	l.out.pending, l.out.failed = nil, true
	l.mu.Lock()
	l.writeErr = err
	by := time.Now().Add(answerTime)
	if d := l.duty.Load(); d != nil {
		d.readBy = by
	}
	_ = l.out.conn.SetReadDeadline(by)
	l.mu.Unlock()
	l.Attend()
}

// formBatch forms and seals the next batch. It reports whether there is one.
func (l *Link) formBatch() bool {
	o := &l.out
	l.mu.Lock()
	dead := !l.state.connected()
	limit := l.meter.batch()
	now := l.now()
	known := l.meter.rate > 0
	unused := l.kept.count == 0 && o.header == nil
	quiet := l.kept.asking == 0 && o.header == nil
	l.mu.Unlock()
	if dead || o.failed {
		select {
		case o.woken <- struct{}{}:
		default:
		}
		return false
	}
	if known {
		o.boundUnsent(limit)
	}
	if unused {
		o.rewind()
		if o.buf != nil && len(o.buf.B) > smallestBuffer && l.waiting() < frame.Data {
			o.release() // small records shall not hold a large buffer
		}
	}
	if o.header != nil {
		o.take(len(o.header) + smallestBuffer)
		o.end = copy(o.buf.B, o.header)
		o.pending = o.buf.B[:o.end:o.end]
		o.header = nil
	}
	if l.formResend(limit) {
		return true
	}
	for l.formRecord(limit-len(o.pending), now) {
		if l.noteSparse(now) || limit-len(o.pending) < smallestBuffer {
			break
		}
	}
	if len(o.pending) == 0 {
		if quiet {
			l.rest()
		}
		return false
	}
	if o.data {
		o.last, o.lastAt, o.data = len(o.pending), now, false
		l.prompt.Store(false)
	}
	return true
}

// rest gives up the buffer when all that is kept is small and nothing is awaited.
func (l *Link) rest() {
	l.mu.Lock()
	settled := l.kept.settle()
	l.mu.Unlock()
	if settled {
		l.out.release()
	}
}

// boundUnsent lets the kernel take no more than about a batch that it cannot send:
// the frames of the next one are chosen late. It is told when that changes by
// a factor of two.
func (o *output) boundUnsent(batch int) {
	if o.unsent == nil || batch < 2*o.low && batch > o.low/2 {
		return
	}
	o.low = batch
	_ = o.unsent.SetUnsentLowWater(batch) // without it, more waits in the kernel
}

// waiting is what the sources wait to send.
func (l *Link) waiting() frame.Class {
	return max(l.cfg.Control.Waiting(), l.cfg.Streams.Waiting())
}

// plan is what the next record shall hold.
type plan struct {
	ack, due         bool
	ackTo            uint64
	pong             bool
	pongData         [8]byte
	ping             bool
	keyUpdate, close bool
	code             frame.Code
	reason           string
	most             frame.Class // of the sources' frames
	first            bool        // after idle
	seq              uint64
}

// plan decides what may be formed now (channel set-up 4.12.1).
func (l *Link) plan(now instant, waiting frame.Class) (p plan, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.seq = l.kept.next()
	p.ackTo = l.acks.received
	p.ack = p.ackTo > l.acks.sent
	p.due = l.acks.due && p.ack
	switch l.state {
	case closing, parting, answering:
		if l.closeAt == 0 {
			p.close, p.code, p.reason = true, l.closeCode, l.closeText
			return p, true
		}
		return p, p.due
	case running, lost:
	default:
		return p, false
	}
	ahead := l.state == lost // see formAhead
	dataOK := l.kept.data < l.budget()
	othersOK := l.kept.others < othersBudget && (!ahead || l.kept.others <= othersPing)
	l.limited = waiting < frame.Data
	switch {
	case waiting == frame.Data && dataOK:
		p.most = frame.Data
	case waiting > frame.None && othersOK:
		p.most = frame.Control
	case p.due && othersOK:
		p.most = frame.Quiet // credit that waits for company
	}
	p.keyUpdate = l.out.generation.records >= l.cfg.UpdateRecords-1 || l.out.generation.bytes >= l.cfg.UpdateBytes-maxBatch
	if p.keyUpdate && (p.most > frame.None || p.due) {
		return p, true
	}
	p.keyUpdate = false
	p.first = now-l.sentAt >= idleTime && l.bytesOut > 0 // not the one with AUTH
	if ahead {
		return p, p.most > frame.None
	}
	if othersOK || p.most == frame.Data {
		p.pong, p.pongData = l.pongWanted, l.pong
		p.ping = l.pingWanted
	}
	if !p.due && !p.pong && !p.ping && p.most == frame.None {
		return p, false
	}
	if !l.meter.pingOut {
		p.ping = p.ping || l.kept.others > othersPing || p.most > frame.None && l.meter.due(now, l.bytesIn+l.bytesOut)
	}
	return p, true
}

// formRecord forms and seals one record of at most limit bytes, if limit
// leaves room for one, and adds it to what is pending.
func (l *Link) formRecord(limit int, now instant) bool {
	o := &l.out
	waiting := l.waiting()
	p, ok := l.plan(now, waiting)
	if !ok {
		return false
	}
	room := min(l.cfg.MaxRecord, max(limit, smallestBuffer)-stream.RecordOverhead)
	if p.first {
		room = min(room, recordAfterIdle)
	}
	var record []byte
	var class frame.Class
	for {
		space := min(room, o.space(room, p.most)-stream.RecordOverhead)
		if space <= 0 {
			return false
		}
		record, class = l.fill(o.buf.B[o.end:o.end+framing.RecordHeaderLength:o.end+space+stream.RecordOverhead], space, &p)
		if class > frame.None || p.due || p.most == frame.None || space >= min(l.cfg.MaxRecord, roomAlwaysEnough) {
			break
		}
		// Frames are whole: what waits may not have fitted.
		if len(o.pending) > 0 {
			return false // it leaves first, to make room
		}
		room = l.cfg.MaxRecord
		o.take(roomAlwaysEnough + stream.RecordOverhead)
	}
	if class == frame.None && !p.due {
		return false // the sources had nothing after all
	}
	l.seal(record, class, &p, now)
	return true
}

// fill writes the plaintext of a record behind its header.
func (l *Link) fill(dst []byte, room int, p *plan) ([]byte, frame.Class) {
	class := frame.None
	limit := len(dst) + room
	if p.ack {
		dst = frame.AppendAck(dst, p.ackTo)
	}
	switch {
	case p.close:
		return frame.AppendClose(dst, p.code, p.reason), frame.Control
	case p.keyUpdate:
		return frame.AppendKeyUpdate(dst), frame.Control
	}
	if p.pong {
		dst = frame.AppendPong(dst, p.pongData)
		class = frame.Quiet
	}
	if p.ping {
		dst = frame.AppendPing(dst, pingData(p.seq))
		class = frame.Control
	}
	for _, source := range [...]Source{l.cfg.Control, l.cfg.Streams} {
		if p.most == frame.None || l.out.switchTo != nil {
			break
		}
		var c frame.Class
		dst, c = source.AppendFrames(dst, limit-len(dst), p.most, p.seq)
		class = max(class, c)
	}
	return dst, class
}

// pingData tells one PING from another: the number of its record.
func pingData(seq uint64) (data [8]byte) {
	binary.BigEndian.PutUint64(data[:], seq)
	return data
}

// seal seals the record, which lies behind what is used of the buffer, and
// keeps it.
func (l *Link) seal(record []byte, class frame.Class, p *plan, now instant) {
	o := &l.out
	whole := l.cfg.Sealer.Seal(record)
	start := o.end
	o.end += len(whole)
	// What is pending and this record lie behind one another.
	o.pending = o.buf.B[start-len(o.pending) : o.end : o.end]
	o.generation.records++
	o.generation.bytes += int64(len(whole))
	var keyErr error
	switch {
	case p.keyUpdate:
		keyErr = l.cfg.Sealer.Update()
		l.cfg.Recorder.KeyUpdated(true)
		o.generation.records, o.generation.bytes = 0, 0
	case o.switchTo != nil:
		keyErr = l.cfg.Sealer.Switch(o.switchTo)
		clear(o.switchTo)
		o.switchTo = nil
		o.generation.records, o.generation.bytes = 0, 0
	}
	o.data = o.data || class == frame.Data
	s := sealed{off: int32(start), n: int32(len(whole)), class: class}
	if l.cfg.Durable > 0 {
		s.buf = o.buf
		s.buf.Retain()
	}

	l.mu.Lock()
	if l.kept.count == 0 {
		l.meter.begin(now)
	}
	if class > frame.Quiet && l.kept.asking == 0 {
		l.live.askSince = now
	}
	l.kept.push(s)
	if p.ack {
		l.acks.sent, l.acks.record, l.acks.bytes = p.ackTo, p.seq, 0
		if p.ackTo == l.acks.received { // else what came since the plan is still owed
			l.acks.asked, l.acks.due = false, false
		}
	}
	if p.pong && l.pong == p.pongData {
		l.pongWanted = false
	}
	if p.ping {
		l.pingWanted = false
		l.meter.pingSeq, l.meter.pingAt, l.meter.pingOut = p.seq, now, true
	}
	if p.close {
		l.closeAt = p.seq + 1
	}
	if class > frame.Quiet && l.state.connected() {
		l.watch(now)
	}
	l.sentAt = now
	l.bytesOut += int64(len(whole))
	abuse := l.kept.others >= othersAbuse && l.state == running
	l.mu.Unlock()
	switch {
	case keyErr != nil:
		l.CloseWithError(keyErr)
	case abuse:
		l.CloseWithError(frame.Violation(frame.CodeAbuse, "%d bytes of records without data unacknowledged", othersAbuse))
	}
}

// space provides a buffer for a record with want bytes of plaintext and returns
// the room it has for the whole record: less than wanted, if that is still worth
// a record. It is 0 if what is pending has to leave first.
func (o *output) space(want int, most frame.Class) int {
	if o.buf != nil {
		left := len(o.buf.B) - o.end
		if left >= want+stream.RecordOverhead || left >= min(len(o.buf.B)/4, minBatch) {
			return left
		}
		if len(o.pending) > 0 {
			return 0
		}
		o.size = min(4*o.size, largestBuffer)
	}
	if most < frame.Data {
		return o.take(smallestBuffer)
	}
	return o.take(o.size)
}

// take replaces the buffer by one of at least size bytes.
func (o *output) take(size int) int {
	o.release()
	o.buf = framing.GetBuffer(size)
	return len(o.buf.B)
}

// release gives up the buffer. Records in it that are kept hold it too.
func (o *output) release() {
	if o.buf != nil {
		o.buf.Release()
	}
	o.buf, o.end, o.pending = nil, 0, nil
}

// rewind begins the buffer anew, to which no kept record refers any more, and
// lets the next ones shrink when little of it was used, time and again.
func (o *output) rewind() {
	if o.buf == nil || o.end == 0 {
		return
	}
	if o.end > len(o.buf.B)/4 {
		o.sparse = 0
	} else if o.sparse++; o.sparse == sparseBuffers {
		o.sparse, o.size = 0, max(o.size/4, smallestBuffer)
	}
	o.end = 0
}

// SwitchSend gives the secret of the records that follow the present one, of
// which the frame just appended is the last (channel set-up 4.7.4). Only the
// Control source calls it, in AppendFrames. secret is copied.
func (l *Link) SwitchSend(secret []byte) { l.out.switchTo = append([]byte(nil), secret...) }
