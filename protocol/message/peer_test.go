package message

import (
	"context"
	"testing"
	"time"

	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// node is one of two equals.
type node struct {
	*Network
	holder  *holder
	offers  []keyx.Offer
	parties keyx.Parties
	asked   *int64 // ID of the outstanding message
}

func newNode(t *testing.T, seed byte, clock func() time.Time) *node {
	id := ed25519Identity(seed)
	return &node{holder: new(holder), Network: &Network{
		Self: id.Self(), EntityAuth: entityauth.Schemes{id}, UserAuth: userauth.Schemes{new(passwords)},
		KeyExchange: keyx.Schemes{keyx.HPKE{}}, TokenKeys: tokenKeys(t, seed), Issuer: newIssuer(),
		Service: "node", ServiceContexts: token.ServiceContexts{"": mslcrypto.Null{}}, PeerToPeer: true, Clock: clock,
	}}
}

// ask adds key requests to s.
func (n *node) ask(t *testing.T, s *HeaderSpec) {
	t.Helper()
	n.parties = keyx.Parties{Identity: n.Self.Identity()}
	if s.Under == nil {
		n.parties.Requester = entityauth.EntityOf(n.Self)
	} else {
		n.parties.Token = s.Under.Token
	}
	var err error
	if n.offers, err = n.KeyExchange.Offer(t.Context(), n.parties); err != nil {
		t.Fatal(err)
	}
	s.Renewable, s.KeyRequests = true, n.offers
}

// send delivers s to the other node, which keeps the tokens it gets.
func (n *node) send(t *testing.T, s HeaderSpec, to *node) *Header {
	t.Helper()
	sent := seal1(t, n.Network, s)
	h, err := to.Receive(t.Context(), sent.Raw, OpenOptions{
		RequestID: to.asked, Remote: entityauth.EntityOf(n.Self), Offers: to.offers, Parties: to.parties, Holder: to.holder})
	if err != nil {
		t.Fatal(err)
	}
	n.asked, to.asked = &sent.MessageID, nil
	sameContext(t, sent.PayloadContext, h.PayloadContext)
	if sent.Protection != h.Protection {
		t.Errorf("sent with %+v, received with %+v", sent.Protection, h.Protection)
	}
	if h.KeyResult != nil {
		_ = to.holder.Put(t.Context(), &token.Held{
			Token: h.KeyResponse.Token, Keys: h.KeyResult.Keys, Self: entityauth.EntityOf(to.Self)})
	}
	if h.Peer.UserID != nil {
		_ = to.holder.PutUserIDToken(t.Context(), "me", h.Peer.UserID)
	}
	return h
}

func (n *node) answer(t *testing.T, q *Header) HeaderSpec {
	t.Helper()
	s, err := n.Respond(t.Context(), q, RespondOptions{Holder: n.holder, LocalUser: "me"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *node) newest() *token.Held {
	h, _ := n.holder.Newest(context.Background())
	return h
}

// Charts 18.7 and 18.8: both need keys, then both have them, then one renews.
func TestPeerToPeer(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { return now }
	a, b := newNode(t, 1, clock), newNode(t, 2, clock)

	hello := HeaderSpec{Handshake: true}
	a.ask(t, &hello)
	s := b.answer(t, a.send(t, hello, b))
	if s.KeyResponse == nil || s.Under != nil || s.PeerMT != nil {
		t.Fatalf("B's answer: %+v", s)
	}
	b.ask(t, &s)
	q := b.send(t, s, a)
	if q.PayloadEncrypted {
		t.Error("in a peer to peer network, new keys are not those of the same message")
	}
	heldByA := a.newest()
	if heldByA == nil || heldByA.Token.Verified() {
		t.Fatalf("A holds %+v", heldByA)
	}

	// A's request, under the token that B issued, with a login and the token that B asked for.
	s = a.answer(t, q)
	if s.Under != heldByA || s.KeyResponse == nil || s.PeerMT != nil {
		t.Fatalf("A's request: %+v", s)
	}
	s.Credentials, s.Renewable = password{"alice", "right"}, true
	q = a.send(t, s, b)
	heldByB := b.newest()
	if q.Sender != entityauth.EntityOf(a.Self) || q.User != "alice" || heldByB == nil {
		t.Fatalf("A's request at B: %+v", q)
	}

	// B's response: under the token that A issued, with A's own as the peer's.
	s = b.answer(t, q)
	if s.Under != heldByB || !s.PeerMT.Equal(heldByA.Token) || s.Peer.UserID == nil || s.Tokens.UserID != nil || s.KeyResponse != nil {
		t.Fatalf("B's response: %+v", s)
	}
	q = b.send(t, s, a)
	if q.Sender != entityauth.EntityOf(b.Self) || q.User != "" || !q.PeerMT.Equal(heldByA.Token) || q.Peer.UserID == nil {
		t.Fatalf("B's response at A: %+v", q)
	}
	if user, _ := a.holder.UserIDToken(t.Context(), "me"); user == nil || !user.BoundTo(heldByA.Token) {
		t.Fatalf("A's user ID token %+v", user)
	}

	// Next: A asks for a renewal in a later request.
	now = now.Add(13 * time.Hour)
	a.asked, b.asked = nil, nil
	user, _ := a.holder.UserIDToken(t.Context(), "me")
	s = HeaderSpec{Under: heldByA, Tokens: Tokens{UserID: user}}
	a.ask(t, &s)
	q = a.send(t, s, b)
	if q.User != "alice" {
		t.Errorf("user %q", q.User)
	}
	s = b.answer(t, q)
	if s.Under != heldByB || !s.PeerMT.Equal(heldByA.Token) || s.KeyResponse == nil || s.KeyResponse.Token.Sequence != 2 {
		t.Fatalf("B's renewal: %+v", s)
	}
	q = b.send(t, s, a)
	if a.newest().Token.Sequence != 2 || q.Peer.UserID.Serial != user.Serial {
		t.Errorf("after the renewal A holds %+v", a.newest().Token)
	}
	b.asked = nil
	a.send(t, HeaderSpec{Under: a.newest()}, b)
}
