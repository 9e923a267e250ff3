package keyx

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

var pskKeys = symmetricKeys{EncryptionKey: rising(0, 16), HMACKey: rising(0x10, 32), WrappingKey: rising(0x40, 16)}

var me = Parties{Identity: "me"}

func TestSymmetricWrapped(t *testing.T) {
	s := SymmetricWrapped{PSK: testPSK(t, "me", pskKeys)}
	a, _ := exchange(t, Schemes{s}, Schemes{s}, me)
	if n, m := len(a.KeyData["encryptionkey"].([]byte)), len(a.KeyData["hmackey"].([]byte)); n != 24 || m != 40 {
		t.Errorf("wrapped keys of %d and %d bytes", n, m)
	}
	good := func() framing.Object {
		return framing.Object{"keyid": "PSK", "encryptionkey": a.KeyData["encryptionkey"], "hmackey": a.KeyData["hmackey"]}
	}
	swapped := framing.Object{"keyid": "PSK", "encryptionkey": a.KeyData["hmackey"], "hmackey": a.KeyData["encryptionkey"]}
	damaged := bytes.Clone(a.KeyData["hmackey"].([]byte))
	damaged[0] ^= 1
	for _, c := range []struct {
		name   string
		change framing.Object
		want   mslerr.Code
	}{
		{"other key ID", framing.Object{"keyid": "SESSION"}, mslerr.KeyxResponseRequestMismatch},
		{"unknown key ID", framing.Object{"keyid": "X"}, mslerr.UnidentifiedKeyxKeyID},
		{"no encryption key", framing.Object{"encryptionkey": nil}, mslerr.ParseError},
		{"no HMAC key", framing.Object{"hmackey": nil}, mslerr.ParseError},
		{"damaged", framing.Object{"hmackey": damaged}, mslerr.UnwrapError},
		{"cut", framing.Object{"hmackey": damaged[:39]}, mslerr.CiphertextIllegalBlockSize},
		{"sizes", swapped, mslerr.SessionKeyCreationFailure},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good()
			maps.Copy(o, c.change)
			_, err := s.Complete(t.Context(), symmetricRequest{"PSK"}, o, me)
			wantCode(t, err, c.want)
		})
	}
	_, err := SymmetricWrapped{}.Answer(t.Context(), symmetricRequest{"PSK"}, me)
	wantCode(t, err, mslerr.UnsupportedKeyxKeyID)
	_, err = s.Answer(t.Context(), symmetricRequest{"SESSION"}, Parties{Token: new(token.MasterToken)})
	wantCode(t, err, mslerr.MasterTokenUntrusted)
}

func testRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	for _, e := range loadVectors(t).Exchanges {
		if e.Secrets.PKCS8 != nil {
			key, err := x509.ParsePKCS8PrivateKey(e.Secrets.PKCS8)
			if err != nil {
				t.Fatal(err)
			}
			return key.(*rsa.PrivateKey)
		}
	}
	t.Fatal("no RSA key")
	return nil
}

func TestAsymmetricWrapped(t *testing.T) {
	key := testRSA(t)
	for _, m := range mechanisms {
		t.Run(string(m), func(t *testing.T) {
			s := AsymmetricWrapped{Offers: []Mechanism{m}, KeyPair: key, InsecurePKCS1: m == MechanismJWKRSAES}
			a, _ := exchange(t, Schemes{s}, Schemes{s}, me)
			wrapped := a.KeyData["encryptionkey"].([]byte)
			switch m {
			case MechanismJWERSA:
				if bytes.Count(wrapped, []byte(".")) != 4 {
					t.Errorf("not compact: %s", wrapped)
				}
			case MechanismJWEJSRSA:
				if wrapped[0] != '{' {
					t.Errorf("not JSON: %s", wrapped)
				}
			default:
				if len(wrapped) != key.Size() {
					t.Errorf("%d bytes", len(wrapped))
				}
			}
		})
	}
}

