package mslcrypto

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// peer is what another implementation made with known keys.
type peer struct {
	CiphertextV1 []struct {
		KeyID                                       string
		AESKey, Plaintext, IV, Ciphertext, Envelope []byte
	} `json:"ciphertext_v1"`
	CiphertextV2 []struct {
		CipherSpec                                  string
		AESKey, Plaintext, IV, Ciphertext, Envelope []byte
	} `json:"ciphertext_v2"`
	Decrypt []struct {
		Case             string
		AESKey, Envelope []byte
		OK               []byte
		Error            *int
	}
	SignatureParse []struct {
		Key, Data []byte
		Signature string
		OK        bool
	} `json:"signature_parse"`
	HMAC []struct{ HMACKey, Data, V1, V2 []byte }
	CMAC []struct {
		AESKey, Data []byte
		V1           []byte
	}
	KeyWrap []struct{ WrappingKey, Data, Wrapped []byte } `json:"key_wrap"`
	Derive  []struct{ KPE, KPH, KPW []byte }
	RSA     struct {
		Public    []byte `json:"publickey_spki"`
		Private   []byte `json:"privatekey_pkcs8"`
		Data      []byte
		Signature []byte
	} `json:"rsa_signature"`
	ECDSA struct {
		Public    []byte `json:"publickey_spki"`
		Private   []byte `json:"privatekey_pkcs8"`
		Data      []byte
		Signature []byte
	}
	RSAEncrypt []struct {
		Mode       string
		Private    []byte `json:"privatekey_pkcs8"`
		Envelope   []byte
		DecryptsTo []byte `json:"decrypts_to"`
	} `json:"rsa_encrypt"`
	JWE []struct {
		KeyManagement, Content, Serialization string
		WrappingKey                           []byte
		Private                               []byte `json:"privatekey_pkcs8"`
		Plaintext, JWE                        []byte
	}
	JWK []struct {
		Key  []byte
		Text string `json:"jwk_text"`
	}
}

func readPeer(t *testing.T) *peer {
	t.Helper()
	data, err := os.ReadFile("testdata/peer.json")
	if err != nil {
		t.Fatal(err)
	}
	p := new(peer)
	if err := json.Unmarshal(data, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantCode(t *testing.T, err error, code mslerr.Code) {
	t.Helper()
	var e *mslerr.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want %v", err, code)
	}
}

func wantBytes(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got  %x\nwant %x", got, want)
	}
}

func rsaPrivate(t *testing.T, der []byte) *rsa.PrivateKey {
	t.Helper()
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k.(*rsa.PrivateKey)
}

func ecdsaPrivate(t *testing.T, der []byte) *ecdsa.PrivateKey {
	t.Helper()
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k.(*ecdsa.PrivateKey)
}

// The keys of spec 02 section 11.
var (
	specKPE = Key(seq(0x00, 16))
	specKPH = Key(seq(0x10, 32))
)

