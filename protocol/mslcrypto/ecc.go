package mslcrypto

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// ECDSASigning signs with ECDSA and SHA-256; data passes unencrypted and without
// an envelope. Signatures are written as ASN.1 DER and read also in the fixed
// length form r || s of IEEE P1363, which browsers make. Either key may be
// missing.
type ECDSASigning struct {
	unsupported
	Private *ecdsa.PrivateKey
	Public  *ecdsa.PublicKey
}

// Encrypt returns plaintext itself.
func (*ECDSASigning) Encrypt(plaintext []byte, _ framing.Format) ([]byte, error) {
	return plaintext, nil
}

// Decrypt returns ciphertext itself.
func (*ECDSASigning) Decrypt(ciphertext []byte) ([]byte, error) { return ciphertext, nil }

// Sign returns the bare signature in DER.
func (c *ECDSASigning) Sign(data []byte, _ framing.Format) ([]byte, error) {
	if c.Private == nil {
		return nil, notSupported(mslerr.SignNotSupported)
	}
	digest := sha256.Sum256(data)
	signature, err := ecdsa.SignASN1(rand.Reader, c.Private, digest[:])
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InvalidPrivateKey, err)
	}
	return signature, nil
}

// Verify accepts signature envelopes of both versions, and in them both forms of
// a signature. What has neither form is mslerr.SignatureError.
func (c *ECDSASigning) Verify(data, signature []byte) (bool, error) {
	if c.Public == nil {
		return false, notSupported(mslerr.VerifyNotSupported)
	}
	size := (c.Public.Params().N.BitLen() + 7) / 8
	bare := signature
	if len(bare) != 2*size {
		bare = bareSignature(signature, 2*size)
	}
	if len(bare) == 2*size && !isDERSignature(bare) {
		var err error
		if bare, err = encodeDERSignature(bare[:size], bare[size:]); err != nil {
			return false, err
		}
	}
	if !isDERSignature(bare) {
		return false, mslerr.New(mslerr.SignatureError, "%d bytes are no ECDSA signature", len(bare))
	}
	digest := sha256.Sum256(data)
	return ecdsa.VerifyASN1(c.Public, digest[:], bare), nil
}

// isDERSignature says whether data is SEQUENCE { r INTEGER, s INTEGER }.
func isDERSignature(data []byte) bool {
	var r, s big.Int
	var inner cryptobyte.String
	input := cryptobyte.String(data)
	return input.ReadASN1(&inner, asn1.SEQUENCE) && input.Empty() &&
		inner.ReadASN1Integer(&r) && inner.ReadASN1Integer(&s) && inner.Empty()
}

func encodeDERSignature(r, s []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(r))
		b.AddASN1BigInt(new(big.Int).SetBytes(s))
	})
	out, err := b.Bytes()
	if err != nil {
		return nil, mslerr.Wrap(mslerr.SignatureError, err)
	}
	return out, nil
}
