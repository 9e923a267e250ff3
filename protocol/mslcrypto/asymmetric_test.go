package mslcrypto

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

func TestRSASigning(t *testing.T) {
	v := readPeer(t).RSA
	private := rsaPrivate(t, v.Private)
	c := &RSASigning{Private: private, Public: &private.PublicKey}
	wantBytes(t, must(c.Sign(v.Data, framing.JSON))(t), v.Signature)
	envelope := SignatureEnvelope{Algorithm: SHA256WithRSA, Signature: v.Signature}
	for _, signature := range [][]byte{v.Signature, must(envelope.Encode(framing.JSON))(t)} {
		if !must(c.Verify(v.Data, signature))(t) {
			t.Error("does not verify")
		}
		if must(c.Verify(append(v.Data, 'x'), signature))(t) {
			t.Error("verifies other data")
		}
	}
	_, err := c.Verify(v.Data, v.Signature[1:])
	wantCode(t, err, mslerr.SignatureError)
	_, err = c.Verify(v.Data, nil)
	wantCode(t, err, mslerr.SignatureError)
	_, err = (&RSASigning{}).Sign(v.Data, framing.JSON)
	wantCode(t, err, mslerr.SignNotSupported)
	_, err = (&RSASigning{}).Verify(v.Data, v.Signature)
	wantCode(t, err, mslerr.VerifyNotSupported)
}

func TestRSAEncryption(t *testing.T) {
	for _, v := range readPeer(t).RSAEncrypt {
		private := rsaPrivate(t, v.Private)
		padding := OAEP
		if v.Mode == "ENCRYPT_DECRYPT_PKCS1" {
			padding = PKCS1
		}
		c := &RSAEncryption{KeyID: "k", Padding: padding, Private: private, Public: &private.PublicKey}
		wantBytes(t, must(c.Decrypt(v.Envelope))(t), v.DecryptsTo)

		e := must(ParseEnvelope(must(c.Encrypt([]byte("x"), framing.JSON))(t), 1))(t)
		if e.KeyID != "k" || e.IV != nil {
			t.Errorf("envelope %+v", e)
		}
		wantBytes(t, must(c.Decrypt(must(c.Encrypt(nil, framing.JSON))(t)))(t), nil)
		wantBytes(t, must(c.Decrypt(nil))(t), nil)

		for _, n := range []int{0, 1, private.Size() - 1, private.Size() + 1} {
			e.Ciphertext = make([]byte, n)
			_, err := c.Decrypt(must(e.Encode(framing.JSON))(t))
			if n == 0 {
				must(0, err)(t)
			} else {
				wantCode(t, err, mslerr.CiphertextIllegalBlockSize)
			}
		}
		e.Ciphertext = make([]byte, private.Size())
		_, err := c.Decrypt(must(e.Encode(framing.JSON))(t))
		wantCode(t, err, mslerr.CiphertextBadPadding)
		_, err = c.Decrypt([]byte("x"))
		wantCode(t, err, mslerr.CiphertextEnvelopeParseError)
		_, err = c.Encrypt(make([]byte, private.Size()), framing.JSON)
		wantCode(t, err, mslerr.PlaintextIllegalBlockSize)
		_, err = (&RSAEncryption{}).Encrypt(nil, framing.JSON)
		wantCode(t, err, mslerr.EncryptNotSupported)
		_, err = (&RSAEncryption{}).Decrypt(nil)
		wantCode(t, err, mslerr.DecryptNotSupported)
		w := &RSAWrapping{Padding: padding, Private: private}
		_, err = w.Unwrap(nil)
		wantCode(t, err, mslerr.CiphertextIllegalBlockSize)
	}
}

func TestECDSA(t *testing.T) {
	v := readPeer(t).ECDSA
	private := ecdsaPrivate(t, v.Private)
	public := must(x509.ParsePKIXPublicKey(v.Public))(t).(*ecdsa.PublicKey)
	c := &ECDSASigning{Private: private, Public: public}
	if !must(c.Verify(v.Data, v.Signature))(t) {
		t.Error("the peer's signature does not verify")
	}
	own := must(c.Sign(v.Data, framing.JSON))(t)
	if !isDERSignature(own) {
		t.Errorf("signature %x is not DER", own)
	}
	envelope := SignatureEnvelope{Algorithm: SHA256WithRSA, Signature: own}
	if !must(c.Verify(v.Data, must(envelope.Encode(framing.JSON))(t)))(t) {
		t.Error("a version 2 envelope does not verify")
	}

	digest := sha256.Sum256(v.Data)
	r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	p1363 := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	if !must(c.Verify(v.Data, p1363))(t) {
		t.Error("a signature in fixed length does not verify")
	}
	for _, signature := range [][]byte{v.Signature, p1363, make([]byte, 64)} {
		if must(c.Verify(append(v.Data, 'x'), signature))(t) {
			t.Error("verifies other data")
		}
	}
	for _, signature := range [][]byte{nil, {1}, p1363[1:], append(own, 0)} {
		_, err := c.Verify(v.Data, signature)
		wantCode(t, err, mslerr.SignatureError)
	}
	_, err = (&ECDSASigning{}).Sign(nil, framing.JSON)
	wantCode(t, err, mslerr.SignNotSupported)
	_, err = (&ECDSASigning{}).Verify(nil, nil)
	wantCode(t, err, mslerr.VerifyNotSupported)
}

// RFC 8032 section 7.1, test 2.
func TestEd25519(t *testing.T) {
	private := ed25519.NewKeyFromSeed(unhex(t, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
	c := &Ed25519{Private: private, Public: private.Public().(ed25519.PublicKey)}
	data := []byte{0x72}
	signature := must(c.Sign(data, framing.JSON))(t)
	wantBytes(t, signature, unhex(t, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"))
	if !must(c.Verify(data, signature))(t) {
		t.Error("does not verify")
	}
	for n := range 64 {
		if must(c.Verify(data, signature[:n]))(t) {
			t.Error("a short signature verifies")
		}
	}
	wantBytes(t, must(c.Encrypt(data, framing.JSON))(t), data)
	wantBytes(t, must(c.Decrypt(data))(t), data)
	_, err := c.Wrap(data)
	wantCode(t, err, mslerr.WrapNotSupported)
	_, err = (&Ed25519{}).Sign(data, framing.JSON)
	wantCode(t, err, mslerr.SignNotSupported)
	_, err = (&Ed25519{}).Verify(data, signature)
	wantCode(t, err, mslerr.VerifyNotSupported)
	_, err = (&Ed25519{Private: make([]byte, 5)}).Sign(data, framing.JSON)
	wantCode(t, err, mslerr.InvalidPrivateKey)
	_, err = (&Ed25519{Public: make([]byte, 5)}).Verify(data, signature)
	wantCode(t, err, mslerr.InvalidPublicKey)
}

func FuzzECDSAVerify(f *testing.F) {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(f)
	c := &ECDSASigning{Public: &private.PublicKey}
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, signature []byte) {
		if ok, _ := c.Verify([]byte("data"), signature); ok {
			t.Fatal("verified")
		}
	})
}
