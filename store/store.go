// Package store keeps tokens, for those who hold them ([Memory]) and for those
// who issue them ([MemoryIssuer]), until the program ends. Stores that outlive
// it are packages of their own; all pass the tests of package storetest.
package store

import (
	"context"

	"github.com/mslgo/msl/protocol/token"
)

// Issuer is what the issuers of all stores can do: beside [token.Issuer], the
// revocations it answers for. They take effect with the next message under a
// token, and are kept for good before they return.
type Issuer interface {
	token.Issuer
	// RevokeEntity refuses all tokens of e, also new ones:
	// mslerr.MasterTokenIdentityRevoked.
	RevokeEntity(ctx context.Context, e token.Entity) error
	// ReinstateEntity undoes RevokeEntity.
	ReinstateEntity(ctx context.Context, e token.Entity) error
	// RevokeToken refuses the tokens of e with that serial number for ever; e
	// may authenticate itself and get a new one.
	RevokeToken(ctx context.Context, e token.Entity, serial int64) error
	// RevokeUser refuses all user ID tokens of u, also new ones:
	// mslerr.UserIDTokenRevoked.
	RevokeUser(ctx context.Context, u token.User) error
	// ReinstateUser undoes RevokeUser.
	ReinstateUser(ctx context.Context, u token.User) error
}
