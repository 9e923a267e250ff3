package mslcrypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// Expander is HKDF-Expand with SHA-256 (RFC 5869 section 2.3) of one secret, for
// several outputs of up to 32 bytes: their first block is all of them, and the
// key of HMAC is set up once. One goroutine at a time may use it.
type Expander struct {
	hidden
	mac hash.Hash
}

// NewExpander begins with a secret, which may be erased then.
func NewExpander(secret Key) Expander { return Expander{mac: hmac.New(sha256.New, secret)} }

// Expand is Expand(secret, info, length).
func (e Expander) Expand(info string, length int) Key {
	e.mac.Reset()
	e.mac.Write(append([]byte(info), 1))
	return e.mac.Sum(make([]byte, 0, sha256.Size))[:length]
}
