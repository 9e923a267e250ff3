package session

import (
	"errors"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
)

// serve answers a request of the other side. It has a goroutine of its own, as
// authentication may take its time; there is one request at a time.
func (x *exchange) serve(raw []byte) {
	h, err := x.network().Open(x.ctx, raw, message.OpenOptions{Holder: remembering{x.holder, x}})
	if _, ok := errors.AsType[*message.ErrorHeader](err); ok {
		x.violate("an error header that answers nothing")
		return
	}
	var answer *message.Sealed
	if err == nil {
		if violation := x.belongs(h); violation != "" {
			x.violate(violation)
			return
		}
		answer, err = x.answer(h)
	}
	switch {
	case errors.Is(err, errOtherUser):
		x.violate("another user than the channel's")
		return
	case errors.Is(err, mslerr.MasterTokenIdentityRevoked), errors.Is(err, mslerr.EntityRevoked):
		x.session.link.CloseWithError(&frame.Error{Code: frame.CodeRevoked, Reason: "revoked"})
		return
	}
	if err != nil && x.ctx.Err() == nil {
		answer, err = x.network().SealError(x.ctx, message.ErrorSpec{Err: err, Request: h})
	}
	switch {
	case x.ctx.Err() != nil:
		return
	case err != nil:
		x.session.link.CloseWithError(err)
		return
	}
	x.inband.send(answer.Raw, true)
	x.session.link.Wake()
}

// belongs says what of a header has no place in this channel; "" for nothing.
func (x *exchange) belongs(h *message.Header) string {
	switch {
	case !x.fromPeer(h):
		return "a message of somebody else"
	case h.Channel != nil:
		return "a channel inside a channel"
	case h.KeyResponse != nil:
		return "a request with an answer in it"
	}
	return ""
}

var errOtherUser = errors.New("session: another user than the channel's")

// admitUser lets the channel's user go from none to one, and never to another.
func (x *exchange) admitUser(u token.User) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if u != "" && x.user != "" && u != x.user {
		return errOtherUser
	}
	return nil
}

// answer makes the answer to a request: the checks are those of classic MSL,
// and credentials are looked at last.
func (x *exchange) answer(h *message.Header) (*message.Sealed, error) {
	n := x.network()
	if err := n.Check(x.ctx, h); err != nil {
		return nil, err
	}
	if err := x.admitUser(h.User); err != nil {
		return nil, err
	}
	if err := n.Authenticate(x.ctx, h); err != nil {
		return nil, err
	}
	if err := x.admitUser(h.User); err != nil {
		return nil, err
	}
	spec, err := n.Respond(x.ctx, h, message.RespondOptions{})
	if err != nil {
		return nil, err
	}
	user := spec.Tokens.UserID
	if user == nil {
		user = h.Tokens.UserID
	}
	// Service tokens travel when somebody sends them, not as an echo.
	spec.Tokens.Service, spec.Peer.Service = nil, nil
	if h.Held != nil {
		spec.Tokens = message.Tokens{}
	}
	sealed, err := n.Seal(x.ctx, spec)
	if k := spec.KeyResponse; k != nil {
		k.Answer.Keys.Encryption.Erase()
		k.Answer.Keys.Signature.Erase()
		if e := k.Answer.Exporter; e != nil {
			e.Erase()
		}
	}
	if err != nil {
		return nil, err
	}
	if len(sealed.Raw) > maxControl {
		return nil, mslerr.New(mslerr.InternalException, "an answer of %d bytes, more than %d", len(sealed.Raw), maxControl)
	}
	t := h.MasterToken
	switch {
	case spec.KeyResponse != nil:
		t = spec.KeyResponse.Token
	case t != nil && !t.Verified():
		t = nil
	}
	x.issues(h.User, t, user)
	return sealed, x.received(h.Tokens.Service, h)
}
