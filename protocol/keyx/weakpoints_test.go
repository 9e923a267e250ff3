package keyx

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"

	"github.com/mslgo/msl/mslerr"
)

// The attacker recorded an answer and gives it to a later request. A requester
// that has one key pair for all requests takes the old keys once more.
func TestW10OldAnswer(t *testing.T) {
	complete := func(s AsymmetricWrapped) (first, again *Result, err error) {
		offers, err := s.Offer(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		request, err := s.ParseRequest(offers[0].KeyData())
		if err != nil {
			t.Fatal(err)
		}
		old, err := AsymmetricWrapped{}.Answer(t.Context(), request, me)
		if err != nil {
			t.Fatal(err)
		}
		if first, err = s.Complete(t.Context(), offers[0], old.KeyData, me); err != nil {
			t.Fatal(err)
		}
		later, err := s.Offer(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		again, err = s.Complete(t.Context(), later[0], old.KeyData, me)
		return first, again, err
	}
	naive := AsymmetricWrapped{KeyPair: testRSA(t), KeyPairID: "always the same"}
	if first, again, err := complete(naive); err != nil || !bytes.Equal(first.Keys.Encryption, again.Keys.Encryption) {
		t.Fatalf("the attack does not work: %v", err)
	}
	_, _, err := complete(AsymmetricWrapped{})
	wantCode(t, err, mslerr.KeyxResponseRequestMismatch)
}

// The attacker removes the strong offer from the message of somebody who could
// not sign it.
func TestW11StrippedOffer(t *testing.T) {
	var tried []string
	ss := Schemes{fake{"STRONG", 0, &tried}, fake{"WEAK", 0, &tried}}
	sent := []Request{fakeRequest{"STRONG", "1"}, fakeRequest{"WEAK", "2"}}
	stripped := sent[1:]
	// Naive: the best of what is offered.
	for _, c := range []struct {
		requests []Request
		want     string
	}{{sent, "STRONG"}, {stripped, "WEAK"}} {
		if a, err := ss.Answer(t.Context(), c.requests, me, nil); err != nil || a.Scheme != c.want {
			t.Fatalf("the attack does not work: %v, %v", a, err)
		}
	}
	policy := func(_ context.Context, _, scheme string) bool { return scheme != "WEAK" }
	_, err := ss.Answer(t.Context(), stripped, me, policy)
	wantCode(t, err, mslerr.KeyxIncorrectData)
	// Whoever configures nothing has no weak scheme to be pushed to.
	_, err = Schemes{HPKE{}}.Answer(t.Context(), stripped, me, nil)
	if err == nil {
		t.Error("a scheme that was never configured is answered")
	}
}

// The attacker chooses a public value that leaves two possible secrets, or asks
// who unwraps with PKCS #1 v1.5 whether the padding is good.
func TestW14WeakKeys(t *testing.T) {
	group := MODP2048("a")
	y := new(big.Int).Sub(group.P, big.NewInt(1))
	for range 8 { // naive: whatever came is raised to our secret power
		x, err := rand.Int(rand.Reader, group.P)
		if err != nil {
			t.Fatal(err)
		}
		if z := new(big.Int).Exp(y, x, group.P); z.Cmp(big.NewInt(1)) != 0 && z.Cmp(y) != 0 {
			t.Fatal("the attack does not work")
		}
	}
	_, err := DiffieHellman{Parameters: []DHParameters{group}}.Answer(t.Context(), dhRequest{"a", y.Bytes()}, me)
	wantCode(t, err, mslerr.KeyxInvalidPublicKey)

	key := testRSA(t)
	good, err := rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, rising(1, 16)) //nolint:staticcheck // the weakness to show
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	oracle := func(c []byte) bool {
		_, err := rsa.DecryptPKCS1v15(nil, key, c) //nolint:staticcheck // the weakness to show
		return err == nil
	}
	if !oracle(good) || oracle(bad) {
		t.Fatal("the attack does not work")
	}
	_, err = AsymmetricWrapped{Offers: []Mechanism{MechanismJWKRSAES}, KeyPair: key}.Offer(t.Context(), me)
	wantCode(t, err, mslerr.UnsupportedKeyxMechanism)
	_, err = AsymmetricWrapped{}.Answer(t.Context(), asymmetricRequest{"x", MechanismJWKRSAES, &key.PublicKey}, me)
	wantCode(t, err, mslerr.UnsupportedKeyxMechanism)
}
