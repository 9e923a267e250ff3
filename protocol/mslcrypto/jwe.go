package mslcrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// The algorithms of JSON Web Encryption that MSL knows.
const (
	JWERSAOAEP = "RSA-OAEP" // content key wrapped by an [RSAWrapping] with OAEP
	JWEA128KW  = "A128KW"   // content key wrapped by a [Symmetric] or an [AESWrapping]
	JWEA128GCM = "A128GCM"  // AES-128-GCM
	JWEA256GCM = "A256GCM"  // AES-256-GCM
)

const (
	jweIVSize  = 12
	jweTagSize = 16
)

// JWE wraps keys with JSON Web Encryption as a draft of 2012 had it (spec 02
// section 7). It is not RFC 7516: the additional data covers the wrapped content
// key and the IV too, and the JSON form has other members. It can do nothing
// else.
//
//	compact  header "." content key "." iv "." ciphertext "." tag
//	JSON     {"recipients": [{"header": .., "encrypted_key": .., "integrity_value": ..}],
//	          "initialization_vector": .., "ciphertext": ..}
//
// All parts are base64url without padding; the header is JSON {"alg": .., "enc": ..}.
type JWE struct {
	unsupported
	Key        Context // wraps content keys
	Algorithm  string  // [JWERSAOAEP] or [JWEA128KW]
	Encryption string  // [JWEA128GCM] if empty, or [JWEA256GCM]
	Compact    bool    // how Wrap writes; Unwrap reads both
}

// Wrap encrypts data, an encoded JSON Web Key, which must not be empty.
func (j *JWE) Wrap(data []byte) ([]byte, error) {
	enc, keySize, err := j.encryption()
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, mslerr.New(mslerr.WrapError, "nothing to wrap")
	}
	header, err := framing.JSON.Append(nil, framing.Object{"alg": j.Algorithm, "enc": enc})
	if err != nil {
		return nil, mslerr.Wrap(mslerr.JWEEncodeError, err)
	}
	cek, iv := make(Key, keySize), make([]byte, jweIVSize)
	defer cek.Erase()
	rand.Read(cek) // never fails
	rand.Read(iv)
	wrapped, err := j.Key.Wrap(cek)
	if err != nil {
		return nil, err
	}
	gcm, err := newGCM(cek)
	if err != nil {
		return nil, err
	}
	p := jweParts{
		header: framing.EncodeBase64URL(header),
		key:    framing.EncodeBase64URL(wrapped),
		iv:     framing.EncodeBase64URL(iv),
	}
	sealed := gcm.Seal(nil, iv, data, p.additionalData())
	p.ciphertext = framing.EncodeBase64URL(sealed[:len(data)])
	p.tag = framing.EncodeBase64URL(sealed[len(data):])
	return p.encode(j.Compact)
}

// Unwrap decrypts what Wrap made, in either form. Errors: mslerr.JWEParseError,
// mslerr.JWEAlgorithmMismatch, mslerr.InvalidSymmetricKey,
// mslerr.InvalidAlgorithmParams, mslerr.UnwrapError, and those of Key.
func (j *JWE) Unwrap(data []byte) ([]byte, error) {
	enc, keySize, err := j.encryption()
	if err != nil {
		return nil, err
	}
	p, err := parseJWE(data)
	if err != nil {
		return nil, err
	}
	var parts [5][]byte
	for i, s := range [...]string{p.header, p.key, p.iv, p.ciphertext, p.tag} {
		if parts[i], err = framing.DecodeBase64URL(s); err != nil || len(parts[i]) == 0 {
			return nil, mslerr.New(mslerr.JWEParseError, "part %d is empty or not base64url", i+1)
		}
	}
	header, wrapped, iv, ciphertext, tag := parts[0], parts[1], parts[2], parts[3], parts[4]
	if err := j.checkHeader(header, enc); err != nil {
		return nil, err
	}
	unwrapped, err := j.Key.Unwrap(wrapped)
	if err != nil {
		return nil, err
	}
	cek := Key(unwrapped)
	defer cek.Erase()
	switch {
	case len(cek) != keySize:
		return nil, mslerr.New(mslerr.InvalidSymmetricKey, "content key of %d bytes, not %d", len(cek), keySize)
	case len(tag) != jweTagSize:
		return nil, mslerr.New(mslerr.InvalidAlgorithmParams, "tag of %d bytes, not %d", len(tag), jweTagSize)
	case len(iv) != jweIVSize:
		return nil, mslerr.New(mslerr.InvalidAlgorithmParams, "initialization vector of %d bytes, not %d", len(iv), jweIVSize)
	}
	gcm, err := newGCM(cek)
	if err != nil {
		return nil, err
	}
	plaintext, err := gcm.Open(nil, iv, append(ciphertext, tag...), p.additionalData())
	if err != nil {
		return nil, mslerr.New(mslerr.UnwrapError, "damaged, or of another key")
	}
	return plaintext, nil
}

