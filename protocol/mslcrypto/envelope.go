package mslcrypto

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// Members of ciphertext envelopes (spec 02 section 3).
//
//	version 1  {"keyid": string, "iv": binary, "ciphertext": binary, "sha256": binary}
//	version 2  {"version": 2, "cipherspec": string, "iv": binary, "ciphertext": binary}
//
// iv is absent where the cipher has none. Version 1 names no version; its
// sha256 must be there and means nothing.
const (
	memberVersion    = "version"
	memberKeyID      = "keyid"
	memberIV         = "iv"
	memberCiphertext = "ciphertext"
	memberSHA256     = "sha256"
	memberCipherSpec = "cipherspec"
)

// The cipher specifications of envelopes of version 2.
const (
	CipherAESCBC   = "AES/CBC/PKCS5Padding"
	CipherAESWrap  = "AESWrap"
	CipherRSAPKCS1 = "RSA/ECB/PKCS1Padding"
)

// anySHA256 is what encoders of version 1 put where a digest once was.
var anySHA256 = []byte{0}

// Envelope is a ciphertext envelope. All contexts write and read version 1;
// version 2 is defined by MSL, but sent by nobody.
type Envelope struct {
	Version    int    // 1 or 2
	KeyID      string // version 1: which key, as a note for humans; nobody checks it
	CipherSpec string // version 2
	IV         []byte // nil: the cipher has none
	Ciphertext []byte
}

// Encode encodes the envelope.
func (e *Envelope) Encode(f framing.Format) ([]byte, error) {
	o := framing.Object{memberCiphertext: e.Ciphertext}
	if e.Ciphertext == nil {
		o[memberCiphertext] = []byte{}
	}
	switch e.Version {
	case 1:
		o[memberKeyID] = e.KeyID
		o[memberSHA256] = anySHA256
	case 2:
		if err := checkCipherSpec(e.CipherSpec); err != nil {
			return nil, err
		}
		o[memberVersion] = int64(2)
		o[memberCipherSpec] = e.CipherSpec
	default:
		return nil, mslerr.New(mslerr.UnsupportedCiphertextEnvelope, "version %d", e.Version)
	}
	if e.IV != nil {
		o[memberIV] = e.IV
	}
	out, err := f.Append(nil, o)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.CiphertextEnvelopeEncodeError, err)
	}
	return out, nil
}

// ParseEnvelope reads an envelope of the given version; with version 0 it finds
// out which one it is. Errors: mslerr.ParseError,
// mslerr.UnidentifiedCiphertextEnvelope, mslerr.UnidentifiedCipherSpec.
func ParseEnvelope(data []byte, version int) (*Envelope, error) {
	o, err := framing.Decode(data)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	if version == 0 {
		if version, err = envelopeVersion(o); err != nil {
			return nil, err
		}
	}
	var e *Envelope
	switch version {
	case 1:
		e, err = parseEnvelope1([]byte{}, o)
	case 2:
		e, err = parseEnvelope2(o)
	default:
		return nil, mslerr.New(mslerr.UnsupportedCiphertextEnvelope, "version %d", version)
	}
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	return e, nil
}

// envelopeVersion: no version, or one that is no number, is 1.
func envelopeVersion(o framing.Object) (int, error) {
	switch v, err := framing.Get[int64](o, memberVersion); {
	case err != nil:
		return 1, nil
	case v == 1 || v == 2:
		return int(v), nil
	default:
		return 0, mslerr.New(mslerr.UnidentifiedCiphertextEnvelope, "version %d", v)
	}
}

// parseEnvelope1 puts the ciphertext into buf, if there is room.
func parseEnvelope1(buf []byte, o framing.Object) (*Envelope, error) {
	e := &Envelope{Version: 1}
	var err error
	if e.KeyID, err = framing.Get[string](o, memberKeyID); err != nil {
		return nil, err
	}
	if e.IV, _, err = framing.Opt[[]byte](o, memberIV); err != nil {
		return nil, err
	}
	if e.Ciphertext, err = framing.AppendBinary(buf[:0], o, memberCiphertext); err != nil {
		return nil, err
	}
	if _, err = framing.Get[[]byte](o, memberSHA256); err != nil {
		return nil, err
	}
	return e, nil
}

func parseEnvelope2(o framing.Object) (*Envelope, error) {
	e := &Envelope{Version: 2}
	v, err := framing.Get[int64](o, memberVersion)
	if err != nil {
		return nil, err
	}
	if v != 2 {
		return nil, mslerr.New(mslerr.UnidentifiedCiphertextEnvelope, "version %d is not 2", v)
	}
	if e.CipherSpec, err = framing.Get[string](o, memberCipherSpec); err != nil {
		return nil, err
	}
	if err := checkCipherSpec(e.CipherSpec); err != nil {
		return nil, err
	}
	if e.IV, _, err = framing.Opt[[]byte](o, memberIV); err != nil {
		return nil, err
	}
	if e.Ciphertext, err = framing.Get[[]byte](o, memberCiphertext); err != nil {
		return nil, err
	}
	return e, nil
}

func checkCipherSpec(s string) error {
	switch s {
	case CipherAESCBC, CipherAESWrap, CipherRSAPKCS1:
		return nil
	}
	return mslerr.New(mslerr.UnidentifiedCipherSpec, "%.64q", s)
}

// openEnvelope reads version 1 for a context, whose peers know one code for all
// that may be wrong with it. The ciphertext is put into buf, if there is room.
func openEnvelope(buf, data []byte) (*Envelope, error) {
	o, err := framing.DecodeShared(data)
	if err == nil {
		var e *Envelope
		if e, err = parseEnvelope1(buf, o); err == nil {
			return e, nil
		}
	}
	return nil, &mslerr.Error{Code: mslerr.CiphertextEnvelopeParseError, Err: err}
}
