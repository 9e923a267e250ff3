package link

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
)

const (
	keyUpdatesPerSecond = 8
	maxFailures         = 1 << 20   // to open a record with one key (channel set-up 4.8.5)
	maxUnhandled        = 256 << 10 // bytes of records until BatchEnd is called at the latest
)

// input is what reading works with.
type input struct {
	mu sync.Mutex // held by who reads while he does not wait, or by a poller

	arrived *arrived        // nil: reading blocks, and nobody polls
	reader  *framing.Reader // of arrived
	failed  error           // the error of another that read, on which the own goroutine ends

	opened    bool // a record was
	served    bool // so was a reader in the last batch, who will come back
	unhandled int  // bytes of records since BatchEnd
	asked     bool // one of them asks for an ACK
	updates   [keyUpdatesPerSecond]instant
	update    int
	switched  bool // the keys changed: the frame must be the last of its record
	probed    bool // a PING or CLOSE was in the record
	failures  int  // records that did not open with the present key
	early     earlyInput
}

// read opens and handles records until the connection ends, which it has done
// already if err says so.
func (l *Link) read(r *framing.Reader, err error) {
	defer l.detach(r)
	defer l.batchEnd()
	l.in.mu.Lock()
	defer l.in.mu.Unlock()
	l.endBatch(r)
	for shared := false; err == nil; {
		if l.in.early.past && !shared {
			shared = true
			l.shareReading(r)
		}
		if err = l.readRecord(r); err == errNothing {
			if l.stepDown(l.duty.Load()) {
				err = l.in.failed
			} else {
				err = l.awaitMore()
			}
		}
	}
	l.in.reader = nil
	l.broke(l.lost(err))
}

// readRecord handles the next record, and what a batch ends with if it was the
// last that has arrived.
func (l *Link) readRecord(r *framing.Reader) error {
	err := l.openRecord(r)
	if err == nil {
		l.endBatch(r)
	}
	return err
}

func (l *Link) endBatch(r *framing.Reader) {
	if !r.HasRecord() || l.in.unhandled >= maxUnhandled {
		l.batchEnd()
	}
}

// openRecord handles the next record.
func (l *Link) openRecord(r *framing.Reader) error {
	early, err := l.earlyNext(r)
	if err != nil {
		return err
	}
	limit, opener := l.cfg.OwnMaxRecord, l.cfg.Opener
	if early {
		limit, opener = MaxEarlyRecord, l.cfg.Early
	}
	record, err := r.Record(limit + stream.TagLength)
	if err != nil {
		return err
	}
	err = l.handleRecord(record, opener)
	size := len(record.B)
	record.Release()
	if err != nil {
		return err
	}
	l.in.unhandled += size
	return nil
}

// lost makes the error of a connection that gives no more records. A unit that
// is no record, or too long, was not authenticated: it is one that does not open.
func (l *Link) lost(err error) error {
	var syntax *framing.SyntaxError
	var limit *framing.LimitError
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.writeErr != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return &LostError{l.writeErr} // see writeFailed
	case err == io.EOF:
		return errEnded
	case errors.As(err, &syntax), errors.As(err, &limit):
		return &LostError{errors.Join(stream.ErrRecord, err)}
	}
	return &LostError{err}
}

// batchEnd is called before who reads waits.
func (l *Link) batchEnd() {
	l.in.unhandled = 0
	defer func() { l.in.asked = false }()
	l.mu.Lock()
	live := !l.state.ended()
	wake := l.acks.due || l.pongWanted || l.pingWanted
	if l.kept.asking == 0 && !l.in.asked {
		wake = true // at rest the writer's buffer goes back to the pool
	}
	ending := l.state == answering
	l.mu.Unlock()
	if live {
		l.cfg.Control.BatchEnd()
		l.in.served = l.cfg.Streams.BatchEnd()
		wake = wake || l.waiting() > frame.None
	}
	if wake || ending {
		l.wake(1, nil) // reading must go on
	}
	if ending {
		l.finish()
	}
}

