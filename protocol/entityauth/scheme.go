// Package entityauth has the entity authentication schemes (spec 05), one file
// each. A scheme is a value in a configuration; adding one edits nothing else.
//
// The shipped kinds of [Data] are values that may be compared with ==, so that
// no two different ones count as the same because their names, joined from
// parts, look alike. The exceptions are PROVISIONED and MT_PROTECTED data, which
// are pointers.
package entityauth

import (
	"context"
	"errors"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
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
	// then for its keys, in this order (spec 05 section 3). Bytes that are no
	// header, as in the channel's AUTH and rekey frames, are signed and
	// verified with the same context.
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

// Check asks both questions, revocation first. Schemes whose identity is joined
// from parts ask about the part that has the keys.
func (p Policy) Check(ctx context.Context, identity, scheme string) error {
	if p.Revoked != nil {
		if err := p.Revoked(ctx, identity); err != nil {
			return lookupError(ctx, mslerr.EntityRevoked, err)
		}
	}
	if p.Permitted != nil && !p.Permitted(ctx, identity, scheme) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return mslerr.New(mslerr.IncorrectEntityAuthData, "entity may not use scheme %s", scheme)
	}
	return nil
}

// EntityOf is the entity that d names. Its scheme is the one that proves the name:
// of MT_PROTECTED data that of the data inside, since otherwise a mere name inside
// would count as much as a proved one (channel set-up, X1).
func EntityOf(d Data) token.Entity {
	return token.Entity{Scheme: innermost(d).Scheme(), Identity: d.Identity()}
}

// lookupError gives the error of a callback the code that belongs to its
// failure, unless it is one of MSL's own, or the end of ctx.
func lookupError(ctx context.Context, code mslerr.Code, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c, ok := errors.AsType[mslerr.Code](err); ok {
		return mslerr.Wrap(c, err)
	}
	return mslerr.Wrap(code, err)
}

// wrongData is what a scheme says of data that another one parsed.
func wrongData(s Scheme, d Data) error {
	return mslerr.New(mslerr.InternalException, "scheme %s was given data %T", s.Name(), d)
}

// member is a mandatory member of entity authentication data.
func member[T framing.Value](o framing.Object, name string) (T, error) {
	v, err := framing.Get[T](o, name)
	if err != nil {
		return v, mslerr.Wrap(mslerr.ParseError, err)
	}
	return v, nil
}
