package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session/classic"
)

var (
	// errNoAnswer is what is wrong with an answer that the channel ends for.
	errNoAnswer      = errors.New("session: not a proper answer")
	errTokenKeysGone = errors.New("session: the token keys that made the other side's master token are gone")
)

// exchangeSettings is what a set-up settled for the messages inside its channel.
type exchangeSettings struct {
	outside    *message.Network
	algorithms Algorithms
	peer       token.Entity
	holder     token.Holder // of what the other side issues to us; nil: the session alone keeps it
	tokens     func(*Session, []*token.ServiceToken)
	slot       *classic.Slot // towards the other side; nil: no other message renews tokens
}

// An exchange sends and answers the MSL messages inside a channel.
type exchange struct {
	exchangeSettings
	session *Session
	inband  *inband
	ctx     context.Context // ends with the session

	mu         sync.Mutex    // guards all below
	turn       chan struct{} // has one element while a request is unanswered; nil: there was none yet
	held       []*token.Held
	uit        *token.UserIDToken
	local      string                  // name under which uit is held
	user       token.User              // who is logged in
	issued     token.SealedMasterToken // the newest that the other side has from us
	issuedUser *token.UserIDToken      // of user, from us; nil: not known
	last       time.Time               // of our last request
	timer      *time.Timer             // of the next renewal; nil: none
	pause      time.Duration           // after a renewal that brought nothing
	ended      bool
}

func newExchange(s *Session, settings exchangeSettings, c *inband) *exchange {
	x := &exchange{exchangeSettings: settings, session: s, inband: c, ctx: s.life}
	c.init(func(request []byte) { go x.serve(request) })
	return x
}

// network is the one for messages inside a channel: keys come from HPKE. Such
// messages are rare, so it is made anew for each.
func (x *exchange) network() *message.Network {
	n := *x.outside
	n.KeyExchange = keyx.Schemes{keyx.HPKE{KEMs: x.algorithms.kems()}}
	return &n
}

// issues notes who is logged in, and the newest tokens that the other side has
// from us. Each may be missing, and u somebody else's.
func (x *exchange) issues(user token.User, t *token.MasterToken, u *token.UserIDToken) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if user != "" {
		x.user = user
	}
	if t != nil {
		x.issued = t.Sealed()
	}
	if u != nil && u.Verified() {
		x.issuedUser = u
	}
}

func (x *exchange) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	if x.timer != nil {
		x.timer.Stop()
	}
}

func (x *exchange) who() token.User {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.user
}

// keep puts h in the place of older: in memory first, as the other side may use
// it from now on.
func (x *exchange) keep(ctx context.Context, h, older *token.Held) error {
	x.remember(h)
	if x.holder == nil {
		return nil
	}
	if err := x.holder.Put(ctx, h); err != nil || older == nil {
		return err
	}
	return x.holder.Remove(ctx, older.Token)
}

// remember keeps the newest two tokens: the other side may have sent under the
// older one before it knew.
func (x *exchange) remember(h *token.Held) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.held = append(x.held, h)
	if n := len(x.held); n > 2 {
		x.held = x.held[n-2:]
	}
}

// newest is the token to send under, nil if there is none: another session may
// have renewed it.
func (x *exchange) newest(ctx context.Context) (*token.Held, error) {
	if x.holder != nil {
		h, err := x.holder.Newest(ctx)
		if err != nil {
			return nil, err
		}
		if h != nil && h.From.Issuer == x.peer && h.From.Authenticated {
			return h, nil
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.held) == 0 {
		return nil, nil
	}
	return x.held[len(x.held)-1], nil
}

// userID is the user's token, if it is bound to the master token of h.
func (x *exchange) userID(h *token.Held) *token.UserIDToken {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.uit == nil || !x.uit.BoundTo(h.Token) {
		return nil
	}
	return x.uit
}

// remembering finds the tokens of the session and then those of its holder.
type remembering struct {
	token.Holder
	x *exchange
}

func (r remembering) Find(ctx context.Context, t *token.MasterToken) (*token.Held, error) {
	r.x.mu.Lock()
	for _, h := range r.x.held {
		if h.Token.Equal(t) {
			r.x.mu.Unlock()
			return h, nil
		}
	}
	r.x.mu.Unlock()
	if r.Holder == nil {
		return nil, nil
	}
	return r.Holder.Find(ctx, t)
}

// A letter is one request: what it says and what its answer must bring.
type letter struct {
	fresh       bool // under our entity authentication data, for a token that depends on no other
	renew       bool // may bring new tokens
	userID      *token.UserIDToken
	credentials userauth.Data
	local       string // who logs in; "" for nobody
	tokens      []*token.ServiceToken
}

// turns is where a request waits for its turn.
func (x *exchange) turns() chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.turn == nil {
		x.turn = make(chan struct{}, 1)
	}
	return x.turn
}

