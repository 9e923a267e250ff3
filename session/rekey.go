package session

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
)

// A rekey brings new keys from a new KEM share (channel set-up 4.7.4 to 4.7.6):
// who has read all secrets of the channel until then, and does no more than
// read, has lost it. Who holds them and can write is kept out by the signatures.
//
//	initiator                                     responder
//	                    <- REKEY_ASK              if it wants one
//	REKEY(e+1, kem, share, signed)  ->
//	                    <- REKEY_DONE(e+1, enc, signed); r2i has new keys behind it
//	REKEY_SWITCH(e+1)  ->                         i2r has new keys behind it
//
// Its frames are in retained records, so the loss of a connection changes
// nothing in it.

// rekeyState is where a rekey stands, at either side.
type rekeyState uint8

const (
	canOffer       rekeyState = iota // initiator: none is under way
	rekeyMaking                      // initiator: the share is being made
	rekeyOffering                    // initiator: REKEY waits
	rekeyOffered                     // initiator: REKEY has left
	rekeySwitching                   // initiator: DONE was here, REKEY_SWITCH waits
	canAnswer                        // responder: none is under way
	rekeyAnswering                   // responder: REKEY was here, REKEY_DONE waits
	rekeyAnswered                    // responder: REKEY_DONE has left
	rekeyStates
)

type rekeyEvent uint8

const (
	rekeyBegins    rekeyEvent = iota // the time has come, or somebody wants it
	rekeyMade                        // the share is made
	rekeyFailed                      // it could not be made
	rekeyLeft                        // the frame that waited is in a record
	gotRekey                         // REKEY was received
	gotRekeyDone                     // REKEY_DONE
	gotRekeySwitch                   // REKEY_SWITCH
	gotRekeyAsk                      // REKEY_ASK
	rekeyEvents
)

// next is the state after e. It reports false if e must not happen: if the
// other side sent a frame that has no place there.
func (s rekeyState) next(e rekeyEvent) (rekeyState, bool) {
	switch {
	case s == canOffer && e == rekeyBegins:
		return rekeyMaking, true
	case s == rekeyMaking && e == rekeyMade:
		return rekeyOffering, true
	case s == rekeyMaking && e == rekeyFailed:
		return canOffer, true
	case s == rekeyOffering && e == rekeyLeft:
		return rekeyOffered, true
	case s == rekeyOffered && e == gotRekeyDone:
		return rekeySwitching, true
	case s == rekeySwitching && e == rekeyLeft:
		return canOffer, true
	case s == canAnswer && e == gotRekey:
		return rekeyAnswering, true
	case s == rekeyAnswering && e == rekeyLeft:
		return rekeyAnswered, true
	case s == rekeyAnswered && e == gotRekeySwitch:
		return canAnswer, true
	case s < canAnswer && e == gotRekeyAsk:
		return s, true // while one runs it is ignored
	}
	return s, false
}

const (
	rekeysPerSecond = 8 // that a responder answers, as many as KEY_UPDATE
	askInterval     = time.Second

	// From the end of a rekey until the next one is begun or asked for.
	offerPause = 250 * time.Millisecond
	askPause   = 1100 * time.Millisecond

	maxRekeyFrame = 15 << 10 // it fits the smallest maxrecord
)

// recordKeys is where a rekey puts its keys: the link.
type recordKeys interface {
	SwitchSend(secret []byte)
	SwitchReceive(secret []byte) error
	Wake()
}

// rekeySettings is what a set-up settled for the rekeys of its channel.
type rekeySettings struct {
	network *message.Network
	kem     uint16       // the one that x came from
	peer    token.Entity // the other side
	signs   bool         // we have a signing key
	signed  bool         // the other side signed its header, or our policy wants its signature
}

