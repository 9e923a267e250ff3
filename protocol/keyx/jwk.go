package keyx

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// wrapper is a context of which only Wrap and Unwrap are used.
type wrapper interface {
	Wrap(key []byte) ([]byte, error)
	Unwrap(wrapped []byte) ([]byte, error)
}

// A keyForm is how a key of one purpose is described as a JSON Web Key: JWE
// wraps keys with a usage, all else such with operations (spec 07 sections 2, 5).
type keyForm struct {
	usage     string
	ops       []string
	algorithm string
	size      int // bytes
}

var (
	encryptionForm = keyForm{mslcrypto.JWKUsageEncrypt, []string{"encrypt", "decrypt"}, mslcrypto.JWKA128CBC, mslcrypto.EncryptionKeySize}
	hmacForm       = keyForm{mslcrypto.JWKUsageSign, []string{"sign", "verify"}, mslcrypto.JWKHS256, mslcrypto.SignatureKeySize}
	wrapForm       = keyForm{mslcrypto.JWKUsageWrap, []string{"wrapKey", "unwrapKey"}, mslcrypto.JWKA128KW, wrapKeySize}
)

// wrapJWK wraps the description of key; id is its "kid", or empty.
func (f keyForm) wrapJWK(w wrapper, key mslcrypto.Key, withUsage bool, id string) ([]byte, error) {
	k := &mslcrypto.JWK{Type: mslcrypto.JWKTypeOctets, Algorithm: f.algorithm, Key: key, KeyID: id}
	if withUsage {
		k.Usage = f.usage
	} else {
		k.KeyOps = f.ops
	}
	encoded, err := k.Encode()
	if err != nil {
		return nil, err
	}
	defer clear(encoded)
	return w.Wrap(encoded)
}

// unwrapJWK gives the key from its wrapped description. Usage, operations and
// "kid" are not looked at, since stacks differ in them; the algorithm, if it is
// named, and the size must be right. notObject is the code for what is no
// description at all.
func (f keyForm) unwrapJWK(w wrapper, wrapped []byte, notObject mslerr.Code) (mslcrypto.Key, error) {
	encoded, err := w.Unwrap(wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(encoded)
	return f.parseJWK(encoded, notObject)
}

func (f keyForm) parseJWK(encoded []byte, notObject mslerr.Code) (mslcrypto.Key, error) {
	// The cause may quote what was decrypted, and is left out.
	if _, err := framing.JSON.Parse(encoded); err != nil {
		return nil, mslerr.New(notObject, "the unwrapped bytes are no JSON Web Key")
	}
	k, err := mslcrypto.ParseJWK(encoded)
	if err != nil {
		return nil, err
	}
	if k.Type != mslcrypto.JWKTypeOctets || k.Algorithm != "" && k.Algorithm != f.algorithm {
		return nil, mslerr.New(mslerr.InvalidJWK, "a key of type %s for %s, not for %s", k.Type, k.Algorithm, f.algorithm)
	}
	if err := f.checkSize(k.Key); err != nil {
		return nil, err
	}
	return k.Key, nil
}

func (f keyForm) checkSize(key mslcrypto.Key) error {
	if len(key) != f.size {
		return mslerr.New(mslerr.SessionKeyCreationFailure, "a key of %d bytes for %s, not %d", len(key), f.algorithm, f.size)
	}
	return nil
}
