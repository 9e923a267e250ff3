package entityauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

type testKeys struct {
	PSK map[string]struct {
		EncryptionKey, HMACKey, WrappingKey []byte
	}
	RSA      map[string]keyPair `json:"rsa_by_public_key_id"`
	ECC      map[string]keyPair `json:"ecc_by_public_key_id"`
	X509     map[string][]byte
	Entities map[string]map[string]string
}

type keyPair struct {
	Public  []byte `json:"publickey_spki"`
	Private []byte `json:"privatekey_pkcs8"`
}

func loadKeys(t testing.TB) *testKeys {
	t.Helper()
	b, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	k := new(testKeys)
	if err := json.Unmarshal(b, k); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *testKeys) psks() PSKStore {
	store := make(map[string]PSKKeys)
	for name, s := range k.PSK {
		store[name] = PSKKeys{Encryption: s.EncryptionKey, HMAC: s.HMACKey}
	}
	return StaticPSKs(store)
}

func pair[Priv, Pub any](t testing.TB, k keyPair) (Priv, Pub) {
	t.Helper()
	private, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(k.Public)
	if err != nil {
		t.Fatal(err)
	}
	return private.(Priv), public.(Pub)
}

func (k *testKeys) certificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(k.X509[name])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// allSchemes is a server that knows everybody in keys.json.
func allSchemes(t testing.TB, k *testKeys) Schemes {
	rsaKeys := make(map[string]Registered[*rsa.PublicKey])
	for id, p := range k.RSA {
		_, public := pair[*rsa.PrivateKey, *rsa.PublicKey](t, p)
		rsaKeys[id] = Registered[*rsa.PublicKey]{public, []string{strings.ToUpper(strings.Replace(id, "-key", "", 1))}}
	}
	eccKeys := make(map[string]Registered[*ecdsa.PublicKey])
	for id, p := range k.ECC {
		_, public := pair[*ecdsa.PrivateKey, *ecdsa.PublicKey](t, p)
		eccKeys[id] = Registered[*ecdsa.PublicKey]{public, []string{strings.ToUpper(strings.Replace(id, "-key", "", 1))}}
	}
	rsaPrivate, _ := pair[*rsa.PrivateKey, *rsa.PublicKey](t, k.RSA["rsa-server-key-1"])
	return Schemes{
		PSK{k.psks()}, PSKProfile{k.psks()}, None{}, NoneSuffixed{},
		RSA{Self: NewRSAData("RSA-SERVER-1", "rsa-server-key-1"), Private: rsaPrivate, Keys: StaticKeys(rsaKeys)},
		ECC{Keys: StaticKeys(eccKeys)},
		X509{Roots: []*x509.Certificate{k.certificate(t, "trusted_authority_certificate")}},
		NewEd25519(nil),
		Provisioned{Next: func(context.Context) (string, error) { return "new-1", nil }},
	}
}

func wantCode(t *testing.T, err error, code mslerr.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("error %v, want %v", err, code)
	}
}

