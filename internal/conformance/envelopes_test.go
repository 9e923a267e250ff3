package conformance

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

var envelopeLists = map[string]runner{
	"description":                   nil,
	"ciphertext_v1_aes_cbc":         envelopes(ciphertext1),
	"ciphertext_v2_aes_cbc":         inCases(envelopes(ciphertext2)),
	"ciphertext_decrypt_cases":      envelopes(decryptCase),
	"signature_hmac_sha256":         envelopes(hmacSignature),
	"signature_aes_cmac":            envelopes(cmacSignature),
	"signature_parse_cases":         envelopes(signatureCase),
	"aes_key_wrap":                  envelopes(keyWrap),
	"derived_wrapping_key":          inCases(envelopes(derivedWrappingKey)),
	"rsa_signature_sha256_pkcs1v15": envelopes(rsaSignature),
	"ecdsa_p256_sha256_der":         inCases(envelopes(ecdsaSignature)),
	"rsa_encrypt":                   envelopes(rsaEncrypt),
	"json_web_encryption":           envelopes(jsonWebEncryption),
	"json_web_key":                  envelopes(jsonWebKey),
}

// envelopeCase is a case of any of these lists; most fields are absent.
type envelopeCase struct {
	Case, KeyID, Mode                     string
	CipherSpec                            string
	KeyManagement, Content, Serialization string
	SignatureText                         string `json:"signature_text"`
	JWKText                               string `json:"jwk_text"`

	AESKey, HMACKey, CMACKey, WrappingKey, Key []byte
	KPE, KPH, KPW                              []byte
	PublicKey                                  []byte `json:"publickey_spki"`
	PrivateKey                                 []byte `json:"privatekey_pkcs8"`
	Data, Plaintext                            []byte
	IV, Ciphertext, Envelope, Wrapped, JWE     []byte
	V1, V2, Signature                          []byte
	DecryptsTo                                 *[]byte `json:"decrypts_to"`
	UnwrapsTo                                  *[]byte `json:"unwraps_to"`

	Verifies          *bool
	V1Verifies        *bool `json:"v1_verifies"`
	V2Verifies        *bool `json:"v2_verifies"`
	V1Flipped         *bool `json:"v1_flipped_verifies"`
	V2Flipped         *bool `json:"v2_flipped_verifies"`
	EncryptIsIdentity bool  `json:"encrypt_is_identity"`

	Result           result[json.RawMessage]
	SymmetricDecrypt *result[[]byte] `json:"symmetric_context_decrypt"`
	Flipped          *result[json.RawMessage]
	FlippedData      *result[bool]   `json:"flipped_data"`
	WrapResult       *result[[]byte] `json:"wrap_result"`
	UnwrapResult     *result[[]byte] `json:"unwrap_result"`
}

// envelopes runs f on each case. A private key is given once: later cases with
// the same public key have it too.
func envelopes(f func(t *testing.T, c *envelopeCase) error) runner {
	return func(r *run, list json.RawMessage) {
		private := make(map[string][]byte)
		each(r, list, func(c *envelopeCase) string { return c.Case }, func(t *testing.T, c *envelopeCase) error {
			if c.PrivateKey == nil {
				c.PrivateKey = private[string(c.PublicKey)]
			}
			private[string(c.PublicKey)] = c.PrivateKey
			return f(t, c)
		})
	}
}

// inCases runs a list that stands in the member "cases", beside notes.
func inCases(f runner) runner {
	return func(r *run, list json.RawMessage) {
		var o struct{ Cases json.RawMessage }
		if err := json.Unmarshal(list, &o); err != nil {
			r.t.Fatal(err)
		}
		f(r, o.Cases)
	}
}

func sameBytes(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%x, want %x", got, want)
	}
	return nil
}

func sameBool(got, want bool) error {
	if got != want {
		return fmt.Errorf("%v, want %v", got, want)
	}
	return nil
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) > 0 {
		b[len(b)-1] ^= 1
	}
	return b
}

