// Package mslcrypto has MSL's crypto contexts and the envelopes they produce,
// JSON Web Keys and JSON Web Encryption in MSL's draft form, and key
// derivation. It takes keys, never tokens.
package mslcrypto

import "github.com/mslgo/msl/framing"

// A Context encrypts, signs and wraps with one set of keys (spec 02 section 1).
// What it cannot do fails with the code the protocol has for that, such as
// mslerr.EncryptNotSupported. Contexts may be used concurrently.
//
// Encrypt and Sign give what goes into a binary member: an envelope, or with
// schemes that have none the data itself or nothing. Whoever uses a context
// encrypts first and signs the result.
type Context interface {
	Encrypt(plaintext []byte, f framing.Format) ([]byte, error)
	Decrypt(ciphertext []byte) ([]byte, error)
	Sign(data []byte, f framing.Format) ([]byte, error)
	// Verify reports whether signature is one of data. A signature that is
	// merely wrong is false, not an error.
	Verify(data, signature []byte) (bool, error)
	Wrap(key []byte) ([]byte, error)
	Unwrap(wrapped []byte) ([]byte, error)
}

// DecryptTo is Decrypt of c for whoever decrypts one after the other: the
// plaintext is put into the memory of buf, if there is enough of it. buf and
// ciphertext must not share memory.
func DecryptTo(c Context, buf, ciphertext []byte) ([]byte, error) {
	if s, ok := c.(*Symmetric); ok {
		return s.decrypt(buf, ciphertext)
	}
	plaintext, err := c.Decrypt(ciphertext)
	if err != nil {
		return nil, err
	}
	return append(buf[:0], plaintext...), nil // it may be ciphertext itself
}
