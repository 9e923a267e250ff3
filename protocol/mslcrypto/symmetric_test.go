package mslcrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

func TestSpecVectors(t *testing.T) {
	c := specContext(t)
	wantBytes(t, DeriveWrappingKey(specKPE, specKPH), unhex(t, "d479effa9a554115be5e81cf118624f7"))
	wantBytes(t, must(c.Decrypt([]byte(specEnvelope)))(t), []byte(`{"hello":"msl"}`))
	wantBytes(t, must(c.Sign([]byte(specEnvelope), framing.JSON))(t), unbase64(t, "JSbvM4NwlF1z2g4aCAL5l1+bdtaLU0EYtOSBJXYfK7U="))
	mac := must(NewSymmetric("", SymmetricKeys{Signature: specKPE, SignatureAlgorithm: AESCMAC}))(t)
	wantBytes(t, must(mac.Sign([]byte(specEnvelope), framing.JSON))(t), unhex(t, "7a5598d26de65583a0d4829dc5710a11"))
	wrapped := must(c.Wrap(specKPH))(t)
	wantBytes(t, wrapped, unbase64(t, "lEJ9ZFWQ5YSxr+7wf4r0mEmajQIV3//ITag84bhbvZkwZ1y9gLA5ew=="))
	wantBytes(t, must(c.Unwrap(wrapped))(t), specKPH)

	block := must(aes.NewCipher(specKPE))(t)
	wantBytes(t, encryptCBC(nil, block, seq(0xa0, 16), []byte(`{"hello":"msl"}`)), unbase64(t, "2r7ad19YrJEkt1WHbbqZ4w=="))
}

func TestPeerVectors(t *testing.T) {
	p := readPeer(t)
	for _, v := range p.CiphertextV1 {
		c := must(NewSymmetric(v.KeyID, SymmetricKeys{Encryption: v.AESKey}))(t)
		wantBytes(t, must(c.Decrypt(v.Envelope))(t), v.Plaintext)
		wantBytes(t, encryptCBC(nil, c.encryption, v.IV, v.Plaintext), v.Ciphertext)
		e := Envelope{Version: 1, KeyID: v.KeyID, IV: v.IV, Ciphertext: v.Ciphertext}
		ours := must(framing.Decode(must(e.Encode(framing.JSON))(t)))(t)
		theirs := must(framing.Decode(v.Envelope))(t)
		if fmt.Sprint(ours) != fmt.Sprint(theirs) {
			t.Errorf("envelope %v, want %v", ours, theirs)
		}
	}
	for _, v := range p.CiphertextV2 {
		e := must(ParseEnvelope(v.Envelope, 0))(t)
		if e.Version != 2 || e.CipherSpec != v.CipherSpec {
			t.Errorf("envelope of version %d, %q", e.Version, e.CipherSpec)
		}
		wantBytes(t, e.IV, v.IV)
		wantBytes(t, e.Ciphertext, v.Ciphertext)
		again := must(ParseEnvelope(must(e.Encode(framing.JSON))(t), 2))(t)
		wantBytes(t, again.Ciphertext, v.Ciphertext)
		c := must(NewSymmetric("", SymmetricKeys{Encryption: v.AESKey}))(t)
		_, err := c.Decrypt(v.Envelope)
		wantCode(t, err, mslerr.CiphertextEnvelopeParseError)
	}
	for _, v := range p.HMAC {
		c := must(NewSymmetric("", SymmetricKeys{Signature: v.HMACKey}))(t)
		wantBytes(t, must(c.Sign(v.Data, framing.JSON))(t), v.V1)
		for _, signature := range [][]byte{v.V1, v.V2} {
			if !must(c.Verify(v.Data, signature))(t) {
				t.Errorf("%q does not verify", signature)
			}
		}
	}
	for _, v := range p.CMAC {
		c := must(NewSymmetric("", SymmetricKeys{Signature: v.AESKey, SignatureAlgorithm: AESCMAC}))(t)
		wantBytes(t, must(c.Sign(v.Data, framing.JSON))(t), v.V1)
	}
	for _, v := range p.SignatureParse {
		c := must(NewSymmetric("", SymmetricKeys{Signature: v.Key}))(t)
		if got := must(c.Verify(v.Data, []byte(v.Signature)))(t); got != v.OK {
			t.Errorf("%s: %v", v.Signature, got)
		}
	}
	for _, v := range p.KeyWrap {
		c := must(NewSymmetric("", SymmetricKeys{Wrapping: v.WrappingKey}))(t)
		wantBytes(t, must(c.Wrap(v.Data))(t), v.Wrapped)
		wantBytes(t, must(c.Unwrap(v.Wrapped))(t), v.Data)
	}
	for _, v := range p.Derive {
		wantBytes(t, DeriveWrappingKey(v.KPE, v.KPH), v.KPW)
	}
}

