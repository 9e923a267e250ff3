package token

import (
	"bytes"
	"fmt"
	"log/slog"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// MasterToken names an entity and carries its session keys, readable for the
// issuer only (spec 03 section 1). Tokens are immutable.
//
//	tokendata    {"renewalwindow": int, "expiration": int, "sequencenumber": int,
//	              "serialnumber": int, "sessiondata": binary}
//	sessiondata  {"issuerdata": object, "identity": string,
//	              "encryptionkey": binary, "encryptionalgorithm": string,
//	              "hmackey": binary, "signaturekey": binary, "signaturealgorithm": string}
//
// sessiondata is encrypted with the issuer's token keys. hmackey is the old name
// of signaturekey; issuerdata may be absent, and in old tokens the algorithms.
type MasterToken struct {
	RenewalWindow time.Time // whole seconds
	Expiration    time.Time
	Sequence      int64
	Serial        int64

	sealed
	verified   bool
	identity   string
	keys       mslcrypto.SessionKeys
	issuerData framing.Object
}

const (
	memberSessionData         = "sessiondata"
	memberEncryptionKey       = "encryptionkey"
	memberEncryptionAlgorithm = "encryptionalgorithm"
	memberHMACKey             = "hmackey"
	memberSignatureKey        = "signaturekey"
	memberSignatureAlgorithm  = "signaturealgorithm"

	algorithmAES = "AES" // the only encryption algorithm with a name on the wire
)

// MasterTokenSpec is what a new master token is to say.
type MasterTokenSpec struct {
	RenewalWindow, Expiration time.Time
	Sequence, Serial          int64
	Identity                  string
	Keys                      mslcrypto.SessionKeys
	IssuerData                framing.Object // nil: none
}

// MintMasterToken makes a token with the primary token keys. A spec that no
// token could be read from is mslerr.InternalException.
func MintMasterToken(s MasterTokenSpec, keys *Keys, f framing.Format) (*MasterToken, error) {
	if !inRange(s.Sequence) || !inRange(s.Serial) {
		return nil, internal("master token number out of range: serial %d, sequence %d", s.Serial, s.Sequence)
	}
	if _, err := mslcrypto.NewSession(s.Keys, ""); err != nil {
		return nil, internal("session keys of a new master token: %w", err)
	}
	if s.Keys.SignatureAlgorithm == "" {
		s.Keys.SignatureAlgorithm = mslcrypto.HMACSHA256
	}
	tokendata := framing.Object{memberSequenceNumber: s.Sequence, memberSerialNumber: s.Serial}
	if err := setTimes(tokendata, s.RenewalWindow, s.Expiration); err != nil {
		return nil, err
	}
	sessiondata := framing.Object{
		memberIdentity:            s.Identity,
		memberEncryptionKey:       []byte(s.Keys.Encryption),
		memberEncryptionAlgorithm: algorithmAES,
		memberHMACKey:             []byte(s.Keys.Signature),
		memberSignatureKey:        []byte(s.Keys.Signature),
		memberSignatureAlgorithm:  s.Keys.SignatureAlgorithm,
	}
	if s.IssuerData != nil {
		sessiondata[memberIssuerData] = s.IssuerData
	}
	context, err := keys.minting()
	if err != nil {
		return nil, err
	}
	if tokendata[memberSessionData], err = encrypt(sessiondata, context, f); err != nil {
		return nil, err
	}
	sealed, err := seal(tokendata, context, f)
	if err != nil {
		return nil, err
	}
	return &MasterToken{
		RenewalWindow: time.Unix(s.RenewalWindow.Unix(), 0),
		Expiration:    time.Unix(s.Expiration.Unix(), 0),
		Sequence:      s.Sequence,
		Serial:        s.Serial,
		sealed:        sealed,
		verified:      true,
		identity:      s.Identity,
		keys:          cloneKeys(s.Keys),
		issuerData:    s.IssuerData,
	}, nil
}

// encrypt encodes and encrypts the private part of a token.
func encrypt(o framing.Object, c mslcrypto.Context, f framing.Format) ([]byte, error) {
	plaintext, err := f.Append(nil, o)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.EncodeError, err)
	}
	return c.Encrypt(plaintext, f)
}

