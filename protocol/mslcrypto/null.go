package mslcrypto

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// Null is the context that protects nothing: data and keys stay as they are,
// signatures are empty and all are accepted. It belongs to entities that do not
// authenticate, and to service tokens that ask for deletion.
type Null struct{}

// Encrypt returns plaintext itself.
func (Null) Encrypt(plaintext []byte, _ framing.Format) ([]byte, error) { return plaintext, nil }

// Decrypt returns ciphertext itself.
func (Null) Decrypt(ciphertext []byte) ([]byte, error) { return ciphertext, nil }

// Sign returns the empty signature.
func (Null) Sign([]byte, framing.Format) ([]byte, error) { return []byte{}, nil }

// Verify is always true.
func (Null) Verify(_, _ []byte) (bool, error) { return true, nil }

// Wrap returns key itself.
func (Null) Wrap(key []byte) ([]byte, error) { return key, nil }

// Unwrap returns wrapped itself.
func (Null) Unwrap(wrapped []byte) ([]byte, error) { return wrapped, nil }

// Opaque is the token context of who is given tokens and cannot read them, a
// client: it verifies nothing. Otherwise it is as [Null], but wraps no keys.
type Opaque struct{ Null }

// Verify is always false.
func (Opaque) Verify(_, _ []byte) (bool, error) { return false, nil }

// Wrap fails: only issuers wrap with token keys.
func (Opaque) Wrap([]byte) ([]byte, error) {
	return nil, mslerr.New(mslerr.InternalException, "holders of tokens have no token keys to wrap with")
}

// Unwrap fails: only issuers unwrap with token keys.
func (Opaque) Unwrap([]byte) ([]byte, error) {
	return nil, mslerr.New(mslerr.InternalException, "holders of tokens have no token keys to unwrap with")
}
