package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// maxAhead is how many bytes of records an initiator sends before it has read
// the answer to its attach: more would be wasted on what is there already.
const maxAhead = 128 << 10

// errFenced is the cause of a loss that gives place to another connection.
var errFenced = errors.New("another connection takes its place")

// Attach gives the Link its first connection, from which [Link.Begin] reads. The
// responder sends its first record at once, behind header and in one write with
// it; the initiator's answers that. conn is closed by the Link.
func (l *Link) Attach(conn transport.Conn, header []byte) error {
	l.writeMu.Lock()
	l.mu.Lock()
	if l.state != idle {
		err := l.err
		l.mu.Unlock()
		l.writeMu.Unlock()
		return err
	}
	l.connect(conn, header)
	l.pingWanted = l.pingWanted || !l.cfg.Initiator // so that there is a first record
	l.mu.Unlock()
	l.writeMu.Unlock()
	l.cfg.Logger.Debug("msl channel: connected")
	if !l.cfg.Initiator {
		l.Wake()
	}
	return nil
}

// Begin reads from r, which reads from the connection given to [Link.Attach] and
// may hold bytes already, and handles the first record. Then it returns, or when
// the connection has failed, and a goroutine goes on with reading, which closes
// r. It is called once, whatever has become of the Link since.
//
// The answer to that record is left to the goroutine: what the caller writes at
// once leaves with it.
func (l *Link) Begin(r *framing.Reader) {
	l.in.mu.Lock()
	err := l.openRecord(r)
	l.in.mu.Unlock()
	go l.read(r, err)
}

// connect makes conn the connection. Called with writeMu and mu held.
func (l *Link) connect(conn transport.Conn, header []byte) {
	from := l.state
	l.state = from.next(attached)
	l.cfg.Recorder.State(from.String(), l.state.String(), attached.String())
	l.conn, l.gone = conn, make(chan struct{})
	l.out.attach(conn, header)
	now := l.now()
	l.live.heard, l.live.askSince, l.live.probing = now, now, false
	if l.state == running {
		l.watch(now)
	}
}

// Detach ends the connection, if there is one, waits until nobody reads or
// writes it any more, and reports whether another can take its place with
// [Link.Resume]. It must not be called by a source or callback.
func (l *Link) Detach() bool {
	l.mu.Lock()
	gone := l.gone
	l.mu.Unlock()
	l.broke(&LostError{errFenced})
	return l.detached(gone)
}

// Lost waits, if the Link has lost its connection, until nobody reads or writes
// it any more, and reports whether another can take its place. It is false
// while there is a connection. It must not be called by a source or callback.
func (l *Link) Lost() bool {
	l.mu.Lock()
	gone, lost := l.gone, l.state.detached()
	l.mu.Unlock()
	return lost && l.detached(gone)
}

func (l *Link) detached(gone chan struct{}) bool {
	if gone != nil {
		<-gone
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.detached() && l.gone == nil
}

// A Standing is what a side knows of both directions.
type Standing struct {
	Received uint64 // records of the peer that were handled: the next one's number
	Acked    uint64 // own records that the peer has
	Sent     uint64 // own records formed: the next one's number
	Ahead    int    // how many from Acked on may be sent before the peer has answered
	// Patience is how long the peer may take for an answer.
	Patience time.Duration
}

// Standing is where the Link stands. Without a connection it does not change;
// with one, its numbers only grow.
func (l *Link) Standing() Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Standing{
		Received: l.acks.received,
		Acked:    l.kept.acked,
		Sent:     l.kept.next(),
		Patience: l.live.scale(l.meter.patience()),
	}
	for bytes := 0; s.Ahead < l.kept.count; s.Ahead++ {
		if bytes += int(l.kept.at(s.Acked + uint64(s.Ahead)).n); bytes > maxAhead {
			break
		}
	}
	return s
}

// SendAhead writes the records from s.Acked on, s.Ahead of them, to w. If these
// are all there are, it goes on until ctx ends with new ones of what waits, while
// all together are about maxAhead bytes at most. It returns the number of the
// first record that was not sent. The Link has no connection meanwhile.
func (l *Link) SendAhead(ctx context.Context, w io.Writer, s Standing) (next uint64, err error) {
	l.mu.Lock()
	l.attachSays()
	l.mu.Unlock()
	woken := make(chan struct{}, 1)
	l.tellWoken(woken)
	defer l.tellWoken(nil)
	next = s.Acked
	for end := s.Acked + uint64(s.Ahead); ; end = l.NextSeq() {
		for next < end {
			l.mu.Lock()
			if !l.state.detached() {
				defer l.mu.Unlock()
				return next, l.err
			}
			b, buf, after := l.kept.piece(next, end, maxBatch)
			l.mu.Unlock()
			_, err := w.Write(b)
			buf.Release()
			if err != nil {
				return next, err
			}
			next = after
		}
		if next < l.NextSeq() {
			return next, nil // more than may be sent ahead
		}
		if l.formAhead() {
			continue
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return next, nil
		}
	}
}

// tellWoken makes Wake tell c while there is no connection. Nil: nobody.
func (l *Link) tellWoken(c chan struct{}) {
	l.writeMu.Lock()
	l.out.woken = c
	l.writeMu.Unlock()
}