func cloneKeys(k mslcrypto.SessionKeys) mslcrypto.SessionKeys {
	k.Encryption, k.Signature = bytes.Clone(k.Encryption), bytes.Clone(k.Signature)
	return k
}

// ParseMasterToken reads a token. With keys nil, as at a client, or when none of
// them made it, the token is not verified, which is no error.
func ParseMasterToken(o framing.Object, keys *Keys) (*MasterToken, error) {
	t := new(MasterToken)
	var err error
	if t.sealed, err = parseSealed(o, mslerr.MasterTokenTokenDataMissing); err != nil {
		return nil, err
	}
	context, err := keys.Verify(t.tokendata, t.signature)
	if err != nil {
		return nil, err
	}
	sessiondata, err := t.parseTokenData()
	if err != nil {
		return nil, err
	}
	if context == nil {
		return t, nil
	}
	plaintext, err := context.Decrypt(sessiondata)
	if err != nil {
		return nil, err
	}
	if err := t.parseSessionData(plaintext); err != nil {
		return nil, err
	}
	t.verified = true
	return t, nil
}

// parseTokenData checks each member as it comes, in the order of spec 03
// section 1.1.
func (t *MasterToken) parseTokenData() (sessiondata []byte, err error) {
	const malformed = mslerr.MasterTokenTokenDataParseError
	o, err := framing.Decode(t.tokendata)
	if err != nil {
		return nil, mslerr.Wrap(malformed, err)
	}
	t.RenewalWindow, t.Expiration, err = getTimes(o, malformed, mslerr.MasterTokenExpiresBeforeRenewal)
	if err != nil {
		return nil, err
	}
	if t.Sequence, err = getNumber(o, memberSequenceNumber, malformed, mslerr.MasterTokenSequenceNumberOutOfRange); err != nil {
		return nil, err
	}
	if t.Serial, err = getNumber(o, memberSerialNumber, malformed, mslerr.MasterTokenSerialNumberOutOfRange); err != nil {
		return nil, err
	}
	if sessiondata, err = framing.Get[[]byte](o, memberSessionData); err != nil {
		return nil, mslerr.Wrap(malformed, err)
	}
	if len(sessiondata) == 0 {
		return nil, &mslerr.Error{Code: mslerr.MasterTokenSessionDataMissing}
	}
	return sessiondata, nil
}

func (t *MasterToken) parseSessionData(plaintext []byte) error {
	const malformed = mslerr.MasterTokenSessionDataParseError
	o, err := framing.Decode(plaintext)
	if err != nil {
		return mslerr.Wrap(malformed, err)
	}
	if t.issuerData, _, err = framing.Opt[framing.Object](o, memberIssuerData); err != nil {
		return mslerr.Wrap(malformed, err)
	}
	if t.identity, err = framing.Get[string](o, memberIdentity); err != nil {
		return mslerr.Wrap(malformed, err)
	}
	encryption, err := framing.Get[[]byte](o, memberEncryptionKey)
	if err != nil {
		return mslerr.Wrap(malformed, err)
	}
	algorithm, present, err := framing.Opt[string](o, memberEncryptionAlgorithm)
	if err != nil {
		return mslerr.Wrap(malformed, err)
	}
	signature, named, err := framing.Opt[[]byte](o, memberSignatureKey)
	if err == nil && !named {
		signature, err = framing.Get[[]byte](o, memberHMACKey)
	}
	if err != nil {
		return mslerr.Wrap(malformed, err)
	}
	signatureAlgorithm, signaturePresent, err := framing.Opt[string](o, memberSignatureAlgorithm)
	if err != nil {
		return mslerr.Wrap(malformed, err)
	}

	if present && algorithm != algorithmAES {
		return mslerr.New(mslerr.UnidentifiedAlgorithm, "encryption algorithm %.64q", algorithm)
	}
	if !signaturePresent {
		signatureAlgorithm = mslcrypto.HMACSHA256
	} else if err := mslcrypto.CheckSignatureAlgorithm(signatureAlgorithm); err != nil {
		return err
	}
	t.keys = mslcrypto.SessionKeys{
		Encryption:         encryption,
		Signature:          signature,
		SignatureAlgorithm: signatureAlgorithm,
	}
	if _, err := mslcrypto.NewSession(t.keys, ""); err != nil {
		return &mslerr.Error{Code: mslerr.MasterTokenKeyCreationError, Err: err}
	}
	return nil
}

