package entityauth

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const pskName = "PSK"

// PSKKeys are the pre-shared keys of one entity (spec 02 section 9).
type PSKKeys struct {
	Encryption mslcrypto.Key // Kpe: AES-128
	HMAC       mslcrypto.Key // Kph: HMAC-SHA256, 32 bytes
	Wrapping   mslcrypto.Key // Kpw: AES-128; empty: derived from the other two, as is normal
}

// Context is the symmetric context with these keys and the given key ID. A set
// without keys is mslerr.EntityNotFound: a wrapping key derived from nothing would
// be known to everybody.
func (k PSKKeys) Context(keyID string) (mslcrypto.Context, error) {
	if len(k.Encryption) == 0 || len(k.HMAC) == 0 {
		return nil, mslerr.New(mslerr.EntityNotFound, "the set of pre-shared keys is empty")
	}
	wrapping := k.Wrapping
	if len(wrapping) == 0 {
		wrapping = mslcrypto.DeriveWrappingKey(k.Encryption, k.HMAC)
	}
	return mslcrypto.NewSymmetric(keyID, mslcrypto.SymmetricKeys{
		Encryption: k.Encryption, Signature: k.HMAC, Wrapping: wrapping,
	})
}

// PSKStore finds the pre-shared keys of an identity. An identity without keys
// is an error: a plain one becomes mslerr.EntityNotFound. A store that cannot be
// reached returns an mslerr.InternalException, so that it is not taken for that.
type PSKStore func(ctx context.Context, identity string) (PSKKeys, error)

// PSK is the scheme of entities that share keys with us (spec 05 section 4.1).
// It encrypts and protects integrity. Whoever has the keys can speak for both
// sides (W-12): a server should have an asymmetric identity of its own.
type PSK struct {
	Keys PSKStore
}

// Name is "PSK".
func (PSK) Name() string { return pskName }

// Encrypts is true.
func (PSK) Encrypts() bool { return true }

// Protects is true.
func (PSK) Protects() bool { return true }

// PSKData names an entity that has pre-shared keys.
type PSKData struct{ identity string }

// NewPSKData names an entity.
func NewPSKData(identity string) PSKData { return PSKData{identity} }

// Scheme is "PSK".
func (PSKData) Scheme() string { return pskName }

// Identity is the name under which the keys are shared.
func (d PSKData) Identity() string { return d.identity }

// AuthData is {"identity": string}.
func (d PSKData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"identity": d.identity}, nil
}

// Parse reads {"identity": string}.
func (PSK) Parse(authdata framing.Object) (Data, error) {
	identity, err := member[string](authdata, "identity")
	if err != nil {
		return nil, err
	}
	return PSKData{identity}, nil
}

// Context finds the entity's keys: mslerr.EntityNotFound.
func (s PSK) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	psk, ok := d.(PSKData)
	if !ok {
		return nil, wrongData(s, d)
	}
	return s.Keys.context(ctx, psk.identity, psk.identity, pskName, p)
}

// WithPolicy gives the context of an identity under p, whatever scheme
// authenticated it. This is what key exchange schemes that use pre-shared keys
// ask for (spec 07 sections 4 and 5).
func (s PSK) WithPolicy(p Policy) func(ctx context.Context, identity string) (mslcrypto.Context, error) {
	return func(ctx context.Context, identity string) (mslcrypto.Context, error) {
		return s.Context(ctx, PSKData{identity}, p)
	}
}

// context does what PSK and PSK_PROFILE have in common: policy and keys are
// those of pskID, the key ID is the whole identity.
func (keys PSKStore) context(ctx context.Context, pskID, identity, scheme string, p Policy) (mslcrypto.Context, error) {
	if err := p.Check(ctx, pskID, scheme); err != nil {
		return nil, err
	}
	if keys == nil {
		return nil, mslerr.New(mslerr.EntityNotFound, "no store of pre-shared keys")
	}
	k, err := keys(ctx, pskID)
	if err != nil {
		return nil, lookupError(ctx, mslerr.EntityNotFound, err)
	}
	return k.Context(identity)
}
