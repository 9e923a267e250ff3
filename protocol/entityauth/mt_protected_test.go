package entityauth

import (
	"bytes"
	"context"
	"maps"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

func testSession(t testing.TB, keys *token.Keys, identity string) (*token.MasterToken, mslcrypto.Context) {
	t.Helper()
	session := mslcrypto.SessionKeys{Encryption: bytes.Repeat([]byte{1}, 16), Signature: bytes.Repeat([]byte{2}, 32)}
	now := time.Unix(1700000000, 0)
	mt, err := token.MintMasterToken(token.MasterTokenSpec{
		RenewalWindow: now, Expiration: now.Add(time.Hour), Serial: 7, Sequence: 3, Identity: identity, Keys: session,
	}, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mslcrypto.NewSession(session, mslcrypto.SessionKeyID(identity, 3))
	if err != nil {
		t.Fatal(err)
	}
	return mt, c
}

func testTokenKeys(t testing.TB, first byte) *token.Keys {
	t.Helper()
	c, err := mslcrypto.NewSymmetric("keys", mslcrypto.SymmetricKeys{
		Encryption: bytes.Repeat([]byte{first}, 16), Signature: bytes.Repeat([]byte{first}, 32),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token.NewKeys(c)
}

func TestMTProtected(t *testing.T) {
	k := loadKeys(t)
	keys := testTokenKeys(t, 9)
	mt, session := testSession(t, keys, "PSK-CLIENT-1")
	inner := allSchemes(t, k)
	ss := append(inner, MTProtected{Inner: inner, Keys: keys})
	d := NewMTProtectedData(NewPSKData("PSK-CLIENT-1"), mt, session)

	o := throughWire(t, d)
	parsed, s, err := ss.Parse(o)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Scheme() != "MT_PROTECTED" || parsed.Identity() != "PSK-CLIENT-1" || s.Encrypts() || s.Protects() {
		t.Errorf("%s %s", parsed.Scheme(), parsed.Identity())
	}
	if e := EntityOf(parsed); e != (token.Entity{Scheme: "PSK", Identity: "PSK-CLIENT-1"}) {
		t.Errorf("entity %v", e)
	}
	if parsed.(*MTProtectedData).Inner() != Data(NewPSKData("PSK-CLIENT-1")) {
		t.Error("other data inside")
	}
	// Written twice it is the same; what was read can be written again.
	first, _ := d.AuthData(framing.JSON)
	second, _ := d.AuthData(framing.JSON)
	if !bytes.Equal(first["authdata"].([]byte), second["authdata"].([]byte)) {
		t.Error("written twice, it differs")
	}
	if again, _, err := ss.Parse(throughWire(t, parsed)); err != nil || again.Identity() != d.Identity() {
		t.Errorf("%v, %v", again, err)
	}
	// The signature is of the encrypted bytes.
	if ok, err := session.Verify(first["authdata"].([]byte), first["signature"].([]byte)); err != nil || !ok {
		t.Errorf("signature does not verify: %v", err)
	}

	// The context is that of the data inside, after both checks.
	var asked []string
	p := Policy{Permitted: func(_ context.Context, identity, scheme string) bool {
		asked = append(asked, scheme+" "+identity)
		return true
	}}
	c, err := s.Context(t.Context(), parsed, p)
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err := c.Encrypt([]byte("data"), framing.JSON); err != nil || string(sealed) == "data" {
		t.Errorf("does not encrypt: %v", err)
	}
	if len(asked) != 2 || asked[0] != "MT_PROTECTED PSK-CLIENT-1" || asked[1] != "PSK PSK-CLIENT-1" {
		t.Errorf("asked %v", asked)
	}

	// A holder of the token that did not make it knows its session keys.
	holder := append(inner, MTProtected{Inner: inner, Session: func(*token.MasterToken) mslcrypto.Context { return session }})
	if h, _, err := holder.Parse(o); err != nil || h.Identity() != "PSK-CLIENT-1" {
		t.Errorf("%v, %v", h, err)
	}

	authdata := o["authdata"].(framing.Object)
	change := func(name string, v any) framing.Object {
		c := framing.Object{}
		maps.Copy(c, authdata)
		c[name] = v
		return framing.Object{"scheme": "MT_PROTECTED", "authdata": c}
	}
	sealed := func(text string) framing.Object {
		ciphertext, err := session.Encrypt([]byte(text), framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := session.Sign(ciphertext, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		o := change("authdata", ciphertext)
		o["authdata"].(framing.Object)["signature"] = signature
		return o
	}
	_, foreign := testSession(t, keys, "x")
	nested, err := Object(NewMTProtectedData(NewNoneData("a"), mt, foreign), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	nestedText, err := framing.JSON.Append(nil, nested)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    framing.Object
		want mslerr.Code
	}{
		{"no token", change("mastertoken", nil), mslerr.ParseError},
		{"token is text", change("mastertoken", "x"), mslerr.ParseError},
		{"no data", change("authdata", nil), mslerr.ParseError},
		{"no signature", change("signature", nil), mslerr.ParseError},
		{"bad token", change("mastertoken", framing.Object{}), mslerr.EntityAuthMasterTokenInvalid},
		{"wrong signature", change("signature", []byte{1}), mslerr.EntityAuthVerificationFailed},
		{"other data", change("authdata", []byte{1}), mslerr.EntityAuthVerificationFailed},
		{"no object inside", sealed("text"), mslerr.ParseError},
		{"unknown scheme inside", sealed(`{"scheme":"X"}`), mslerr.UnidentifiedEntityAuthScheme},
		{"fingerprint inside", sealed(`{"scheme":"NONE","authdata":{"identity":"ed25519:x"}}`), mslerr.IncorrectEntityAuthData},
		{"nested", sealed(string(nestedText)), mslerr.EntityAuthFactoryNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ss.Parse(c.o)
			wantCode(t, err, c.want)
		})
	}
	_, _, err = Schemes{MTProtected{Inner: inner, Keys: testTokenKeys(t, 8)}}.Parse(o)
	wantCode(t, err, mslerr.EntityAuthMasterTokenNotDecrypted)
	_, err = MTProtected{}.Context(t.Context(), d, Policy{})
	wantCode(t, err, mslerr.EntityAuthFactoryNotFound)

	// An Ed25519 entity inside keeps its name.
	ed := NewMTProtectedData(Ed25519Data{}, mt, session)
	if parsed, _, err := ss.Parse(throughWire(t, ed)); err != nil || parsed.Identity() != (Ed25519Data{}).Identity() {
		t.Errorf("%v, %v", parsed, err)
	}
}

func FuzzMTProtected(f *testing.F) {
	keys := testTokenKeys(f, 9)
	mt, session := testSession(f, keys, "a")
	s := MTProtected{Inner: Schemes{None{}}, Keys: keys}
	for _, seed := range []string{`{"scheme":"NONE","authdata":{"identity":"a"}}`, `{}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ciphertext, err := session.Encrypt(b, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := session.Sign(ciphertext, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Parse(framing.Object{"mastertoken": mt.Object(), "authdata": ciphertext, "signature": signature})
		if err == nil && d.(*MTProtectedData).Inner().Scheme() != "NONE" {
			t.Errorf("%q became %v", b, d)
		}
	})
}
