package entityauth

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const noneName = "NONE"

// None is the scheme of entities that prove nothing (spec 05 section 4.3).
// Anybody can use any name that is not reserved.
type None struct {
	// Reserved says that a name belongs to an entity of a scheme that proves
	// something, such as all registered ones: it is refused with
	// mslerr.IncorrectEntityAuthData (channel set-up, X1). Fingerprints of
	// Ed25519 keys are always refused. Nil: no other name is reserved.
	Reserved func(ctx context.Context, identity string) bool
}

// Name is "NONE".
func (None) Name() string { return noneName }

// Encrypts is false.
func (None) Encrypts() bool { return false }

// Protects is false.
func (None) Protects() bool { return false }

// NoneData is a mere name.
type NoneData struct{ identity string }

// NewNoneData names an entity.
func NewNoneData(identity string) NoneData { return NoneData{identity} }

// Scheme is "NONE".
func (NoneData) Scheme() string { return noneName }

// Identity is the name.
func (d NoneData) Identity() string { return d.identity }

// AuthData is {"identity": string}.
func (d NoneData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"identity": d.identity}, nil
}

// Parse reads {"identity": string}.
func (None) Parse(authdata framing.Object) (Data, error) {
	identity, err := member[string](authdata, "identity")
	if err != nil {
		return nil, err
	}
	return NoneData{identity}, nil
}

// Context is the one that does nothing.
func (s None) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	none, ok := d.(NoneData)
	if !ok {
		return nil, wrongData(s, d)
	}
	if err := p.Check(ctx, none.identity, noneName); err != nil {
		return nil, err
	}
	return nullContext(ctx, none.identity, s.Reserved)
}

// nullContext is the context of an unproved name, unless the name is somebody's.
func nullContext(ctx context.Context, identity string, reserved func(context.Context, string) bool) (mslcrypto.Context, error) {
	if reserved != nil && reserved(ctx, identity) {
		return nil, mslerr.New(mslerr.IncorrectEntityAuthData, "the name belongs to an entity that proves it")
	}
	return mslcrypto.Null{}, nil
}
