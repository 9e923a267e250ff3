package classic

import (
	"context"
	"errors"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
)

// What each response code asks for (spec 08 section 1, spec 09 section 12):
//
//	                    forget             sent again under    user ID token  forced  asks for
//	FAIL, TRANSIENT     –                  not sent again
//	ENTITY_REAUTH       master token       entity auth. data   none           no
//	USER_REAUTH         user ID token      newest              none           no      credentials, when built
//	KEYX_REQUIRED       –                  entity auth. data   none           yes
//	ENTITYDATA_REAUTH   master token       new data            none           no      entity authentication data
//	USERDATA_REAUTH     user ID token      newest              none           no      new credentials
//	EXPIRED             –                  newest              its own        if that is the one rejected
//	REPLAYED            –                  newest              its own        no
//	SSOTOKEN_REJECTED   –                  newest              none           no      new credentials

// recover builds the retry after an error header. The error is the error header
// itself if there is none, joined with the reason if that is ours.
func (x *exchange) recover(ctx context.Context) error {
	e := x.refusal
	if e.Response == mslerr.Fail || e.Response == mslerr.TransientFailure || !x.trusted(e) || !x.isNew(e) {
		return e
	}
	if err := x.body.repeatable(); err != nil {
		return err
	}
	rejected, rejectedUser := x.out.masterToken(), x.out.spec.Tokens.UserID
	x.retry()
	switch e.Response {
	case mslerr.EntityReauth, mslerr.EntityDataReauth:
		if err := x.forget(ctx, rejected); err != nil {
			return err
		}
		if e.Response == mslerr.EntityDataReauth {
			if err := x.reauthenticate(ctx); err != nil {
				return err
			}
		}
		return x.withoutToken(ctx)
	case mslerr.KeyxRequired:
		x.out.forced = true
		if rejected != nil {
			x.superseded = append(x.superseded, rejected)
		}
		return x.withoutToken(ctx)
	case mslerr.UserReauth, mslerr.UserDataReauth, mslerr.SSOTokenRejected:
		if e.Response != mslerr.UserReauth {
			if err := x.newCredentials(ctx); err != nil {
				return err
			}
		}
		if e.Response != mslerr.SSOTokenRejected && rejectedUser != nil && x.Holder != nil {
			if err := x.Holder.RemoveUserIDToken(ctx, rejectedUser); err != nil {
				return err
			}
		}
		x.withoutUser = true
		return x.useNewest(ctx)
	case mslerr.Expired:
		if err := x.useNewest(ctx); err != nil {
			return err
		}
		x.out.forced = rejected == nil || rejected.Equal(x.out.masterToken())
		return nil
	case mslerr.Replayed:
		return x.useNewest(ctx)
	}
	return e
}

// retry begins the message that takes the place of the rejected one: its ID goes
// on from the error's, its peer tokens stay (common rules 1 and 3).
func (x *exchange) retry() {
	s := &x.out.spec
	x.out = outgoing{waived: x.out.waived, last: x.out.last, spec: message.HeaderSpec{
		MessageID: new(message.NextID(x.refusal.MessageID)), Format: s.Format, Capabilities: s.Capabilities,
		PeerMT: s.PeerMT, Peer: s.Peer,
	}}
}

// withoutToken sends under our entity authentication data.
func (x *exchange) withoutToken(ctx context.Context) error {
	if x.network.Self == nil {
		return x.refusal
	}
	return x.use(ctx, nil)
}

// forget deletes the master token of the rejected message (cleanup, spec 08
// section 1). An error that does not name the message may be an old one, sent
// again: then the token goes only when an attempt without it has succeeded (W-05).
func (x *exchange) forget(ctx context.Context, t *token.MasterToken) error {
	if t == nil || x.Holder == nil {
		return nil
	}
	if !x.refusal.Answers {
		x.superseded = append(x.superseded, t)
		return nil
	}
	return x.Holder.Remove(ctx, t)
}

// reauthenticate asks for other entity authentication data, of the same scheme.
func (x *exchange) reauthenticate(ctx context.Context) error {
	if x.Reauthenticate == nil {
		return x.refusal
	}
	data, err := x.Reauthenticate(ctx, x.refusal)
	if err != nil {
		return err
	}
	if x.network.Self != nil && data.Scheme() != x.network.Self.Scheme() {
		return mslerr.New(mslerr.InternalException, "entity authentication data of another scheme")
	}
	x.mu.Lock()
	x.self = data
	x.mu.Unlock()
	x.network = x.Party.network()
	return nil
}

// newCredentials asks for other credentials. A source that has none returns the
// rejection, so that nobody is asked for ever (spec 08 checklist 14).
func (x *exchange) newCredentials(ctx context.Context) error {
	if x.m.Credentials == nil {
		return x.refusal
	}
	data, err := x.m.Credentials.Credentials(ctx, x.refusal.Unwrap())
	if err != nil {
		return err
	}
	x.credentials = data
	return nil
}

// failure is what the application is told: the last error header, and what
// prevented the recovery, if it is something else (spec 08 checklist 10).
func (x *exchange) failure() error {
	if x.refusal == nil || errors.Is(x.err, x.refusal) {
		return x.err
	}
	return errors.Join(x.refusal, x.err)
}
