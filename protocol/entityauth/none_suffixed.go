package entityauth

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const noneSuffixedName = "NONE_SUFFIXED"

// NoneSuffixed is the scheme of several stacks, each with tokens of its own, that
// share the name of one entity and prove nothing (spec 05 section 4.3). Policy is
// that of the root.
type NoneSuffixed struct {
	// Reserved is as in [None]; it is asked about the whole identity.
	Reserved func(ctx context.Context, identity string) bool
}

// Name is "NONE_SUFFIXED".
func (NoneSuffixed) Name() string { return noneSuffixedName }

// Encrypts is false.
func (NoneSuffixed) Encrypts() bool { return false }

// Protects is false.
func (NoneSuffixed) Protects() bool { return false }

// NoneSuffixedData is a name in two parts.
type NoneSuffixedData struct{ root, suffix string }

// NewNoneSuffixedData names an entity.
func NewNoneSuffixedData(root, suffix string) NoneSuffixedData {
	return NoneSuffixedData{root, suffix}
}

// Scheme is "NONE_SUFFIXED".
func (NoneSuffixedData) Scheme() string { return noneSuffixedName }

// Identity is root.suffix.
func (d NoneSuffixedData) Identity() string { return d.root + "." + d.suffix }

// AuthData is {"root": string, "suffix": string}.
func (d NoneSuffixedData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"root": d.root, "suffix": d.suffix}, nil
}

// Parse reads {"root": string, "suffix": string}.
func (NoneSuffixed) Parse(authdata framing.Object) (Data, error) {
	root, err := member[string](authdata, "root")
	if err != nil {
		return nil, err
	}
	suffix, err := member[string](authdata, "suffix")
	if err != nil {
		return nil, err
	}
	return NoneSuffixedData{root, suffix}, nil
}

// Context is the one that does nothing.
func (s NoneSuffixed) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	entity, ok := d.(NoneSuffixedData)
	if !ok {
		return nil, wrongData(s, d)
	}
	if err := p.Check(ctx, entity.root, noneSuffixedName); err != nil {
		return nil, err
	}
	return nullContext(ctx, entity.Identity(), s.Reserved)
}
