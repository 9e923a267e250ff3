package mslcrypto

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"errors"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// RSASigning signs with RSASSA-PKCS1-v1_5 and SHA-256; data passes unencrypted
// and without an envelope. Either key may be missing.
type RSASigning struct {
	unsupported
	Private *rsa.PrivateKey
	Public  *rsa.PublicKey
}

// Encrypt returns plaintext itself.
func (*RSASigning) Encrypt(plaintext []byte, _ framing.Format) ([]byte, error) { return plaintext, nil }

// Decrypt returns ciphertext itself.
func (*RSASigning) Decrypt(ciphertext []byte) ([]byte, error) { return ciphertext, nil }

// Sign returns the bare signature.
func (c *RSASigning) Sign(data []byte, _ framing.Format) ([]byte, error) {
	if c.Private == nil {
		return nil, notSupported(mslerr.SignNotSupported)
	}
	digest := sha256.Sum256(data)
	signature, err := rsa.SignPKCS1v15(nil, c.Private, crypto.SHA256, digest[:])
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InvalidPrivateKey, err)
	}
	return signature, nil
}

// Verify accepts signature envelopes of both versions. What cannot be a
// signature of this key for its length is mslerr.SignatureError.
func (c *RSASigning) Verify(data, signature []byte) (bool, error) {
	if c.Public == nil {
		return false, notSupported(mslerr.VerifyNotSupported)
	}
	bare := bareSignature(signature, c.Public.Size())
	if len(bare) != c.Public.Size() {
		return false, mslerr.New(mslerr.SignatureError, "signature of %d bytes with a key of %d", len(bare), c.Public.Size())
	}
	digest := sha256.Sum256(data)
	switch err := rsa.VerifyPKCS1v15(c.Public, crypto.SHA256, digest[:], bare); {
	case err == nil:
		return true, nil
	case errors.Is(err, rsa.ErrVerification):
		return false, nil
	default:
		return false, mslerr.Wrap(mslerr.InvalidPublicKey, err)
	}
}

// RSAPadding is how RSA encryption pads. Its zero value is the sound one.
type RSAPadding int

// The paddings of RSA encryption.
const (
	OAEP  RSAPadding = iota // RSA-OAEP with SHA-1 in both places, as MSL has it
	PKCS1                   // RSAES-PKCS1-v1_5
)

// RSAEncryption encrypts short data with RSA into envelopes of version 1 without
// an IV. It signs with nothing and accepts every signature. Either key may be
// missing.
type RSAEncryption struct {
	unsupported
	KeyID   string
	Padding RSAPadding
	Private *rsa.PrivateKey
	Public  *rsa.PublicKey
}

// Encrypt returns an envelope. Empty plaintext gives empty ciphertext.
func (c *RSAEncryption) Encrypt(plaintext []byte, f framing.Format) ([]byte, error) {
	if c.Public == nil {
		return nil, notSupported(mslerr.EncryptNotSupported)
	}
	e := Envelope{Version: 1, KeyID: c.KeyID}
	if len(plaintext) > 0 {
		var err error
		if e.Ciphertext, err = encryptRSA(c.Public, c.Padding, plaintext); err != nil {
			return nil, err
		}
	}
	return e.Encode(f)
}

// Decrypt opens an envelope of version 1. Errors:
// mslerr.CiphertextEnvelopeParseError, mslerr.CiphertextIllegalBlockSize,
// mslerr.CiphertextBadPadding.
func (c *RSAEncryption) Decrypt(ciphertext []byte) ([]byte, error) {
	if c.Private == nil {
		return nil, notSupported(mslerr.DecryptNotSupported)
	}
	if len(ciphertext) == 0 {
		return []byte{}, nil
	}
	e, err := openEnvelope([]byte{}, ciphertext)
	if err != nil {
		return nil, err
	}
	if len(e.Ciphertext) == 0 {
		return []byte{}, nil
	}
	return decryptRSA(c.Private, c.Padding, e.Ciphertext)
}

// Sign returns the empty signature.
func (*RSAEncryption) Sign([]byte, framing.Format) ([]byte, error) { return []byte{}, nil }

// Verify is always true.
func (*RSAEncryption) Verify(_, _ []byte) (bool, error) { return true, nil }

// RSAWrapping wraps keys with RSA, with no envelope around them, as key exchange
// and JSON Web Encryption do. Either key may be missing.
type RSAWrapping struct {
	unsupported
	Padding RSAPadding
	Private *rsa.PrivateKey
	Public  *rsa.PublicKey
}

// Wrap encrypts key.
func (c *RSAWrapping) Wrap(key []byte) ([]byte, error) {
	if c.Public == nil {
		return nil, notSupported(mslerr.WrapNotSupported)
	}
	return encryptRSA(c.Public, c.Padding, key)
}

// Unwrap decrypts a key. Errors: mslerr.CiphertextIllegalBlockSize,
// mslerr.CiphertextBadPadding.
func (c *RSAWrapping) Unwrap(wrapped []byte) ([]byte, error) {
	if c.Private == nil {
		return nil, notSupported(mslerr.UnwrapNotSupported)
	}
	return decryptRSA(c.Private, c.Padding, wrapped)
}

func encryptRSA(key *rsa.PublicKey, padding RSAPadding, plaintext []byte) ([]byte, error) {
	var ciphertext []byte
	var err error
	if padding == PKCS1 {
		ciphertext, err = rsa.EncryptPKCS1v15(rand.Reader, key, plaintext) //nolint:staticcheck // MSL has this mechanism; who configures it knows its name
	} else {
		ciphertext, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, key, plaintext, nil)
	}
	switch {
	case err == nil:
		return ciphertext, nil
	case errors.Is(err, rsa.ErrMessageTooLong):
		return nil, mslerr.New(mslerr.PlaintextIllegalBlockSize, "%d bytes are too long for an RSA key of %d", len(plaintext), key.Size())
	default:
		return nil, mslerr.Wrap(mslerr.InvalidPublicKey, err)
	}
}

func decryptRSA(key *rsa.PrivateKey, padding RSAPadding, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != key.Size() {
		return nil, mslerr.New(mslerr.CiphertextIllegalBlockSize, "ciphertext of %d bytes with a key of %d", len(ciphertext), key.Size())
	}
	var options crypto.DecrypterOpts = &rsa.OAEPOptions{Hash: crypto.SHA1}
	if padding == PKCS1 {
		options = &rsa.PKCS1v15DecryptOptions{} //nolint:staticcheck // as above
	}
	plaintext, err := key.Decrypt(rand.Reader, ciphertext, options)
	switch {
	case err == nil:
		return plaintext, nil
	case errors.Is(err, rsa.ErrDecryption):
		return nil, mslerr.New(mslerr.CiphertextBadPadding, "ciphertext is damaged or of another key")
	default:
		return nil, mslerr.Wrap(mslerr.InvalidPrivateKey, err)
	}
}