// rekey is the state of a session's rekeys.
type rekey struct {
	rekeySettings
	initiator bool
	epochs    *epochs
	keys      recordKeys
	every     time.Duration // from one to the next; negative: only when wanted

	mu       sync.Mutex // guards all below
	state    rekeyState
	stopped  bool
	asks     bool          // REKEY_ASK waits
	asked    bool          // it has left, and no rekey ended since
	wanted   bool          // another one, when this has ended
	frame    []byte        // waits to leave; nil: none
	secret   mslcrypto.Key // of the records behind it
	share    share         // the initiator's, until REKEY_DONE
	count    uint64        // rekeys that were completed
	endedAt  time.Time     // the last of them; zero: none yet
	err      error         // why the last attempt to begin one failed
	progress chan struct{} // closed when count or err changes; nil: nobody waits
	timer    *time.Timer

	// Touched by who reads the connection only.
	offers rate
	askAt  time.Time
}

// init begins the time until the first rekey.
func (r *rekey) init(initiator bool, keys recordKeys, epochs *epochs, every time.Duration) {
	r.initiator, r.keys, r.epochs, r.every = initiator, keys, epochs, every
	r.offers.most = rekeysPerSecond
	if !initiator {
		r.state = canAnswer
		r.every += every / 8 // the initiator's time comes first
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(time.Hour, r.begin)
	r.rearm()
}

// do makes the transition for e and reports whether it may happen.
func (r *rekey) do(e rekeyEvent) (ok bool) {
	r.state, ok = r.state.next(e)
	return ok
}

// stop ends what this side does by itself: it sends no frame any more. The other
// side's keys are followed until forget.
func (r *rekey) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	r.timer.Stop()
	r.secret.Erase()
	r.frame, r.secret, r.asks = nil, nil, false
}

// forget drops the private key of an offer, when no records come any more.
func (r *rekey) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share = share{}
}

// rearm sets the timer for the next rekey.
func (r *rekey) rearm() {
	switch {
	case r.stopped:
	case r.wanted:
		r.timer.Reset(max(0, time.Until(r.endedAt.Add(r.pause()))))
	case r.every > 0:
		r.timer.Reset(r.every)
	default:
		r.timer.Stop()
	}
}

func (r *rekey) pause() time.Duration {
	if r.initiator {
		return offerPause
	}
	return askPause
}

// complete ends a rekey.
func (r *rekey) complete() {
	r.count++
	r.asked = false
	r.endedAt = time.Now()
	r.tell()
	r.rearm()
}

// tell lets those who wait look again.
func (r *rekey) tell() {
	if r.progress != nil {
		close(r.progress)
		r.progress = nil
	}
}

// run waits for a rekey that begins after the call.
func (r *rekey) run(ctx context.Context, ended <-chan struct{}) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = nil
	target := r.count + 1
	if r.state != canOffer && r.state != canAnswer {
		target++
	}
	for r.count < target {
		if r.err != nil {
			return r.err
		}
		r.wanted = true
		if r.state == canOffer || r.state == canAnswer {
			r.rearm()
		}
		if r.progress == nil {
			r.progress = make(chan struct{})
		}
		progress := r.progress
		r.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			r.mu.Lock()
			return context.Cause(ctx)
		case <-ended:
			r.mu.Lock()
			return errSessionEnded
		}
		r.mu.Lock()
	}
	return nil
}

// errSessionEnded is replaced by why.
var errSessionEnded = errors.New("session: ended")

// begin is what the timer does: make an offer, or ask for one.
func (r *rekey) begin() {
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return
	}
	r.wanted = false
	if !r.initiator {
		ask := r.state == canAnswer && !r.asked
		r.asks = r.asks || ask
		r.mu.Unlock()
		if ask {
			r.keys.Wake()
		}
		return
	}
	if !r.do(rekeyBegins) {
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	share, b, err := r.offer()
	r.mu.Lock()
	if err != nil {
		r.do(rekeyFailed)
		r.err = err
		r.tell()
		r.rearm()
	} else {
		r.do(rekeyMade)
		r.share, r.frame = share, b
	}
	if r.stopped {
		r.share.private, r.frame = nil, nil
	}
	r.mu.Unlock()
	r.keys.Wake()
}