func throughWire(t *testing.T, d Data) framing.Object {
	t.Helper()
	o, err := Object(d, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	b, err := framing.JSON.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if o, err = framing.Decode(b); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestEntities(t *testing.T) {
	k := loadKeys(t)
	ss := allSchemes(t, k)
	flags := map[string][2]bool{ // spec 05 section 2
		"PSK": {true, true}, "PSK_PROFILE": {true, true}, "X509": {false, true}, "RSA": {false, true}, "ECC": {false, true},
		"NONE": {}, "NONE_SUFFIXED": {},
	}
	for name, e := range k.Entities {
		t.Run(name, func(t *testing.T) {
			authdata := framing.Object{}
			for m, v := range e {
				switch {
				case m == "scheme", m == "identity" && e["scheme"] != "PSK" && e["scheme"] != "RSA" && e["scheme"] != "ECC" && e["scheme"] != "NONE":
				default:
					authdata[m] = v
				}
			}
			if e["scheme"] == "X509" {
				d, err := NewX509Data(k.certificate(t, "client_certificate"))
				if err != nil {
					t.Fatal(err)
				}
				authdata, _ = d.AuthData(framing.JSON)
			}
			d, s, err := ss.Parse(framing.Object{"scheme": e["scheme"], "authdata": authdata})
			if err != nil {
				t.Fatal(err)
			}
			if d.Identity() != e["identity"] || d.Scheme() != e["scheme"] || s.Name() != e["scheme"] {
				t.Errorf("identity %q, scheme %q", d.Identity(), d.Scheme())
			}
			if got := [2]bool{s.Encrypts(), s.Protects()}; got != flags[e["scheme"]] {
				t.Errorf("encrypts, protects = %v", got)
			}
			if again, _, err := ss.Parse(throughWire(t, d)); err != nil || again != d {
				t.Errorf("again %v, %v", again, err)
			}
			if of, err := ss.Of(d); err != nil || of.Name() != s.Name() {
				t.Errorf("scheme of data: %v, %v", of, err)
			}
			c, err := s.Context(t.Context(), d, Policy{})
			if err != nil {
				t.Fatal(err)
			}
			// What is encrypted comes back; only schemes that encrypt change it.
			sealed, err := c.Encrypt([]byte("data"), framing.JSON)
			if err != nil {
				t.Fatal(err)
			}
			if (string(sealed) == "data") == s.Encrypts() {
				t.Errorf("encrypts to %q", sealed)
			}
			if opened, err := c.Decrypt(sealed); err != nil || string(opened) != "data" {
				t.Errorf("decrypts to %q, %v", opened, err)
			}
		})
	}
}

func TestParseOrder(t *testing.T) {
	ss := Schemes{PSK{}, None{}, NewEd25519(nil)}
	empty := framing.Object{}
	for _, c := range []struct {
		name string
		o    framing.Object
		want mslerr.Code
	}{
		{"empty", empty, mslerr.ParseError},
		{"scheme is a number", framing.Object{"scheme": 5, "authdata": empty}, mslerr.ParseError},
		{"unknown before missing authdata", framing.Object{"scheme": "FOO"}, mslerr.UnidentifiedEntityAuthScheme},
		{"case counts", framing.Object{"scheme": "psk", "authdata": empty}, mslerr.UnidentifiedEntityAuthScheme},
		{"missing authdata before factory", framing.Object{"scheme": "RSA"}, mslerr.ParseError},
		{"authdata is text", framing.Object{"scheme": "PSK", "authdata": "{}"}, mslerr.ParseError},
		{"not enabled", framing.Object{"scheme": "RSA", "authdata": empty}, mslerr.EntityAuthFactoryNotFound},
		{"PSK without identity", framing.Object{"scheme": "PSK", "authdata": empty}, mslerr.ParseError},
		{"NONE with a number", framing.Object{"scheme": "NONE", "authdata": framing.Object{"identity": 1}}, mslerr.ParseError},
		{"ED25519 without key", framing.Object{"scheme": "ED25519", "authdata": empty}, mslerr.ParseError},
		{"ED25519 with a short key", framing.Object{"scheme": "ED25519", "authdata": framing.Object{"publickey": make([]byte, 31)}}, mslerr.IncorrectEntityAuthData},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ss.Parse(c.o)
			wantCode(t, err, c.want)
		})
	}
	_, err := ss.Of(NewRSAData("a", "b"))
	wantCode(t, err, mslerr.EntityAuthFactoryNotFound)
}

func TestMissingMembers(t *testing.T) {
	for _, c := range []struct {
		s       Scheme
		members []string
	}{
		{PSK{}, []string{"identity"}}, {None{}, []string{"identity"}},
		{PSKProfile{}, []string{"pskid", "profile"}}, {NoneSuffixed{}, []string{"root", "suffix"}},
		{RSA{}, []string{"identity", "pubkeyid"}}, {ECC{}, []string{"identity", "pubkeyid"}},
		{X509{}, []string{"x509certificate"}}, {NewEd25519(nil), []string{"publickey"}},
	} {
		for _, without := range c.members {
			for _, other := range []any{nil, int64(3)} {
				o := framing.Object{}
				for _, m := range c.members {
					o[m] = "text"
				}
				o[without] = other
				_, err := c.s.Parse(o)
				if !errors.Is(err, mslerr.ParseError) {
					t.Errorf("%s with %s = %v: %v", c.s.Name(), without, other, err)
				}
			}
		}
	}
}