func TestAsymmetricFreshKeys(t *testing.T) {
	s := AsymmetricWrapped{Offers: []Mechanism{MechanismRSA, MechanismJWKRSA}}
	offers, err := s.Offer(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	more, err := AsymmetricWrapped{}.Offer(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := offers[0].(*asymmetricOffer), offers[1].(*asymmetricOffer), more[0].(*asymmetricOffer)
	if a.keyPairID == b.keyPairID || a.keyPairID == c.keyPairID || bytes.Equal(a.public, c.public) {
		t.Error("key pair or its ID is used again (W-10)")
	}
	if c.mechanism != MechanismJWKRSA {
		t.Errorf("offers %s by default", c.mechanism)
	}
	if s := fmt.Sprintf("%v %+v", a, AsymmetricWrapped{KeyPair: a.private}); s != "[redacted] [redacted]" {
		t.Errorf("printed as %s", s)
	}
	// Of two outstanding requests the one that is answered is found.
	exchangeOffers(t, Schemes{s}, Schemes{AsymmetricWrapped{}}, []Offer{b, a}, me)
	if a.private != nil || b.private != nil {
		t.Error("private keys are still there")
	}
}

func TestAsymmetricErrors(t *testing.T) {
	key := testRSA(t)
	for _, m := range []Mechanism{MechanismJWKRSAES, mechanismECC} {
		_, err := AsymmetricWrapped{Offers: []Mechanism{m}, KeyPair: key}.Offer(t.Context(), me)
		wantCode(t, err, mslerr.UnsupportedKeyxMechanism)
	}
	_, err := AsymmetricWrapped{Offers: []Mechanism{"X"}, KeyPair: key}.Offer(t.Context(), me)
	wantCode(t, err, mslerr.UnidentifiedKeyxMechanism)
	_, err = AsymmetricWrapped{}.Answer(t.Context(), asymmetricRequest{"x", MechanismJWKRSAES, &key.PublicKey}, me)
	wantCode(t, err, mslerr.UnsupportedKeyxMechanism)
	for _, bits := range []uint{1024, 16384} {
		n := new(big.Int).SetBit(new(big.Int), int(bits-1), 1)
		_, err = AsymmetricWrapped{}.Answer(t.Context(), asymmetricRequest{"x", MechanismRSA, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}}, me)
		wantCode(t, err, mslerr.InvalidPublicKey)
	}
	ed, _ := hex.DecodeString("302a300506032b6570032100" + hex.EncodeToString(rising(0, 32)))
	for _, der := range [][]byte{{}, {0x30}, ed, x509.MarshalPKCS1PublicKey(&key.PublicKey)} {
		_, err = AsymmetricWrapped{}.ParseRequest(framing.Object{"keypairid": "x", "mechanism": "RSA", "publickey": der})
		wantCode(t, err, mslerr.InvalidPublicKey)
	}
	for _, missing := range []string{"keypairid", "mechanism", "publickey"} {
		o := (&asymmetricOffer{keyPairID: "x", mechanism: MechanismRSA, public: []byte{1}}).KeyData()
		o[missing] = nil
		_, err = AsymmetricWrapped{}.ParseRequest(o)
		wantCode(t, err, mslerr.ParseError)
	}

	w := &mslcrypto.RSAWrapping{Public: &key.PublicKey}
	wrap := func(b []byte) []byte {
		wrapped, err := w.Wrap(b)
		if err != nil {
			t.Fatal(err)
		}
		return wrapped
	}
	jwk := func(f keyForm, key mslcrypto.Key) []byte {
		wrapped, err := f.wrapJWK(w, key, false, "")
		if err != nil {
			t.Fatal(err)
		}
		return wrapped
	}
	enc, mac := mslcrypto.Key(rising(1, 16)), mslcrypto.Key(rising(1, 32))
	for _, c := range []struct {
		name      string
		mechanism Mechanism
		keydata   framing.Object
		want      mslerr.Code // -1: success
	}{
		{"bare keys", MechanismRSA, framing.Object{"encryptionkey": wrap(enc), "hmackey": wrap(mac)}, -1},
		{"JWK under RSA, as JavaScript does", MechanismRSA, framing.Object{"encryptionkey": jwk(encryptionForm, enc), "hmackey": jwk(hmacForm, mac)}, -1},
		{"JWK", MechanismJWKRSA, framing.Object{"encryptionkey": jwk(encryptionForm, enc), "hmackey": jwk(hmacForm, mac)}, -1},
		{"another pair", MechanismRSA, framing.Object{"keypairid": "y", "encryptionkey": wrap(enc), "hmackey": wrap(mac)}, mslerr.KeyxResponseRequestMismatch},
		{"no ID", MechanismRSA, framing.Object{"keypairid": nil, "encryptionkey": wrap(enc), "hmackey": wrap(mac)}, mslerr.ParseError},
		{"no HMAC key", MechanismRSA, framing.Object{"encryptionkey": wrap(enc)}, mslerr.ParseError},
		{"short bare key", MechanismRSA, framing.Object{"encryptionkey": wrap(enc[:15]), "hmackey": wrap(mac)}, mslerr.SessionKeyCreationFailure},
		{"bare key where a JWK belongs", MechanismJWKRSA, framing.Object{"encryptionkey": wrap(enc), "hmackey": wrap(mac)}, mslerr.SessionKeyCreationFailure},
		{"short key in a JWK", MechanismJWKRSA, framing.Object{"encryptionkey": jwk(encryptionForm, enc[:8]), "hmackey": jwk(hmacForm, mac)}, mslerr.SessionKeyCreationFailure},
		{"keys swapped", MechanismJWKRSA, framing.Object{"encryptionkey": jwk(hmacForm, mac), "hmackey": jwk(encryptionForm, enc)}, mslerr.InvalidJWK},
		{"no oct key", MechanismJWKRSA, framing.Object{"encryptionkey": wrap([]byte(`{"kty":"x"}`)), "hmackey": jwk(hmacForm, mac)}, mslerr.UnidentifiedJWKType},
		{"damaged", MechanismJWKRSA, framing.Object{"encryptionkey": rising(0, 256), "hmackey": jwk(hmacForm, mac)}, mslerr.CiphertextBadPadding},
		{"cut", MechanismJWKRSA, framing.Object{"encryptionkey": rising(0, 255), "hmackey": jwk(hmacForm, mac)}, mslerr.CiphertextIllegalBlockSize},
		{"no JWE", MechanismJWERSA, framing.Object{"encryptionkey": wrap(enc), "hmackey": wrap(mac)}, mslerr.JWEParseError},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, set := c.keydata["keypairid"]; !set {
				c.keydata["keypairid"] = "x"
			}
			r, err := AsymmetricWrapped{}.Complete(t.Context(), &asymmetricOffer{keyPairID: "x", mechanism: c.mechanism, private: key}, c.keydata, me)
			if c.want >= 0 {
				wantCode(t, err, c.want)
			} else if err != nil || !bytes.Equal(r.Keys.Encryption, enc) || !bytes.Equal(r.Keys.Signature, mac) {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	_, err = AsymmetricWrapped{}.Complete(t.Context(), &asymmetricOffer{keyPairID: "x"},
		framing.Object{"keypairid": "x", "encryptionkey": wrap(enc), "hmackey": wrap(mac)}, me)
	wantCode(t, err, mslerr.KeyxPrivateKeyMissing)
}

// The derivation vectors of spec 07 section 3.
func TestDiffieHellmanDerivation(t *testing.T) {
	for _, v := range []struct{ z, enc, mac string }{
		{"00001234", "78a02432cb18531c2731f08d4d0a4cbb", "a8c9132edca95462758cc6e5eba32851e3c5ba69ae8efa37f39213a877fccfbd"},
		{"89ab", "5efe3d7559f5448b804fe0f4bab5f76e", "c842522fbd85934a3328a6882a2a69c0b9a7008ffedb8510536a1a9a9c680c0e"},
	} {
		k := dhKeys(new(big.Int).SetBytes(unhex(t, v.z)))
		if hex.EncodeToString(k.Encryption) != v.enc || hex.EncodeToString(k.Signature) != v.mac {
			t.Errorf("Z %s: %x, %x", v.z, []byte(k.Encryption), []byte(k.Signature))
		}
	}
	for n, want := range map[int64]string{0: "00", 1: "0001", 0x80: "0080", 0x1234: "001234"} {
		if got := nullByte(big.NewInt(n)); hex.EncodeToString(got) != want {
			t.Errorf("%d is written %x", n, got)
		}
	}
}

func TestDiffieHellman(t *testing.T) {
	s := DiffieHellman{Parameters: []DHParameters{MODP2048("a"), MODP2048("b")}}
	a, _ := exchange(t, Schemes{s}, Schemes{s}, me)
	if a.KeyData["parametersid"] != "a" || a.KeyData["publickey"].([]byte)[0] != 0 {
		t.Errorf("response %v", a.KeyData)
	}
	p := s.Parameters[0].P
	minus := func(n int64) []byte { return new(big.Int).Sub(p, big.NewInt(n)).Bytes() }
	for name, y := range map[string][]byte{
		"empty": {}, "0": {0}, "1": {0, 0, 1}, "p-1": minus(1), "p": minus(0), "p+1": minus(-1), "huge": append([]byte{1}, minus(0)...),
	} {
		_, err := s.Answer(t.Context(), dhRequest{"a", y}, me)
		if !errors.Is(err, mslerr.KeyxInvalidPublicKey) {
			t.Errorf("answers public value %s: %v", name, err)
		}
		offers, err := s.Offer(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Complete(t.Context(), offers[0], framing.Object{"parametersid": "a", "publickey": y}, me)
		if !errors.Is(err, mslerr.KeyxInvalidPublicKey) {
			t.Errorf("takes public value %s: %v", name, err)
		}
	}
	if _, err := s.Answer(t.Context(), dhRequest{"b", []byte{0, 0, 0, 2}}, me); err != nil {
		t.Errorf("leading zeros: %v", err)
	}
	_, err := s.Answer(t.Context(), dhRequest{"c", []byte{2}}, me)
	wantCode(t, err, mslerr.UnknownKeyxParametersID)

	offers, err := s.Offer(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Complete(t.Context(), offers[0], framing.Object{"parametersid": "b", "publickey": []byte{2}}, me)
	wantCode(t, err, mslerr.KeyxResponseRequestMismatch)
	_, err = s.Complete(t.Context(), offers[0], framing.Object{"parametersid": "a"}, me)
	wantCode(t, err, mslerr.ParseError)
	private := offers[0].(*dhOffer).private
	Erase(offers)
	if private.BitLen() > 0 && private.Bits()[0] != 0 {
		t.Error("the private key is still there")
	}
	_, err = s.Complete(t.Context(), offers[0], framing.Object{"parametersid": "a", "publickey": []byte{2}}, me)
	wantCode(t, err, mslerr.KeyxPrivateKeyMissing)

	_, err = DiffieHellman{}.Offer(t.Context(), me)
	wantCode(t, err, mslerr.UnknownKeyxParametersID)
	for _, bad := range []DHParameters{{ID: "a"}, {ID: "a", P: big.NewInt(23), G: big.NewInt(5)}, {ID: "a", P: p, G: big.NewInt(1)}} {
		_, err = DiffieHellman{Parameters: []DHParameters{bad}}.Offer(t.Context(), me)
		wantCode(t, err, mslerr.InvalidAlgorithmParams)
	}
}

func ladders(psk PSKContext, keys *token.Keys, repository Repository) []Scheme {
	l := Ladder{PSK: psk, TokenKeys: keys, Repository: repository}
	return []Scheme{JWELadder(l), JWKLadder(l)}
}

func tokenKeys(t testing.TB) (*token.Keys, mslcrypto.Context) {
	c := symmetricKeys{EncryptionKey: rising(3, 16), HMACKey: rising(5, 32), WrappingKey: rising(7, 16)}.context(t, "keys")
	return token.NewKeys(c), c
}

func TestLadder(t *testing.T) {
	keys, issuer := tokenKeys(t)
	psk := testPSK(t, "me", pskKeys)
	for i := range 2 {
		repository := new(MemoryRepository)
		s := ladders(psk, keys, repository)[i]
		t.Run(s.Name(), func(t *testing.T) {
			var before []byte
			for rung := range 3 {
				offers, err := s.Offer(t.Context(), me)
				if err != nil {
					t.Fatal(err)
				}
				first := offers[0].(ladderRequest)
				if want := []string{"PSK", "WRAP", "WRAP"}[rung]; first.mechanism != want || first.wrapdata != string(before) {
					t.Fatalf("rung %d: %s, want %s", rung, first.mechanism, want)
				}
				a, _ := exchangeOffers(t, Schemes{s}, Schemes{s}, offers, me)
				wrapdata := a.KeyData["wrapdata"].([]byte)
				kw, err := issuer.Unwrap(wrapdata)
				if err != nil || len(wrapdata) != 24 {
					t.Fatalf("wrapdata of %d bytes: %v", len(wrapdata), err)
				}
				if held, _ := repository.Find(t.Context(), wrapdata); !bytes.Equal(held, kw) || len(repository.rungs) != 1 {
					t.Errorf("rung %d: %d keys held", rung, len(repository.rungs))
				}
				before = wrapdata
			}

			// Who can no longer read the wrapdata begins anew.
			fresh := token.NewKeys(symmetricKeys{rising(9, 16), rising(9, 32), rising(9, 16)}.context(t, "other"))
			exchange(t, Schemes{s}, Schemes{ladders(psk, fresh, nil)[i]}, me)
			if newest, _ := repository.Newest(t.Context()); bytes.Equal(newest, before) {
				t.Error("the ladder did not begin anew")
			}
			// After a rotation of the token keys the ladder goes on.
			keys.Rotate(symmetricKeys{rising(2, 16), rising(2, 32), rising(2, 16)}.context(t, "new"), 1)
			if err := repository.Add(t.Context(), before, must(issuer.Unwrap(before))); err != nil {
				t.Fatal(err)
			}
			offers, err := s.Offer(t.Context(), me)
			if err != nil {
				t.Fatal(err)
			}
			exchangeOffers(t, Schemes{s}, Schemes{s}, offers[:1], me)
			keys.Rotate(issuer, 0)
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLadderErrors(t *testing.T) {
	keys, _ := tokenKeys(t)
	psk := testPSK(t, "me", pskKeys)
	for i := range 2 {
		repository := new(MemoryRepository)
		s := ladders(psk, keys, repository)[i]
		t.Run(s.Name(), func(t *testing.T) {
			ask := func(mechanism, wrapdata string) ladderRequest { return ladderRequest{s.Name(), mechanism, wrapdata} }
			_, err := ladders(nil, keys, nil)[i].Answer(t.Context(), ask("PSK", ""), me)
			wantCode(t, err, mslerr.UnsupportedKeyxMechanism)
			_, err = ladders(psk, nil, nil)[i].Answer(t.Context(), ask("PSK", ""), me)
			wantCode(t, err, mslerr.WrapNotSupported)
			_, err = ladders(nil, nil, repository)[i].Offer(t.Context(), me)
			wantCode(t, err, mslerr.KeyxWrappingKeyMissing)
			_, err = ladders(psk, nil, nil)[i].Offer(t.Context(), me)
			wantCode(t, err, mslerr.InternalException)
			_, err = s.ParseRequest(framing.Object{"mechanism": "WRAP"})
			wantCode(t, err, mslerr.ParseError)
			if r, err := s.ParseRequest(framing.Object{"mechanism": "PSK", "wrapdata": 5}); err != nil || r != Request(ask("PSK", "")) {
				t.Errorf("wrapdata is not ignored: %v, %v", r, err)
			}

			a, err := s.Answer(t.Context(), ask("PSK", ""), me)
			if err != nil {
				t.Fatal(err)
			}
			good := throughWire(t, a.KeyData)
			for _, missing := range []string{"wrapkey", "wrapdata", "encryptionkey", "hmackey"} {
				o := framing.Object{}
				for k, v := range good {
					if k != missing {
						o[k] = v
					}
				}
				_, err = s.Complete(t.Context(), ask("PSK", ""), o, me)
				wantCode(t, err, mslerr.ParseError)
			}
			_, err = s.Complete(t.Context(), ask("WRAP", "gone"), good, me)
			wantCode(t, err, mslerr.KeyxWrappingKeyMissing)
			_, err = ladders(nil, nil, repository)[i].Complete(t.Context(), ask("PSK", ""), good, me)
			wantCode(t, err, mslerr.UnsupportedKeyxMechanism)

			// Under another key: the code says who holds it (spec 02 section 6.2).
			other := pskKeys
			other.WrappingKey = rising(0x50, 16)
			_, err = ladders(testPSK(t, "me", other), nil, repository)[i].Complete(t.Context(), ask("PSK", ""), good, me)
			wantCode(t, err, mslerr.UnwrapError)
			if err := repository.Add(t.Context(), []byte("other"), rising(1, 16)); err != nil {
				t.Fatal(err)
			}
			_, err = s.Complete(t.Context(), ask("WRAP", "other"), good, me)
			wantCode(t, err, mslerr.InvalidSymmetricKey)

			// What is unwrapped is no JSON Web Key.
			r := jweRung
			if i == 1 {
				r = jwkRung
			}
			c, _ := psk(t.Context(), "me")
			for text, want := range map[string]mslerr.Code{`{[]]`: mslerr.InvalidJWK, `{}`: mslerr.ParseError} {
				wrapped, err := r.wrapping(c).Wrap([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				o := throughWire(t, a.KeyData)
				o["wrapkey"] = wrapped
				_, err = s.Complete(t.Context(), ask("PSK", ""), o, me)
				wantCode(t, err, want)
			}
			if newest, _ := repository.Newest(t.Context()); string(newest) != "other" {
				t.Error("a failure changed the repository")
			}
		})
	}
}

func TestMemoryRepository(t *testing.T) {
	m := new(MemoryRepository)
	rapid.Check(t, func(t *rapid.T) {
		*m = MemoryRepository{}
		var model []string // newest last
		ctx := context.Background()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			name := rapid.StringMatching("[a-m]").Draw(t, "wrapdata")
			without := make([]string, 0, len(model))
			for _, n := range model {
				if n != name {
					without = append(without, n)
				}
			}
			if rapid.Bool().Draw(t, "add") {
				_ = m.Add(ctx, []byte(name), []byte("key "+name))
				model = append(without, name)
				model = model[max(0, len(model)-maxRungs):]
			} else {
				_ = m.Remove(ctx, []byte(name))
				model = without
			}
			newest, _ := m.Newest(ctx)
			if len(model) == 0 && newest != nil || len(model) > 0 && string(newest) != model[len(model)-1] {
				t.Fatalf("newest %q of %v", newest, model)
			}
			for _, n := range model {
				if key, _ := m.Find(ctx, []byte(n)); string(key) != "key "+n {
					t.Fatalf("key %q of %q", []byte(key), n)
				}
			}
			if len(m.rungs) != len(model) {
				t.Fatalf("%d keys, want %d", len(m.rungs), len(model))
			}
		}
	})
	if s := fmt.Sprintf("%v %+v", m, m); strings.Contains(s, "key") {
		t.Errorf("printed as %s", s)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				_ = m.Add(t.Context(), []byte{byte(i)}, rising(0, 16))
				_, _ = m.Newest(t.Context())
				_ = m.Remove(t.Context(), []byte{byte(i)})
			}
		})
	}
	wg.Wait()
}

func TestWrongData(t *testing.T) {
	for _, s := range server(nil, nil) {
		_, err := s.Answer(t.Context(), fakeRequest{}, me)
		wantCode(t, err, mslerr.InternalException)
		_, err = s.Complete(t.Context(), new(fakeOffer), framing.Object{}, me)
		wantCode(t, err, mslerr.InternalException)
	}
}

func FuzzParseRequest(f *testing.F) {
	v := loadVectors(f)
	keys, _ := tokenKeys(f)
	ss := server(testPSK(f, "me", pskKeys), keys)
	for _, e := range v.Exchanges {
		f.Add(e.Request)
	}
	for _, r := range v.Rejected {
		f.Add([]byte(r.Request))
	}
	f.Add([]byte(`{"scheme":"HPKE","keydata":{"kem":32,"publickey":"CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := framing.JSON.Parse(b)
		if err != nil {
			return
		}
		requests, err := ss.ParseRequests(framing.Array{o})
		if err == nil {
			var a *Answer
			if a, err = ss.Answer(t.Context(), requests, me, nil); err == nil && checkSessionKeys(a.Keys) != nil {
				t.Error("keys of a wrong size")
			}
		}
		var e *mslerr.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("error without a code: %v", err)
		}
	})
}

func FuzzComplete(f *testing.F) {
	v := loadVectors(f)
	key := testRSA(f)
	psk := testPSK(f, "me", pskKeys)
	for _, e := range v.Exchanges {
		f.Add(e.Response)
	}
	f.Add([]byte(`{"mastertoken":{"tokendata":"","signature":""},"scheme":"HPKE","keydata":{"kem":32,"enc":"CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		repository := new(MemoryRepository)
		ss := Schemes{
			HPKE{KEMs: []uint16{KEMX25519}}, SymmetricWrapped{PSK: psk}, AsymmetricWrapped{KeyPair: key, Offers: []Mechanism{MechanismRSA, MechanismJWKRSA, MechanismJWERSA}},
			JWELadder{PSK: psk, Repository: repository}, JWKLadder{PSK: psk, Repository: repository},
		}
		o, err := framing.JSON.Parse(b)
		if err != nil {
			return
		}
		r, err := ss.ParseResponse(o, nil)
		if err == nil {
			var offers []Offer
			if offers, err = ss.Offer(t.Context(), me); err != nil {
				t.Fatal(err)
			}
			if a, ok := r.KeyData["keypairid"].(string); ok {
				for _, o := range offers {
					if o, ok := o.(*asymmetricOffer); ok {
						o.keyPairID = a
					}
				}
			}
			var result *Result
			if result, err = ss.Complete(t.Context(), offers, r, me); err == nil && checkSessionKeys(result.Keys) != nil {
				t.Error("keys of a wrong size")
			}
		}
		var e *mslerr.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("error without a code: %v", err)
		}
	})
}

// Keys that the application gives are used for every offer.
func TestGivenKeys(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	asymmetric := AsymmetricWrapped{KeyPair: private, KeyPairID: "mine", Offers: []Mechanism{MechanismRSA, MechanismJWKRSA}}
	group := MODP2048("g")
	dh := DiffieHellman{Parameters: []DHParameters{group}, Private: big.NewInt(5)}
	for _, s := range []Scheme{asymmetric, dh} {
		var first []Offer
		for range 2 { // erasing an offer must not erase the given key
			offers, err := s.Offer(t.Context(), Parties{})
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range offers {
				if first != nil && !reflect.DeepEqual(o.KeyData(), first[i].KeyData()) {
					t.Errorf("%s: another offer: %v", s.Name(), o.KeyData())
				}
			}
			if first == nil {
				first = offers
				defer Erase(first)
				continue
			}
			Erase(offers)
		}
	}
	if dh.Private.Int64() != 5 {
		t.Error("the given key was erased")
	}
	if offers, err := asymmetric.Offer(t.Context(), Parties{}); err != nil || offers[1].KeyData()["keypairid"] != "mine" {
		t.Errorf("%v, %v", offers, err)
	}
	for _, bad := range []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(-3), group.P} {
		_, err := DiffieHellman{Parameters: []DHParameters{group}, Private: bad}.Offer(t.Context(), Parties{})
		wantCode(t, err, mslerr.InvalidPrivateKey)
	}
}