// offer makes REKEY.
func (r *rekey) offer() (s share, b []byte, err error) {
	if s, err = newShare(r.kem); err != nil {
		return s, nil, err
	}
	f := frame.Rekey{KEM: r.kem, Share: s.public}
	var text digest
	r.epochs.use(r.epochs.number(), func(e *epoch) {
		f.Epoch = e.number + 1
		text = e.rekeyOffer(f.KEM, f.Share)
	})
	if f.EntityAuth, f.Signature, err = r.sign(labelRekeyI2R, text); err != nil {
		return s, nil, err
	}
	b = frame.AppendRekey(nil, f)
	if len(b) > maxRekeyFrame {
		err = errLongRekey
	}
	return s, b, err
}

var errLongRekey = errors.New("session: entity authentication data is too long for a rekey frame")

func (r *rekey) sign(label string, text digest) (data, signature []byte, err error) {
	if !r.signs {
		return nil, nil, nil
	}
	return sign(context.Background(), r.network, label, text)
}

// verify checks who sent a frame of a rekey: it is signed if it must be, and a
// signature that is there is good.
func (r *rekey) verify(label string, text digest, data, signature []byte) error {
	if len(data) == 0 && len(signature) == 0 && !r.signed {
		return nil
	}
	if err := verifySignature(context.Background(), r.network, label, text, r.peer, data, signature); err != nil {
		return frame.Violation(frame.CodeKeys, "the rekey is not signed by the other side")
	}
	return nil
}

// waiting says whether something waits to leave.
func (r *rekey) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.frame != nil || r.asks
}

// append appends what waits, as far as it fits. It comes last in a record: a
// frame that changes the keys ends it.
func (r *rekey) append(dst []byte, room int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asks && room > 0 {
		before := len(dst)
		dst = frame.AppendRekeyAsk(dst)
		room -= len(dst) - before
		r.asks, r.asked = false, true
	}
	if r.frame == nil || len(r.frame) > room {
		return dst
	}
	dst = append(dst, r.frame...)
	r.frame = nil
	if r.secret != nil {
		r.keys.SwitchSend(r.secret)
		r.secret.Erase()
		r.secret = nil
	}
	if r.do(rekeyLeft); r.state == canOffer {
		r.complete()
	}
	return dst
}

// handle handles a frame of the other side.
func (r *rekey) handle(typ uint64, b []byte) (rest []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch typ {
	case frame.TypeRekey:
		return r.handleRekey(b)
	case frame.TypeRekeyDone:
		return r.handleDone(b)
	case frame.TypeRekeySwitch:
		return r.handleSwitch(b)
	}
	return b, r.handleAsk()
}

var errMisplacedRekey = &frame.Error{Code: frame.CodeKeys, Reason: "a frame of a rekey that has no place here"}

// expect makes the transition of a received frame for the new epoch number; it
// is the one after the newest unless that was reached already.
func (r *rekey) expect(e rekeyEvent, number uint32, reached bool) error {
	want := r.epochs.number()
	if !reached {
		want++
	}
	if !r.do(e) || number != want {
		return errMisplacedRekey
	}
	return nil
}

func (r *rekey) handleRekey(b []byte) (rest []byte, err error) {
	f, rest, err := frame.ParseRekey(b)
	if err != nil {
		return nil, err
	}
	if r.stopped {
		return rest, nil // it gets no answer, and changes nothing by itself
	}
	if err := r.expect(gotRekey, f.Epoch, false); err != nil {
		return nil, err
	}
	if !r.offers.allow(time.Now()) {
		return nil, frame.Violation(frame.CodeAbuse, "more than %d REKEY in a second", rekeysPerSecond)
	}
	if f.KEM != r.kem {
		return nil, frame.Violation(frame.CodeKeys, "KEM %d in a rekey, %d at the set-up", f.KEM, r.kem)
	}
	var text digest
	var info []byte
	r.epochs.use(f.Epoch-1, func(e *epoch) { text, info = e.rekeyOffer(f.KEM, f.Share), e.rekeyInfo() })
	if err := r.verify(labelRekeyI2R, text, f.EntityAuth, f.Signature); err != nil {
		return nil, err
	}
	enc, x, err := encapsulate(f.KEM, f.Share, info)
	if err != nil {
		return nil, frame.Violation(frame.CodeKeys, "the share of a rekey is no key")
	}
	next := r.derive(f.Share, enc, x)
	done := frame.RekeyDone{Epoch: f.Epoch, Enc: enc}
	if done.EntityAuth, done.Signature, err = r.sign(labelRekeyR2I, next.th); err != nil {
		return nil, err
	}
	if r.frame = frame.AppendRekeyDone(nil, done); len(r.frame) > maxRekeyFrame {
		return nil, errLongRekey
	}
	r.secret = bytes.Clone(next.r2i)
	return rest, nil
}