func TestDecryptErrors(t *testing.T) {
	for _, v := range readPeer(t).Decrypt {
		t.Run(v.Case, func(t *testing.T) {
			c := must(NewSymmetric("", SymmetricKeys{Encryption: v.AESKey}))(t)
			got, err := c.Decrypt(v.Envelope)
			switch {
			case v.Case == "iv missing": // the peer crashed
				wantCode(t, err, mslerr.InvalidIV)
			case v.Error != nil:
				wantCode(t, err, mslerr.Code(*v.Error))
			default:
				wantBytes(t, must(got, err)(t), v.OK)
			}
		})
	}
}

// RFC 4493 section 4.
func TestCMAC(t *testing.T) {
	c := newCMAC(must(aes.NewCipher(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c")))(t))
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for n, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		wantBytes(t, c.sum(message[:n]), unhex(t, want))
	}
}

// RFC 3394 section 4.
func TestKeyWrapRFC(t *testing.T) {
	data := unhex(t, "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
	for _, v := range []struct {
		kek     int
		n       int
		wrapped string
	}{
		{16, 16, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
		{24, 16, "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
		{32, 32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
	} {
		w := must(NewAESWrapping(seq(0, v.kek)))(t)
		wantBytes(t, must(w.Wrap(data[:v.n]))(t), unhex(t, v.wrapped))
		wantBytes(t, must(w.Unwrap(unhex(t, v.wrapped)))(t), data[:v.n])
	}
}

func TestKeyWrapErrors(t *testing.T) {
	c := specContext(t)
	raw := must(NewAESWrapping(DeriveWrappingKey(specKPE, specKPH)))(t)
	wrapped := must(c.Wrap(specKPH))(t)
	wrapped[3] ^= 1
	_, err := c.Unwrap(wrapped)
	wantCode(t, err, mslerr.UnwrapError)
	_, err = raw.Unwrap(wrapped)
	wantCode(t, err, mslerr.InvalidSymmetricKey)
	for n := range 40 {
		if _, err = c.Wrap(make([]byte, n)); n == 0 || n%8 != 0 {
			wantCode(t, err, mslerr.PlaintextIllegalBlockSize)
		} else if err != nil {
			t.Error(err)
		}
		if _, err = c.Unwrap(make([]byte, n)); n%8 != 0 {
			wantCode(t, err, mslerr.CiphertextIllegalBlockSize)
		} else {
			wantCode(t, err, mslerr.UnwrapError)
		}
	}
}

func TestKeyErrors(t *testing.T) {
	bad := Key(seq(0, 15))
	for code, keys := range map[mslerr.Code]SymmetricKeys{
		mslerr.InvalidEncryptionKey:  {Encryption: bad},
		mslerr.InvalidWrappingKey:    {Wrapping: bad},
		mslerr.InvalidHMACKey:        {Signature: bad, SignatureAlgorithm: AESCMAC},
		mslerr.UnidentifiedAlgorithm: {Signature: bad, SignatureAlgorithm: "HMACSHA256"},
	} {
		_, err := NewSymmetric("", keys)
		wantCode(t, err, code)
	}
	_, err := NewSymmetric("", SymmetricKeys{Signature: bad, SignatureAlgorithm: SHA256WithRSA})
	wantCode(t, err, mslerr.InvalidHMACKey)
	_, err = NewSession(SessionKeys{Signature: specKPH}, "")
	wantCode(t, err, mslerr.InvalidEncryptionKey)
	_, err = NewSession(SessionKeys{Encryption: specKPE}, "")
	wantCode(t, err, mslerr.InvalidHMACKey)
	_, err = NewAESWrapping(bad)
	wantCode(t, err, mslerr.InvalidWrappingKey)
}

func TestSessionKeyID(t *testing.T) {
	if got := SessionKeyID("DEV-1", 7); got != "DEV-1_7" {
		t.Error(got)
	}
	if got := SessionKeyID("", 7); got != "7" {
		t.Error(got)
	}
}

func TestEncryptWritesVersion1(t *testing.T) {
	c := specContext(t)
	for _, plaintext := range [][]byte{nil, []byte("x")} {
		a, b := must(c.Encrypt(plaintext, framing.JSON))(t), must(c.Encrypt(plaintext, framing.JSON))(t)
		if bytes.Equal(a, b) {
			t.Error("the same envelope twice")
		}
		o := must(framing.Decode(a))(t)
		if len(o) != 4 || o["keyid"] != "DEV-1_7" || o["sha256"] != "AA==" || (o["ciphertext"] == "") != (plaintext == nil) {
			t.Errorf("envelope %s", a)
		}
	}
}

func TestEnvelopeVersions(t *testing.T) {
	for text, want := range map[string]any{
		`{"keyid":"k","ciphertext":"","sha256":""}`:                   1,
		`{"version":"2","keyid":"k","ciphertext":"","sha256":""}`:     1,
		`{"version":1,"keyid":"k","ciphertext":"","sha256":""}`:       1,
		`{"version":2,"cipherspec":"AESWrap","ciphertext":""}`:        2,
		`{"version":3,"cipherspec":"AESWrap","ciphertext":""}`:        mslerr.UnidentifiedCiphertextEnvelope,
		`{"version":2,"cipherspec":"aeswrap","ciphertext":""}`:        mslerr.UnidentifiedCipherSpec,
		`{"version":2,"ciphertext":""}`:                               mslerr.ParseError,
		`{"version":2,"cipherspec":"AESWrap"}`:                        mslerr.ParseError,
		`{"version":2,"cipherspec":"AESWrap","ciphertext":"","iv":7}`: mslerr.ParseError,
		`{"keyid":"k","ciphertext":"*","sha256":""}`:                  mslerr.ParseError,
		`{`: mslerr.ParseError,
	} {
		e, err := ParseEnvelope([]byte(text), 0)
		if code, bad := want.(mslerr.Code); bad {
			wantCode(t, err, code)
		} else if must(e, err)(t).Version != want {
			t.Errorf("%s: version %d", text, e.Version)
		}
	}
	_, err := ParseEnvelope([]byte(specEnvelope), 3)
	wantCode(t, err, mslerr.UnsupportedCiphertextEnvelope)
	_, err = ParseEnvelope([]byte(specEnvelope), 2)
	wantCode(t, err, mslerr.ParseError)
	_, err = (&Envelope{}).Encode(framing.JSON)
	wantCode(t, err, mslerr.UnsupportedCiphertextEnvelope)
	_, err = (&Envelope{Version: 2, CipherSpec: "DES"}).Encode(framing.JSON)
	wantCode(t, err, mslerr.UnidentifiedCipherSpec)
}

func TestSignatureEnvelope(t *testing.T) {
	e := SignatureEnvelope{Algorithm: AESCMAC, Signature: []byte{1, 2}}
	got := must(ParseSignatureEnvelope(must(e.Encode(framing.JSON))(t)))(t)
	if got.Algorithm != e.Algorithm || !bytes.Equal(got.Signature, e.Signature) {
		t.Errorf("%+v", got)
	}
	for text, code := range map[string]mslerr.Code{
		`x`:                            mslerr.ParseError,
		`{}`:                           mslerr.ParseError,
		`{"version":1}`:                mslerr.UnsupportedSignatureEnvelope,
		`{"version":3}`:                mslerr.UnidentifiedSignatureEnvelope,
		`{"version":2,"signature":""}`: mslerr.ParseError,
		`{"version":2,"algorithm":"Nope","signature":""}`:     mslerr.UnidentifiedAlgorithm,
		`{"version":2,"algorithm":"AESCmac"}`:                 mslerr.ParseError,
		`{"version":2,"algorithm":"AESCmac","signature":"*"}`: mslerr.ParseError,
	} {
		_, err := ParseSignatureEnvelope([]byte(text))
		wantCode(t, err, code)
	}
	_, err := (&SignatureEnvelope{Algorithm: "x"}).Encode(framing.JSON)
	wantCode(t, err, mslerr.UnidentifiedAlgorithm)
}

func TestSymmetricRoundTrip(t *testing.T) {
	c := specContext(t)
	rapid.Check(t, func(r *rapid.T) {
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(r, "plaintext")
		envelope, err := c.Encrypt(plaintext, framing.JSON)
		if err != nil {
			r.Fatal(err)
		}
		signature, err := c.Sign(envelope, framing.JSON)
		if err != nil {
			r.Fatal(err)
		}
		got, err := c.Decrypt(envelope)
		if err != nil || !bytes.Equal(got, plaintext) {
			r.Fatalf("%x, %v", got, err)
		}
		if ok, _ := c.Verify(envelope, signature); !ok {
			r.Fatal("signature does not verify")
		}
		i := rapid.IntRange(0, len(signature)-1).Draw(r, "flip")
		signature[i] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
		if ok, _ := c.Verify(envelope, signature); ok {
			r.Fatal("a damaged signature verifies")
		}
		if ok, err := c.Verify(envelope, signature[:i]); ok || err != nil {
			r.Fatal("a short signature verifies or fails", err)
		}
	})
}

func TestNothingSecretIsPrinted(t *testing.T) {
	key := Key(bytes.Repeat([]byte{0xc7}, 16))
	c := must(NewSymmetric("id", SymmetricKeys{Encryption: key, Signature: key, Wrapping: key}))(t)
	w := must(NewAESWrapping(key))(t)
	for _, v := range []any{key, c, w, *c, SymmetricKeys{Encryption: key}, SessionKeys{Signature: key},
		&JWK{Type: JWKTypeOctets, Key: key}, JWK{Key: key}, &Ed25519{Private: []byte(key)}, &JWE{Key: w}, &JWKWrapping{Key: w}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
			s := fmt.Sprintf(verb, v)
			for _, secret := range []string{"c7c7", "199 199", "0xc7", "\xc7\xc7"} {
				if bytes.Contains([]byte(s), []byte(secret)) {
					t.Errorf("%T with %s prints its key: %q", v, verb, s)
				}
			}
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	c := specContext(f)
	f.Add([]byte(specEnvelope))
	f.Add([]byte(`{"keyid":"","ciphertext":"AA==","sha256":""}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := c.Decrypt(data); err != nil {
			e, ok := errors.AsType[*mslerr.Error](err)
			if !ok {
				t.Fatalf("error without a code: %v", err)
			}
			switch e.Code {
			case mslerr.CiphertextEnvelopeParseError, mslerr.CiphertextBadPadding, mslerr.CiphertextIllegalBlockSize,
				mslerr.InvalidIV, mslerr.InvalidAlgorithmParams:
			default:
				t.Fatalf("error %v", err)
			}
		}
		if ok, err := c.Verify([]byte("data"), data); ok || err != nil {
			t.Fatal("verified, or failed", err)
		}
		_, _ = ParseEnvelope(data, 0)
		_, _ = c.Unwrap(data)
	})
}

const benchSize = 64 << 10

func BenchmarkEncryptSign(b *testing.B) {
	c := specContext(b)
	plaintext := make([]byte, benchSize)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		envelope, err := c.Encrypt(plaintext, framing.JSON)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Sign(envelope, framing.JSON); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRawEncryptSign is the same work with nothing around it: what
// BenchmarkEncryptSign is measured against.
func BenchmarkRawEncryptSign(b *testing.B) {
	block := must(aes.NewCipher(specKPE))(b)
	plaintext := make([]byte, benchSize)
	ciphertext := make([]byte, benchSize+aes.BlockSize)
	text := make([]byte, base64.StdEncoding.EncodedLen(len(ciphertext)))
	iv := make([]byte, aes.BlockSize)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		rand.Read(iv)
		copy(ciphertext, plaintext)
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(ciphertext, ciphertext)
		base64.StdEncoding.Encode(text, ciphertext)
		h := hmac.New(sha256.New, specKPH)
		h.Write(text)
		h.Sum(nil)
	}
}

func BenchmarkVerifyDecrypt(b *testing.B) {
	c := specContext(b)
	envelope := must(c.Encrypt(make([]byte, benchSize), framing.JSON))(b)
	signature := must(c.Sign(envelope, framing.JSON))(b)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := c.Verify(envelope, signature); !ok || err != nil {
			b.Fatal(ok, err)
		}
		if _, err := c.Decrypt(envelope); err != nil {
			b.Fatal(err)
		}
	}
}
