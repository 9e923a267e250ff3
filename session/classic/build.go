package classic

import (
	"context"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// outgoing is one message of an exchange.
type outgoing struct {
	spec    message.HeaderSpec
	forced  bool // must be renewable: after KEYX_REQUIRED or EXPIRED
	waived  bool // a reply of the stack's own: no data, no requirements
	last    bool // nobody waits for what it brings
	parties keyx.Parties
	sealed  *message.Sealed
}

func (o *outgoing) masterToken() *token.MasterToken {
	if o.spec.Under == nil {
		return nil
	}
	return o.spec.Under.Token
}

// nonReplayable says whether the data needs a non-replayable ID: in answers it
// never has one, since the request's ID makes them fresh.
func (x *exchange) nonReplayable() bool { return x.m.nonReplayable() && x.incoming == nil }

// build is procedure S of spec 09 section 5.4 up to the writing; S2 and S8 are done
// by [message.Network.Respond] and [Party.Respond], for whoever answers.
func (x *exchange) build(ctx context.Context) error {
	o := &x.out
	s := &o.spec
	p, err := x.network.Protection(s)
	if err != nil {
		return err
	}
	delayed, err := x.attach(ctx, p) // S1
	if err != nil {
		return err
	}
	canWrite := !delayed && // S3
		(!x.m.encrypted() || p.PayloadEncrypted) &&
		(!x.m.protected() || p.PayloadProtected) &&
		(!x.nonReplayable() || s.Under != nil)
	offer, needed := x.offers(canWrite)
	if offer && canWrite && !o.waived {
		// An empty message that asks for keys is what old stacks take for a
		// handshake (spec 04 section 6.1): then be one, or do not ask.
		empty, err := x.body.empty(ctx)
		if err != nil {
			return bodyError{err}
		}
		canWrite, offer = !empty || !needed, !empty || needed
	}
	s.Handshake = !canWrite && !o.waived // S4
	if s.Handshake && x.turn == nil {
		return mslerr.New(mslerr.InternalException, "keys are needed, and nothing may be asked for")
	}
	if s.Handshake || offer { // S5
		if err := x.offerKeys(ctx); err != nil {
			return err
		}
	}
	if x.m.ServiceTokens != nil { // S6
		if err := x.m.ServiceTokens(ctx, x.serviceTokens(), s.Handshake || o.waived); err != nil {
			return err
		}
	}
	if !s.Handshake && !o.waived && x.nonReplayable() { // S7
		id, err := x.Holder.NextNonReplayable(ctx, o.masterToken())
		if err != nil {
			return err
		}
		s.NonReplayableID = &id
	}
	if o.sealed, err = x.network.Seal(ctx, *s); err != nil {
		return err
	}
	if err := x.storeServiceTokens(ctx, s.Tokens, o.masterToken()); err != nil { // S9
		return err
	}
	if x.Sent != nil {
		x.Sent(s)
	}
	return nil
}

// attach is S1: a user without a user ID token logs in, in a header that nobody
// else can read or change. It reports that the credentials are delayed until
// there is one.
func (x *exchange) attach(ctx context.Context, p message.Protection) (delayed bool, err error) {
	s := &x.out.spec
	s.Credentials = nil
	if !x.wantsUser() || x.m.Credentials == nil || x.out.waived {
		return false, nil
	}
	if !p.HeaderEncrypted || !p.HeaderProtected {
		return true, nil
	}
	if x.credentials == nil {
		if x.credentials, err = x.m.Credentials.Credentials(ctx, nil); err != nil {
			return false, err
		}
	}
	s.Credentials = x.credentials
	return false, nil
}

// offers says whether the message is to carry key requests (S5): it is renewable
// and has no master token, one in its renewal window, or is not to be replayed.
// In the last case they are not needed. One whose answer is not read carries
// them only as a handshake (5.5).
func (x *exchange) offers(canWrite bool) (offer, needed bool) {
	o := &x.out
	if !o.spec.Renewable || o.last || x.mode == never && canWrite {
		return false, false
	}
	mt, now := o.masterToken(), x.remoteNow()
	needed = mt == nil || o.forced || mt.Renewable(now) || mt.Expired(now)
	return needed || x.nonReplayable() && !o.waived, needed
}

// offerKeys makes fresh key requests.
func (x *exchange) offerKeys(ctx context.Context) error {
	o := &x.out
	if held := o.spec.Under; held != nil {
		c, err := mslcrypto.NewSession(held.Keys, mslcrypto.SessionKeyID(held.Self.Identity, held.Token.Sequence))
		if err != nil {
			return err
		}
		o.parties = keyx.Parties{Identity: held.Self.Identity, Token: held.Token, TokenContext: c}
	} else {
		self := entityauth.EntityOf(x.network.Self)
		o.parties = keyx.Parties{Requester: self, Identity: self.Identity}
	}
	offers, err := x.network.KeyExchange.Offer(ctx, o.parties)
	if err != nil {
		return err
	}
	if len(offers) == 0 && (o.spec.Handshake || o.forced) {
		return mslerr.New(mslerr.KeyxFactoryNotFound, "keys are needed, and no key exchange is enabled")
	}
	o.spec.KeyRequests = offers
	return nil
}

// A mode says when an answer is read (5.5).
type mode uint8

const (
	always   mode = iota // request
	renewing             // peer to peer respond: if it may bring tokens
	never                // send: after a handshake only
)

// awaited says whether the answer to the message is to be read.
func (x *exchange) awaited() bool {
	o := &x.out
	s := &o.spec
	switch {
	case o.last:
		return false
	case x.mode == always || s.Handshake:
		return true
	case x.mode == never:
		return false
	}
	return len(s.KeyRequests) > 0 || s.Renewable && s.Under != nil && s.Credentials != nil
}
