package message

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// Chart 18.1: first contact of a client that can encrypt, with its login; then
// its tokens in use; then their renewal (chart 18.3).
func TestTrustedServices(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	first := HeaderSpec{Credentials: password{"alice", "right"}, Capabilities: w.client.Capabilities()}
	w.offer(&first)
	q, r := w.exchange(first)
	if want := (token.Entity{Scheme: "PSK", Identity: "psk-client"}); q.Sender != want || q.User != "alice" {
		t.Errorf("sender %v, user %q", q.Sender, q.User)
	}
	if !q.HeaderEncrypted || !q.PayloadEncrypted || !q.Renewable || q.Handshake {
		t.Errorf("request: %+v", q)
	}
	if r.HeaderEncrypted || !r.HeaderProtected || !r.PayloadEncrypted || !r.PayloadProtected {
		t.Errorf("first answer: %+v", r.Protection)
	}
	if r.Sender.Scheme != "ED25519" || r.Renewable || r.Tokens.UserID == nil {
		t.Errorf("first answer: %+v", r)
	}
	if len(r.Capabilities.Languages) != 1 || r.Capabilities.Languages[0] != "de" {
		t.Errorf("languages %v", r.Capabilities.Languages)
	}

	user, _ := w.holder.UserIDToken(t.Context(), "me")
	id := int64(1)
	second := HeaderSpec{Under: w.held(), Tokens: Tokens{UserID: user}, NonReplayableID: &id}
	q, r = w.exchange(second)
	if want := (token.Entity{Scheme: "PSK", Identity: "psk-client"}); q.Sender != want || q.User != "alice" {
		t.Errorf("under a master token: sender %v, user %q", q.Sender, q.User)
	}
	if !q.NonReplayable || q.NonReplayableID != 1 || r.KeyResponse != nil || r.MasterToken == nil || r.Capabilities != nil {
		t.Errorf("under a master token: %+v, %+v", q, r)
	}
	if r.Sender != (token.Entity{}) || r.Held != w.held() {
		t.Errorf("the client cannot know the sender, only whose keys: %v, %v", r.Sender, r.Held)
	}
	if got := w.issuer.confirmed; len(got) == 0 || got[len(got)-1] != [2]int64{1, 1} {
		t.Errorf("confirmed %v", got)
	}
	_, err := w.server.Receive(t.Context(), seal1(t, w.client, second).Raw, OpenOptions{})
	wantCode(t, err, mslerr.MessageReplayed)

	// In the renewal window; the user ID token has expired long before.
	w.now = w.now.Add(13 * time.Hour)
	old := w.held()
	third := HeaderSpec{Under: old, Tokens: Tokens{UserID: user}}
	w.offer(&third)
	q, r = w.exchange(third)
	if r.KeyResponse == nil || r.KeyResponse.Token.Serial != old.Token.Serial || r.KeyResponse.Token.Sequence != 2 {
		t.Fatalf("not renewed: %+v", r.KeyResponse)
	}
	if bytes.Equal(r.KeyResult.Keys.Encryption, old.Keys.Encryption) {
		t.Error("renewed with the old keys")
	}
	if u := r.Tokens.UserID; u == nil || u.Serial != user.Serial || !u.Expiration.After(w.now) {
		t.Errorf("user ID token %+v", u)
	}
	ciphertext, err := q.HeaderContext.Encrypt([]byte("x"), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	sameKeys := func(c mslcrypto.Context) bool {
		plaintext, err := c.Decrypt(ciphertext)
		return err == nil && string(plaintext) == "x"
	}
	if !sameKeys(r.HeaderContext) || sameKeys(r.PayloadContext) {
		t.Error("the header of a renewal is under the old keys, its payload under the new")
	}
	w.exchange(HeaderSpec{Under: w.held()})
}

// Chart 18.2: a client that proves nothing first obtains keys.
func TestHandshakeFirst(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("somebody"))
	_, err := w.client.Seal(t.Context(), HeaderSpec{Credentials: password{"alice", "right"}})
	wantCode(t, err, mslerr.UnencryptedMessageWithUserAuthData)
	hello := HeaderSpec{Handshake: true}
	w.offer(&hello)
	q, r := w.exchange(hello)
	if !q.Handshake || q.Protection != (Protection{}) || r.Handshake || r.KeyResult == nil || r.Tokens.UserID != nil {
		t.Errorf("%+v, %+v", q, r)
	}
	w.holder.service = nil
	// The client goes on from the answer it got.
	next, err := w.client.Respond(t.Context(), r, RespondOptions{Holder: w.holder})
	if err != nil {
		t.Fatal(err)
	}
	if next.Under != w.held() || *next.MessageID != NextID(r.MessageID) {
		t.Errorf("%+v", next)
	}
	next.Credentials, next.Renewable = password{"alice", "right"}, true
	_, r = w.exchange(next)
	if r.Tokens.UserID == nil || r.KeyResponse != nil {
		t.Errorf("login: %+v", r)
	}
	// Without renewable, credentials are good for one message only.
	w.holder.users = nil
	q, r = w.exchange(HeaderSpec{Under: w.held(), Credentials: password{"alice", "right"}})
	if q.User != "alice" || r.Tokens.UserID != nil {
		t.Errorf("user %q, token %v", q.User, r.Tokens.UserID)
	}
}

