package token

import (
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// MasterToken names an entity and carries its session keys, readable for the
// issuer only (spec 03 section 1). Tokens are immutable.
type MasterToken struct {
	RenewalWindow time.Time // whole seconds
	Expiration    time.Time
	Sequence      int64
	Serial        int64

	tokendata, signature []byte // as received or minted; never encoded again
	verified             bool
	identity             string
	keys                 mslcrypto.SessionKeys
	issuerData           framing.Object
}

// MasterTokenSpec is what a new master token is to say.
type MasterTokenSpec struct {
	RenewalWindow, Expiration time.Time
	Sequence, Serial          int64
	Identity                  string
	Keys                      mslcrypto.SessionKeys
	IssuerData                framing.Object // nil: none
}

// MintMasterToken makes a token with the primary token keys.
func MintMasterToken(s MasterTokenSpec, keys *Keys, f framing.Format) (*MasterToken, error) {
	panic("unbuilt")
}

// ParseMasterToken reads a token. With keys nil, as at a client, or when none of
// them made it, the token is not verified, which is no error.
func ParseMasterToken(o framing.Object, keys *Keys) (*MasterToken, error) { panic("unbuilt") }

// Object is the token as it travels: the received bytes, unchanged.
func (t *MasterToken) Object() framing.Object { panic("unbuilt") }

// Verified says whether our own token keys made it; only then are Identity,
// SessionKeys and IssuerData known.
func (t *MasterToken) Verified() bool { return t.verified }

// Identity is the entity the token names; "" unless verified.
func (t *MasterToken) Identity() string { return t.identity }

// SessionKeys are the keys inside; zero unless verified.
func (t *MasterToken) SessionKeys() mslcrypto.SessionKeys { return t.keys }

// IssuerData is what the issuer noted; nil if nothing or unless verified.
func (t *MasterToken) IssuerData() framing.Object { return t.issuerData }

// Equal compares serial number, sequence number and expiration.
func (t *MasterToken) Equal(o *MasterToken) bool { panic("unbuilt") }

// NewerThan says whether t was issued after o, with sequence numbers that wrap
// (spec 03 section 1.6).
func (t *MasterToken) NewerThan(o *MasterToken) bool { panic("unbuilt") }

// Renewable says whether the renewal window is open at now. The zero time means
// that the issuer's clock is unknown: then a token of others is renewable.
func (t *MasterToken) Renewable(now time.Time) bool { panic("unbuilt") }

// Expired says whether t is expired at now; with the zero time a token of others is not.
func (t *MasterToken) Expired(now time.Time) bool { panic("unbuilt") }
