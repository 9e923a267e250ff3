// Package userauth has the user authentication schemes (spec 06), one file
// each. A scheme is a value in a configuration; adding one edits nothing else.
package userauth

import (
	"context"

	"github.com/mslgo/msl/framing"
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

// Schemes is what a network accepts, each name once.
type Schemes []Scheme