// formAhead forms records of what waits, as many as can be sent ahead, and
// reports whether there may be more to send.
//
// To the peer they are like records that were on their way when the connection
// was lost. They have no ACK, which the attach says, and no PONG, which would be
// late; nor a PING, since those are for after the attach.
func (l *Link) formAhead() bool {
	l.wanted.Store(false)
	formed := false
	l.writeMu.Lock()
	for now := l.now(); l.roomAhead() >= smallestBuffer && l.formRecord(l.roomAhead(), now); formed = true {
		l.out.pending = nil // it is sent from what is kept
	}
	l.cfg.Streams.BatchSent()
	l.out.detach()
	l.writeMu.Unlock()
	return formed || l.wanted.Load() // who called Wake meanwhile found a writer
}

// roomAhead is how many bytes of new records may be sent ahead.
func (l *Link) roomAhead() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.state.detached() {
		return 0
	}
	return maxAhead - int(l.kept.data+l.kept.others)
}

// attachSays forgets what the peer is owed: the headers of an attach tell it
// what was received.
func (l *Link) attachSays() {
	a := &l.acks
	a.sent = max(a.sent, a.received)
	a.bytes, a.asked, a.due = 0, false, false
	l.pongWanted = false
}

// A Resumption is what both sides have settled about another connection.
type Resumption struct {
	// Header is sent first.
	Header []byte
	// Received is how many of our records the peer has.
	Received uint64
	// Next is the number of the first record to send again.
	Next uint64
	// Skip is how many records come first that were handled already: they are
	// dropped unopened, their keys may be gone.
	Skip uint64
}

// Resume gives a Link that has lost its connection, see [Link.Detach], another
// one. Records that are not acknowledged are sent again as they are. conn and r
// are the Link's if there is no error.
func (l *Link) Resume(conn transport.Conn, r *framing.Reader, z Resumption) error {
	l.writeMu.Lock()
	l.mu.Lock()
	err := l.resume(conn, z)
	l.mu.Unlock()
	l.writeMu.Unlock()
	if err != nil {
		return err
	}
	l.cfg.Logger.Debug("msl channel: connected again", "received", z.Received, "next", z.Next, "skip", z.Skip)
	l.mu.Lock()
	live := l.state == running
	l.mu.Unlock()
	if live {
		l.cfg.Control.Acked(z.Received)
		l.cfg.Streams.Acked(z.Received)
	}
	go func() { l.read(r, l.skip(r, z.Skip)) }()
	l.Wake()
	return nil
}

func (l *Link) resume(conn transport.Conn, z Resumption) error {
	switch {
	case !l.state.detached() || l.gone != nil:
		if l.err != nil {
			return l.err
		}
		return &LostError{errFenced}
	case z.Received < l.kept.acked || z.Received > l.kept.next():
		return fmt.Errorf("msl channel: the peer says that it has %d records: not from %d to %d", z.Received, l.kept.acked, l.kept.next())
	}
	now := l.now()
	l.live.attach(l.live.asking && z.Received == l.kept.acked)
	l.kept.release(z.Received)
	l.meter.restart(now)
	l.attachSays()
	l.confirmed = true
	l.in.unhandled, l.in.asked = 0, false
	l.stopTimers()
	l.out.resend, l.out.resendEnd = max(z.Next, z.Received), l.kept.next()
	l.written = l.out.resend
	l.connect(conn, z.Header)
	l.pingWanted = true // what was lost is acknowledged at once, and the round trip known
	if l.state == closing {
		l.expireClose(closing, now)
	}
	return nil
}

// Ended ends a Link without a connection: the peer has proved that the channel
// was closed with CLOSE, which err says.
func (l *Link) Ended(err *CloseError) { l.do(peerClosed, err) }

// skip drops records that were handled before, unopened.
func (l *Link) skip(r *framing.Reader, n uint64) error {
	for range n {
		if _, err := r.SkipRecord(l.cfg.OwnMaxRecord + stream.TagLength); err != nil {
			return err
		}
	}
	return nil
}

// formResend makes the next kept records pending that were not yet sent on this
// connection. It reports whether there are any.
func (l *Link) formResend(limit int) bool {
	o := &l.out
	l.mu.Lock()
	defer l.mu.Unlock()
	o.resend = max(o.resend, l.kept.acked)
	if o.resend >= o.resendEnd {
		return false
	}
	if len(o.pending) > 0 {
		return true // the header, in another buffer
	}
	o.pending, o.lent, o.resend = l.kept.piece(o.resend, o.resendEnd, limit)
	return true
}

// attach gives the output a connection.
func (o *output) attach(conn transport.Conn, header []byte) {
	o.conn = conn
	o.try, _ = conn.(transport.TryWriter)
	o.unsent, _ = conn.(transport.UnsentLimiter)
	o.low = 0
	o.header = header
	o.last = 0
}

// detach takes the connection away. What was pending is kept, or was a header.
func (o *output) detach() {
	o.giveBack()
	o.release()
	o.unsent = nil
	o.conn, o.try, o.header, o.failed, o.data = nil, nil, nil, false, false
}

// giveBack gives up the buffer that re-sent records were written from.
func (o *output) giveBack() {
	if o.lent != nil {
		o.lent.Release()
		o.lent = nil
	}
}
