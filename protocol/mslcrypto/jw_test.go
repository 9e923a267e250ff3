package mslcrypto

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

func peerJWE(t *testing.T, i int) (*JWE, []byte, []byte) {
	t.Helper()
	v := readPeer(t).JWE[i]
	j := &JWE{Algorithm: v.KeyManagement, Encryption: v.Content, Compact: v.Serialization == "JWE_CS"}
	if v.KeyManagement == JWEA128KW {
		j.Key = must(NewAESWrapping(v.WrappingKey))(t)
	} else {
		private := rsaPrivate(t, v.Private)
		j.Key = &RSAWrapping{Private: private, Public: &private.PublicKey}
	}
	return j, v.JWE, v.Plaintext
}

func TestJWEPeer(t *testing.T) {
	for i := range readPeer(t).JWE {
		j, sealed, plaintext := peerJWE(t, i)
		wantBytes(t, must(j.Unwrap(sealed))(t), plaintext)
		own := must(j.Wrap(plaintext))(t)
		if (own[0] == '{') == j.Compact {
			t.Errorf("%s", own)
		}
		j.Compact = !j.Compact // either form is read, whatever is written
		wantBytes(t, must(j.Unwrap(own))(t), plaintext)
	}
}

const (
	specJWK = `{"kty":"oct","use":"enc","alg":"A128CBC","extractable":false,"k":"AAECAwQFBgcICQoLDA0ODw"}`
	specJWE = `{"recipients":[{"header":"eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4R0NNIn0","encrypted_key":"osNH1F1ZFYJ84GbI_a6wHH1Or-mZrkhD","integrity_value":"WUwcrjB5RfztmP6Iuk7smA"}],"initialization_vector":"YGFiY2RlZmdoaWpr","ciphertext":"izZEO48VlzU_HYRGQprubEZIL0ujsVNBpqqpkjA3zqwzIdmuLsUarYj3f3Z-2Y7vxCQ0S1TFJPKAHpnGqdrrhj8k4_Ppirw4Lh26vlWRbDwlMYic8ATLu2y_"}`
)

func specJWEContext(t *testing.T) *JWE { return &JWE{Key: specContext(t), Algorithm: JWEA128KW} }

func TestJWESpec(t *testing.T) {
	wantBytes(t, must(specJWEContext(t).Unwrap([]byte(specJWE)))(t), []byte(specJWK))
}

