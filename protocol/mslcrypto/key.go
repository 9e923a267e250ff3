package mslcrypto

import (
	"fmt"
	"log/slog"
)

// Key is secret key material. However it is printed, it shows nothing.
type Key []byte

const redacted = "[redacted]"

// String hides the key.
func (Key) String() string { return redacted }

// GoString hides the key.
func (Key) GoString() string { return redacted }

// Format hides the key, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the key: keys are stored and sent as bytes, on purpose only.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Erase overwrites the key with zeros.
func (k Key) Erase() { clear(k) }

// hidden is embedded by what holds keys: it prints as redacted, whatever the verb.
type hidden struct{}

// Format hides the keys.
func (hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the keys.
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// SessionKeys are the two keys inside a master token: AES-128 for encryption,
// 32 bytes of HMAC-SHA256 (or an AES-CMAC key) for signatures.
type SessionKeys struct {
	Encryption         Key
	Signature          Key
	SignatureAlgorithm string // "HmacSHA256" if empty, or "AESCmac"
}

// Sizes of new session keys, in bytes (spec 07).
const (
	EncryptionKeySize = 16
	SignatureKeySize  = 32
)