// handleRecord opens a record and handles its frames. An error means that it
// does not open; a violation in it closes the channel.
func (l *Link) handleRecord(record framing.Record, opener *stream.Opener) error {
	plaintext, err := opener.Open(record.B)
	in := &l.in
	if err != nil {
		if in.failures++; in.failures >= maxFailures {
			l.CloseWithError(frame.Violation(frame.CodeKeys, "%d records did not open with one key", maxFailures))
		}
		return err
	}
	in.probed = false
	early := opener == l.cfg.Early
	if early {
		err = in.early.take(len(plaintext))
	}
	asks := false
	if err == nil {
		asks, err = l.handleFrames(plaintext, record.Buffer)
	}

	l.mu.Lock()
	now := l.now()
	l.live.heard = now
	l.live.probing = false
	l.confirmed = true
	l.bytesIn += int64(len(record.B))
	a := &l.acks
	a.received++
	a.bytes += int64(len(record.B))
	wake := false
	if l.cfg.Initiator && l.bytesOut == 0 {
		a.due = true // the peer waits for our first record
	}
	if asks {
		if !a.asked {
			a.asked, a.askedAt = true, now
		}
		a.due = a.due || in.probed || a.bytes >= l.cfg.PeerRetain/4
		wake = a.due && !in.probed // in the middle of bulk: it cannot wait for the batch's end
		if !a.due && !a.armed && l.state.connected() {
			a.arm(l, ackDelay)
		}
	}
	l.mu.Unlock()
	if asks {
		in.asked = true
		l.prompt.Store(true)
	}

	if err != nil {
		l.CloseWithError(err)
	}
	if early {
		if in.early.records == 1 && err == nil && l.cfg.OnEarly != nil {
			l.cfg.OnEarly()
		}
	} else if !in.opened {
		in.opened = true
		l.cfg.Logger.Debug("msl channel: first record opened")
		if l.cfg.OnOpened != nil && err == nil {
			l.cfg.OnOpened()
		}
	}
	if wake {
		l.wake(1, nil)
	}
	return nil
}

// Frames of the control source are these; 0x00-0x03, 0x18 and 0x22 are the
// link's own, the others the streams'.
func isControl(typ uint64) bool {
	return frame.TypeRekey <= typ && typ <= frame.TypeAuth || typ == frame.TypeControl
}

func isStreams(typ uint64) bool {
	switch typ {
	case frame.TypeResetStream, frame.TypeStopSending, frame.TypeStreamOpen,
		frame.TypeMaxData, frame.TypeMaxStreamData, frame.TypeMaxStreams, frame.TypeGoaway:
		return true
	}
	return frame.IsStream(typ)
}

// handleFrames handles the frames of one record and reports whether it asks
// for an ACK.
func (l *Link) handleFrames(b []byte, buf *framing.Buffer) (asks bool, err error) {
	l.mu.Lock()
	ending := l.state.ended() // what came before a loss still counts
	closing := l.state == closing
	l.mu.Unlock()
	onlyAcks := true // until now
	for len(b) > 0 {
		var typ uint64
		if typ, b, err = frame.ParseType(b); err != nil {
			return asks, ignoreIf(ending, err)
		}
		asks = asks || frame.AsksForAck(typ)
		if l.in.early.open {
			if err := l.in.early.allow(typ); err != nil {
				return asks, ignoreIf(ending, err)
			}
		}
		if ending && !closing && typ != frame.TypeAck && typ != frame.TypeClose {
			return asks, nil // the peer has closed too: what follows cannot matter
		}
		switch {
		case ending && !matters(typ):
			b, err = frame.SkipBody(typ, b)
		case typ == frame.TypePadding:
		case typ == frame.TypeAck:
			var n uint64
			if n, b, err = frame.ParseAck(b); err == nil {
				err = l.handleAck(n)
			}
		case typ == frame.TypePing, typ == frame.TypePong:
			var data [8]byte
			if data, b, err = frame.ParsePing(b); err == nil {
				l.handlePing(data, typ == frame.TypePing)
			}
		case typ == frame.TypeKeyUpdate:
			err = l.handleKeyUpdate(len(b) == 0)
		case typ == frame.TypeClose:
			if b, err = l.handleClose(b, onlyAcks); err == nil {
				ending = true
			}
		case isControl(typ):
			b, err = l.cfg.Control.HandleFrame(typ, b, buf)
			if err == nil && l.in.switched && len(b) > 0 {
				err = frame.Violation(frame.CodeKeys, "frames behind a change of keys")
			}
			l.in.switched = false
		case isStreams(typ):
			b, err = l.cfg.Streams.HandleFrame(typ, b, buf)
		default:
			b, err = frame.Skip(typ, b)
		}
		if err != nil {
			return asks, ignoreIf(ending, err)
		}
		onlyAcks = onlyAcks && typ == frame.TypeAck
	}
	return asks, nil
}

