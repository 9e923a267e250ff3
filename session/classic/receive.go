package classic

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
)

// receive is procedure V of spec 09 section 7 for the answer to the message that
// was sent: exactly one of its results is set. The slot is given back, with what
// the answer brought, before the payload is read.
func (x *exchange) receive(ctx context.Context) (*message.Header, *message.ErrorHeader, error) {
	raw, err := x.conn.readHeader()
	if err != nil {
		return nil, nil, noAnswer(err)
	}
	o := &x.out
	h, err := x.network.Receive(ctx, raw, message.OpenOptions{ // 1, 2
		RequestID: &o.sealed.MessageID,
		Remote:    x.expected(),
		Offers:    o.spec.KeyRequests,
		Parties:   o.parties,
		Holder:    inUse{x.Holder, o.spec.Under},
	})
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok {
		if x.Received != nil {
			x.Received(nil, e)
		}
		if e.Answers && x.trusted(e) { // 4
			x.clock.Learn(e.Timestamp, x.now(), true)
		}
		return nil, e, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if x.Received != nil {
		x.Received(h, nil)
	}
	if err := x.checkRemote(ctx, h); err != nil {
		return nil, nil, err
	}
	if err := x.keep(ctx, h); err != nil { // 3
		return nil, nil, err
	}
	x.learn(h, true)                              // 4
	x.release(published(h, x.network.PeerToPeer)) // 6
	return h, nil, nil
}

var errNoAnswer = errors.New("classic: the connection ended without an answer")

// noAnswer names the failure to read an answer.
func noAnswer(err error) error {
	if p, ok := errors.AsType[*mslerr.Error](err); ok {
		return p
	}
	return errors.Join(errNoAnswer, err)
}

// inUse finds the tokens that are held, and the one that a message was sent under
// even when another message's answer has replaced it meanwhile.
type inUse struct {
	token.Holder
	held *token.Held
}

func (u inUse) Find(ctx context.Context, t *token.MasterToken) (*token.Held, error) {
	if u.held != nil && u.held.Token.Equal(t) {
		return u.held, nil
	}
	if u.Holder == nil {
		return nil, nil
	}
	return u.Holder.Find(ctx, t)
}

// checkRemote decides whether who sent a header is to be trusted (checklist 21).
// Who is under a master token has the session keys, which is all that can be
// known. Otherwise its integrity must be protected, by the expected entity or by
// the first to be pinned; an entity of a scheme that proves nothing is trusted
// only if it is expected by that very scheme.
func (p *Party) checkRemote(ctx context.Context, h *message.Header) error {
	if h.EntityAuth == nil {
		return nil
	}
	expected := p.expected()
	switch {
	case expected != (token.Entity{}):
		// Open has compared what is given.
		if h.HeaderProtected || h.Sender == expected {
			return nil
		}
		return mslerr.WithMessageID(mslerr.New(mslerr.MessageSenderMismatch, "nothing proves who answered"), h.MessageID)
	case p.Pin == nil || !h.HeaderProtected:
		return mslerr.WithMessageID(mslerr.New(mslerr.MessageSenderMismatch, "nobody is known who may answer"), h.MessageID)
	}
	if err := p.Pin(ctx, h.Sender); err != nil {
		return err
	}
	p.mu.Lock()
	p.pinned = h.Sender
	p.mu.Unlock()
	return nil
}

// trusted says whether an error header may be acted upon: who sent it is proved,
// or expected by a scheme that proves nothing (W-05, W-26).
func (p *Party) trusted(e *message.ErrorHeader) bool {
	expected := p.expected()
	return expected != (token.Entity{}) && (e.Protected || e.Sender == expected)
}

// keep stores what the answer brings (step 3).
func (x *exchange) keep(ctx context.Context, h *message.Header) error {
	if x.Holder == nil {
		return nil
	}
	if h.KeyResult != nil { // a
		if err := x.keepMasterToken(ctx, h, x.out.spec.Under, x.network.Self); err != nil {
			return err
		}
	}
	for _, t := range x.superseded { // an attempt without them has succeeded
		if err := x.Holder.Remove(ctx, t); err != nil {
			return err
		}
	}
	x.superseded = nil
	return x.keepTokens(ctx, h, x.m.LocalUser)
}

// Adopt keeps the tokens of an answer that was waited for elsewhere: of a channel's
// first contact that was answered classically. The caller has verified whose answer
// it is.
func (p *Party) Adopt(ctx context.Context, h *message.Header) error {
	if h.KeyResult != nil {
		if err := p.keepMasterToken(ctx, h, nil, p.network().Self); err != nil {
			return err
		}
	}
	p.learn(h, true)
	return p.keepTokens(ctx, h, "")
}

// keepMasterToken puts the new master token in the place of the one that the
// request was sent under; old is nil if it was sent under self.
func (p *Party) keepMasterToken(ctx context.Context, h *message.Header, old *token.Held, self entityauth.Data) error {
	held := &token.Held{Token: h.KeyResponse.Token, Keys: h.KeyResult.Keys}
	if h.KeyResult.Exporter != nil {
		h.KeyResult.Exporter.Erase()
	}
	if old != nil {
		held.Self, held.From = old.Self, old.From
	} else {
		held.Self = entityauth.EntityOf(self)
		held.From = token.Origin{Issuer: h.Sender, Authenticated: h.HeaderProtected}
	}
	held.From.Sentinel = held.From.Sentinel || h.Channel["versions"] != nil
	held.From.CBOR = held.From.CBOR || announcesCBOR(h)
	if err := p.Holder.Put(ctx, held); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	return p.Holder.Remove(ctx, old.Token)
}

func announcesCBOR(h *message.Header) bool {
	return h.Capabilities != nil &&
		slices.ContainsFunc(h.Capabilities.Formats, func(f framing.Format) bool { return f.Name() == "CBOR" })
}

// keepTokens stores the user ID token and the service tokens that a header
// brings for us: in a peer to peer network, those of the peer set (b, c, d).
func (p *Party) keepTokens(ctx context.Context, h *message.Header, user string) error {
	local, mt := h.Tokens, h.MasterToken
	if p.Network.PeerToPeer {
		local, mt = h.Peer, h.PeerMT
	}
	if h.KeyResponse != nil {
		mt = h.KeyResponse.Token
	}
	if u := local.UserID; u != nil && !u.Verified() && user != "" {
		err := p.Holder.PutUserIDToken(ctx, user, u)
		if err != nil && !errors.Is(err, mslerr.UserIDTokenMasterTokenNotFound) { // gone meanwhile
			return err
		}
	}
	return p.storeServiceTokens(ctx, local, mt)
}

// storeServiceTokens is section 13.4: an issuer does not keep its own.
func (p *Party) storeServiceTokens(ctx context.Context, set message.Tokens, mt *token.MasterToken) error {
	if p.Holder == nil {
		return nil
	}
	var added []*token.ServiceToken
	for _, t := range set.Service {
		var boundMT *token.MasterToken
		var boundUser *token.UserIDToken
		if t.MasterTokenSerial != -1 {
			if boundMT = mt; mt.Verified() {
				continue
			}
		}
		if t.UserIDTokenSerial != -1 {
			boundUser = set.UserID
		}
		if !t.Deleted() {
			added = append(added, t)
			continue
		}
		if err := p.Holder.RemoveServiceTokens(ctx, t.Name, boundMT, boundUser); err != nil {
			return err
		}
	}
	if len(added) == 0 {
		return nil
	}
	err := p.Holder.PutServiceTokens(ctx, added)
	if errors.Is(err, mslerr.ServiceTokenMasterTokenNotFound) || errors.Is(err, mslerr.ServiceTokenUserIDTokenNotFound) {
		return nil // what they belong to is gone meanwhile
	}
	return err
}

// learn is step 4.
func (p *Party) learn(h *message.Header, answers bool) {
	if h.HeaderProtected {
		p.clock.Learn(h.Timestamp, p.now(), answers)
	}
}

// published is what a request's answer tells those who wait for the slot (5.2).
func published(h *message.Header, peerToPeer bool) *token.MasterToken {
	switch {
	case h.KeyResponse != nil:
		return h.KeyResponse.Token
	case peerToPeer:
		return h.PeerMT
	}
	return h.MasterToken
}

// release gives the slot back, if it is held.
func (x *exchange) release(result *token.MasterToken) {
	x.turn.Publish(result)
	x.turn = nil
}

// isNew says whether an error header has not been acted upon before: the second
// time it is a replay (W-05).
func (p *Party) isNew(e *message.ErrorHeader) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.errors.Add(sha256.Sum256(e.Raw))
}
