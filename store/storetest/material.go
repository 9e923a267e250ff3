// Package storetest has the tests that every store of tokens must pass:
// [TestHolder] for who is given tokens, [TestIssuer] for who gives them out.
// They are the contracts of [token.Holder] and [token.Issuer] in executable form.
package storetest

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// material makes tokens as an issuer does, and gives them as a holder gets them.
type material struct {
	keys     *token.Keys
	contexts token.ServiceContexts
}

var (
	window  = time.Unix(1_700_003_600, 0)
	expires = time.Unix(1_700_007_200, 0)
)

func newMaterial(t *testing.T) *material {
	t.Helper()
	k := mslcrypto.Key(bytes.Repeat([]byte{9}, 16))
	c, err := mslcrypto.NewSymmetric("issuer", mslcrypto.SymmetricKeys{Encryption: k, Signature: k})
	if err != nil {
		t.Fatal(err)
	}
	return &material{keys: token.NewKeys(c), contexts: token.ServiceContexts{"": c}}
}

func (m *material) held(t *testing.T, serial, sequence int64) *token.Held {
	t.Helper()
	keys := mslcrypto.SessionKeys{
		Encryption: bytes.Repeat([]byte{byte(serial)}, 16),
		Signature:  bytes.Repeat([]byte{byte(sequence)}, 32),
	}
	minted, err := token.MintMasterToken(token.MasterTokenSpec{
		RenewalWindow: window, Expiration: expires, Serial: serial, Sequence: sequence, Identity: "self", Keys: keys,
	}, m.keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	mt, err := token.ParseMasterToken(minted.Object(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &token.Held{
		Token: mt,
		Keys:  keys,
		Self:  token.Entity{Scheme: "ED25519", Identity: "self"},
		From: token.Origin{
			Issuer:        token.Entity{Scheme: "RSA", Identity: "issuer"},
			Authenticated: true, Sentinel: true, CBOR: true,
		},
	}
}

func (m *material) user(t *testing.T, mt *token.MasterToken, serial int64) *token.UserIDToken {
	t.Helper()
	minted, err := token.MintUserIDToken(token.UserIDTokenSpec{
		RenewalWindow: window, Expiration: expires, Serial: serial, User: "somebody",
	}, mt, m.keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	uit, err := token.ParseUserIDToken(minted.Object(), mt, nil)
	if err != nil {
		t.Fatal(err)
	}
	return uit
}

func (m *material) service(t *testing.T, name string, mt *token.MasterToken, uit *token.UserIDToken, data string) *token.ServiceToken {
	t.Helper()
	st, err := token.MintServiceToken(token.ServiceTokenSpec{
		Name: name, MasterToken: mt, UserIDToken: uit, Data: []byte(data),
	}, m.contexts, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func wantCode(t *testing.T, err error, code mslerr.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Fatalf("error %v, want %v", err, code)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