// request sends a letter and waits for its answer, or until ctx ends: the
// exchange then goes on, since tokens that it brings are to be stored.
func (x *exchange) request(ctx context.Context, l letter) error {
	turn := x.turns()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-x.ctx.Done():
		return x.session.Err()
	}
	done := make(chan error, 1)
	go func() {
		err := x.perform(l)
		<-turn
		done <- err
	}()
	select {
	case err := <-done:
		if x.ctx.Err() != nil && err != nil {
			<-x.session.Done() // closed a moment later
			return x.session.err
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (x *exchange) perform(l letter) error {
	x.mu.Lock()
	wait := time.Until(x.last.Add(requestPause))
	x.mu.Unlock()
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-x.ctx.Done():
			return x.ctx.Err()
		}
	}
	under, turn, err := x.begin(l)
	if err != nil {
		return err
	}
	defer x.publish(turn)
	spec, open, err := x.spec(l, under)
	if err != nil {
		return err
	}
	defer keyx.Erase(open.Offers)
	sealed, err := x.network().Seal(x.ctx, spec)
	if err != nil {
		return err
	}
	if len(sealed.Raw) > maxControl {
		return &framing.LimitError{Limit: "size of a CONTROL message", Max: maxControl}
	}
	open.RequestID = &sealed.MessageID
	x.inband.send(sealed.Raw, false)
	x.session.link.Wake()
	x.mu.Lock()
	x.last = time.Now()
	x.mu.Unlock()
	var answer []byte
	select {
	case answer = <-x.inband.answers:
	case <-x.ctx.Done():
		return x.ctx.Err()
	}
	h, err := x.open(answer, open)
	if err != nil {
		return err
	}
	err = x.store(l, h, under)
	x.schedule()
	return err
}

// begin gives the token of a letter, and the renewal slot if it asks for keys.
func (x *exchange) begin(l letter) (*token.Held, *classic.Turn, error) {
	for {
		under, err := x.under(l)
		if err != nil || x.slot == nil || !x.due(l, under) {
			return under, nil, err
		}
		// Who had the slot may have brought a token that needs no renewal.
		turn, _, err := x.slot.Acquire(x.ctx)
		if err != nil {
			return nil, nil, err
		}
		if turn != nil {
			if under, err = x.under(l); err != nil {
				turn.Publish(nil)
				return nil, nil, err
			}
			return under, turn, nil
		}
	}
}

// publish gives the slot back, with the token that is the newest now.
func (x *exchange) publish(turn *classic.Turn) {
	if turn == nil {
		return
	}
	var t *token.MasterToken
	if h, err := x.newest(context.WithoutCancel(x.ctx)); err == nil && h != nil {
		t = h.Token
	}
	turn.Publish(t)
}

// due says whether a letter asks for keys.
func (x *exchange) due(l letter, under *token.Held) bool {
	return l.fresh || l.renew && under != nil && under.Token.Renewable(now(x.outside))
}

// under is the token of a letter: what we hold, or as an issuer the newest of
// the other side.
func (x *exchange) under(l letter) (*token.Held, error) {
	if l.fresh {
		return nil, nil
	}
	h, err := x.newest(x.ctx)
	if h != nil || err != nil {
		return h, err
	}
	issued, _, _ := x.standing()
	if issued.IsZero() || x.outside.PeerToPeer {
		return nil, nil
	}
	t, err := issued.Open(x.outside.TokenKeys)
	switch {
	case err != nil:
		return nil, err
	case !t.Verified():
		return nil, errTokenKeysGone
	}
	return &token.Held{Token: t, Keys: t.SessionKeys(), Self: x.peer}, nil
}

// spec is what a letter says.
func (x *exchange) spec(l letter, under *token.Held) (spec message.HeaderSpec, open message.OpenOptions, err error) {
	spec = message.HeaderSpec{
		Under:        under,
		Renewable:    l.renew,
		Capabilities: x.outside.Capabilities(),
		Credentials:  l.credentials,
		Tokens:       message.Tokens{UserID: l.userID, Service: l.tokens},
	}
	if u := l.userID; u != nil && (under == nil || !u.BoundTo(under.Token)) {
		spec.Tokens.UserID = nil // of a master token that was replaced
	}
	open.Holder = remembering{x.holder, x}
	if under == nil {
		if x.outside.Self == nil {
			return spec, open, errors.New("session: neither a master token nor entity authentication data of our own")
		}
		self := entityauth.EntityOf(x.outside.Self)
		open.Parties = keyx.Parties{Requester: self, Identity: self.Identity}
	} else {
		if under.From.CBOR {
			spec.Format, _ = framing.ByName("CBOR")
		}
		open.Parties = keyx.Parties{Identity: under.Self.Identity, Token: under.Token}
	}
	if x.due(l, under) {
		spec.KeyRequests, err = x.network().KeyExchange.Offer(x.ctx, open.Parties)
		spec.Handshake = l.fresh
		open.Offers = spec.KeyRequests
	}
	return spec, open, err
}