func TestProvisionedEntity(t *testing.T) {
	w := newWorld(t, entityauth.NewProvisionedData())
	hello := HeaderSpec{Handshake: true}
	w.offer(&hello)
	q, r := w.exchange(hello)
	if q.Sender != (token.Entity{Scheme: "PROVISIONED", Identity: "assigned"}) || r.KeyResult == nil {
		t.Errorf("sender %v, result %v", q.Sender, r.KeyResult)
	}
	q, _ = w.exchange(HeaderSpec{Under: w.held()})
	if q.Sender != (token.Entity{Scheme: "PROVISIONED", Identity: "assigned"}) {
		t.Errorf("sender %v", q.Sender)
	}
}

// connected is a world whose client has tokens.
func connected(t *testing.T) *world {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	s := HeaderSpec{Credentials: password{"alice", "right"}}
	w.offer(&s)
	w.exchange(s)
	w.passwords.asked = 0
	return w
}

// Whoever has the session keys, and so can sign headers, cannot do without the
// issuer's signature on the token (W-07).
func TestIssuerTakesOnlyItsOwnTokens(t *testing.T) {
	w := connected(t)
	raw := seal1(t, w.client, HeaderSpec{Under: w.held()}).Raw
	o, err := framing.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	mt := o["mastertoken"].(framing.Object)
	signature, _ := framing.Get[[]byte](mt, "signature")
	signature[0] ^= 1
	mt["signature"] = signature
	raw, _ = framing.JSON.Append(nil, o)
	// Not even with the keys in store.
	_, err = w.server.Open(t.Context(), raw, OpenOptions{Holder: w.holder})
	wantCode(t, err, mslerr.MasterTokenUntrusted)
	// A client whose holder does not know the token cannot open anything.
	_, err = w.client.Open(t.Context(), raw, OpenOptions{Holder: new(holder)})
	wantCode(t, err, mslerr.MasterTokenUntrusted)
	_, err = w.client.Open(t.Context(), raw, OpenOptions{})
	wantCode(t, err, mslerr.MasterTokenUntrusted)
}

// Both directions have the same keys, so a client must know its own messages (W-04).
func TestReflection(t *testing.T) {
	w := connected(t)
	id := int64(5)
	request := HeaderSpec{Under: w.held()}
	w.offer(&request)
	for _, s := range []HeaderSpec{
		{Under: w.held()},
		{Under: w.held(), NonReplayableID: &id},
		{Under: w.held(), Credentials: password{"alice", "right"}},
		request,
	} {
		_, err := w.client.Receive(t.Context(), seal1(t, w.client, s).Raw, OpenOptions{Holder: w.holder})
		wantCode(t, err, mslerr.UnexpectedLocalMessageSender)
	}
}