func TestJWEErrors(t *testing.T) {
	j := specJWEContext(t)
	replace := func(old, new string) string {
		if !strings.Contains(specJWE, old) {
			t.Fatal("no ", old)
		}
		return strings.Replace(specJWE, old, new, 1)
	}
	header := func(s string) string {
		return replace("eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4R0NNIn0", framing.EncodeBase64URL([]byte(s)))
	}
	for _, v := range []struct {
		name, jwe string
		code      mslerr.Code
	}{
		{"nothing", "", mslerr.JWEParseError},
		{"four parts", "a.b.c.d", mslerr.JWEParseError},
		{"six parts", "a.b.c.d.e.f", mslerr.JWEParseError},
		{"empty part", "YQ..YQ.YQ.YQ", mslerr.JWEParseError},
		{"no recipients", `{"recipients":[],"initialization_vector":"","ciphertext":""}`, mslerr.JWEParseError},
		{"recipient no object", `{"recipients":["x"],"initialization_vector":"","ciphertext":""}`, mslerr.JWEParseError},
		{"recipients missing", `{}`, mslerr.JWEParseError},
		{"truncated", `{"recipients":`, mslerr.JWEParseError},
		{"names of RFC 7516", replace("integrity_value", "tag"), mslerr.JWEParseError},
		{"empty tag", replace("WUwcrjB5RfztmP6Iuk7smA", ""), mslerr.JWEParseError},
		{"bad base64", replace("WUwcrjB5RfztmP6Iuk7smA", "*"), mslerr.JWEParseError},
		{"header not an object", header("[]"), mslerr.JWEParseError},
		{"header without alg", header(`{"enc":"A128GCM"}`), mslerr.JWEParseError},
		{"header without enc", header(`{"alg":"A128KW"}`), mslerr.JWEParseError},
		{"unknown alg", header(`{"alg":"dir","enc":"A128GCM"}`), mslerr.JWEParseError},
		{"other alg", header(`{"alg":"RSA-OAEP","enc":"A128GCM"}`), mslerr.JWEAlgorithmMismatch},
		{"other enc", header(`{"alg":"A128KW","enc":"A256GCM"}`), mslerr.JWEAlgorithmMismatch},
		{"same header, other bytes", header(`{"enc":"A128GCM","alg":"A128KW"}`), mslerr.UnwrapError},
		{"content key damaged", replace("osNH", "osNI"), mslerr.UnwrapError},
		{"iv damaged", replace("YGFi", "YGFj"), mslerr.UnwrapError},
		{"ciphertext damaged", replace("izZE", "izZF"), mslerr.UnwrapError},
		{"tag damaged", replace("WUwc", "WUwd"), mslerr.UnwrapError},
		{"tag short", replace("WUwcrjB5RfztmP6Iuk7smA", "WUwc"), mslerr.InvalidAlgorithmParams},
		{"iv short", replace("YGFiY2RlZmdoaWpr", "YGFi"), mslerr.InvalidAlgorithmParams},
		{"content key of 32 bytes", replace("osNH1F1ZFYJ84GbI_a6wHH1Or-mZrkhD",
			framing.EncodeBase64URL(must(specContext(t).Wrap(make([]byte, 32)))(t))), mslerr.InvalidSymmetricKey},
	} {
		t.Run(v.name, func(t *testing.T) {
			_, err := j.Unwrap([]byte(v.jwe))
			wantCode(t, err, v.code)
		})
	}
	_, err := j.Wrap(nil)
	wantCode(t, err, mslerr.WrapError)
	for _, j := range []*JWE{{Key: j.Key}, {Key: j.Key, Algorithm: JWEA128KW, Encryption: "A192GCM"}} {
		_, err = j.Wrap([]byte("x"))
		wantCode(t, err, mslerr.UnsupportedJWEAlgorithm)
		_, err = j.Unwrap([]byte("x"))
		wantCode(t, err, mslerr.UnsupportedJWEAlgorithm)
	}
	raw := must(NewAESWrapping(DeriveWrappingKey(specKPE, specKPH)))(t)
	_, err = (&JWE{Key: raw, Algorithm: JWEA128KW}).Unwrap([]byte(replace("osNH", "osNI")))
	wantCode(t, err, mslerr.InvalidSymmetricKey)
}

func TestJWKWrapping(t *testing.T) {
	const padded = `{  "kty":"oct","key_ops":["encrypt","decrypt"],"alg":"A128CBC","extractable":false,"k":"AAECAwQFBgcICQoLDA0ODw"}`
	wrapped := unbase64(t, "C/CvtFzaZ6Ex6fEClmkHoaNIXPaX+7j1aXHWKIufDkILqIJFK0W+3oCrW6oEvt4l4qILhn8RP3q0g2yO5vIa5VOZA86HV+mNntkwIUArCUV1BilUQF26d979VRy5U9Siab+RwyX3wJbjBCt/9dwjCw0IL5or82JJ")
	c := &JWKWrapping{Key: specContext(t)}
	wantBytes(t, must(c.Wrap([]byte(strings.Replace(padded, "{  ", "{", 1))))(t), wrapped)
	k := must(ParseJWK(must(c.Unwrap(wrapped))(t)))(t)
	if k.Algorithm != JWKA128CBC || k.Extractable || strings.Join(k.KeyOps, " ") != "encrypt decrypt" {
		t.Errorf("%v %v %v", k.Algorithm, k.Extractable, k.KeyOps)
	}
	wantBytes(t, k.Key, specKPE)
	for _, bad := range []string{"", "x", " {}"} {
		_, err := c.Wrap([]byte(bad))
		wantCode(t, err, mslerr.InvalidJWK)
	}
	wrapped[0] ^= 1
	_, err := c.Unwrap(wrapped)
	wantCode(t, err, mslerr.UnwrapError)
	_, err = (&JWKWrapping{Key: must(NewAESWrapping(DeriveWrappingKey(specKPE, specKPH)))(t)}).Unwrap(wrapped)
	wantCode(t, err, mslerr.InvalidSymmetricKey)
}

