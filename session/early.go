package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/session/link"
	"github.com/mslgo/msl/session/mux"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// Early data (channel set-up 4.1.5, 4.2.8): records that follow a resumed
// request at once, sealed with a key of the request alone. Three answers:
//
//	accepted   the responder claimed the request's ID, which is done once in the
//	           whole service, and has opened the records; the numbers go on
//	rejected   the responder claimed the ID and dropped them: the same frames are
//	           sealed again, and all numbers begin at zero
//	unknown    anything else, also silence or an error: nobody may repeat them

// ErrOutcomeUnknown is the error of streams whose early data may or may not have
// been processed: only the application can know whether to send it again.
var ErrOutcomeUnknown = errors.New("session: it is not known whether early data was processed")

// maxEarlyPlaintext leaves room, in the smallest record that a peer may accept,
// for an ACK beside frames that are sealed again.
const maxEarlyPlaintext = link.MaxEarlyRecord - 64

// leastEarly is the least room that is worth a record.
const leastEarly = 128

// answerTimeout bounds the set-up behind DialEarly if its context has no deadline.
const answerTimeout = 30 * time.Second

// DialEarly is [Dial] without waiting for the answer, where a token is held that
// allows it; where not, it is Dial. It returns when the request is written.
// Streams may be opened and written to at once: up to 64 KiB of all that is
// written to the first 16 of them leaves before the responder has answered.
//
// That early data is not forward secret: who learns the session keys of the
// token can read it. It is processed at most once, but perhaps not at all: if the
// responder does not answer, or cannot say what became of it, the streams that
// had early data end with [ErrOutcomeUnknown], and nothing is repeated. If it
// was surely not processed, it is sent again by itself.
//
// A set-up that fails after the return ends the session with the error that Dial
// would have returned. ctx ends the call only; its deadline holds for the whole
// set-up, 30 s without one.
func DialEarly(ctx context.Context, conn transport.Conn, i *Initiator) (*Session, error) {
	s := &initiator{Initiator: i, conn: conn, wantsEarly: true, recorder: i.Observe.Session(observe.Initiator)}
	err := guard(ctx, conn, s.open)
	if err != nil || s.early == nil {
		defer s.erase()
		if err == nil {
			err = guard(ctx, conn, s.answered)
		}
		return s.result(ctx, err)
	}
	n := s.session
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(answerTimeout)
	}
	background, stop := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	background, cancel := context.WithCancelCause(background)
	s.early.cancel = cancel
	go func() {
		defer stop()
		defer s.erase()
		err := guard(background, conn, s.answered)
		if _, err = s.result(background, err); err != nil {
			n.fail(err)
			return
		}
		close(n.early.ready)
	}()
	return n, nil
}

// An unknownError is [ErrOutcomeUnknown] with why.
type unknownError struct{ cause error }

func (e *unknownError) Error() string { return ErrOutcomeUnknown.Error() + ": " + e.cause.Error() }

func (e *unknownError) Unwrap() []error { return []error{ErrOutcomeUnknown, e.cause} }

// earlyData is the initiator's side of a session until the answer is here.
type earlyData struct {
	mux    *mux.Mux
	conn   transport.Conn
	info   Info          // before the answer
	ready  chan struct{} // closed when the set-up is complete
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	sealer  *stream.Sealer
	records [][]byte // the plaintexts
	size    int      // of all of them
	writing bool     // a goroutine writes
	again   bool     // more waits
	stopped bool     // no more records are formed
	over    bool     // the link is there
	ack     bool     // an ACK is wanted from it
	done    sync.WaitGroup
}

// wake lets waiting frames leave as early data. It reports false when that time
// is over, or never was.
func (e *earlyData) wake() bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.over:
		return false
	case e.stopped:
	case e.writing:
		e.again = true
	default:
		e.writing = true
		e.done.Go(e.write)
	}
	return true
}

// wantAck keeps the wish for an ACK until there is a link.
func (e *earlyData) wantAck() bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ack = true
	return !e.over
}

// write writes early records until nothing waits. It may block, while somebody
// else reads the answer.
func (e *earlyData) write() {
	for record := e.form(); record != nil; record = e.form() {
		if _, err := e.conn.Write(record); err != nil {
			e.mu.Lock()
			e.stopped = true // the set-up fails, or what waits is not early
			e.mu.Unlock()
		}
	}
}

// form forms the next record; nil: there is none, and the goroutine ends.
func (e *earlyData) form() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	const head = framing.RecordHeaderLength
	for {
		e.again = false
		room := min(maxEarlyPlaintext, link.MaxEarly-e.size)
		if !e.stopped && room >= leastEarly {
			b := e.mux.AppendEarly(make([]byte, head, room+stream.RecordOverhead), room, uint64(len(e.records)))
			if len(b) > head {
				e.records = append(e.records, append([]byte(nil), b[head:]...))
				e.size += len(b) - head
				return e.sealer.Seal(b)
			}
			if e.again {
				continue
			}
		}
		e.writing = false
		return nil
	}
}

// stop ends early data: what was formed is written. It gives the plaintexts.
func (e *earlyData) stop() [][]byte {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.done.Wait()
	e.sealer.Erase()
	return e.records
}

// end is called when the link is there.
func (e *earlyData) end(l *link.Link) {
	e.mu.Lock()
	e.over = true
	ack := e.ack
	e.mu.Unlock()
	if ack {
		l.RequestAck()
	}
}

