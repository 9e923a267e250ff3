// Package userauth has the user authentication schemes (spec 06), one file
// each. A scheme is a value in a configuration; adding one edits nothing else.
package userauth

import (
	"context"
	"errors"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// Data is user authentication data: credentials, or what stands for them.
type Data interface {
	Scheme() string
	AuthData(f framing.Format) (framing.Object, error)
}

// A Scheme knows one kind of credentials. Schemes may be used concurrently.
type Scheme interface {
	Name() string
	// Parse reads the "authdata" member.
	Parse(authdata framing.Object) (Data, error)
	// Authenticate says which user the credentials prove, for the entity that
	// sent them. accompanying is the user ID token of the same message, or
	// nil; it must name the same user.
	Authenticate(ctx context.Context, entity token.Entity, d Data, accompanying *token.UserIDToken, p Policy) (token.User, error)
}

// Policy is the deployment's word on users. The zero value allows everything.
type Policy struct {
	// PermittedEntity says whether credentials of a scheme are taken from an entity.
	PermittedEntity func(ctx context.Context, entity token.Entity, scheme string) bool
	// PermittedUser says the same for a user of the entity.
	PermittedUser func(ctx context.Context, entity token.Entity, user token.User, scheme string) bool
}

// CheckEntity is what a scheme asks first: mslerr.UserAuthEntityIncorrectData.
func (p Policy) CheckEntity(ctx context.Context, entity token.Entity, scheme string) error {
	if p.PermittedEntity == nil || p.PermittedEntity(ctx, entity, scheme) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return mslerr.New(mslerr.UserAuthEntityIncorrectData, "scheme %s", scheme)
}

// CheckUser is what a scheme asks when it knows the user:
// mslerr.UserAuthEntityUserIncorrectData.
func (p Policy) CheckUser(ctx context.Context, entity token.Entity, user token.User, scheme string) error {
	if p.PermittedUser == nil || p.PermittedUser(ctx, entity, user, scheme) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return mslerr.New(mslerr.UserAuthEntityUserIncorrectData, "scheme %s", scheme)
}

// CheckAccompanying is what a scheme asks last: the user ID token of the same
// message, if there is one, names the same user, else
// mslerr.UserIDTokenUserAuthDataMismatch.
func CheckAccompanying(accompanying *token.UserIDToken, user token.User) error {
	if accompanying != nil && accompanying.User() != user {
		return mslerr.New(mslerr.UserIDTokenUserAuthDataMismatch, "the user ID token names another user")
	}
	return nil
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
func wrongData(scheme string, d Data) error {
	return mslerr.New(mslerr.InternalException, "scheme %s was given data %T", scheme, d)
}

// member is a mandatory member of user authentication data.
func member[T framing.Value](o framing.Object, name string) (T, error) {
	v, err := framing.Get[T](o, name)
	if err != nil {
		return v, mslerr.Wrap(mslerr.ParseError, err)
	}
	return v, nil
}
