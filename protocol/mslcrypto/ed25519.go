package mslcrypto

import (
	"crypto/ed25519"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// Ed25519 signs with Ed25519 (RFC 8032); data passes unencrypted and without an
// envelope. It is the context of the entity authentication scheme ED25519
// (channel set-up 4.10). Either key may be missing.
type Ed25519 struct {
	unsupported
	Private ed25519.PrivateKey
	Public  ed25519.PublicKey
}

// Encrypt returns plaintext itself.
func (*Ed25519) Encrypt(plaintext []byte, _ framing.Format) ([]byte, error) { return plaintext, nil }

// Decrypt returns ciphertext itself.
func (*Ed25519) Decrypt(ciphertext []byte) ([]byte, error) { return ciphertext, nil }

// Sign returns the 64 bytes of the signature.
func (c *Ed25519) Sign(data []byte, _ framing.Format) ([]byte, error) {
	switch len(c.Private) {
	case ed25519.PrivateKeySize:
		return ed25519.Sign(c.Private, data), nil
	case 0:
		return nil, notSupported(mslerr.SignNotSupported)
	}
	return nil, mslerr.New(mslerr.InvalidPrivateKey, "Ed25519 key of %d bytes", len(c.Private))
}

// Verify takes the 64 bytes of a signature and no envelope; bytes of another
// length are false.
func (c *Ed25519) Verify(data, signature []byte) (bool, error) {
	switch len(c.Public) {
	case ed25519.PublicKeySize:
		return ed25519.Verify(c.Public, data, signature), nil
	case 0:
		return false, notSupported(mslerr.VerifyNotSupported)
	}
	return false, mslerr.New(mslerr.InvalidPublicKey, "Ed25519 key of %d bytes", len(c.Public))
}
