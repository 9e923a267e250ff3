package token

import (
	"time"

	"github.com/mslgo/msl/framing"
)

// UserIDToken names a user, bound to a master token (spec 03 section 2).
// Tokens are immutable.
type UserIDToken struct {
	RenewalWindow     time.Time
	Expiration        time.Time
	MasterTokenSerial int64
	Serial            int64

	tokendata, signature []byte
	verified             bool
	user                 User
	issuerData           framing.Object
}

// UserIDTokenSpec is what a new user ID token is to say.
type UserIDTokenSpec struct {
	RenewalWindow, Expiration time.Time
	Serial                    int64
	User                      User
	IssuerData                framing.Object
}

// MintUserIDToken makes a token bound to mt.
func MintUserIDToken(s UserIDTokenSpec, mt *MasterToken, keys *Keys, f framing.Format) (*UserIDToken, error) {
	panic("unbuilt")
}

// ParseUserIDToken reads a token, which must be bound to mt:
// mslerr.UserIDTokenMasterTokenMismatch.
func ParseUserIDToken(o framing.Object, mt *MasterToken, keys *Keys) (*UserIDToken, error) {
	panic("unbuilt")
}

// Object is the token as it travels: the received bytes, unchanged.
func (t *UserIDToken) Object() framing.Object { panic("unbuilt") }

// Verified says whether our own token keys made it.
func (t *UserIDToken) Verified() bool { return t.verified }

// User is the user; "" unless verified.
func (t *UserIDToken) User() User { return t.user }

// IssuerData is what the issuer noted; nil if nothing or unless verified.
func (t *UserIDToken) IssuerData() framing.Object { return t.issuerData }

// Equal compares the serial numbers.
func (t *UserIDToken) Equal(o *UserIDToken) bool { panic("unbuilt") }

// BoundTo says whether t is bound to mt.
func (t *UserIDToken) BoundTo(mt *MasterToken) bool { panic("unbuilt") }

// Renewable and Expired are as for master tokens.
func (t *UserIDToken) Renewable(now time.Time) bool { panic("unbuilt") }

// Expired says whether t is expired at now.
func (t *UserIDToken) Expired(now time.Time) bool { panic("unbuilt") }
