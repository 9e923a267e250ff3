package classic

import (
	"context"
	"slices"

	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
)

// choose chooses the tokens of a new request (spec 09 section 5.1): the newest
// master token, the user's ID token if it is bound to that, the service tokens
// that apply to both. A new request has no peer tokens.
func (x *exchange) choose(ctx context.Context) error {
	x.out = outgoing{spec: message.HeaderSpec{Capabilities: x.network.Capabilities()}}
	return x.useNewest(ctx)
}

func (x *exchange) useNewest(ctx context.Context) error {
	if x.Holder == nil {
		return nil
	}
	newest, err := x.Holder.Newest(ctx)
	if err != nil {
		return err
	}
	return x.use(ctx, newest)
}

// use puts a master token, nil for none, and what belongs to it into the message
// (5.3). What was received with the message that is answered has been stored, so
// what is stored is the newest of everything.
func (x *exchange) use(ctx context.Context, held *token.Held) error {
	s := &x.out.spec
	s.Under, s.Tokens = held, message.Tokens{}
	if x.Holder == nil {
		return nil
	}
	mt := x.out.masterToken()
	if x.m.LocalUser != "" && !x.withoutUser && mt != nil {
		u, err := x.Holder.UserIDToken(ctx, x.m.LocalUser)
		if err != nil {
			return err
		}
		if u != nil && u.BoundTo(mt) {
			s.Tokens.UserID = u
		}
	}
	var err error
	s.Tokens.Service, err = x.Holder.ServiceTokens(ctx, mt, s.Tokens.UserID)
	return err
}

// acquire takes the renewal slot if the message must or may hold it; then the
// message is renewable (5.2).
func (x *exchange) acquire(ctx context.Context) error {
	must, err := x.mustHold()
	if err != nil {
		return err
	}
	if must {
		if err := x.block(ctx); err != nil {
			return err
		}
	}
	if x.turn == nil && x.mayHold() {
		x.turn = x.slot().Try()
	}
	x.out.spec.Renewable = x.turn != nil
	return nil
}

// mustHold says whether the message cannot go without the chance of new tokens.
func (x *exchange) mustHold() (bool, error) {
	o := &x.out
	if o.forced {
		return true, nil // c
	}
	if o.waived {
		return false, nil
	}
	p, err := x.network.Protection(&o.spec)
	if err != nil {
		return false, err
	}
	mt, secret := o.masterToken(), p.HeaderEncrypted && p.HeaderProtected
	return x.m.encrypted() && !p.PayloadEncrypted || // a
		x.m.protected() && !p.PayloadProtected || // b
		x.nonReplayable() && mt == nil || // d
		mt != nil && mt.Expired(x.remoteNow()) || // e
		x.wantsUser() && !secret || // f
		x.m.WantTokens && (mt == nil || x.wantsUser()), nil // g
}

// mayHold says whether new tokens would be welcome.
func (x *exchange) mayHold() bool {
	o, now := &x.out, x.remoteNow()
	if x.mode == never || o.last {
		return false // nobody would read the answer (5.5)
	}
	mt, u := o.masterToken(), o.spec.Tokens.UserID
	return mt == nil || mt.Renewable(now) || x.wantsUser() || u != nil && u.Renewable(now)
}

// wantsUser says that the message is sent for a user who has no user ID token.
func (x *exchange) wantsUser() bool {
	return x.m.LocalUser != "" && x.out.spec.Tokens.UserID == nil
}

// block waits until the slot is ours, or until another message got a token that
// will do (5.2, blocking procedure).
func (x *exchange) block(ctx context.Context) error {
	o := &x.out
	for {
		turn, published, err := x.slot().Acquire(ctx)
		if err != nil {
			return err
		}
		if turn != nil {
			return x.take(ctx, turn)
		}
		if published == nil || x.Holder == nil {
			continue
		}
		old := o.masterToken()
		if !published.Equal(old) {
			newest, err := x.Holder.Newest(ctx)
			if err != nil {
				return err
			}
			if newest == nil {
				continue
			}
			if err := x.use(ctx, newest); err != nil {
				return err
			}
		} else if err := x.use(ctx, o.spec.Under); err != nil { // its user ID token may be new
			return err
		}
		mt := o.masterToken()
		switch {
		case mt.Expired(x.remoteNow()):
		case o.forced && mt.Equal(old):
		case x.m.WantTokens && x.wantsUser():
		default:
			o.forced = false
			return nil
		}
	}
}

// take takes the slot, unless a token has come since ours was chosen that will do.
func (x *exchange) take(ctx context.Context, turn *Turn) error {
	x.turn = turn
	if x.Holder == nil || x.out.forced {
		return nil
	}
	newest, err := x.Holder.Newest(ctx)
	if err != nil || newest == nil || newest.Token.Equal(x.out.masterToken()) ||
		slices.ContainsFunc(x.superseded, newest.Token.Equal) {
		return err
	}
	if err := x.use(ctx, newest); err != nil {
		return err
	}
	must, err := x.mustHold()
	if !must && err == nil {
		x.release(newest.Token)
	}
	return err
}
