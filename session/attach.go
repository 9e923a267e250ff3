package session

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/session/link"
)

// ErrAttached is what [Accept] returns for a connection that it gave to a living
// session, in place of one that was lost. There is nothing more to do.
var ErrAttached = errors.New("session: the connection goes on with a living session")

var (
	errUnknownChannel = errors.New("session: an attach to no channel that is known")
	errClosedChannel  = errors.New("session: an attach to a channel that is closed")
)

// attach answers an attach (channel set-up 4.6.3). Whatever does not pass gets
// one and the same answer, and until all has passed nothing changes.
func (s *responder) attach(ctx context.Context) error {
	a := s.request.attach
	c := s.channels.find(a.id)
	if c == nil || c.entity != s.header.Sender {
		return s.unknown(ctx)
	}
	c.attaching.Lock()
	defer c.attaching.Unlock()
	living, user, code := s.channels.present(c)
	proved := false
	c.epochs.use(a.epoch, func(e *epoch) {
		proved = hmac.Equal(a.proof, e.attachProof(a.id, a.n, a.received, a.first, s.header.MessageID))
	})
	// An initiator that has not yet heard of its login cannot name the user.
	if !proved || a.n <= c.n || s.header.User != "" && s.header.User != user {
		return s.unknown(ctx)
	}
	if living == nil {
		c.n = a.n
		return s.closed(ctx, c, code)
	}
	if err := s.permitted(ctx, living); err != nil {
		living.revoked(err)
		return s.unknown(ctx)
	}
	at := living.link.Standing()
	if a.received < at.Acked || a.received > at.Sent || a.first > at.Received || !c.move(s.Moves) {
		return s.unknown(ctx)
	}
	c.n = a.n
	if !living.link.Detach() {
		if living, _, code = s.channels.present(c); living == nil {
			return s.closed(ctx, c, code)
		}
		return s.unknown(ctx) // durable is over, just now
	}
	return s.resume(ctx, living)
}

// resume gives the connection to the session, which has none any more.
func (s *responder) resume(ctx context.Context, living *Session) error {
	a := s.request.attach
	received := living.link.Standing().Received // no earlier: it does not change from now on
	answer := &attachResponse{received: received}
	living.epochs.use(a.epoch, func(e *epoch) {
		answer.proof = e.attachAnswer(s.hq, a.id, a.n, received)
	})
	if err := s.seal(ctx, &response{attach: answer}); err != nil {
		return err
	}
	err := living.move(s.conn, s.reader, link.Resumption{
		Header:   s.sent.Raw,
		Received: a.received,
		Next:     a.received,
		Skip:     min(a.count, received-min(a.first, received)),
	})
	if err != nil {
		return err
	}
	s.taken = true
	living.proveByAttach()
	return ErrAttached
}

// unknown answers that there is nothing to attach to.
func (s *responder) unknown(ctx context.Context) error {
	return s.answerError(ctx, &response{attach: &attachResponse{err: attachUnknown}}, errUnknownChannel)
}

// closed answers, with a proof, how the channel was closed (X18).
func (s *responder) closed(ctx context.Context, c *channel, code frame.Code) error {
	a := s.request.attach
	answer := &attachResponse{err: attachClosed, code: uint64(code)}
	c.epochs.use(a.epoch, func(e *epoch) {
		answer.proof = e.attachClosed(s.hq, a.id, a.n, answer.code)
	})
	return s.answerError(ctx, &response{attach: answer}, errClosedChannel)
}

// seal makes the answer to a request that sets nothing up.
func (s *responder) seal(ctx context.Context, r *response) error {
	q := *s.header
	q.Renewable = false
	spec, err := s.Network.Respond(ctx, &q, message.RespondOptions{})
	if err != nil {
		return err
	}
	spec.Channel = r.object()
	s.sent, err = s.Network.Seal(ctx, spec)
	return err
}

// answerError makes a response with an error in "channel", in place of an error
// header: it is authenticated like any response. why is for our own log.
func (s *responder) answerError(ctx context.Context, r *response, why error) error {
	if err := s.seal(ctx, r); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errAnswered, why)
}

// checkAttach wants what every attach has.
func (s *responder) checkAttach() error {
	if h := s.header; s.request.attach != nil && (h.MasterToken == nil || h.Renewable || h.NonReplayable) {
		return mslerr.New(mslerr.ParseError, "an attach is under a token, asks for nothing and has no non-replayable ID")
	}
	return nil
}
