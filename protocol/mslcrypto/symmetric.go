package mslcrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// SymmetricKeys are the keys of a [Symmetric] context. Any may be missing: then
// the context cannot do what it is for.
type SymmetricKeys struct {
	Encryption         Key    // AES: 16, 24 or 32 bytes
	Signature          Key    // HMAC: any length but 0; AES-CMAC: an AES key
	SignatureAlgorithm string // [HMACSHA256] if empty, or [AESCMAC]
	Wrapping           Key    // AES
}

// Symmetric encrypts with AES-CBC into envelopes of version 1, signs with
// HMAC-SHA256 or AES-CMAC, and wraps with AES key wrap (spec 02 section 4).
type Symmetric struct {
	unsupported
	keyID      string
	encryption cipher.Block
	signature  mac
	wrapping   cipher.Block
}

// mac computes a message authentication code; safe for concurrent use.
type mac interface {
	size() int
	sum(data []byte) []byte
}

// NewSymmetric makes a context. keyID stands in its envelopes; by convention it
// is the identity of a pre-shared key's entity. A key that cannot be one is
// mslerr.InvalidEncryptionKey, mslerr.InvalidHMACKey or
// mslerr.InvalidWrappingKey; an algorithm that is not known,
// mslerr.UnidentifiedAlgorithm.
func NewSymmetric(keyID string, keys SymmetricKeys) (*Symmetric, error) {
	s := &Symmetric{keyID: keyID}
	var err error
	if len(keys.Encryption) > 0 {
		if s.encryption, err = aes.NewCipher(keys.Encryption); err != nil {
			return nil, mslerr.Wrap(mslerr.InvalidEncryptionKey, err)
		}
	}
	if len(keys.Signature) > 0 {
		if s.signature, err = newMAC(keys.SignatureAlgorithm, keys.Signature); err != nil {
			return nil, err
		}
	}
	if len(keys.Wrapping) > 0 {
		if s.wrapping, err = aes.NewCipher(keys.Wrapping); err != nil {
			return nil, mslerr.Wrap(mslerr.InvalidWrappingKey, err)
		}
	}
	return s, nil
}

// NewSession makes the context of a master token's session keys, both of which
// must be there. It wraps nothing. keyID is from [SessionKeyID].
func NewSession(keys SessionKeys, keyID string) (*Symmetric, error) {
	if len(keys.Encryption) == 0 {
		return nil, mslerr.New(mslerr.InvalidEncryptionKey, "no session encryption key")
	}
	if len(keys.Signature) == 0 {
		return nil, mslerr.New(mslerr.InvalidHMACKey, "no session signature key")
	}
	return NewSymmetric(keyID, SymmetricKeys{
		Encryption:         keys.Encryption,
		Signature:          keys.Signature,
		SignatureAlgorithm: keys.SignatureAlgorithm,
	})
}

// SessionKeyID is the key ID of session keys: the identity their master token
// names, if it is known, and the token's sequence number (spec 02 section 2.1).
func SessionKeyID(identity string, sequence int64) string {
	n := strconv.FormatInt(sequence, 10)
	if identity == "" {
		return n
	}
	return identity + "_" + n
}

// Encrypt encrypts with a fresh IV and returns the envelope. Empty plaintext
// gives an envelope with empty ciphertext.
func (s *Symmetric) Encrypt(plaintext []byte, f framing.Format) ([]byte, error) {
	if s.encryption == nil {
		return nil, notSupported(mslerr.EncryptNotSupported)
	}
	iv := make([]byte, aes.BlockSize)
	rand.Read(iv) // never fails
	buf := ciphertexts.Get().(*[]byte)
	defer ciphertexts.Put(buf)
	*buf = encryptCBC((*buf)[:0], s.encryption, iv, plaintext)
	e := Envelope{Version: 1, KeyID: s.keyID, IV: iv, Ciphertext: *buf}
	return e.Encode(f)
}

// ciphertexts are buffers for what stands between plaintext and envelope.
var ciphertexts = sync.Pool{New: func() any { return new([]byte) }}

// encryptCBC appends the ciphertext of plaintext to dst. Whole blocks go
// straight from one to the other; only the padded last one is copied.
func encryptCBC(dst []byte, block cipher.Block, iv, plaintext []byte) []byte {
	if len(plaintext) == 0 {
		return dst
	}
	whole := len(plaintext) &^ (aes.BlockSize - 1)
	total := whole + aes.BlockSize
	if cap(dst)-len(dst) < total {
		dst = append(make([]byte, 0, len(dst)+total), dst...)
	}
	out := dst[len(dst):][:total]
	mode := cipher.NewCBCEncrypter(block, iv)
	if whole > 0 { // an empty input must not meet an overlap check
		mode.CryptBlocks(out[:whole], plaintext[:whole])
	}
	last := out[whole:]
	n := copy(last, plaintext[whole:])
	for i := n; i < aes.BlockSize; i++ {
		last[i] = byte(aes.BlockSize - n)
	}
	mode.CryptBlocks(last, last)
	return dst[:len(dst)+total]
}