// Cheap and security-relevant checks come before the password (W-13), which is
// not even looked at when one of them fails.
func TestPasswordComesLast(t *testing.T) {
	w := connected(t)
	id := int64(3)
	s := HeaderSpec{Under: w.held(), Credentials: password{"alice", "wrong"}, NonReplayableID: &id}
	message := func() []byte { return seal1(t, w.client, s).Raw }
	receive := func() error {
		_, err := w.server.Receive(t.Context(), message(), OpenOptions{})
		return err
	}

	w.issuer.revoked["psk-client"] = true
	wantCode(t, receive(), mslerr.MasterTokenIdentityRevoked)
	delete(w.issuer.revoked, "psk-client")

	w.server.EntityPolicy.Permitted = func(_ context.Context, identity, scheme string) bool {
		return identity != "psk-client" || scheme != "PSK"
	}
	wantCode(t, receive(), mslerr.MasterTokenIdentityRevoked)
	w.server.EntityPolicy = entityauth.Policy{Revoked: func(context.Context, string) error { return errors.New("gone") }}
	wantCode(t, receive(), mslerr.MasterTokenIdentityRevoked)
	w.server.EntityPolicy = entityauth.Policy{}

	w.server.Reject = func(_ context.Context, h *Header) error { return errors.New("too many") }
	wantCode(t, receive(), mslerr.MasterTokenRejectedByApp)
	w.server.Reject = nil

	saved := w.now
	w.now = w.now.Add(25 * time.Hour)
	wantCode(t, receive(), mslerr.MessageExpiredNotRenewable)
	s.Renewable = true
	wantCode(t, receive(), mslerr.MessageExpiredNoKeyRequestData)
	s.Renewable = false
	w.now = saved

	if w.passwords.asked != 0 || len(w.issuer.claimed) != 0 {
		t.Errorf("password asked %d times, IDs claimed %v", w.passwords.asked, w.issuer.claimed)
	}
	err := receive()
	wantCode(t, err, mslerr.EmailPasswordIncorrect)
	var e *mslerr.Error
	if errors.As(err, &e); !e.HasMessageID {
		t.Errorf("%v names no message", err)
	}
	if want := "claim test PSK psk-client"; len(w.issuer.calls) != 1 || w.issuer.calls[0] != want {
		t.Errorf("calls %q, want %q", w.issuer.calls, want)
	}
}

