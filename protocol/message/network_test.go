package message

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

func key(seed byte, n int) mslcrypto.Key { return bytes.Repeat([]byte{seed}, n) }

// world is a service, a client of it, and the time in both.
type world struct {
	t              testing.TB
	now            time.Time
	server, client *Network
	issuer         *issuer
	holder         *holder
	passwords      *passwords
	offers         []keyx.Offer
	parties        keyx.Parties
}

var psks entityauth.PSKStore = func(_ context.Context, identity string) (entityauth.PSKKeys, error) {
	if identity != "psk-client" {
		return entityauth.PSKKeys{}, errors.New("unknown")
	}
	return entityauth.PSKKeys{Encryption: key(1, 16), HMAC: key(2, 32)}, nil
}

func tokenKeys(t testing.TB, seed byte) *token.Keys {
	t.Helper()
	c, err := mslcrypto.NewSymmetric("tokens", mslcrypto.SymmetricKeys{Encryption: key(seed, 16), Signature: key(seed+1, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return token.NewKeys(c)
}

func ed25519Identity(seed byte) *entityauth.Ed25519 {
	return entityauth.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

// newWorld makes a service that every kind of client may use.
func newWorld(t testing.TB, self entityauth.Data) *world {
	w := &world{t: t, now: time.Unix(1_700_000_000, 0), issuer: newIssuer(), holder: new(holder), passwords: new(passwords)}
	clock := func() time.Time { return w.now }
	server := ed25519Identity(9)
	contexts := token.ServiceContexts{"": mslcrypto.Null{}}
	schemes := entityauth.Schemes{entityauth.PSK{Keys: psks}, entityauth.None{}, server, entityauth.Provisioned{
		Next: func(context.Context) (string, error) { return "assigned", nil }}}
	w.server = &Network{
		Self: server.Self(), EntityAuth: schemes, UserAuth: userauth.Schemes{w.passwords},
		KeyExchange: keyx.Schemes{keyx.HPKE{}}, TokenKeys: tokenKeys(t, 30), Issuer: w.issuer,
		Service: "test", ServiceContexts: contexts, Languages: []string{"en", "de"}, Clock: clock,
	}
	w.client = &Network{
		Self: self, EntityAuth: schemes, UserAuth: userauth.Schemes{w.passwords}, KeyExchange: keyx.Schemes{keyx.HPKE{}},
		ServiceContexts: contexts, Languages: []string{"de"}, Clock: clock,
	}
	return w
}

// offer adds fresh key requests to s.
func (w *world) offer(s *HeaderSpec) {
	w.t.Helper()
	w.parties = keyx.Parties{Identity: w.client.Self.Identity()}
	if s.Under == nil {
		w.parties.Requester = entityauth.EntityOf(w.client.Self)
	} else {
		w.parties.Token = s.Under.Token
	}
	var err error
	if w.offers, err = w.client.KeyExchange.Offer(w.t.Context(), w.parties); err != nil {
		w.t.Fatal(err)
	}
	s.Renewable, s.KeyRequests = true, w.offers
}

func seal1(t testing.TB, n *Network, s HeaderSpec) *Sealed {
	t.Helper()
	sealed, err := n.Seal(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// exchange sends s to the server and the server's answer back, and has the
// client keep the tokens it gets.
func (w *world) exchange(s HeaderSpec) (request, response *Header) {
	w.t.Helper()
	sent := seal1(w.t, w.client, s)
	request, err := w.server.Receive(w.t.Context(), sent.Raw, OpenOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := w.server.Respond(w.t.Context(), request, RespondOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	back := seal1(w.t, w.server, answer)
	response, err = w.client.Receive(w.t.Context(), back.Raw, OpenOptions{
		RequestID: &sent.MessageID, Remote: entityauth.EntityOf(w.server.Self),
		Offers: w.offers, Parties: w.parties, Holder: w.holder,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	sameContext(w.t, sent.PayloadContext, request.PayloadContext)
	sameContext(w.t, back.PayloadContext, response.PayloadContext)
	if back.Protection != response.Protection {
		w.t.Errorf("sent with %+v, received with %+v", back.Protection, response.Protection)
	}
	if response.KeyResult != nil {
		_ = w.holder.Put(w.t.Context(), &token.Held{
			Token: response.KeyResponse.Token, Keys: response.KeyResult.Keys, Self: entityauth.EntityOf(w.client.Self)})
	}
	if response.Tokens.UserID != nil {
		_ = w.holder.PutUserIDToken(w.t.Context(), "me", response.Tokens.UserID)
	}
	return request, response
}

func (w *world) held() *token.Held {
	h, _ := w.holder.Newest(context.Background())
	return h
}

// sameContext checks that what one side writes the other can read.
func sameContext(t testing.TB, sender, receiver mslcrypto.Context) {
	t.Helper()
	ciphertext, err := sender.Encrypt([]byte("data"), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := sender.Sign(ciphertext, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := receiver.Verify(ciphertext, signature); !ok || err != nil {
		t.Fatalf("signature: %v, %v", ok, err)
	}
	if plaintext, err := receiver.Decrypt(ciphertext); string(plaintext) != "data" || err != nil {
		t.Fatalf("plaintext %q, %v", plaintext, err)
	}
}

func wantCode(t testing.TB, err error, code mslerr.Code) {
	t.Helper()
	var e *mslerr.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want %v", err, code)
	}
}

// passwords is a user authentication scheme in which the password is "right".
type passwords struct{ asked int }

type password struct{ user, word string }

func (*passwords) Name() string { return "TEST" }

func (*passwords) Parse(o framing.Object) (userauth.Data, error) {
	user, err := framing.Get[string](o, "user")
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	word, err := framing.Get[string](o, "word")
	return password{user, word}, err
}

func (p *passwords) Authenticate(_ context.Context, _ token.Entity, d userauth.Data, u *token.UserIDToken, _ userauth.Policy) (token.User, error) {
	p.asked++
	c := d.(password)
	if c.word != "right" {
		return "", mslerr.New(mslerr.EmailPasswordIncorrect, "wrong")
	}
	if u != nil && u.User() != token.User(c.user) {
		return "", mslerr.New(mslerr.UserIDTokenUserAuthDataMismatch, "another user")
	}
	return token.User(c.user), nil
}

func (password) Scheme() string { return "TEST" }

func (p password) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"user": p.user, "word": p.word}, nil
}