// The order of spec 05 section 3, and the name that is asked about.
func TestPolicyOrder(t *testing.T) {
	k := loadKeys(t)
	ss := allSchemes(t, k)
	cert, err := NewX509Data(k.certificate(t, "untrusted_certificate"))
	if err != nil {
		t.Fatal(err)
	}
	ed, _, _ := ed25519.GenerateKey(nil)
	edData, _ := NewEd25519Data(ed)
	for _, c := range []struct {
		d     Data
		asked string
		noKey mslerr.Code // -1: there is no key to miss
	}{
		{NewPSKData("nobody"), "nobody", mslerr.EntityNotFound},
		{NewPSKProfileData("nobody", "kids"), "nobody", mslerr.EntityNotFound},
		{NewNoneData("nobody"), "nobody", -1},
		{NewNoneSuffixedData("nobody", "tab"), "nobody", -1},
		{NewRSAData("nobody", "key"), "nobody", mslerr.RSAPublicKeyNotFound},
		{NewECCData("nobody", "key"), "nobody", mslerr.ECCPublicKeyNotFound},
		{cert, cert.Identity(), mslerr.X509CertVerificationFailed},
		{edData, edData.Identity(), -1},
	} {
		t.Run(c.d.Scheme(), func(t *testing.T) {
			s, _ := ss.ByName(c.d.Scheme())
			var asked []string
			p := Policy{
				Revoked: func(_ context.Context, identity string) error {
					asked = append(asked, "revoked "+identity)
					return nil
				},
				Permitted: func(_ context.Context, identity, scheme string) bool {
					asked = append(asked, scheme+" "+identity)
					return true
				},
			}
			_, err := s.Context(t.Context(), c.d, p)
			if c.noKey < 0 {
				if err != nil {
					t.Error(err)
				}
			} else {
				wantCode(t, err, c.noKey)
			}
			if got, want := strings.Join(asked, ","), "revoked "+c.asked+","+c.d.Scheme()+" "+c.asked; got != want {
				t.Errorf("asked %s, want %s", got, want)
			}
			p.Permitted = func(context.Context, string, string) bool { return false }
			_, err = s.Context(t.Context(), c.d, p)
			wantCode(t, err, mslerr.IncorrectEntityAuthData)
			p.Revoked = func(context.Context, string) error { return errors.New("stolen") }
			_, err = s.Context(t.Context(), c.d, p)
			wantCode(t, err, mslerr.EntityRevoked)
			p.Revoked = func(context.Context, string) error { return mslerr.EntityRejectedByApp }
			_, err = s.Context(t.Context(), c.d, p)
			wantCode(t, err, mslerr.EntityRejectedByApp)
			if strings.Contains(err.Error(), "stolen") {
				t.Error("stale error")
			}
		})
	}
}

func TestEndedContextIsNoRevocation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := Policy{Revoked: func(ctx context.Context, _ string) error { return ctx.Err() }}
	_, err := None{}.Context(ctx, NewNoneData("a"), p)
	if !errors.Is(err, context.Canceled) || errors.Is(err, mslerr.EntityRevoked) {
		t.Errorf("error %v", err)
	}
}

func TestWrongData(t *testing.T) {
	for _, s := range allSchemes(t, loadKeys(t)) {
		var d Data = NewPSKData("PSK-CLIENT-1")
		if s.Name() == "PSK" {
			d = NewNoneData("a")
		}
		_, err := s.Context(t.Context(), d, Policy{})
		wantCode(t, err, mslerr.InternalException)
	}
}