// matters reports whether a frame is handled after the own CLOSE: the peer's CLOSE
// comes under the keys that it has by then (channel set-up 4.8.8).
func matters(typ uint64) bool {
	switch typ {
	case frame.TypeAck, frame.TypeClose, frame.TypeKeyUpdate, frame.TypeRekeyDone, frame.TypeRekeySwitch:
		return true
	}
	return false
}

func ignoreIf(ending bool, err error) error {
	if ending {
		return nil
	}
	return err
}

func (l *Link) handleAck(n uint64) error {
	l.mu.Lock()
	if n <= l.kept.acked {
		l.mu.Unlock()
		return nil // re-sent records carry old ones
	}
	if n > l.kept.next() {
		l.mu.Unlock()
		return frame.Violation(frame.CodeProtocol, "ACK of %d records, %d were sent", n, l.kept.next())
	}
	l.meter.ack(l.kept.release(n), l.now(), l.limited)
	l.live.attach(false)
	live := !l.state.ended()
	l.mu.Unlock()
	if live {
		l.cfg.Control.Acked(n)
		l.cfg.Streams.Acked(n)
	}
	return nil
}

func (l *Link) handlePing(data [8]byte, ping bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ping {
		l.pong, l.pongWanted = data, true
		l.in.probed = true
	} else if l.meter.pingOut && data == pingData(l.meter.pingSeq) {
		l.meter.pong(l.now())
	}
}

func (l *Link) handleKeyUpdate(last bool) error {
	if !last {
		return frame.Violation(frame.CodeProtocol, "frames behind KEY_UPDATE")
	}
	// The entry of the update keyUpdatesPerSecond ago is the next to be overwritten.
	in, now := &l.in, l.now()
	if before := in.updates[in.update]; before != 0 && now-before < pingInterval {
		return frame.Violation(frame.CodeAbuse, "more than %d KEY_UPDATE in a second", keyUpdatesPerSecond)
	}
	in.updates[in.update] = max(now, 1)
	in.update = (in.update + 1) % len(in.updates)
	in.failures = 0
	l.cfg.Recorder.KeyUpdated(false)
	return l.cfg.Opener.Update()
}

// SwitchReceive gives the secret of the records that follow the present one, of
// which the frame being handled is the last (channel set-up 4.7.4). Only the
// Control source calls it, in HandleFrame.
func (l *Link) SwitchReceive(secret []byte) error {
	l.in.switched, l.in.failures = true, 0
	return l.cfg.Opener.Switch(secret)
}

func (l *Link) handleClose(b []byte, first bool) (rest []byte, err error) {
	code, reason, rest, err := frame.ParseClose(b)
	if err != nil {
		return nil, err
	}
	if !first {
		return nil, frame.Violation(frame.CodeProtocol, "CLOSE behind another frame")
	}
	l.in.probed = true
	closed := &CloseError{Code: code, Reason: string(reason), Remote: true}
	l.mu.Lock()
	if l.peerClose == 0 {
		l.peerClose = l.acks.received + 1
	}
	l.mu.Unlock()
	l.do(peerClosed, closed)
	return rest, nil
}