func TestJWK(t *testing.T) {
	for _, v := range readPeer(t).JWK {
		k := must(ParseJWK([]byte(v.Text)))(t)
		wantBytes(t, k.Key, v.Key)
		ours := must(framing.Decode(must(k.Encode())(t)))(t)
		for name, want := range must(framing.Decode([]byte(v.Text)))(t) {
			if ours[name] != want {
				t.Errorf("%s: member %s is %v", v.Text, name, ours[name])
			}
		}
	}
	if got := string(must((&JWK{Type: JWKTypeOctets, Usage: JWKUsageEncrypt, Key: specKPE}).Encode())(t)); !strings.Contains(got, `"extractable":false`) || strings.Contains(got, "alg") {
		t.Error(got)
	}
	private := rsaPrivate(t, readPeer(t).RSA.Private)
	k := must(ParseJWK(must(NewRSAJWK(&private.PublicKey).Encode())(t)))(t)
	if !must(k.RSAPublicKey())(t).Equal(&private.PublicKey) || k.Type != "rsa" || k.N[0] == 0 {
		t.Error("an RSA key changes")
	}
	if k := must(ParseJWK([]byte(`{"kty":"RSA","n":"AQ","d":"AQ"}`)))(t); !bytes.Equal(k.D, []byte{1}) {
		t.Error("a private key is not read")
	}
	_, err := must(ParseJWK([]byte(specJWK)))(t).RSAPublicKey()
	wantCode(t, err, mslerr.InvalidJWKKeyData)
	for _, e := range []string{"AQ", "AQAAAAAA", "_____________w"} {
		_, err := must(ParseJWK([]byte(`{"kty":"rsa","n":"AQ","e":"` + e + `"}`)))(t).RSAPublicKey()
		wantCode(t, err, mslerr.InvalidJWKKeyData)
	}
}

func TestJWKErrors(t *testing.T) {
	for text, code := range map[string]mslerr.Code{
		``:                       mslerr.ParseError,
		`[]`:                     mslerr.ParseError,
		`{}`:                     mslerr.ParseError,
		`{"kty":1}`:              mslerr.ParseError,
		`{"kty":"oct"}`:          mslerr.ParseError,
		`{"kty":"oct","k":1}`:    mslerr.ParseError,
		`{"kty":"rsa","e":"AQ"}`: mslerr.ParseError,
		`{"kty":"rsa","n":"AQ"}`: mslerr.ParseError,
		`{"kty":"oct","k":"AQ","extractable":"false"}`:     mslerr.ParseError,
		`{"kty":"oct","k":"AQ","key_ops":"sign"}`:          mslerr.ParseError,
		`{"kty":"oct","k":"AQ","key_ops":[1]}`:             mslerr.ParseError,
		`{"kty":"ec"}`:                                     mslerr.UnidentifiedJWKType,
		`{"kty":"oct","k":"AQ","use":"ENC"}`:               mslerr.UnidentifiedJWKUsage,
		`{"kty":"oct","k":"AQ","key_ops":["sign","Sign"]}`: mslerr.UnidentifiedJWKKeyOp,
		`{"kty":"oct","k":"AQ","alg":"HS512"}`:             mslerr.UnidentifiedJWKAlgorithm,
		`{"kty":"oct","k":""}`:                             mslerr.InvalidJWKKeyData,
		`{"kty":"oct","k":"*"}`:                            mslerr.InvalidJWKKeyData,
		`{"kty":"rsa","n":"","e":"AQ"}`:                    mslerr.InvalidJWKKeyData,
		`{"kty":"rsa","n":"AQ","e":"*"}`:                   mslerr.InvalidJWKKeyData,
		`{"kty":"rsa","n":"AQ","d":""}`:                    mslerr.InvalidJWKKeyData,
	} {
		_, err := ParseJWK([]byte(text))
		if err == nil {
			t.Errorf("%s is accepted", text)
			continue
		}
		wantCode(t, err, code)
	}
}

func FuzzJWK(f *testing.F) {
	f.Add([]byte(specJWK))
	f.Add([]byte(`{"kty":"rsa","n":"AQ","e":"Aw"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseJWK(data)
		if err != nil {
			return
		}
		_, _ = k.RSAPublicKey()
		again, err := ParseJWK(must(k.Encode())(t))
		if err != nil || !bytes.Equal(again.Key, k.Key) || !bytes.Equal(again.N, k.N) {
			t.Fatalf("%v after encoding again", err)
		}
	})
}

func FuzzJWEUnwrap(f *testing.F) {
	key, err := NewAESWrapping(specKPE)
	if err != nil {
		f.Fatal(err)
	}
	j := &JWE{Key: key, Algorithm: JWEA128KW}
	f.Add([]byte(specJWE))
	f.Add([]byte("eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4R0NNIn0.YQ.YQ.YQ.YQ"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := j.Unwrap(data); err == nil {
			t.Fatal("unwrapped")
		}
	})
}
