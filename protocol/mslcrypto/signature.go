package mslcrypto

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// The signature algorithms that have a name on the wire (spec 02 section 10).
const (
	HMACSHA256    = "HmacSHA256"
	SHA256WithRSA = "SHA256withRSA"
	AESCMAC       = "AESCmac"
)

// CheckSignatureAlgorithm says whether name is one of them:
// mslerr.UnidentifiedAlgorithm.
func CheckSignatureAlgorithm(name string) error {
	switch name {
	case HMACSHA256, SHA256WithRSA, AESCMAC:
		return nil
	}
	return mslerr.New(mslerr.UnidentifiedAlgorithm, "signature algorithm %.64q", name)
}

// Members of a signature envelope of version 2 (spec 02 section 5):
//
//	{"version": 2, "algorithm": string, "signature": binary}
//
// Version 1 is the bytes of the signature and nothing else.
const (
	memberAlgorithm = "algorithm"
	memberSignature = "signature"
)

// SignatureEnvelope is a signature envelope of version 2. Contexts verify it and
// never write it.
type SignatureEnvelope struct {
	Algorithm string // a note: the context's key decides
	Signature []byte
}

// Encode encodes the envelope.
func (e *SignatureEnvelope) Encode(f framing.Format) ([]byte, error) {
	if err := CheckSignatureAlgorithm(e.Algorithm); err != nil {
		return nil, err
	}
	out, err := f.Append(nil, framing.Object{
		memberVersion:   int64(2),
		memberAlgorithm: e.Algorithm,
		memberSignature: e.Signature,
	})
	if err != nil {
		return nil, mslerr.Wrap(mslerr.SignatureEnvelopeEncodeError, err)
	}
	return out, nil
}

// ParseSignatureEnvelope reads an envelope that is known to be of version 2.
// Errors: mslerr.ParseError, mslerr.UnsupportedSignatureEnvelope,
// mslerr.UnidentifiedSignatureEnvelope, mslerr.UnidentifiedAlgorithm.
func ParseSignatureEnvelope(data []byte) (*SignatureEnvelope, error) {
	o, err := framing.Decode(data)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	switch v, err := framing.Get[int64](o, memberVersion); {
	case err != nil:
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	case v == 1:
		return nil, mslerr.New(mslerr.UnsupportedSignatureEnvelope, "version 1")
	case v != 2:
		return nil, mslerr.New(mslerr.UnidentifiedSignatureEnvelope, "version %d", v)
	}
	e := new(SignatureEnvelope)
	if e.Algorithm, err = framing.Get[string](o, memberAlgorithm); err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	if err := CheckSignatureAlgorithm(e.Algorithm); err != nil {
		return nil, err
	}
	if e.Signature, err = framing.Get[[]byte](o, memberSignature); err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	return e, nil
}

// bareSignature is the signature in an envelope of either version: whatever is
// not a sound version 2 is a signature itself. size is the length of the
// context's own signatures: bytes of that length cannot hold an envelope around
// one, and need not be parsed.
func bareSignature(envelope []byte, size int) []byte {
	if len(envelope) <= size {
		return envelope
	}
	e, err := ParseSignatureEnvelope(envelope)
	if err != nil {
		return envelope
	}
	return e.Signature
}