func TestPSKKeys(t *testing.T) {
	k := loadKeys(t)
	want := k.PSK["PSK-CLIENT-1"]
	if got := mslcrypto.DeriveWrappingKey(want.EncryptionKey, want.HMACKey); string(got) != string(want.WrappingKey) {
		t.Error("another wrapping key")
	}
	// PSK and PSK_PROFILE share keys and differ in the key ID.
	kids, err := PSKProfile{k.psks()}.Context(t.Context(), NewPSKProfileData("PSK-CLIENT-1", "kids"), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := kids.Encrypt([]byte("data"), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(sealed), `"PSK-CLIENT-1-kids"`) {
		t.Errorf("key ID is not the identity: %s", sealed)
	}
	plain, err := PSK{k.psks()}.WithPolicy(Policy{})(t.Context(), "PSK-CLIENT-1")
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := plain.Decrypt(sealed); err != nil || string(opened) != "data" {
		t.Errorf("%q, %v", opened, err)
	}
	if NewPSKProfileData("a-b", "c") == NewPSKProfileData("a", "b-c") {
		t.Error("different entities are equal")
	}

	for _, c := range []struct {
		store PSKStore
		want  mslerr.Code
	}{
		{nil, mslerr.EntityNotFound},
		{func(context.Context, string) (PSKKeys, error) { return PSKKeys{}, nil }, mslerr.EntityNotFound},
		{func(context.Context, string) (PSKKeys, error) {
			return PSKKeys{}, mslerr.New(mslerr.InternalException, "store is down")
		}, mslerr.InternalException},
	} {
		_, err := PSK{c.store}.Context(t.Context(), NewPSKData("a"), Policy{})
		wantCode(t, err, c.want)
	}
	if s := fmt.Sprintf("%v %+v %#v", PSKKeys{Encryption: want.EncryptionKey}, PSKKeys{Encryption: want.EncryptionKey}, PSKKeys{Encryption: want.EncryptionKey}); strings.Contains(s, hex.EncodeToString(want.EncryptionKey)) || strings.Count(s, "redacted") != 9 {
		t.Errorf("printed as %s", s)
	}
}

// The vectors of channel set-up 6.2.
func TestEd25519Vectors(t *testing.T) {
	th0 := unhex(t, "ec954d15b796d761781979ea01d99e748c45974dca4a1595e89f57e1da2b7230")
	for _, v := range []struct {
		first                              byte
		public, identity, label, signature string
	}{
		{
			0x00, "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
			"ed25519:Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw", "msl channel 1 auth i2r",
			"860c81d9befb140542cd0513c976e2ece498f372fdea61153cb0a75ea7ca5ae76dbd250797fb123af074e68347916b7efc7c00f74f4feb44c3b768ac753dc008",
		},
		{
			0x20, "29acbae141bccaf0b22e1a94d34d0bc7361e526d0bfe12c89794bc9322966dd7",
			"ed25519:JPbtasv-EAnAMNfKVnwzykgwkRSYI2tVYabIKr7F3ig", "msl channel 1 auth r2i",
			"ba38b1c17e655a163abc991338dc183c86fd349118612f91cc3427fda2e292cf4bf4cd02c96cad66fd57e49c43519852550f442941e6f2a2d01984ccc35fec07",
		},
	} {
		seed := make([]byte, ed25519.SeedSize)
		for i := range seed {
			seed[i] = v.first + byte(i)
		}
		own := NewEd25519(ed25519.NewKeyFromSeed(seed))
		self := own.Self()
		if hex.EncodeToString(self.PublicKey()) != v.public || self.Identity() != v.identity || len(self.Identity()) != 51 {
			t.Errorf("key %x, identity %s", self.PublicKey(), self.Identity())
		}
		signing, err := own.Context(t.Context(), self, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		data := append([]byte(v.label), th0...)
		signature, err := signing.Sign(data, framing.JSON)
		if err != nil || hex.EncodeToString(signature) != v.signature {
			t.Errorf("signature %x, %v", signature, err)
		}
		// Anybody else reads the data from the wire and verifies without a store.
		d, s, err := Schemes{NewEd25519(nil)}.Parse(throughWire(t, self))
		if err != nil || d != Data(self) {
			t.Fatalf("%v, %v", d, err)
		}
		verifying, err := s.Context(t.Context(), d, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := verifying.Verify(data, signature); err != nil || !ok {
			t.Errorf("does not verify: %v", err)
		}
		signature[0] ^= 1
		if ok, err := verifying.Verify(data, signature); err != nil || ok {
			t.Errorf("verifies a wrong signature (%v)", err)
		}
		_, err = verifying.Sign(data, framing.JSON)
		wantCode(t, err, mslerr.SignNotSupported)
		if sealed, err := verifying.Encrypt(data, framing.JSON); err != nil || string(sealed) != string(data) {
			t.Errorf("header data becomes %x, %v", sealed, err)
		}
		if s := fmt.Sprintf("%v %+v %#v %s", own, own, own, own.LogValue()); strings.Contains(s, fmt.Sprint(seed[1])+" ") || strings.Count(s, self.Identity()) != 4 {
			t.Errorf("printed as %s", s)
		}
	}
	if (NewEd25519(nil).Self() != Ed25519Data{}) {
		t.Error("a self without a key")
	}
}

// Names that look like a fingerprint are refused in every other scheme (X1).
func TestFingerprintsAreReserved(t *testing.T) {
	name := Fingerprint(make([]byte, 32))
	k := loadKeys(t)
	ss := allSchemes(t, k)
	for _, d := range []Data{
		NewPSKData(name), NewPSKProfileData("ed25519:a", "b"), NewNoneData(name), NewNoneData("ed25519:"),
		NewNoneSuffixedData("ed25519:x", ""), NewRSAData(name, "rsa-client-key-1"), NewECCData(name, "k"),
	} {
		_, _, err := ss.Parse(throughWire(t, d))
		if !errors.Is(err, mslerr.IncorrectEntityAuthData) {
			t.Errorf("%s %s: %v", d.Scheme(), d.Identity(), err)
		}
	}
	if _, _, err := ss.Parse(throughWire(t, NewNoneData("ED25519:other"))); err != nil {
		t.Error(err)
	}
}

func TestReservedNames(t *testing.T) {
	reserved := func(_ context.Context, identity string) bool { return identity == "RSA-SERVER-1" || identity == "a.b" }
	_, err := None{Reserved: reserved}.Context(t.Context(), NewNoneData("RSA-SERVER-1"), Policy{})
	wantCode(t, err, mslerr.IncorrectEntityAuthData)
	_, err = NoneSuffixed{Reserved: reserved}.Context(t.Context(), NewNoneSuffixedData("a", "b"), Policy{})
	wantCode(t, err, mslerr.IncorrectEntityAuthData)
	if _, err := (None{Reserved: reserved}).Context(t.Context(), NewNoneData("anon"), Policy{}); err != nil {
		t.Error(err)
	}
}

// A registered key speaks for its entities only (W-27).
func TestKeysAreBoundToNames(t *testing.T) {
	k := loadKeys(t)
	ss := allSchemes(t, k)
	client, _ := pair[*rsa.PrivateKey, *rsa.PublicKey](t, k.RSA["rsa-client-key-1"])
	own := RSA{Self: NewRSAData("RSA-CLIENT-1", "rsa-client-key-1"), Private: client}
	signing, err := own.Context(t.Context(), own.Self, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signing.Sign([]byte("data"), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	server, _ := ss.ByName("RSA")
	verifying, err := server.Context(t.Context(), own.Self, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := verifying.Verify([]byte("data"), signature); err != nil || !ok {
		t.Errorf("does not verify: %v", err)
	}
	_, err = server.Context(t.Context(), NewRSAData("RSA-SERVER-1", "rsa-client-key-1"), Policy{})
	wantCode(t, err, mslerr.RSAPublicKeyNotFound)
	_, err = server.Context(t.Context(), NewRSAData("OTHER", "rsa-client-key-1"), Policy{})
	wantCode(t, err, mslerr.RSAPublicKeyNotFound)
	ecc, _ := ss.ByName("ECC")
	_, err = ecc.Context(t.Context(), NewECCData("OTHER", "ecc-client-key-1"), Policy{})
	wantCode(t, err, mslerr.ECCPublicKeyNotFound)

	_, err = RSA{Self: own.Self}.Context(t.Context(), own.Self, Policy{})
	wantCode(t, err, mslerr.RSAPrivateKeyNotFound)
	self := NewECCData("a", "b")
	_, err = ECC{Self: self}.Context(t.Context(), self, Policy{})
	wantCode(t, err, mslerr.ECCPrivateKeyNotFound)

	if s := fmt.Sprintf("%v %+v %#v", own, own, own); s != "RSA RSA-CLIENT-1 RSA RSA-CLIENT-1 RSA RSA-CLIENT-1" {
		t.Errorf("printed as %s", s)
	}
}

func TestECCSigns(t *testing.T) {
	k := loadKeys(t)
	private, _ := pair[*ecdsa.PrivateKey, *ecdsa.PublicKey](t, k.ECC["ecc-server-key-1"])
	own := ECC{Self: NewECCData("ECC-SERVER-1", "ecc-server-key-1"), Private: private}
	signing, err := own.Context(t.Context(), own.Self, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signing.Sign([]byte("data"), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	client, _ := allSchemes(t, k).ByName("ECC")
	verifying, err := client.Context(t.Context(), own.Self, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := verifying.Verify([]byte("data"), signature); err != nil || !ok {
		t.Errorf("does not verify: %v", err)
	}
	if s := fmt.Sprint(own); s != "ECC ECC-SERVER-1" {
		t.Errorf("printed as %s", s)
	}
}

func TestProvisioned(t *testing.T) {
	next := 0
	server := Provisioned{Next: func(context.Context) (string, error) {
		next++
		return fmt.Sprint("device-", next), nil
	}}
	client := NewProvisionedData()
	d, s, err := Schemes{server}.Parse(throughWire(t, client))
	if err != nil || d.Identity() != "" || s.Encrypts() || s.Protects() {
		t.Fatalf("%v, %v", d, err)
	}
	for range 2 {
		if _, err := s.Context(t.Context(), d, Policy{Permitted: func(context.Context, string, string) bool { return false }}); err != nil {
			t.Fatal(err)
		}
	}
	if next != 1 || d.Identity() != "device-1" {
		t.Errorf("%d names given, last %q", next, d.Identity())
	}
	if _, err := (Provisioned{}).Context(t.Context(), client, Policy{}); err != nil || client.Identity() != "" {
		t.Errorf("client is %q, %v", client.Identity(), err)
	}
	if _, _, err := (Schemes{server}).Parse(framing.Object{"scheme": "PROVISIONED", "authdata": framing.Object{"x": 1}}); err != nil {
		t.Error(err)
	}
	_, _, err = Schemes{server}.Parse(framing.Object{"scheme": "PROVISIONED"})
	wantCode(t, err, mslerr.ParseError)
	bad := Provisioned{Next: func(context.Context) (string, error) { return "ed25519:x", nil }}
	_, err = bad.Context(t.Context(), NewProvisionedData(), Policy{})
	wantCode(t, err, mslerr.InternalException)
}

func TestX509(t *testing.T) {
	k := loadKeys(t)
	authority := k.certificate(t, "trusted_authority_certificate")
	client, err := NewX509Data(k.certificate(t, "client_certificate"))
	if err != nil {
		t.Fatal(err)
	}
	if client.Identity() != "O=Peer,CN=X509-CLIENT-1" {
		t.Errorf("identity %s", client.Identity())
	}
	private, err := x509.ParsePKCS8PrivateKey(k.X509["client_privatekey_pkcs8"])
	if err != nil {
		t.Fatal(err)
	}
	roots := []*x509.Certificate{authority}
	own := X509{Roots: roots, Self: client, Private: private.(*rsa.PrivateKey)}
	signing, err := own.Context(t.Context(), client, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signing.Sign([]byte("data"), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	server := X509{Roots: roots}
	verifying, err := server.Context(t.Context(), client, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := verifying.Verify([]byte("data"), signature); err != nil || !ok {
		t.Errorf("does not verify: %v", err)
	}
	_, err = verifying.Sign([]byte("data"), framing.JSON)
	wantCode(t, err, mslerr.SignNotSupported)

	at := func(year int) func() time.Time {
		return func() time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
	}
	_, err = X509{Roots: roots, Now: at(2019)}.Context(t.Context(), client, Policy{})
	wantCode(t, err, mslerr.X509CertNotYetValid)
	_, err = X509{Roots: roots, Now: at(2101)}.Context(t.Context(), client, Policy{})
	wantCode(t, err, mslerr.X509CertExpired)
	_, err = X509{}.Context(t.Context(), client, Policy{})
	wantCode(t, err, mslerr.X509CertVerificationFailed)
	// Who is no authority signs nobody, not even itself.
	untrusted := k.certificate(t, "untrusted_certificate")
	data, err := NewX509Data(untrusted)
	if err != nil {
		t.Fatal(err)
	}
	_, err = X509{Roots: roots}.Context(t.Context(), data, Policy{})
	wantCode(t, err, mslerr.X509CertVerificationFailed)

	parse := func(s string) error {
		_, err := server.Parse(framing.Object{"x509certificate": s})
		return err
	}
	o := throughWire(t, client)["authdata"].(framing.Object)["x509certificate"].(string)
	if err := parse(o[:64] + "\r\n" + o[64:70] + " \t" + o[70:]); err != nil {
		t.Error(err)
	}
	wantCode(t, parse("*"), mslerr.X509CertInvalid)
	wantCode(t, parse(strings.TrimRight(o, "=")+"="), mslerr.X509CertInvalid)
	wantCode(t, parse("AAAA"), mslerr.X509CertParseError)
	wantCode(t, parse(""), mslerr.X509CertParseError)
	if s := fmt.Sprintf("%v %#v", own, own); s != "X509 O=Peer,CN=X509-CLIENT-1 X509 O=Peer,CN=X509-CLIENT-1" {
		t.Errorf("printed as %s", s)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzParse(f *testing.F) {
	ss := allSchemes(f, loadKeys(f))
	for _, seed := range []string{
		`{"scheme":"PSK","authdata":{"identity":"DEV-1"}}`,
		`{"scheme":"PSK_PROFILE","authdata":{"pskid":"DEV-1","profile":"kids"}}`,
		`{"scheme":"RSA","authdata":{"identity":"srv.example","pubkeyid":"srv-key-3"}}`,
		`{"scheme":"NONE","authdata":{"identity":"ed25519:"}}`,
		`{"scheme":"NONE_SUFFIXED","authdata":{"root":"DEV-1","suffix":"tab2"}}`,
		`{"scheme":"PROVISIONED","authdata":{}}`,
		`{"scheme":"X509","authdata":{"x509certificate":"MIIC"}}`,
		`{"scheme":"ED25519","authdata":{"publickey":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := framing.JSON.Parse(b)
		if err != nil {
			return
		}
		d, s, err := ss.Parse(o)
		if err != nil {
			if _, ok := errors.AsType[*mslerr.Error](err); !ok {
				t.Errorf("error without a code: %v", err)
			}
			return
		}
		if strings.HasPrefix(d.Identity(), FingerprintPrefix) && s.Name() != "ED25519" {
			t.Errorf("%s took %s", s.Name(), d.Identity())
		}
		again, _, err := ss.Parse(throughWire(t, d))
		if err != nil || again.Identity() != d.Identity() {
			t.Errorf("%v became %v: %v", d, again, err)
		}
	})
}
