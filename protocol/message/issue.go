package message

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/token"
)

// issuerDataScheme is the member of a master token's issuer data that names the
// scheme by which its entity authenticated: the same name under another scheme
// is somebody else (channel set-up 4.2.3).
const issuerDataScheme = "scheme"

// issueMasterToken answers the key requests of q, if a master token is due
// (spec 09 section 10.1):
//
//	renewable  key requests  master token                          new one
//	yes        yes           none                                  for its entity authentication data
//	yes        yes           in its renewal window, or expired     a renewal
//	otherwise                                                      none: nil
//
// answerer is how the answer's header names us; zero under a master token.
func (n *Network) issueMasterToken(ctx context.Context, q *Header, answerer token.Entity, f framing.Format) (*KeyResponse, error) {
	if !q.Renewable || len(q.KeyRequests) == 0 {
		return nil, nil
	}
	parties := keyx.Parties{Responder: answerer, Identity: q.Sender.Identity}
	if t := q.MasterToken; t != nil {
		if !t.Verified() || !t.Renewable(n.now()) && !t.Expired(n.now()) {
			return nil, nil
		}
		parties.Token, parties.TokenContext = t, q.HeaderContext
	} else {
		parties.Requester = q.named
	}
	if n.TokenKeys == nil || n.Issuer == nil {
		return nil, mslerr.New(mslerr.KeyxFactoryNotFound, "no master tokens are issued here")
	}
	// Keys first: a request that cannot be answered must not advance the
	// numbers of the entity's tokens.
	answer, err := n.KeyExchange.Answer(ctx, q.KeyRequests, parties, n.KeyExchangePolicy)
	if err != nil {
		return nil, err
	}
	spec := token.MasterTokenSpec{Identity: q.Sender.Identity, Keys: answer.Keys}
	spec.RenewalWindow, spec.Expiration = n.Lifetimes.master(n.now())
	if t := q.MasterToken; t != nil {
		spec.Serial, spec.IssuerData = t.Serial, t.IssuerData()
		spec.Sequence, err = n.Issuer.Renew(ctx, q.Sender, t.Serial, t.Sequence)
	} else {
		spec.IssuerData = framing.Object{issuerDataScheme: q.Sender.Scheme}
		spec.Serial, spec.Sequence, err = n.Issuer.Create(ctx, q.Sender)
	}
	if err != nil {
		return nil, err
	}
	t, err := token.MintMasterToken(spec, n.TokenKeys, f)
	if err != nil {
		return nil, err
	}
	return &KeyResponse{Answer: answer, Token: t}, nil
}

// issueUserIDToken gives the user ID token that the sender of q is to have with
// its answer, where t is the master token it has by then (spec 09 section 10.2):
//
//	token of our issue, due for renewal by a renewable message, or expired, or of another master token: renewed
//	token of our issue otherwise: the same
//	none of our issue, credentials in a renewable message, a master token: a new one, that is, a login
//	otherwise: the same, perhaps none or another's
func (n *Network) issueUserIDToken(q *Header, t *token.MasterToken, f framing.Format) (*token.UserIDToken, error) {
	u := q.Tokens.UserID
	if u != nil && u.Verified() {
		now := n.now()
		due := q.Renewable && u.Renewable(now) || u.Expired(now)
		if t == nil || u.BoundTo(t) && !due {
			return u, nil
		}
		return n.mintUserIDToken(token.UserIDTokenSpec{Serial: u.Serial, User: u.User(), IssuerData: u.IssuerData()}, t, f)
	}
	if q.Renewable && t != nil && q.Credentials != nil && q.User != "" {
		return n.newUserIDToken(q.User, t, f)
	}
	return u, nil
}

// newUserIDToken makes a first token for a user.
func (n *Network) newUserIDToken(user token.User, t *token.MasterToken, f framing.Format) (*token.UserIDToken, error) {
	return n.mintUserIDToken(token.UserIDTokenSpec{Serial: RandomID(), User: user}, t, f)
}

func (n *Network) mintUserIDToken(s token.UserIDTokenSpec, t *token.MasterToken, f framing.Format) (*token.UserIDToken, error) {
	if n.TokenKeys == nil {
		return nil, mslerr.New(mslerr.InternalException, "no token keys to issue a user ID token with")
	}
	s.RenewalWindow, s.Expiration = n.Lifetimes.user(n.now())
	return token.MintUserIDToken(s, t, n.TokenKeys, f)
}

// answerer is the entity that an answer under h names; zero under a master token.
func (n *Network) answerer(h *token.Held) token.Entity {
	if h != nil || n.Self == nil {
		return token.Entity{}
	}
	return entityauth.EntityOf(n.Self)
}