// beginEarly makes the session, as far as it can be without an answer.
func (s *initiator) beginEarly() error {
	secret := earlySecret(s.hq, s.held.Keys)
	defer secret.Erase()
	sealer, err := stream.NewEarlySealer(s.request.suites[0], secret)
	if err != nil {
		return err
	}
	e := &earlyData{conn: s.conn, ready: make(chan struct{}), sealer: sealer}
	s.early = e
	s.session = newShell(setup{
		initiator: true,
		conn:      s.conn,
		own:       s.request.offer,
		peer:      offer{maxRecord: leastRecord, window: link.MaxEarly, credit: link.MaxEarly, streams: link.MaxEarlyStreams},
		limits:    s.Limits,
		info:      Info{Entity: s.expected, Suite: s.request.suites[0], Transport: s.conn.URL(), Resumed: true},
	})
	s.session.early = e
	e.mux, e.info = s.session.mux, s.session.info
	return nil
}

// settleEarly does what the answer says about early data, before the link
// starts. It returns the source of the streams' frames and the number of the
// first record.
func (s *Session) settleEarly(answer earlyAnswer, peer offer) (link.Source, uint64) {
	records := s.early.stop()
	defer s.mux.Grant(uint64(peer.window), uint64(peer.credit), uint64(peer.streams), uint64(peer.maxRecord))
	switch answer {
	case earlyAccepted:
		return s.mux, uint64(len(records))
	case earlyRejected:
		if len(records) > 0 {
			s.mux.Unsent()
			return &resending{Mux: s.mux, frames: records}, 0
		}
	default:
		s.mux.Forget(ErrOutcomeUnknown)
	}
	return s.mux, 0
}

// resending is the streams' frames with those of rejected early data before
// them, each record's in one record.
type resending struct {
	*mux.Mux
	mu     sync.Mutex
	frames [][]byte
}

// Waiting implements link.Source.
func (r *resending) Waiting() frame.Class {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.frames) > 0 {
		return frame.Data
	}
	return r.Mux.Waiting()
}

// AppendFrames implements link.Source.
func (r *resending) AppendFrames(dst []byte, room int, most frame.Class, seq uint64) ([]byte, frame.Class) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.frames) == 0 {
		return r.Mux.AppendFrames(dst, room, most, seq)
	}
	if most < frame.Data || len(r.frames[0]) > room {
		return dst, frame.None
	}
	dst = append(dst, r.frames[0]...)
	if r.frames = r.frames[1:]; len(r.frames) == 0 {
		r.Resent(seq)
	}
	return dst, frame.Data
}

// fail ends a session whose set-up failed behind DialEarly.
func (s *Session) fail(err error) {
	if s.link != nil {
		<-s.Done() // abandon has closed it; the first error counts
	}
	s.once.Do(func() {
		s.err = err
		s.early.stop()
		s.forgetEarly(err)
		s.mux.Fail(err)
		s.end(s.err)
	})
}

// forgetEarly ends the streams of early data if the set-up is not complete.
func (s *Session) forgetEarly(err error) {
	if s.early == nil {
		return
	}
	select {
	case <-s.early.ready:
	default:
		s.mux.Forget(&unknownError{err})
	}
}

// established waits until the set-up is complete.
func (s *Session) established(ctx context.Context) error {
	if s.early == nil {
		return nil
	}
	select {
	case <-s.early.ready:
		return nil
	case <-s.Done():
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isEstablished says whether established would return nil at once.
func (s *Session) isEstablished() bool {
	if s.early == nil {
		return true
	}
	select {
	case <-s.early.ready:
		return true
	default:
		return false
	}
}

// claim settles what becomes of early data (channel set-up 4.2.8). Only who
// claimed the ID itself may say that the data was dropped: any other might speak
// of a copy of the request, whose original was accepted elsewhere (X5).
func (s *responder) claim(ctx context.Context) error {
	if !s.request.early {
		return nil
	}
	s.earlyAnswer = earlyUnknown
	h := s.header
	if h.MasterToken.Expired(now(s.Network)) {
		return nil
	}
	i := s.Network.Issuer
	if err := i.Renewable(ctx, h.Sender, h.MasterToken.Serial, h.MasterToken.Sequence); err != nil {
		return nil // not the newest token
	}
	if err := i.AcceptNonReplayable(ctx, s.request.to, h.Sender, h.MasterToken.Serial, h.NonReplayableID); err != nil {
		return nil
	}
	if s.AcceptEarly && !s.RequireAuth && s.request.firstSuite == int64(s.suite) {
		s.earlyAnswer = earlyAccepted
	} else {
		s.earlyAnswer = earlyRejected
	}
	return nil
}

// earlyOpener is for accepted early data; nil otherwise.
func (s *responder) earlyOpener() (*stream.Opener, error) {
	if s.earlyAnswer != earlyAccepted {
		return nil, nil
	}
	secret := earlySecret(s.hq, s.header.MasterToken.SessionKeys())
	defer secret.Erase()
	return stream.NewEarlyOpener(s.suite, secret)
}

// nonReplayableID draws the ID of a request with early data.
func (s *initiator) nonReplayableID(ctx context.Context) (*int64, error) {
	id, err := s.Holder.NextNonReplayable(ctx, s.held.Token)
	if err != nil {
		return nil, fmt.Errorf("session: no ID for early data: %w", err)
	}
	return &id, nil
}

// canEarly says whether the request may be followed by early data: under a good
// token only (X13).
func (s *initiator) canEarly() bool {
	return s.wantsEarly && s.held != nil && !s.held.Token.Expired(now(s.Network))
}

var _ link.Source = (*resending)(nil)
