// Package entityauth has the entity authentication schemes (spec 05), one file
// each. A scheme is a value in a configuration; adding one edits nothing else.
package entityauth

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// Data is entity authentication data: who somebody says they are.
type Data interface {
	// Scheme is the scheme's name, such as "PSK".
	Scheme() string
	// Identity is the entity's name under that scheme.
	Identity() string
	// AuthData is the "authdata" member.
	AuthData(f framing.Format) (framing.Object, error)
}

// A Scheme knows one kind of entity authentication data. Schemes may be used
// concurrently.
type Scheme interface {
	Name() string
	// Encrypts says whether a header authenticated this way is encrypted.
	Encrypts() bool
	// Protects says whether its integrity is protected.
	Protects() bool
	// Parse reads the "authdata" member.
	Parse(authdata framing.Object) (Data, error)
	// Context gives the crypto context of an entity, our own or another's,
	// after asking whether it is revoked, whether it may use this scheme, and
	// then for its keys, in this order (spec 05 section 3).
	Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error)
}

// Policy is the deployment's word on entities. The zero value allows everything.
type Policy struct {
	// Revoked returns nil, or the error the entity is to see; a plain error
	// becomes mslerr.EntityRevoked.
	Revoked func(ctx context.Context, identity string) error
	// Permitted says whether an entity may use a scheme; nil means yes.
	Permitted func(ctx context.Context, identity, scheme string) bool
}

// Schemes is what a network accepts, each name once.
type Schemes []Scheme

// EntityOf is the entity that d names.
func EntityOf(d Data) token.Entity {
	return token.Entity{Scheme: d.Scheme(), Identity: d.Identity()}
}