func seq(from byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func specContext(t testing.TB) *Symmetric {
	return must(NewSymmetric("DEV-1_7", SymmetricKeys{
		Encryption: specKPE,
		Signature:  specKPH,
		Wrapping:   DeriveWrappingKey(specKPE, specKPH),
	}))(t)
}

const specEnvelope = `{"keyid":"DEV-1_7","iv":"oKGio6SlpqeoqaqrrK2urw==","ciphertext":"2r7ad19YrJEkt1WHbbqZ4w==","sha256":"AA=="}`

var _ = []Context{Null{}, Opaque{}, (*Symmetric)(nil), (*AESWrapping)(nil), (*RSASigning)(nil), (*RSAEncryption)(nil),
	(*RSAWrapping)(nil), (*ECDSASigning)(nil), (*Ed25519)(nil), (*JWE)(nil), (*JWKWrapping)(nil)}

// Every operation that spec 02 section 2 does not give to a context fails with
// the code for it.
func TestContextMatrix(t *testing.T) {
	p := readPeer(t)
	private, ec := rsaPrivate(t, p.RSA.Private), ecdsaPrivate(t, p.ECDSA.Private)
	session := must(NewSession(SessionKeys{Encryption: specKPE, Signature: specKPH}, "id_1"))(t)
	wrapping := must(NewAESWrapping(specKPE))(t)
	const (
		encrypt = 1 << iota
		sign
		wrap
	)
	for name, c := range map[string]struct {
		context Context
		can     int
	}{
		"null":              {Null{}, encrypt | sign | wrap},
		"session":           {session, encrypt | sign},
		"symmetric, all":    {specContext(t), encrypt | sign | wrap},
		"symmetric, none":   {must(NewSymmetric("", SymmetricKeys{}))(t), 0},
		"AES wrapping":      {wrapping, wrap},
		"RSA signing":       {&RSASigning{Private: private, Public: &private.PublicKey}, encrypt | sign},
		"RSA encryption":    {&RSAEncryption{Private: private, Public: &private.PublicKey}, encrypt | sign},
		"RSA PKCS1":         {&RSAEncryption{Padding: PKCS1, Private: private, Public: &private.PublicKey}, encrypt | sign},
		"RSA wrapping":      {&RSAWrapping{Private: private, Public: &private.PublicKey}, wrap},
		"RSA wrap PKCS1":    {&RSAWrapping{Padding: PKCS1, Private: private, Public: &private.PublicKey}, wrap},
		"RSA wrap, no keys": {&RSAWrapping{}, 0},
		"ECDSA":             {&ECDSASigning{Private: ec, Public: &ec.PublicKey}, encrypt | sign},
		"JWE":               {&JWE{Key: wrapping, Algorithm: JWEA128KW}, wrap},
		"JWK":               {&JWKWrapping{Key: wrapping}, wrap},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(`{"a":"bcdefghi"}`)
			ct, err := c.context.Encrypt(data, framing.JSON)
			if c.can&encrypt == 0 {
				wantCode(t, err, mslerr.EncryptNotSupported)
				_, err = c.context.Decrypt(data)
				wantCode(t, err, mslerr.DecryptNotSupported)
			} else {
				wantBytes(t, must(c.context.Decrypt(must(ct, err)(t)))(t), data)
			}
			sig, err := c.context.Sign(data, framing.JSON)
			if c.can&sign == 0 {
				wantCode(t, err, mslerr.SignNotSupported)
				_, err = c.context.Verify(data, data)
				wantCode(t, err, mslerr.VerifyNotSupported)
			} else if !must(c.context.Verify(data, must(sig, err)(t)))(t) {
				t.Fatal("own signature does not verify")
			}
			wrapped, err := c.context.Wrap(data)
			if c.can&wrap == 0 {
				wantCode(t, err, mslerr.WrapNotSupported)
				_, err = c.context.Unwrap(data)
				wantCode(t, err, mslerr.UnwrapNotSupported)
			} else {
				wantBytes(t, must(c.context.Unwrap(must(wrapped, err)(t)))(t), data)
			}
		})
	}
}

func TestNullAndOpaque(t *testing.T) {
	data := []byte("data")
	if sig := must(Null{}.Sign(data, framing.JSON))(t); len(sig) != 0 {
		t.Fatalf("signature %x", sig)
	}
	if !must(Null{}.Verify(data, []byte("anything")))(t) {
		t.Fatal("the null context refused a signature")
	}
	if must(Opaque{}.Verify(data, nil))(t) {
		t.Fatal("the opaque context verified something")
	}
	wantBytes(t, must(Opaque{}.Decrypt(data))(t), data)
	_, err := Opaque{}.Wrap(data)
	wantCode(t, err, mslerr.InternalException)
	_, err = Opaque{}.Unwrap(data)
	wantCode(t, err, mslerr.InternalException)
}