func (j *JWE) encryption() (name string, keySize int, err error) {
	if j.Algorithm != JWERSAOAEP && j.Algorithm != JWEA128KW {
		return "", 0, mslerr.New(mslerr.UnsupportedJWEAlgorithm, "algorithm %.64q", j.Algorithm)
	}
	switch j.Encryption {
	case "", JWEA128GCM:
		return JWEA128GCM, 16, nil
	case JWEA256GCM:
		return JWEA256GCM, 32, nil
	}
	return "", 0, mslerr.New(mslerr.UnsupportedJWEAlgorithm, "encryption %.64q", j.Encryption)
}

// checkHeader: names that nobody knows are a parse error, others that are not
// ours a mismatch.
func (j *JWE) checkHeader(header []byte, enc string) error {
	o, err := framing.JSON.Parse(header)
	if err != nil {
		return &mslerr.Error{Code: mslerr.JWEParseError, Err: err}
	}
	gotAlg, err := framing.Get[string](o, "alg")
	if err != nil {
		return &mslerr.Error{Code: mslerr.JWEParseError, Err: err}
	}
	gotEnc, err := framing.Get[string](o, "enc")
	if err != nil {
		return &mslerr.Error{Code: mslerr.JWEParseError, Err: err}
	}
	switch {
	case gotAlg != JWERSAOAEP && gotAlg != JWEA128KW, gotEnc != JWEA128GCM && gotEnc != JWEA256GCM:
		return mslerr.New(mslerr.JWEParseError, "unknown algorithms %.64q, %.64q", gotAlg, gotEnc)
	case gotAlg != j.Algorithm || gotEnc != enc:
		return mslerr.New(mslerr.JWEAlgorithmMismatch, "%s and %s, not %s and %s", gotAlg, gotEnc, j.Algorithm, enc)
	}
	return nil
}

// jweParts are the parts as they stand in the serialisation: the additional data
// is made of them as received.
type jweParts struct{ header, key, iv, ciphertext, tag string }

func (p *jweParts) additionalData() []byte {
	return []byte(p.header + "." + p.key + "." + p.iv)
}

func (p *jweParts) encode(compact bool) ([]byte, error) {
	if compact {
		return []byte(p.header + "." + p.key + "." + p.iv + "." + p.ciphertext + "." + p.tag), nil
	}
	data, err := framing.JSON.Append(nil, framing.Object{
		"recipients": framing.Array{framing.Object{
			"header":          p.header,
			"encrypted_key":   p.key,
			"integrity_value": p.tag,
		}},
		"initialization_vector": p.iv,
		"ciphertext":            p.ciphertext,
	})
	if err != nil {
		return nil, mslerr.Wrap(mslerr.JWEEncodeError, err)
	}
	return data, nil
}

func parseJWE(data []byte) (*jweParts, error) {
	if len(data) > 0 && data[0] == '{' {
		p, err := parseJSONJWE(data)
		if err != nil {
			return nil, &mslerr.Error{Code: mslerr.JWEParseError, Err: err}
		}
		return p, nil
	}
	parts := bytes.SplitN(data, []byte{'.'}, 6)
	if len(parts) != 5 {
		return nil, mslerr.New(mslerr.JWEParseError, "compact form without five parts")
	}
	return &jweParts{string(parts[0]), string(parts[1]), string(parts[2]), string(parts[3]), string(parts[4])}, nil
}

func parseJSONJWE(data []byte) (*jweParts, error) {
	o, err := framing.JSON.Parse(data)
	if err != nil {
		return nil, err
	}
	recipients, err := framing.Get[framing.Array](o, "recipients")
	if err != nil {
		return nil, err
	}
	if len(recipients) == 0 {
		return nil, &framing.MemberError{Member: "recipients", Want: "an array with an element"}
	}
	first, ok := recipients[0].(framing.Object)
	if !ok {
		return nil, &framing.MemberError{Member: "recipients", Want: "an array of objects"}
	}
	p := new(jweParts)
	for _, m := range []struct {
		from framing.Object
		name string
		to   *string
	}{
		{first, "header", &p.header},
		{first, "encrypted_key", &p.key},
		{first, "integrity_value", &p.tag},
		{o, "initialization_vector", &p.iv},
		{o, "ciphertext", &p.ciphertext},
	} {
		if *m.to, err = framing.Get[string](m.from, m.name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func newGCM(key Key) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InvalidSymmetricKey, err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InvalidSymmetricKey, err)
	}
	return gcm, nil
}