// open opens an answer. One that does not open, is not of the other side or has
// no place in a channel ends that; an error header is the error.
func (x *exchange) open(raw []byte, o message.OpenOptions) (*message.Header, error) {
	h, err := x.network().Open(x.ctx, raw, o)
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok && e.Sender == x.peer && e.Answers {
		return nil, e
	}
	switch {
	case x.ctx.Err() != nil:
		return nil, x.ctx.Err()
	case err != nil:
		x.violate("an answer that does not open")
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	case !x.fromPeer(h):
		x.violate("an answer of somebody else")
		return nil, errNoAnswer
	case h.Channel != nil || h.Credentials != nil || len(h.KeyRequests) > 0:
		x.violate("an answer with what only a request may have")
		return nil, errNoAnswer
	}
	return h, nil
}

func (x *exchange) violate(reason string) { x.session.link.CloseWithError(controlViolation(reason)) }

// fromPeer says whether the channel's other side sent h.
func (x *exchange) fromPeer(h *message.Header) bool {
	if h.Held != nil {
		return h.Held.From.Issuer == x.peer
	}
	return h.Sender == x.peer
}

// store keeps what an answer brought.
func (x *exchange) store(l letter, h *message.Header, under *token.Held) error {
	if h.KeyResponse != nil {
		older := under
		n := &token.Held{Token: h.KeyResponse.Token, Keys: h.KeyResult.Keys}
		if e := h.KeyResult.Exporter; e != nil {
			e.Erase() // the channel's keys do not change
		}
		if under != nil {
			n.Self, n.From = under.Self, under.From
		} else {
			var err error
			if older, err = x.newest(x.ctx); err != nil {
				return err
			}
			n.Self = entityauth.EntityOf(x.outside.Self)
			n.From = token.Origin{Issuer: x.peer, Authenticated: h.HeaderProtected, Sentinel: true, CBOR: announcesCBOR(h)}
		}
		if err := x.keep(x.ctx, n, older); err != nil {
			return err
		}
		x.mu.Lock()
		if x.uit != nil && !x.uit.BoundTo(n.Token) {
			x.uit = nil
		}
		x.mu.Unlock()
	}
	own := h.Tokens
	if x.outside.PeerToPeer {
		own = h.Peer
	}
	if err := x.storeUser(l, own.UserID); err != nil {
		return err
	}
	return x.received(own.Service, h)
}

// storeUser keeps a user ID token: of a login, or renewed.
func (x *exchange) storeUser(l letter, u *token.UserIDToken) error {
	x.mu.Lock()
	local := l.local
	if local == "" {
		local = x.local
	}
	switch {
	case l.local != "" && u == nil:
		x.mu.Unlock()
		return mslerr.New(mslerr.UserIDTokenMasterTokenNull, "the other side gave no user ID token")
	case u == nil || local == "" || u.Verified():
		x.mu.Unlock()
		return nil
	}
	x.uit, x.local, x.user = u, local, token.User(local)
	x.mu.Unlock()
	if x.holder == nil {
		return nil
	}
	return x.holder.PutUserIDToken(x.ctx, local, u)
}

// received stores service tokens of the other side, or drops those that it wants
// deleted, and hands all to the application.
func (x *exchange) received(list []*token.ServiceToken, h *message.Header) error {
	if len(list) == 0 {
		return nil
	}
	if x.holder != nil {
		var kept []*token.ServiceToken
		for _, s := range list {
			if !s.Deleted() {
				kept = append(kept, s)
				continue
			}
			var mt *token.MasterToken
			var uit *token.UserIDToken
			if s.MasterTokenSerial != -1 {
				mt = h.MasterToken
			}
			if s.UserIDTokenSerial != -1 {
				uit = h.Tokens.UserID
			}
			if err := x.holder.RemoveServiceTokens(x.ctx, s.Name, mt, uit); err != nil {
				return err
			}
		}
		if err := x.holder.PutServiceTokens(x.ctx, kept); err != nil {
			return err
		}
	}
	if x.tokens != nil {
		x.tokens(x.session, list)
	}
	return nil
}
