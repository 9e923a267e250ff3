package message

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// verifies says whether a header's signature is by these session keys, which is
// all that naive receivers ask.
func verifies(t *testing.T, raw []byte, keys mslcrypto.SessionKeys) bool {
	t.Helper()
	o, err := framing.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mslcrypto.NewSession(keys, "")
	if err != nil {
		t.Fatal(err)
	}
	data, err1 := framing.Get[[]byte](o, "headerdata")
	signature, err2 := framing.Get[[]byte](o, "signature")
	ok, err3 := c.Verify(data, signature)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return ok
}

// The attacker sends a client its own message back.
func TestW04Reflection(t *testing.T) {
	w := connected(t)
	raw := seal1(t, w.client, HeaderSpec{Under: w.held()}).Raw
	if !verifies(t, raw, w.held().Keys) {
		t.Fatal("the attack does not work")
	}
	_, err := w.client.Receive(t.Context(), raw, OpenOptions{Holder: w.holder})
	wantCode(t, err, mslerr.UnexpectedLocalMessageSender)
}

// A revoked client damages its token: a server that remembers the token's keys by
// its numbers accepts its messages, and finds nobody to be revoked.
func TestW07DamagedToken(t *testing.T) {
	w := connected(t)
	held := w.held()
	o, err := framing.Decode(seal1(t, w.client, HeaderSpec{Under: held}).Raw)
	if err != nil {
		t.Fatal(err)
	}
	mt := o["mastertoken"].(framing.Object)
	signature, err := framing.Get[[]byte](mt, "signature")
	if err != nil {
		t.Fatal(err)
	}
	signature[0] ^= 1
	mt["signature"] = signature
	raw, err := framing.JSON.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	cache := map[[2]int64]mslcrypto.SessionKeys{{held.Token.Serial, held.Token.Sequence}: held.Keys}
	if !verifies(t, raw, cache[[2]int64{held.Token.Serial, held.Token.Sequence}]) {
		t.Fatal("the attack does not work")
	}
	_, err = w.server.Receive(t.Context(), raw, OpenOptions{Holder: w.holder})
	wantCode(t, err, mslerr.MasterTokenUntrusted)
}

// A revoked entity tries passwords.
func TestW13PasswordGuessing(t *testing.T) {
	w := connected(t)
	raw := func(secret string) []byte {
		return seal1(t, w.client, HeaderSpec{Under: w.held(), Credentials: password{"alice", secret}}).Raw
	}
	// Naive: credentials are looked at while the header is parsed, and then the
	// entity. What comes first is the answer, and the attempt counts.
	naive := func(secret string) error {
		h, err := w.server.Open(t.Context(), raw(secret), OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.passwords.Authenticate(t.Context(), h.Sender, h.Credentials, nil, w.server.UserPolicy); err != nil {
			return err
		}
		return mslerr.New(mslerr.MasterTokenIdentityRevoked, "")
	}
	if wrong, right := naive("wrong"), naive("right"); errors.Is(wrong, mslerr.MasterTokenIdentityRevoked) || !errors.Is(right, mslerr.MasterTokenIdentityRevoked) {
		t.Fatalf("the attack does not work: %v, %v", wrong, right)
	}
	w.passwords.asked = 0
	w.issuer.revoked["psk-client"] = true
	for _, secret := range []string{"wrong", "right"} {
		_, err := w.server.Receive(t.Context(), raw(secret), OpenOptions{})
		wantCode(t, err, mslerr.MasterTokenIdentityRevoked)
	}
	if w.passwords.asked != 0 {
		t.Errorf("%d passwords were looked at", w.passwords.asked)
	}
}

// Somebody without keys learns from errors what became of a damaged ciphertext.
func TestW15ErrorsThatTell(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("somebody"))
	answer := func(code mslerr.Code) string {
		s, err := w.server.SealError(t.Context(), ErrorSpec{Err: mslerr.New(code, "detail")})
		if err != nil {
			t.Fatal(err)
		}
		e := openError(t, w.client, s.Raw, OpenOptions{})
		return fmt.Sprint(e.Response, e.InternalCode, e.Text, e.UserMessage)
	}
	different := func() bool {
		return answer(mslerr.CiphertextBadPadding) != answer(mslerr.CiphertextIllegalBlockSize)
	}
	w.server.ErrorDetails = true // naive: say what happened
	if !different() {
		t.Fatal("the attack does not work")
	}
	w.server.ErrorDetails = false
	if different() {
		t.Error("errors tell bad padding from a bad size")
	}
}

// The attacker takes the store away.
func TestW23StoreOutOfReach(t *testing.T) {
	w := connected(t)
	id := int64(1)
	raw := seal1(t, w.client, HeaderSpec{Under: w.held(), NonReplayableID: &id}).Raw
	w.issuer.revoked["psk-client"] = true
	// Naive: fail over to a server that has no store, and so accepts.
	naive := *w.server
	naive.Issuer = newIssuer()
	if _, err := naive.Receive(t.Context(), raw, OpenOptions{}); err != nil {
		t.Fatal("the attack does not work", err)
	}
	w.server.Issuer = nil
	_, err := w.server.Receive(t.Context(), raw, OpenOptions{})
	wantCode(t, err, mslerr.InternalException)
}