// Decrypt opens an envelope of version 1. One with no ciphertext is empty
// plaintext. Errors: mslerr.CiphertextEnvelopeParseError, also for no bytes,
// mslerr.CiphertextIllegalBlockSize, mslerr.CiphertextBadPadding,
// mslerr.InvalidAlgorithmParams, mslerr.InvalidIV. They tell apart what an
// attacker must not be told (W-15): whoever answers to them over a network says
// less. A signature is checked before anything is decrypted.
func (s *Symmetric) Decrypt(ciphertext []byte) ([]byte, error) {
	return s.decrypt([]byte{}, ciphertext)
}

func (s *Symmetric) decrypt(buf, ciphertext []byte) ([]byte, error) {
	if s.encryption == nil {
		return nil, notSupported(mslerr.DecryptNotSupported)
	}
	e, err := openEnvelope(buf, ciphertext)
	if err != nil {
		return nil, err
	}
	return decryptCBC(s.encryption, e)
}

// decryptCBC decrypts in place: nobody else has the bytes of a parsed envelope.
func decryptCBC(block cipher.Block, e *Envelope) ([]byte, error) {
	switch n := len(e.Ciphertext); {
	case n == 0:
		return []byte{}, nil
	case e.IV == nil:
		return nil, mslerr.New(mslerr.InvalidIV, "envelope without initialization vector")
	case len(e.IV) != aes.BlockSize:
		return nil, mslerr.New(mslerr.InvalidAlgorithmParams, "initialization vector of %d bytes, not %d", len(e.IV), aes.BlockSize)
	case n%aes.BlockSize != 0:
		return nil, mslerr.New(mslerr.CiphertextIllegalBlockSize, "ciphertext of %d bytes is not a multiple of %d", n, aes.BlockSize)
	}
	plaintext := e.Ciphertext
	cipher.NewCBCDecrypter(block, e.IV).CryptBlocks(plaintext, plaintext)
	n := paddingLength(plaintext)
	if n == 0 {
		clear(plaintext)
		return nil, mslerr.New(mslerr.CiphertextBadPadding, "ciphertext is damaged or of another key")
	}
	return plaintext[:len(plaintext)-n], nil
}

// paddingLength is the length of the PKCS #7 padding, 0 if it is wrong. It looks
// at the whole last block, whatever it finds.
func paddingLength(plaintext []byte) int {
	last := plaintext[len(plaintext)-aes.BlockSize:]
	n := int(last[aes.BlockSize-1])
	good := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, aes.BlockSize)
	for i, b := range last {
		padding := subtle.ConstantTimeLessOrEq(aes.BlockSize-n, i)
		good &= subtle.ConstantTimeSelect(padding, subtle.ConstantTimeByteEq(b, byte(n)), 1)
	}
	return subtle.ConstantTimeSelect(good, n, 0)
}

// Sign returns the bare MAC of data.
func (s *Symmetric) Sign(data []byte, _ framing.Format) ([]byte, error) {
	if s.signature == nil {
		return nil, notSupported(mslerr.SignNotSupported)
	}
	return s.signature.sum(data), nil
}

// Verify compares in constant time. It accepts signature envelopes of both
// versions; a signature of another length is false.
func (s *Symmetric) Verify(data, signature []byte) (bool, error) {
	if s.signature == nil {
		return false, notSupported(mslerr.VerifyNotSupported)
	}
	bare := bareSignature(signature, s.signature.size())
	return hmac.Equal(s.signature.sum(data), bare), nil
}

// Wrap wraps a key, a positive multiple of 8 bytes (RFC 3394, no envelope).
func (s *Symmetric) Wrap(key []byte) ([]byte, error) {
	if s.wrapping == nil {
		return nil, notSupported(mslerr.WrapNotSupported)
	}
	return wrapKey(s.wrapping, key)
}

// Unwrap undoes Wrap. What was not wrapped with this key is mslerr.UnwrapError.
func (s *Symmetric) Unwrap(wrapped []byte) ([]byte, error) {
	if s.wrapping == nil {
		return nil, notSupported(mslerr.UnwrapNotSupported)
	}
	return unwrapKey(s.wrapping, wrapped, mslerr.UnwrapError)
}

func newMAC(algorithm string, key Key) (mac, error) {
	switch algorithm {
	case "", HMACSHA256:
		return newHMAC(key), nil
	case AESCMAC:
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, mslerr.Wrap(mslerr.InvalidHMACKey, err)
		}
		return newCMAC(block), nil
	}
	if err := CheckSignatureAlgorithm(algorithm); err != nil {
		return nil, err
	}
	return nil, mslerr.New(mslerr.InvalidHMACKey, "%s does not sign with a symmetric key", algorithm)
}

// hmacSHA256 keeps a computation that has its key already set up. One is enough:
// most contexts have one user, or live no longer than a message.
type hmacSHA256 struct {
	key   Key
	spare atomic.Pointer[hash.Hash] // nil: in use, or not made yet
}

func newHMAC(key Key) *hmacSHA256 { return &hmacSHA256{key: bytes.Clone(key)} }

func (m *hmacSHA256) size() int { return sha256.Size }

func (m *hmacSHA256) sum(data []byte) []byte {
	h := m.spare.Swap(nil)
	if h == nil {
		fresh := hmac.New(sha256.New, m.key)
		h = &fresh
	} else {
		(*h).Reset()
	}
	(*h).Write(data)
	out := (*h).Sum(make([]byte, 0, sha256.Size))
	m.spare.Store(h)
	return out
}
