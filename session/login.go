package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// ErrOtherUser says that a session has a user already: it may go from none to
// one, and never to another.
var ErrOtherUser = errors.New("session: somebody else is logged in")

// Login logs a user in inside the session, where nobody else sees the
// credentials. user is the local name under which the user ID token is kept;
// [Info.User] is it from then on, and at the other side the name that it knows
// the user by. A held user ID token is tried first; source is asked when there is
// none, and again whenever the other side rejects what it gave.
//
// Errors: [ErrOtherUser]; that of source; a *[message.ErrorHeader] for another
// refusal; ctx's, whose end leaves a login under way to succeed or fail.
func (s *Session) Login(ctx context.Context, user string, source userauth.Source) error {
	if err := s.established(ctx); err != nil {
		return err
	}
	x := s.exchange
	switch at := x.who(); {
	case user == "":
		return errors.New("session: a user without a name")
	case at == token.User(user):
		return nil
	case at != "":
		return fmt.Errorf("%w: %q", ErrOtherUser, at)
	}
	under, err := x.newest(ctx)
	switch {
	case err != nil:
		return err
	case under == nil:
		return errors.New("session: a login needs a master token of the other side")
	}
	if u, err := x.heldUser(ctx, user, under); err != nil {
		return err
	} else if u != nil {
		if err = x.request(ctx, letter{renew: true, userID: u, local: user}); !wantsCredentials(err) {
			return err
		}
		if err = x.holder.RemoveUserIDToken(ctx, u); err != nil {
			return err
		}
	}
	var rejected error
	for {
		d, err := source.Credentials(ctx, rejected)
		if err != nil {
			return err
		}
		if err = x.request(ctx, letter{renew: true, credentials: d, local: user}); !wantsCredentials(err) {
			return err
		}
		rejected = errors.Unwrap(err)
	}
}

// heldUser is the held token of a local user, if it is bound to the newest
// master token.
func (x *exchange) heldUser(ctx context.Context, user string, under *token.Held) (*token.UserIDToken, error) {
	if x.holder == nil {
		return nil, nil
	}
	u, err := x.holder.UserIDToken(ctx, user)
	if err != nil || u == nil || !u.BoundTo(under.Token) {
		return nil, err
	}
	return u, nil
}

func wantsCredentials(err error) bool {
	h, ok := errors.AsType[*message.ErrorHeader](err)
	return ok && (h.Response == mslerr.UserReauth || h.Response == mslerr.UserDataReauth)
}

// SendServiceTokens sends service tokens to the other side and waits until it
// has taken them. Those that are bound belong to the tokens between the two.
func (s *Session) SendServiceTokens(ctx context.Context, tokens ...*token.ServiceToken) error {
	if err := s.established(ctx); err != nil {
		return err
	}
	x := s.exchange
	x.mu.Lock()
	l := letter{tokens: tokens, userID: x.uit}
	x.mu.Unlock()
	return x.request(ctx, l)
}

// Reauthenticate authenticates us to the other side once more by our entity
// authentication data, for a new master token that depends on no earlier one.
// The held one is removed.
func (s *Session) Reauthenticate(ctx context.Context) error {
	if err := s.established(ctx); err != nil {
		return err
	}
	return s.exchange.request(ctx, letter{fresh: true, renew: true})
}

// holds begins to renew h inside the channel, where the wire does not show it.
func (x *exchange) holds(h *token.Held) {
	x.remember(h)
	x.schedule()
}

const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// schedule sets the time of the next renewal: when the window of the master
// token or the user's opens, not all clients of a service at once.
func (x *exchange) schedule() {
	h, err := x.newest(x.ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended || err != nil || h == nil {
		return
	}
	at, end := h.Token.RenewalWindow, h.Token.Expiration
	if u := x.uit; u != nil && u.RenewalWindow.Before(at) {
		at, end = u.RenewalWindow, u.Expiration
	}
	wait := max(at.Sub(now(x.outside)), x.pause)
	if spread := end.Sub(at) / 8; spread > 0 {
		wait += rand.N(spread)
	}
	if x.timer == nil {
		x.timer = time.AfterFunc(wait, x.renew)
	} else {
		x.timer.Reset(wait)
	}
}

// renew asks for new tokens.
func (x *exchange) renew() {
	before, _ := x.newest(x.ctx)
	x.mu.Lock()
	l := letter{renew: true, userID: x.uit}
	x.mu.Unlock()
	err := x.request(x.ctx, l)
	after, _ := x.newest(x.ctx)
	x.mu.Lock()
	if err == nil && (before == nil || after == nil || !after.Token.Equal(before.Token) || x.uit != l.userID) {
		x.pause = 0
	} else {
		x.pause = min(max(2*x.pause, firstRetry), lastRetry)
	}
	x.mu.Unlock()
	x.schedule()
}
