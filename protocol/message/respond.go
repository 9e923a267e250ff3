package message

import (
	"context"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// RespondOptions is what else goes into an answer. The zero value is a server's.
type RespondOptions struct {
	// Holder is what we were given by the other side. A client and a peer need
	// it to answer, a server has none.
	Holder token.Holder
	// LocalUser is the local name of the user for whom we send, at a client or peer.
	LocalUser string
	// User is the other side's user, to be given a user ID token if it has none;
	// "" for none.
	User token.User
	// Push makes a message that was not asked for: with a random ID, and
	// without new tokens, since nobody may be waiting for them (spec 09 section 9.3).
	Push bool
}

// Respond begins the answer to q (spec 09 section 10): its ID and capabilities,
// the tokens that q asks for and may have, and which tokens go where. The rest,
// such as Renewable and key requests of our own, is added to the result before
// it is sealed.
func (n *Network) Respond(ctx context.Context, q *Header, o RespondOptions) (HeaderSpec, error) {
	s, err := n.respond(ctx, q, o)
	if err != nil {
		return HeaderSpec{}, mslerr.WithMessageID(err, q.MessageID)
	}
	return s, nil
}

func (n *Network) respond(ctx context.Context, q *Header, o RespondOptions) (HeaderSpec, error) {
	s := HeaderSpec{Capabilities: q.Capabilities.Intersect(n.Capabilities())}
	s.Format = s.Capabilities.Format()
	if !o.Push {
		s.MessageID = new(NextID(q.MessageID))
	}
	if err := n.place(ctx, &s, q, o); err != nil {
		return s, err
	}
	return s, n.issue(ctx, &s, q, o)
}

// place decides under which master token the answer goes and which tokens it
// carries (spec 09 section 10.3); issue then puts what is new in their places:
//
//	               sender's set                       peer set
//	server         of q                               –
//	client         newest held, its service tokens    –
//	peer to peer   newest held, its service tokens    of q: they name the recipient
//
// A client answers only to continue after a handshake, when q brought it a token.
// Tokens that q carries for us are newer than what is held (D6).
func (n *Network) place(ctx context.Context, s *HeaderSpec, q *Header, o RespondOptions) error {
	received := q.Tokens
	if n.PeerToPeer {
		received = q.Peer
		s.PeerMT, s.Peer = q.MasterToken, q.Tokens
	}
	if !n.PeerToPeer && q.KeyResponse == nil {
		switch {
		case q.MasterToken == nil:
		case q.MasterToken.Verified():
			s.Under = own(q.MasterToken)
		default:
			s.Under = q.Held
		}
		s.Tokens = received
		return nil
	}
	if o.Holder == nil {
		return nil // nothing held: our entity authentication data
	}
	var err error
	if s.Under, err = o.Holder.Newest(ctx); err != nil {
		return err
	}
	var t *token.MasterToken
	if s.Under != nil {
		t = s.Under.Token
	}
	if s.Tokens.UserID, err = n.heldUser(ctx, o, t); err != nil {
		return err
	}
	held, err := o.Holder.ServiceTokens(ctx, t, s.Tokens.UserID)
	if err != nil {
		return err
	}
	s.Tokens.Service = ReplaceServiceTokens(held, applicable(received.Service, t, s.Tokens.UserID)...)
	return nil
}

// heldUser is the user ID token of the local user, if it is bound to t.
func (n *Network) heldUser(ctx context.Context, o RespondOptions, t *token.MasterToken) (*token.UserIDToken, error) {
	if o.LocalUser == "" || t == nil {
		return nil, nil
	}
	u, err := o.Holder.UserIDToken(ctx, o.LocalUser)
	if err != nil || u == nil || !u.BoundTo(t) {
		return nil, err
	}
	return u, nil
}

// applicable drops the service tokens that are bound to other tokens than these.
func applicable(list []*token.ServiceToken, t *token.MasterToken, u *token.UserIDToken) []*token.ServiceToken {
	var kept []*token.ServiceToken
	for _, s := range list {
		if (Tokens{UserID: u, Service: []*token.ServiceToken{s}}).boundTo(t) == nil {
			kept = append(kept, s)
		}
	}
	return kept
}

// ReplaceServiceTokens adds tokens to a list, each in place of the one with the
// same name and bound to the same kind of tokens (spec 09 section 13.1). It
// returns a new list.
func ReplaceServiceTokens(list []*token.ServiceToken, added ...*token.ServiceToken) []*token.ServiceToken {
	type identity struct {
		name           string
		master, userID bool
	}
	of := func(s *token.ServiceToken) identity {
		return identity{s.Name, s.MasterTokenSerial != -1, s.UserIDTokenSerial != -1}
	}
	at := make(map[identity]int)
	var result []*token.ServiceToken
	for _, tokens := range [][]*token.ServiceToken{list, added} {
		for _, s := range tokens {
			if i, ok := at[of(s)]; ok {
				result[i] = s
				continue
			}
			at[of(s)] = len(result)
			result = append(result, s)
		}
	}
	return result
}

// issue makes the tokens that q asks for. What is issued belongs to q's sender:
// in a peer to peer network it stands in the peer set.
func (n *Network) issue(ctx context.Context, s *HeaderSpec, q *Header, o RespondOptions) error {
	if o.Push {
		return nil
	}
	var err error
	if s.KeyResponse, err = n.issueMasterToken(ctx, q, n.answerer(s.Under), s.Format); err != nil {
		return err
	}
	t := q.MasterToken
	if s.KeyResponse != nil {
		t = s.KeyResponse.Token
	}
	set := &s.Tokens
	if n.PeerToPeer {
		set = &s.Peer
	} else if q.KeyResponse != nil {
		return nil // a client has placed its own tokens, and issues none
	}
	if set.UserID, err = n.issueUserIDToken(q, t, s.Format); err != nil {
		return err
	}
	if set.UserID == nil && o.User != "" {
		if t == nil {
			return mslerr.New(mslerr.ResponseRequiresMasterToken, "a user ID token needs a master token")
		}
		set.UserID, err = n.newUserIDToken(o.User, t, s.Format)
	}
	return err
}