func symmetricContext(t *testing.T, keyID string, k mslcrypto.SymmetricKeys) *mslcrypto.Symmetric {
	t.Helper()
	c, err := mslcrypto.NewSymmetric(keyID, k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// encrypted is AES-CBC with the padding of PKCS#7, of which ours chooses the IV
// itself: what deterministic vectors are compared with.
func encrypted(t *testing.T, c *envelopeCase) []byte {
	t.Helper()
	if len(c.Plaintext) == 0 {
		return []byte{}
	}
	block, err := aes.NewCipher(c.AESKey)
	if err != nil {
		t.Fatal(err)
	}
	n := aes.BlockSize - len(c.Plaintext)%aes.BlockSize
	out := append(bytes.Clone(c.Plaintext), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, c.IV).CryptBlocks(out, out)
	return out
}

// sameEnvelope compares an envelope of ours with the peer's, member by member.
func sameEnvelope(t *testing.T, e *mslcrypto.Envelope, want []byte) error {
	t.Helper()
	raw, err := e.Encode(framing.JSON)
	if err != nil {
		return err
	}
	g, err := parsePlain(raw)
	if err != nil {
		return err
	}
	w, err := parsePlain(want)
	if err != nil {
		return err
	}
	return same(g, w)
}

func ciphertext1(t *testing.T, c *envelopeCase) error {
	e, err := mslcrypto.ParseEnvelope(c.Envelope, 0)
	if err != nil {
		return err
	}
	ctx := symmetricContext(t, c.KeyID, mslcrypto.SymmetricKeys{Encryption: c.AESKey})
	plaintext, err := ctx.Decrypt(c.Envelope)
	if err != nil {
		return err
	}
	ours, err := ctx.Encrypt(c.Plaintext, framing.JSON)
	if err != nil {
		return err
	}
	back, err := ctx.Decrypt(ours)
	if err != nil {
		return err
	}
	own, err := mslcrypto.ParseEnvelope(ours, 1)
	if err != nil {
		return err
	}
	withOwnIV := *c
	withOwnIV.IV = own.IV
	return errors.Join(
		sameBytes(plaintext, *c.DecryptsTo), sameBytes(plaintext, c.Plaintext), sameBytes(back, c.Plaintext),
		sameBytes(e.IV, c.IV), sameBytes(e.Ciphertext, c.Ciphertext), sameBytes(e.Ciphertext, encrypted(t, c)),
		sameBytes(own.Ciphertext, encrypted(t, &withOwnIV)), sameEnvelope(t, e, c.Envelope))
}

func ciphertext2(t *testing.T, c *envelopeCase) error {
	e, err := mslcrypto.ParseEnvelope(c.Envelope, 0)
	if err != nil {
		return err
	}
	if e.Version != 2 || e.CipherSpec != c.CipherSpec {
		return fmt.Errorf("version %d, cipher %q", e.Version, e.CipherSpec)
	}
	out, err := symmetricContext(t, "", mslcrypto.SymmetricKeys{Encryption: c.AESKey}).Decrypt(c.Envelope)
	return errors.Join(
		sameBytes(e.IV, c.IV), sameBytes(e.Ciphertext, c.Ciphertext), sameBytes(e.Ciphertext, encrypted(t, c)),
		sameEnvelope(t, e, c.Envelope), c.SymmetricDecrypt.compare(out, err, sameBytes))
}

// outcome compares with a result whose value has the type of got.
func outcome[T any](w result[json.RawMessage], got T, err error, same func(got, want T) error) error {
	typed := result[T]{Error: w.Error}
	if w.OK != nil {
		typed.OK = new(T)
		if err := json.Unmarshal(*w.OK, typed.OK); err != nil {
			return err
		}
	}
	return typed.compare(got, err, same)
}

func decryptCase(t *testing.T, c *envelopeCase) error {
	out, err := symmetricContext(t, "keyset-1", mslcrypto.SymmetricKeys{Encryption: c.AESKey}).Decrypt(c.Envelope)
	return outcome(c.Result, out, err, sameBytes)
}

// verifies checks what a context says of a signature.
func verifies(ctx mslcrypto.Context, data, signature []byte, want *bool) error {
	if want == nil {
		return nil
	}
	ok, err := ctx.Verify(data, signature)
	if err != nil && *want {
		return err
	}
	return sameBool(ok, *want)
}

func hmacSignature(t *testing.T, c *envelopeCase) error {
	ctx := symmetricContext(t, "", mslcrypto.SymmetricKeys{Signature: c.HMACKey})
	signature, err := ctx.Sign(c.Data, framing.JSON)
	if err != nil {
		return err
	}
	v2, err := mslcrypto.ParseSignatureEnvelope(c.V2)
	if err != nil {
		return err
	}
	raw, err := v2.Encode(framing.JSON)
	if err != nil {
		return err
	}
	// A flipped version 2 is one whose signature is flipped inside.
	flipped2, err := (&mslcrypto.SignatureEnvelope{Algorithm: v2.Algorithm, Signature: flip(v2.Signature)}).Encode(framing.JSON)
	if err != nil {
		return err
	}
	return errors.Join(
		sameBytes(signature, c.V1), sameBytes(v2.Signature, c.V1),
		verifies(ctx, c.Data, c.V1, c.V1Verifies), verifies(ctx, c.Data, c.V2, c.V2Verifies), verifies(ctx, c.Data, raw, c.V2Verifies),
		verifies(ctx, c.Data, flip(c.V1), c.V1Flipped), verifies(ctx, c.Data, flipped2, c.V2Flipped))
}

func cmacSignature(t *testing.T, c *envelopeCase) error {
	ctx := symmetricContext(t, "", mslcrypto.SymmetricKeys{Signature: c.CMACKey, SignatureAlgorithm: mslcrypto.AESCMAC})
	signature, err := ctx.Sign(c.Data, framing.JSON)
	if err != nil {
		return err
	}
	return errors.Join(sameBytes(signature, c.V1), verifies(ctx, c.Data, c.V1, c.Verifies))
}

func signatureCase(t *testing.T, c *envelopeCase) error {
	ok, err := symmetricContext(t, "", mslcrypto.SymmetricKeys{Signature: c.HMACKey}).Verify(c.Data, []byte(c.SignatureText))
	return outcome(c.Result, ok, err, sameBool)
}

func keyWrap(t *testing.T, c *envelopeCase) error {
	ctx := symmetricContext(t, "", mslcrypto.SymmetricKeys{Wrapping: c.WrappingKey})
	if c.WrapResult != nil {
		wrapped, err := ctx.Wrap(c.Data)
		return c.WrapResult.compare(wrapped, err, sameBytes)
	}
	if c.UnwrapResult != nil {
		key, err := ctx.Unwrap(c.Wrapped)
		return c.UnwrapResult.compare(key, err, sameBytes)
	}
	wrapped, err := ctx.Wrap(c.Data)
	if err != nil {
		return err
	}
	key, err := ctx.Unwrap(c.Wrapped)
	if err != nil {
		return err
	}
	if err := errors.Join(sameBytes(wrapped, c.Wrapped), sameBytes(key, *c.UnwrapsTo)); err != nil || c.Flipped == nil {
		return err
	}
	key, err = ctx.Unwrap(flip(c.Wrapped))
	return outcome(*c.Flipped, key, err, sameBytes)
}

func derivedWrappingKey(_ *testing.T, c *envelopeCase) error {
	return sameBytes(mslcrypto.DeriveWrappingKey(c.KPE, c.KPH), c.KPW)
}

func rsaSignature(t *testing.T, c *envelopeCase) error {
	ctx := &mslcrypto.RSASigning{Private: privateKey[*rsa.PrivateKey](t, c.PrivateKey), Public: publicKey[*rsa.PublicKey](t, c.PublicKey)}
	signature, err := ctx.Sign(c.Data, framing.JSON)
	if err != nil {
		return err
	}
	ciphertext, err := ctx.Encrypt(c.Data, framing.JSON)
	if err != nil {
		return err
	}
	ok, err := ctx.Verify(c.Data, flip(c.Signature))
	return errors.Join(
		sameBytes(signature, c.Signature), verifies(ctx, c.Data, c.Signature, c.Verifies),
		sameBool(bytes.Equal(ciphertext, c.Data), c.EncryptIsIdentity), outcome(*c.Flipped, ok, err, sameBool))
}

func ecdsaSignature(t *testing.T, c *envelopeCase) error {
	ctx := &mslcrypto.ECDSASigning{Private: privateKey[*ecdsa.PrivateKey](t, c.PrivateKey), Public: publicKey[*ecdsa.PublicKey](t, c.PublicKey)}
	ours, err := ctx.Sign(c.Data, framing.JSON)
	if err != nil {
		return err
	}
	ok, err := ctx.Verify(append(flip(c.Data), 'x'), c.Signature)
	return errors.Join(
		verifies(ctx, c.Data, c.Signature, c.Verifies), verifies(ctx, c.Data, ours, c.Verifies),
		c.FlippedData.compare(ok, err, sameBool))
}

func rsaEncrypt(t *testing.T, c *envelopeCase) error {
	private := privateKey[*rsa.PrivateKey](t, c.PrivateKey)
	ctx := &mslcrypto.RSAEncryption{Private: private, Public: &private.PublicKey}
	switch c.Mode {
	case "ENCRYPT_DECRYPT_OAEP":
	case "ENCRYPT_DECRYPT_PKCS1":
		ctx.Padding = mslcrypto.PKCS1
	default:
		return fmt.Errorf("RSA mode %q is not known", c.Mode)
	}
	plaintext, err := ctx.Decrypt(c.Envelope)
	if err != nil {
		return err
	}
	ours, err := ctx.Encrypt(*c.DecryptsTo, framing.JSON)
	if err != nil {
		return err
	}
	back, err := ctx.Decrypt(ours)
	return errors.Join(err, sameBytes(plaintext, *c.DecryptsTo), sameBytes(back, *c.DecryptsTo))
}

func jsonWebEncryption(t *testing.T, c *envelopeCase) error {
	j := &mslcrypto.JWE{Algorithm: c.KeyManagement, Encryption: c.Content, Compact: c.Serialization == "JWE_CS"}
	switch c.KeyManagement {
	case mslcrypto.JWEA128KW:
		w, err := mslcrypto.NewAESWrapping(c.WrappingKey)
		if err != nil {
			return err
		}
		j.Key = w
	case mslcrypto.JWERSAOAEP:
		private := privateKey[*rsa.PrivateKey](t, c.PrivateKey)
		j.Key = &mslcrypto.RSAWrapping{Private: private, Public: &private.PublicKey}
	default:
		return fmt.Errorf("JSON Web Encryption algorithm %q is not known", c.KeyManagement)
	}
	plaintext, err := j.Unwrap(c.JWE)
	if err != nil {
		return err
	}
	ours, err := j.Wrap(c.Plaintext)
	if err != nil {
		return err
	}
	back, err := j.Unwrap(ours)
	return errors.Join(err, sameBytes(plaintext, *c.UnwrapsTo), sameBytes(plaintext, c.Plaintext), sameBytes(back, c.Plaintext))
}

func jsonWebKey(_ *testing.T, c *envelopeCase) error {
	k, err := mslcrypto.ParseJWK([]byte(c.JWKText))
	if err != nil {
		return err
	}
	raw, err := k.Encode()
	if err != nil {
		return err
	}
	got, err := parsePlain(raw)
	if err != nil {
		return err
	}
	want, err := parsePlain([]byte(c.JWKText))
	if err != nil {
		return err
	}
	return errors.Join(sameBytes(k.Key, c.Key), same(got, want))
}