func TestExpiredToken(t *testing.T) {
	w := connected(t)
	w.now = w.now.Add(25 * time.Hour)
	s := HeaderSpec{Under: w.held()}
	w.offer(&s)
	raw := seal1(t, w.client, s).Raw
	h, err := w.server.Receive(t.Context(), raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.CheckMasterToken(t.Context(), h); err != nil {
		t.Error(err)
	}
	w.issuer.newest[1] = 7 // superseded
	_, err = w.server.Receive(t.Context(), raw, OpenOptions{})
	wantCode(t, err, mslerr.MasterTokenSequenceNumberOutOfSync)
	_, err = w.server.Respond(t.Context(), h, RespondOptions{})
	wantCode(t, err, mslerr.MasterTokenSequenceNumberOutOfSync)
}

// A store that cannot be reached is no reason to accept.
func TestNoIssuerNoAcceptance(t *testing.T) {
	w := connected(t)
	w.server.Issuer = nil
	_, err := w.server.Receive(t.Context(), seal1(t, w.client, HeaderSpec{Under: w.held()}).Raw, OpenOptions{})
	wantCode(t, err, mslerr.InternalException)
	s := HeaderSpec{}
	w.offer(&s)
	h, err := w.server.Receive(t.Context(), seal1(t, w.client, s).Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.server.Respond(t.Context(), h, RespondOptions{})
	wantCode(t, err, mslerr.KeyxFactoryNotFound)
}

// An answer to another request must not use up the private keys of our offers.
func TestWrongAnswerKeepsOffers(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	s := HeaderSpec{}
	w.offer(&s)
	sent := seal1(t, w.client, s)
	h, err := w.server.Receive(t.Context(), sent.Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.server.Respond(t.Context(), h, RespondOptions{})
	if err != nil {
		t.Fatal(err)
	}
	raw := seal1(t, w.server, answer).Raw
	good := OpenOptions{RequestID: &sent.MessageID, Offers: w.offers, Parties: w.parties, Remote: entityauth.EntityOf(w.server.Self)}

	other := good
	other.RequestID = new(sent.MessageID + 1)
	_, err = w.client.Open(t.Context(), raw, other)
	wantCode(t, err, mslerr.UnexpectedResponseMessageID)
	other = good
	other.Remote.Identity = "somebody else"
	_, err = w.client.Open(t.Context(), raw, other)
	wantCode(t, err, mslerr.MessageSenderMismatch)
	other = good
	other.Remote.Scheme = "RSA"
	_, err = w.client.Open(t.Context(), raw, other)
	wantCode(t, err, mslerr.MessageSenderMismatch)
	other = good
	other.Offers = nil
	_, err = w.client.Open(t.Context(), raw, other)
	wantCode(t, err, mslerr.KeyxResponseRequestMismatch)

	if _, err = w.client.Open(t.Context(), raw, good); err != nil {
		t.Fatal(err)
	}
	if _, err = w.client.Open(t.Context(), raw, good); err == nil {
		t.Error("one offer gave keys twice")
	}
}

// What a response scheme is called does not matter when nothing was asked: a
// sender cannot attach a token of ours to a message of its own.
func TestForeignKeyResponse(t *testing.T) {
	w := connected(t)
	mt := w.held().Token
	forged := HeaderSpec{KeyResponse: &KeyResponse{
		Answer: &keyx.Answer{Scheme: "HPKE", KeyData: framing.Object{"kem": 32, "enc": make([]byte, 32)}},
		Token:  mt,
	}}
	attacker := *w.client
	attacker.PeerToPeer = true // so that it need not know the keys
	attacker.Self, attacker.SelfScheme = entityauth.NewNoneData("attacker"), entityauth.None{}
	_, err := w.server.Open(t.Context(), seal1(t, &attacker, forged).Raw, OpenOptions{})
	wantCode(t, err, mslerr.KeyxResponseRequestMismatch)
}

// The channel is bound to the bytes of the headers, and its member is opaque here.
func TestRawAndChannel(t *testing.T) {
	w := connected(t)
	channel := framing.Object{"versions": framing.Array{int64(1)}, "to": "test"}
	sent := seal1(t, w.client, HeaderSpec{Under: w.held(), Channel: channel})
	h, err := w.server.Open(t.Context(), sent.Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.Raw, sent.Raw) || !reflect.DeepEqual(h.Channel, channel) {
		t.Errorf("raw equal: %v, channel %v", bytes.Equal(h.Raw, sent.Raw), h.Channel)
	}
	if h, err = w.server.Open(t.Context(), seal1(t, w.client, HeaderSpec{Under: w.held()}).Raw, OpenOptions{}); err != nil || h.Channel != nil {
		t.Errorf("no channel: %v, %v", h, err)
	}
}

func TestPushAndUserForced(t *testing.T) {
	w := connected(t)
	s := HeaderSpec{Under: w.held()}
	w.offer(&s)
	w.now = w.now.Add(13 * time.Hour)
	h, err := w.server.Receive(t.Context(), seal1(t, w.client, s).Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	push, err := w.server.Respond(t.Context(), h, RespondOptions{Push: true})
	if err != nil || push.KeyResponse != nil || push.MessageID != nil || push.Under == nil {
		t.Errorf("push: %+v, %v", push, err)
	}
	answer, err := w.server.Respond(t.Context(), h, RespondOptions{User: "bob"})
	if err != nil || answer.Tokens.UserID == nil || answer.Tokens.UserID.User() != "bob" {
		t.Errorf("user: %+v, %v", answer.Tokens, err)
	}
	plain, err := w.server.Receive(t.Context(), seal1(t, w.client, HeaderSpec{}).Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.server.Respond(t.Context(), plain, RespondOptions{User: "bob"})
	wantCode(t, err, mslerr.ResponseRequiresMasterToken)
}
