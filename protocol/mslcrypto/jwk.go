package mslcrypto

import (
	"bytes"
	"crypto/rsa"
	"math/big"
	"slices"
	"strings"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// Values of JSON Web Keys (spec 02 section 8). Types are written in lower case,
// unlike in RFC 7518, and read in any.
const (
	JWKTypeOctets = "oct"
	JWKTypeRSA    = "rsa"

	JWKUsageSign    = "sig"
	JWKUsageEncrypt = "enc"
	JWKUsageWrap    = "wrap"

	JWKHS256   = "HS256"
	JWKRSA15   = "RSA1_5"
	JWKRSAOAEP = "RSA-OAEP"
	JWKA128KW  = "A128KW"
	JWKA128CBC = "A128CBC"
)

var (
	jwkUsages     = []string{JWKUsageSign, JWKUsageEncrypt, JWKUsageWrap}
	jwkKeyOps     = []string{"sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits"}
	jwkAlgorithms = []string{JWKHS256, JWKRSA15, JWKRSAOAEP, JWKA128KW, JWKA128CBC}
)

// JWK is a JSON Web Key in MSL's form. It is always JSON:
//
//	{"kty": "oct" or "rsa", "use": string or "key_ops": [string], "alg": string,
//	 "extractable": bool, "kid": string,
//	 "k": base64url}                                   for oct
//	 "n": base64url, "e": base64url, "d": base64url}   for rsa, e or d or both
//
// An empty field is an absent member.
type JWK struct {
	hidden
	Type        string
	Usage       string // instead of KeyOps
	KeyOps      []string
	Algorithm   string
	Extractable bool
	KeyID       string

	Key     Key    // oct
	N, E, D []byte // rsa: big endian, no leading zeros
}

// Encode encodes the key as JSON.
func (k *JWK) Encode() ([]byte, error) {
	o := framing.Object{"kty": k.Type, "extractable": k.Extractable}
	for name, s := range map[string]string{"use": k.Usage, "alg": k.Algorithm, "kid": k.KeyID} {
		if s != "" {
			o[name] = s
		}
	}
	if len(k.KeyOps) > 0 {
		ops := make(framing.Array, len(k.KeyOps))
		for i, op := range k.KeyOps {
			ops[i] = op
		}
		o["key_ops"] = ops
	}
	for name, b := range map[string][]byte{"k": k.Key, "n": k.N, "e": k.E, "d": k.D} {
		if len(b) > 0 {
			o[name] = framing.EncodeBase64URL(b)
		}
	}
	data, err := framing.JSON.Append(nil, o)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.EncodeError, err)
	}
	return data, nil
}

// ParseJWK reads a key. Errors: mslerr.ParseError, mslerr.UnidentifiedJWKType,
// mslerr.UnidentifiedJWKUsage, mslerr.UnidentifiedJWKKeyOp,
// mslerr.UnidentifiedJWKAlgorithm, mslerr.InvalidJWKKeyData.
func ParseJWK(data []byte) (*JWK, error) {
	o, err := framing.JSON.Parse(data)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	k := new(JWK)
	var encoded map[string]string
	if encoded, err = k.members(o); err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	if err := k.identify(); err != nil {
		return nil, err
	}
	for name, to := range map[string]*[]byte{"k": (*[]byte)(&k.Key), "n": &k.N, "e": &k.E, "d": &k.D} {
		s, present := encoded[name]
		if !present {
			continue
		}
		if *to, err = framing.DecodeBase64URL(s); err != nil || len(*to) == 0 {
			return nil, mslerr.New(mslerr.InvalidJWKKeyData, "member %q is empty or not base64url", name)
		}
	}
	return k, nil
}