// derive makes the next epoch the newest.
func (r *rekey) derive(share, enc []byte, x mslcrypto.Key) (next *epoch) {
	r.epochs.use(r.epochs.number(), func(e *epoch) { next = e.next(r.kem, share, enc, x) })
	r.epochs.advance(next)
	return next
}

func (r *rekey) handleDone(b []byte) (rest []byte, err error) {
	f, rest, err := frame.ParseRekeyDone(b)
	if err != nil {
		return nil, err
	}
	if err := r.expect(gotRekeyDone, f.Epoch, false); err != nil {
		return nil, err
	}
	var info []byte
	r.epochs.use(f.Epoch-1, func(e *epoch) { info = e.rekeyInfo() })
	x, err := r.share.decapsulate(f.Enc, info)
	if err != nil {
		return nil, frame.Violation(frame.CodeKeys, "the answer to a rekey does not open")
	}
	next := r.derive(r.share.public, f.Enc, x)
	r.share = share{}
	if err := r.verify(labelRekeyR2I, next.th, f.EntityAuth, f.Signature); err != nil {
		return nil, err
	}
	if err := r.keys.SwitchReceive(next.r2i); err != nil {
		return nil, err
	}
	if !r.stopped {
		r.frame, r.secret = frame.AppendRekeySwitch(nil, f.Epoch), bytes.Clone(next.i2r)
	}
	r.settle(next)
	return rest, nil
}

func (r *rekey) handleSwitch(b []byte) (rest []byte, err error) {
	number, rest, err := frame.ParseRekeySwitch(b)
	if err != nil {
		return nil, err
	}
	if err := r.expect(gotRekeySwitch, number, true); err != nil {
		return nil, err
	}
	r.epochs.use(number, func(e *epoch) {
		err = r.keys.SwitchReceive(e.i2r)
		e.eraseRecordKeys()
	})
	r.epochs.settle()
	r.complete()
	return rest, err
}

// settle erases what is not needed after this side's part: the secrets of both
// directions, of which the link has copies, and the epoch before.
func (r *rekey) settle(e *epoch) {
	r.epochs.use(e.number, (*epoch).eraseRecordKeys)
	r.epochs.settle()
}

func (r *rekey) handleAsk() error {
	if !r.do(gotRekeyAsk) {
		return errMisplacedRekey
	}
	now := time.Now()
	if !r.askAt.IsZero() && now.Sub(r.askAt) < askInterval {
		return frame.Violation(frame.CodeAbuse, "more than one REKEY_ASK in a second")
	}
	r.askAt = now
	if r.state == canOffer {
		r.wanted = true
		r.rearm()
	}
	return nil
}

// A rate allows so many events in a second.
type rate struct {
	most int
	past []time.Time // of the last events, a ring
	at   int
}

// allow counts an event and reports whether it is within the rate.
func (r *rate) allow(now time.Time) bool {
	if len(r.past) < r.most {
		r.past = append(r.past, now)
		return true
	}
	if now.Sub(r.past[r.at]) < time.Second {
		return false
	}
	r.past[r.at] = now
	r.at = (r.at + 1) % r.most
	return true
}
