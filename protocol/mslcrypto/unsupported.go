package mslcrypto

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// unsupported is what contexts embed: it can do nothing, and prints as
// redacted. Each context overrides what it can do.
type unsupported struct{ hidden }

func notSupported(code mslerr.Code) error { return &mslerr.Error{Code: code} }

// Encrypt fails with mslerr.EncryptNotSupported.
func (unsupported) Encrypt([]byte, framing.Format) ([]byte, error) {
	return nil, notSupported(mslerr.EncryptNotSupported)
}

// Decrypt fails with mslerr.DecryptNotSupported.
func (unsupported) Decrypt([]byte) ([]byte, error) {
	return nil, notSupported(mslerr.DecryptNotSupported)
}

// Sign fails with mslerr.SignNotSupported.
func (unsupported) Sign([]byte, framing.Format) ([]byte, error) {
	return nil, notSupported(mslerr.SignNotSupported)
}

// Verify fails with mslerr.VerifyNotSupported.
func (unsupported) Verify(_, _ []byte) (bool, error) {
	return false, notSupported(mslerr.VerifyNotSupported)
}

// Wrap fails with mslerr.WrapNotSupported.
func (unsupported) Wrap([]byte) ([]byte, error) {
	return nil, notSupported(mslerr.WrapNotSupported)
}

// Unwrap fails with mslerr.UnwrapNotSupported.
func (unsupported) Unwrap([]byte) ([]byte, error) {
	return nil, notSupported(mslerr.UnwrapNotSupported)
}
