package mslcrypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"

	"github.com/mslgo/msl/mslerr"
)

// wrapChunk is the unit of RFC 3394; wrapped keys are one longer than the key.
const wrapChunk = 8

var wrapIV = [wrapChunk]byte{0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6, 0xA6}

// wrapKey is AES key wrap (RFC 3394 section 2.2.1).
func wrapKey(block cipher.Block, key []byte) ([]byte, error) {
	if len(key) == 0 || len(key)%wrapChunk != 0 {
		return nil, mslerr.New(mslerr.PlaintextIllegalBlockSize, "key of %d bytes is not a positive multiple of %d", len(key), wrapChunk)
	}
	n := len(key) / wrapChunk
	out := make([]byte, wrapChunk+len(key))
	copy(out[wrapChunk:], key)
	b := make([]byte, aes.BlockSize)
	copy(b, wrapIV[:])
	for t := range uint64(6 * n) {
		r := out[wrapChunk*(1+int(t)%n):][:wrapChunk]
		copy(b[wrapChunk:], r)
		block.Encrypt(b, b)
		copy(r, b[wrapChunk:])
		binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)^(t+1))
	}
	copy(out, b[:wrapChunk])
	return out, nil
}

// unwrapKey undoes wrapKey (RFC 3394 section 2.2.2). What was not made with this
// key fails with the given code.
func unwrapKey(block cipher.Block, wrapped []byte, integrity mslerr.Code) ([]byte, error) {
	if len(wrapped)%wrapChunk != 0 {
		return nil, mslerr.New(mslerr.CiphertextIllegalBlockSize, "wrapped key of %d bytes is not a multiple of %d", len(wrapped), wrapChunk)
	}
	n := len(wrapped)/wrapChunk - 1
	if n < 1 {
		return nil, mslerr.New(integrity, "wrapped key of %d bytes is too short", len(wrapped))
	}
	out := make([]byte, n*wrapChunk)
	copy(out, wrapped[wrapChunk:])
	b := make([]byte, aes.BlockSize)
	copy(b, wrapped[:wrapChunk])
	for t := uint64(6 * n); t > 0; t-- {
		r := out[wrapChunk*(int(t-1)%n):][:wrapChunk]
		binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)^t)
		copy(b[wrapChunk:], r)
		block.Decrypt(b, b)
		copy(r, b[wrapChunk:])
	}
	if subtle.ConstantTimeCompare(b[:wrapChunk], wrapIV[:]) != 1 {
		clear(out)
		return nil, mslerr.New(integrity, "not wrapped with this key")
	}
	return out, nil
}

// AESWrapping wraps keys with a bare AES key, such as the one a ladder made
// (spec 02 section 6.2). It can do nothing else.
type AESWrapping struct {
	unsupported
	block cipher.Block
}

// NewAESWrapping takes an AES key of 16, 24 or 32 bytes; else
// mslerr.InvalidWrappingKey.
func NewAESWrapping(key Key) (*AESWrapping, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InvalidWrappingKey, err)
	}
	return &AESWrapping{block: block}, nil
}

// Wrap wraps key, a positive multiple of 8 bytes.
func (w *AESWrapping) Wrap(key []byte) ([]byte, error) { return wrapKey(w.block, key) }

// Unwrap undoes Wrap. What was not wrapped with this key is
// mslerr.InvalidSymmetricKey, unlike with [Symmetric].
func (w *AESWrapping) Unwrap(wrapped []byte) ([]byte, error) {
	return unwrapKey(w.block, wrapped, mslerr.InvalidSymmetricKey)
}