// A SealedMasterToken is a master token of which only the serial number lies open:
// a third of the memory, for who seldom needs the rest. The zero value is none.
type SealedMasterToken struct {
	Serial int64
	sealed
}

// Sealed is the token without what was read from it.
func (t *MasterToken) Sealed() SealedMasterToken { return SealedMasterToken{t.Serial, t.sealed} }

// IsZero says whether there is no token.
func (t SealedMasterToken) IsZero() bool { return t.tokendata == nil }

// Open reads the token again, as [ParseMasterToken] does: it is not verified if
// the keys that made it are gone.
func (t SealedMasterToken) Open(keys *Keys) (*MasterToken, error) {
	return ParseMasterToken(t.Object(), keys)
}

// Verified says whether our own token keys made it; only then are Identity,
// SessionKeys and IssuerData known.
func (t *MasterToken) Verified() bool { return t.verified }

// Identity is the entity the token names; "" unless verified.
func (t *MasterToken) Identity() string { return t.identity }

// SessionKeys are the keys inside; zero unless verified. They must not be
// modified.
func (t *MasterToken) SessionKeys() mslcrypto.SessionKeys { return t.keys }

// IssuerData is what the issuer noted; nil if nothing or unless verified. It
// must not be modified.
func (t *MasterToken) IssuerData() framing.Object { return t.issuerData }

// Equal compares serial number, sequence number and expiration. Only nil equals
// nil.
func (t *MasterToken) Equal(o *MasterToken) bool {
	if t == nil || o == nil {
		return t == o
	}
	return t.Serial == o.Serial && t.Sequence == o.Sequence && t.Expiration.Unix() == o.Expiration.Unix()
}

// wrapZone is how far behind MaxNumber, or ahead of 0, sequence numbers are
// taken to have wrapped.
const wrapZone = 127

// NewerThan says whether t was issued after o, with sequence numbers that wrap
// (spec 03 section 1.6). Serial numbers do not count.
func (t *MasterToken) NewerThan(o *MasterToken) bool {
	switch {
	case t.Sequence == o.Sequence:
		return t.Expiration.Unix() > o.Expiration.Unix()
	case t.Sequence > o.Sequence:
		return o.Sequence >= t.Sequence-MaxNumber+wrapZone
	default:
		return t.Sequence < o.Sequence-MaxNumber+wrapZone
	}
}

// Renewable says whether the renewal window is open at now. The zero time means
// that the issuer's clock is unknown: then a token of others is renewable.
func (t *MasterToken) Renewable(now time.Time) bool {
	return passed(t.RenewalWindow, t.verified, now, true)
}

// Expired says whether t is expired at now; with the zero time a token of others is not.
func (t *MasterToken) Expired(now time.Time) bool {
	return passed(t.Expiration, t.verified, now, false)
}

// String names the token by its numbers.
func (t *MasterToken) String() string {
	return fmt.Sprintf("master token %d/%d", t.Serial, t.Sequence)
}

// Format prints no more than String, whatever the verb.
func (t *MasterToken) Format(f fmt.State, _ rune) { printNumbers(f, t) }

// LogValue logs the numbers of the token.
func (t *MasterToken) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("serial", t.Serial), slog.Int64("sequence", t.Sequence))
}
