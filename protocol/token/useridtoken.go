package token

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// UserIDToken names a user, bound to a master token (spec 03 section 2).
// Tokens are immutable.
//
//	tokendata  {"renewalwindow": int, "expiration": int, "mtserialnumber": int,
//	            "serialnumber": int, "userdata": binary}
//	userdata   {"issuerdata": object, "identity": string}
//
// userdata is encrypted with the issuer's token keys; issuerdata may be absent.
type UserIDToken struct {
	RenewalWindow     time.Time // whole seconds
	Expiration        time.Time
	MasterTokenSerial int64
	Serial            int64

	sealed
	verified   bool
	user       User
	issuerData framing.Object
}

const memberUserData = "userdata"

// UserIDTokenSpec is what a new user ID token is to say.
type UserIDTokenSpec struct {
	RenewalWindow, Expiration time.Time
	Serial                    int64
	User                      User
	IssuerData                framing.Object // nil: none
}

// MintUserIDToken makes a token bound to mt with the primary token keys. A spec
// that no token could be read from is mslerr.InternalException.
func MintUserIDToken(s UserIDTokenSpec, mt *MasterToken, keys *Keys, f framing.Format) (*UserIDToken, error) {
	switch {
	case mt == nil:
		return nil, internal("user ID token without a master token")
	case s.User == "":
		return nil, internal("user ID token without a user")
	case !inRange(s.Serial):
		return nil, internal("user ID token serial number %d is out of range", s.Serial)
	}
	tokendata := framing.Object{memberMasterTokenSerial: mt.Serial, memberSerialNumber: s.Serial}
	if err := setTimes(tokendata, s.RenewalWindow, s.Expiration); err != nil {
		return nil, err
	}
	userdata := framing.Object{memberIdentity: string(s.User)}
	if s.IssuerData != nil {
		userdata[memberIssuerData] = s.IssuerData
	}
	context, err := keys.minting()
	if err != nil {
		return nil, err
	}
	if tokendata[memberUserData], err = encrypt(userdata, context, f); err != nil {
		return nil, err
	}
	sealed, err := seal(tokendata, context, f)
	if err != nil {
		return nil, err
	}
	return &UserIDToken{
		RenewalWindow:     time.Unix(s.RenewalWindow.Unix(), 0),
		Expiration:        time.Unix(s.Expiration.Unix(), 0),
		MasterTokenSerial: mt.Serial,
		Serial:            s.Serial,
		sealed:            sealed,
		verified:          true,
		user:              s.User,
		issuerData:        s.IssuerData,
	}, nil
}

// ParseUserIDToken reads a token, which must be bound to mt:
// mslerr.UserIDTokenMasterTokenMismatch. With keys nil, as at a client, or when
// none of them made it, the token is not verified, which is no error.
func ParseUserIDToken(o framing.Object, mt *MasterToken, keys *Keys) (*UserIDToken, error) {
	t := new(UserIDToken)
	var err error
	if t.sealed, err = parseSealed(o, mslerr.UserIDTokenTokenDataMissing); err != nil {
		return nil, err
	}
	context, err := keys.Verify(t.tokendata, t.signature)
	if err != nil {
		return nil, err
	}
	userdata, err := t.parseTokenData()
	if err != nil {
		return nil, err
	}
	if context != nil {
		plaintext, err := context.Decrypt(userdata)
		if err != nil {
			return nil, err
		}
		if err := t.parseUserData(plaintext); err != nil {
			return nil, err
		}
		t.verified = true
	}
	if !t.BoundTo(mt) { // last, whether verified or not
		return nil, mslerr.New(mslerr.UserIDTokenMasterTokenMismatch, "bound to serial number %d", t.MasterTokenSerial)
	}
	return t, nil
}

// parseTokenData checks each member as it comes, in the order of spec 03
// section 2.1.
func (t *UserIDToken) parseTokenData() (userdata []byte, err error) {
	const malformed = mslerr.UserIDTokenTokenDataParseError
	o, err := framing.Decode(t.tokendata)
	if err != nil {
		return nil, mslerr.Wrap(malformed, err)
	}
	t.RenewalWindow, t.Expiration, err = getTimes(o, malformed, mslerr.UserIDTokenExpiresBeforeRenewal)
	if err != nil {
		return nil, err
	}
	if t.MasterTokenSerial, err = getNumber(o, memberMasterTokenSerial, malformed, mslerr.UserIDTokenMasterTokenSerialNumberOutOfRange); err != nil {
		return nil, err
	}
	if t.Serial, err = getNumber(o, memberSerialNumber, malformed, mslerr.UserIDTokenSerialNumberOutOfRange); err != nil {
		return nil, err
	}
	if userdata, err = framing.Get[[]byte](o, memberUserData); err != nil {
		return nil, mslerr.Wrap(malformed, err)
	}
	if len(userdata) == 0 {
		return nil, &mslerr.Error{Code: mslerr.UserIDTokenUserDataMissing}
	}
	return userdata, nil
}

func (t *UserIDToken) parseUserData(plaintext []byte) error {
	const malformed = mslerr.UserIDTokenUserDataParseError
	o, err := framing.Decode(plaintext)
	if err != nil {
		return mslerr.Wrap(malformed, err)
	}
	if t.issuerData, _, err = framing.Opt[framing.Object](o, memberIssuerData); err != nil {
		return mslerr.Wrap(malformed, err)
	}
	identity, err := framing.Get[string](o, memberIdentity)
	if err != nil {
		return mslerr.Wrap(malformed, err)
	}
	if identity == "" {
		return mslerr.New(mslerr.UserIDTokenIdentityInvalid, "empty")
	}
	t.user = User(identity)
	return nil
}

// Verified says whether our own token keys made it.
func (t *UserIDToken) Verified() bool { return t.verified }

// User is the user; "" unless verified.
func (t *UserIDToken) User() User { return t.user }

// IssuerData is what the issuer noted; nil if nothing or unless verified. It
// must not be modified.
func (t *UserIDToken) IssuerData() framing.Object { return t.issuerData }

// Equal compares the serial numbers, its own and its master token's. Only nil
// equals nil.
func (t *UserIDToken) Equal(o *UserIDToken) bool {
	if t == nil || o == nil {
		return t == o
	}
	return t.Serial == o.Serial && t.MasterTokenSerial == o.MasterTokenSerial
}

// BoundTo says whether t is bound to mt, which may be nil.
func (t *UserIDToken) BoundTo(mt *MasterToken) bool {
	return mt != nil && mt.Serial == t.MasterTokenSerial
}

// Renewable and Expired are as for master tokens.
func (t *UserIDToken) Renewable(now time.Time) bool {
	return passed(t.RenewalWindow, t.verified, now, true)
}

// Expired says whether t is expired at now.
func (t *UserIDToken) Expired(now time.Time) bool {
	return passed(t.Expiration, t.verified, now, false)
}

// String names the token by its numbers.
func (t *UserIDToken) String() string {
	return fmt.Sprintf("user ID token %d/%d", t.MasterTokenSerial, t.Serial)
}

// Format prints no more than String, whatever the verb.
func (t *UserIDToken) Format(f fmt.State, _ rune) { printNumbers(f, t) }

// LogValue logs the numbers of the token.
func (t *UserIDToken) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("mtserial", t.MasterTokenSerial), slog.Int64("serial", t.Serial))
}
