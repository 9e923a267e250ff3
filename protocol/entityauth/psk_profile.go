package entityauth

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const pskProfileName = "PSK_PROFILE"

// PSKProfile is the scheme of several entities, the profiles, that share one set
// of pre-shared keys (spec 05 section 4.1). Policy and keys are those of the key
// set's name; profiles of one key set can speak for each other.
//
// The identity is name and profile joined by "-", which is ambiguous: names in
// the store should hold no "-", or no name should be another's with a suffix.
type PSKProfile struct {
	Keys PSKStore
}

// Name is "PSK_PROFILE".
func (PSKProfile) Name() string { return pskProfileName }

// Encrypts is true.
func (PSKProfile) Encrypts() bool { return true }

// Protects is true.
func (PSKProfile) Protects() bool { return true }

// PSKProfileData names a set of pre-shared keys and a profile of it.
type PSKProfileData struct{ pskID, profile string }

// NewPSKProfileData names an entity.
func NewPSKProfileData(pskID, profile string) PSKProfileData { return PSKProfileData{pskID, profile} }

// Scheme is "PSK_PROFILE".
func (PSKProfileData) Scheme() string { return pskProfileName }

// Identity is pskid-profile.
func (d PSKProfileData) Identity() string { return d.pskID + "-" + d.profile }

// AuthData is {"pskid": string, "profile": string}.
func (d PSKProfileData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"pskid": d.pskID, "profile": d.profile}, nil
}

// Parse reads {"pskid": string, "profile": string}.
func (PSKProfile) Parse(authdata framing.Object) (Data, error) {
	pskID, err := member[string](authdata, "pskid")
	if err != nil {
		return nil, err
	}
	profile, err := member[string](authdata, "profile")
	if err != nil {
		return nil, err
	}
	return PSKProfileData{pskID, profile}, nil
}

// Context finds the keys of the set: mslerr.EntityNotFound.
func (s PSKProfile) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	entity, ok := d.(PSKProfileData)
	if !ok {
		return nil, wrongData(s, d)
	}
	return s.Keys.context(ctx, entity.pskID, entity.Identity(), pskProfileName, p)
}
