package message

import (
	"context"
	"errors"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// Check makes the checks of an opened header that are not about its form (spec
// 04 section 6, steps K, L and M), for messages of classic MSL: is it a proper
// handshake, is its master token good ([Network.CheckMasterToken]), is its
// non-replayable ID new. A message that passes confirms its token to the
// issuer, which may then forget the older ones.
//
// It is called once for a header, since it claims the non-replayable ID.
func (n *Network) Check(ctx context.Context, h *Header) error {
	if err := n.check(ctx, h); err != nil {
		return mslerr.WithMessageID(err, h.MessageID)
	}
	return nil
}

func (n *Network) check(ctx context.Context, h *Header) error {
	if n.Reject != nil {
		if err := n.Reject(ctx, h); err != nil {
			return mslerr.Wrap(rejectedEntity(h), err)
		}
	}
	if h.Handshake && (!h.Renewable || len(h.KeyRequests) == 0) {
		return mslerr.New(mslerr.HandshakeDataMissing, "a handshake that asks for no keys")
	}
	if err := n.checkMasterToken(ctx, h); err != nil {
		return err
	}
	if h.NonReplayable {
		switch {
		case h.MasterToken == nil:
			return mslerr.New(mslerr.IncompleteNonReplayableMessage, "a non-replayable ID without a master token")
		case n.Issuer == nil:
			return mslerr.New(mslerr.InternalException, "no issuer to claim non-replayable IDs of")
		}
		if err := n.Issuer.AcceptNonReplayable(ctx, n.Service, h.Sender, h.MasterToken.Serial, h.NonReplayableID); err != nil {
			return err
		}
	}
	if !n.issued(h) {
		return nil
	}
	return n.Issuer.Confirm(ctx, h.Sender, h.MasterToken.Serial, h.MasterToken.Sequence)
}

// CheckMasterToken asks whether the tokens of a header are still good (step L):
// its entity and user are not revoked, its master token is not expired or can
// be renewed in the answer. It claims and confirms nothing. Only who issued a
// token can tell; a header under one that is opaque to us always passes.
func (n *Network) CheckMasterToken(ctx context.Context, h *Header) error {
	if err := n.checkMasterToken(ctx, h); err != nil {
		return mslerr.WithMessageID(err, h.MessageID)
	}
	return nil
}

// issued says whether the header is under a master token of our own issue.
func (n *Network) issued(h *Header) bool {
	return h.MasterToken != nil && h.MasterToken.Verified()
}

func (n *Network) checkMasterToken(ctx context.Context, h *Header) error {
	if !n.issued(h) {
		return nil
	}
	if n.Issuer == nil {
		return mslerr.New(mslerr.InternalException, "token keys without an issuer")
	}
	t, e := h.MasterToken, h.Sender
	userSerial := int64(-1)
	if u := h.Tokens.UserID; u != nil && u.Verified() {
		userSerial = u.Serial
	}
	if err := n.CheckRevoked(ctx, e, t.Serial, h.User, userSerial); err != nil {
		return err
	}
	if !t.Expired(n.now()) {
		return nil
	}
	if !h.Renewable {
		return mslerr.New(mslerr.MessageExpiredNotRenewable, "the master token is expired")
	}
	if len(h.KeyRequests) == 0 {
		return mslerr.New(mslerr.MessageExpiredNoKeyRequestData, "the master token is expired")
	}
	return n.Issuer.Renewable(ctx, e, t.Serial, t.Sequence)
}

// CheckRevoked asks the policy and the issuer about an entity and the serial
// numbers of its tokens, as [token.Issuer] has them: nil, or the error the holder
// is to see. It is for sessions that stand for long.
func (n *Network) CheckRevoked(ctx context.Context, e token.Entity, serial int64, user token.User, userSerial int64) error {
	if err := n.stillPermitted(ctx, e); err != nil {
		return err
	}
	return n.Issuer.Revoked(ctx, e, serial, user, userSerial)
}

// stillPermitted asks the deployment's word on an entity at every use of its
// token, and not at issuance alone. The token of another stack does not say by
// which scheme its entity authenticated.
func (n *Network) stillPermitted(ctx context.Context, e token.Entity) error {
	p := n.EntityPolicy
	if e.Scheme == "" {
		p.Permitted = nil
	}
	err := p.Check(ctx, e.Identity, e.Scheme)
	if errors.Is(err, mslerr.EntityRevoked) || errors.Is(err, mslerr.IncorrectEntityAuthData) {
		return &mslerr.Error{Code: mslerr.MasterTokenIdentityRevoked, Err: err}
	}
	return err
}

// Authenticate looks at the credentials of a header, if there are any (step F),
// and sets its User. It comes last: it is the one check that attackers can use
// to guess passwords, and that may cost a back-end much (W-13).
func (n *Network) Authenticate(ctx context.Context, h *Header) error {
	if h.Credentials == nil {
		return nil
	}
	scheme, ok := n.UserAuth.ByName(h.Credentials.Scheme())
	if !ok {
		return mslerr.WithMessageID(mslerr.New(mslerr.UserAuthFactoryNotFound, "%s", h.Credentials.Scheme()), h.MessageID)
	}
	user, err := scheme.Authenticate(ctx, h.Sender, h.Credentials, h.Tokens.UserID, n.UserPolicy)
	if err != nil {
		return mslerr.WithMessageID(err, h.MessageID)
	}
	h.User = user
	return nil
}

// EntityRejected is the error for an application that does not want this
// sender (spec 08 section 2).
func (h *Header) EntityRejected() *mslerr.Error {
	return &mslerr.Error{Code: rejectedEntity(h), MessageID: h.MessageID, HasMessageID: true}
}

// UserRejected is the error for an application that does not want this user, or
// wants one.
func (h *Header) UserRejected() *mslerr.Error {
	code := mslerr.UserRejectedByApp
	if h.Tokens.UserID != nil {
		code = mslerr.UserIDTokenRejectedByApp
	}
	return &mslerr.Error{Code: code, MessageID: h.MessageID, HasMessageID: true}
}

func rejectedEntity(h *Header) mslerr.Code {
	if h.MasterToken != nil {
		return mslerr.MasterTokenRejectedByApp
	}
	return mslerr.EntityRejectedByApp
}
