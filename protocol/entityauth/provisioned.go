package entityauth

import (
	"context"
	"strings"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const provisionedName = "PROVISIONED"

// Provisioned is the scheme of entities that are given their name by the other
// side (spec 05 section 4.4). Policy is not asked: there is no name yet.
type Provisioned struct {
	// Next gives the next free identity. Nil: at a client, whose name stays empty.
	Next func(ctx context.Context) (string, error)
}

// Name is "PROVISIONED".
func (Provisioned) Name() string { return provisionedName }

// Encrypts is false.
func (Provisioned) Encrypts() bool { return false }

// Protects is false.
func (Provisioned) Protects() bool { return false }

// ProvisionedData asks for a name, and has it once it is given.
type ProvisionedData struct {
	mu       sync.Mutex
	identity string
}

// NewProvisionedData asks for a name.
func NewProvisionedData() *ProvisionedData { return new(ProvisionedData) }

// Scheme is "PROVISIONED".
func (*ProvisionedData) Scheme() string { return provisionedName }

// Identity is "" until a name is given.
func (d *ProvisionedData) Identity() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identity
}

// AuthData is {}.
func (*ProvisionedData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{}, nil
}

// Parse reads {}; members are ignored.
func (Provisioned) Parse(framing.Object) (Data, error) { return new(ProvisionedData), nil }

// Context gives d its name, when it has none and [Provisioned.Next] is set: once
// per message, however often it is called. The context does nothing.
func (s Provisioned) Context(ctx context.Context, d Data, _ Policy) (mslcrypto.Context, error) {
	entity, ok := d.(*ProvisionedData)
	if !ok {
		return nil, wrongData(s, d)
	}
	entity.mu.Lock()
	defer entity.mu.Unlock()
	if s.Next != nil && entity.identity == "" {
		identity, err := s.Next(ctx)
		if err != nil {
			return nil, lookupError(ctx, mslerr.InternalException, err)
		}
		if strings.HasPrefix(identity, FingerprintPrefix) {
			return nil, mslerr.New(mslerr.InternalException, "a name starting with %q was provisioned", FingerprintPrefix)
		}
		entity.identity = identity
	}
	return mslcrypto.Null{}, nil
}