// members reads what the key's type asks for; the key data is left encoded.
func (k *JWK) members(o framing.Object) (encoded map[string]string, err error) {
	if k.Type, err = framing.Get[string](o, "kty"); err != nil {
		return nil, err
	}
	k.Type = strings.ToLower(k.Type)
	if k.Usage, _, err = framing.Opt[string](o, "use"); err != nil {
		return nil, err
	}
	ops, _, err := framing.Opt[framing.Array](o, "key_ops")
	if err != nil {
		return nil, err
	}
	if len(ops) > 0 {
		if k.KeyOps, err = framing.Elements[string](ops); err != nil {
			return nil, err
		}
	}
	if k.Algorithm, _, err = framing.Opt[string](o, "alg"); err != nil {
		return nil, err
	}
	if k.Extractable, _, err = framing.Opt[bool](o, "extractable"); err != nil {
		return nil, err
	}
	if k.KeyID, _, err = framing.Opt[string](o, "kid"); err != nil {
		return nil, err
	}

	encoded = make(map[string]string)
	optional := func(name string) error {
		s, present, err := framing.Opt[string](o, name)
		if present {
			encoded[name] = s
		}
		return err
	}
	switch k.Type {
	case JWKTypeOctets:
		encoded["k"], err = framing.Get[string](o, "k")
		return encoded, err
	case JWKTypeRSA:
		if encoded["n"], err = framing.Get[string](o, "n"); err != nil {
			return nil, err
		}
		if err = optional("e"); err != nil {
			return nil, err
		}
		if err = optional("d"); err != nil {
			return nil, err
		}
		if len(encoded) == 1 {
			return nil, &framing.MemberError{Member: "e", Missing: true}
		}
	}
	return encoded, nil
}

// identify refuses values that this stack does not know.
func (k *JWK) identify() error {
	if k.Type != JWKTypeOctets && k.Type != JWKTypeRSA {
		return mslerr.New(mslerr.UnidentifiedJWKType, "%.64q", k.Type)
	}
	if k.Usage != "" && !slices.Contains(jwkUsages, k.Usage) {
		return mslerr.New(mslerr.UnidentifiedJWKUsage, "%.64q", k.Usage)
	}
	for _, op := range k.KeyOps {
		if !slices.Contains(jwkKeyOps, op) {
			return mslerr.New(mslerr.UnidentifiedJWKKeyOp, "%.64q", op)
		}
	}
	if k.Algorithm != "" && !slices.Contains(jwkAlgorithms, k.Algorithm) {
		return mslerr.New(mslerr.UnidentifiedJWKAlgorithm, "%.64q", k.Algorithm)
	}
	return nil
}

// RSAPublicKey is the public key of an RSA key: mslerr.InvalidJWKKeyData if it
// is none.
func (k *JWK) RSAPublicKey() (*rsa.PublicKey, error) {
	e := new(big.Int).SetBytes(k.E)
	if k.Type != JWKTypeRSA || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
		return nil, mslerr.New(mslerr.InvalidJWKKeyData, "no RSA public key")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(k.N), E: int(e.Int64())}, nil
}

// NewRSAJWK describes a public key.
func NewRSAJWK(key *rsa.PublicKey) *JWK {
	return &JWK{Type: JWKTypeRSA, N: key.N.Bytes(), E: big.NewInt(int64(key.E)).Bytes()}
}

// JWKWrapping wraps encoded JSON Web Keys with AES key wrap: it makes their
// length fit (spec 02 section 6.2). It can do nothing else.
type JWKWrapping struct {
	unsupported
	Key Context // a [Symmetric] with a wrapping key, or an [AESWrapping]
}

// Wrap takes an encoded key, which begins with a brace. It inserts spaces behind
// the brace until the length is a multiple of 8.
func (c *JWKWrapping) Wrap(jwk []byte) ([]byte, error) {
	if len(jwk) == 0 || jwk[0] != '{' {
		return nil, mslerr.New(mslerr.InvalidJWK, "not a JSON object")
	}
	spaces := (wrapChunk - len(jwk)%wrapChunk) % wrapChunk
	padded := slices.Concat(jwk[:1], bytes.Repeat([]byte{' '}, spaces), jwk[1:])
	defer clear(padded)
	return c.Key.Wrap(padded)
}

// Unwrap gives the encoded key; [ParseJWK] takes the spaces as they are.
func (c *JWKWrapping) Unwrap(wrapped []byte) ([]byte, error) { return c.Key.Unwrap(wrapped) }
