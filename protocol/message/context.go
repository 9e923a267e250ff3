package message

import (
	"strconv"

	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// sessionContext is the context of the session keys of t. Its key ID is made of
// the name of the entity that the token was given to, and which of its tokens
// it is (spec 02).
func sessionContext(identity string, t *token.MasterToken, keys mslcrypto.SessionKeys) (mslcrypto.Context, error) {
	return mslcrypto.NewSession(identity+"_"+strconv.FormatInt(t.Sequence, 10), keys)
}

// heldContext is the context of a token that was given to us.
func heldContext(h *token.Held) (mslcrypto.Context, error) {
	return sessionContext(h.Self.Identity, h.Token, h.Keys)
}

// exchangeEntity is the entity of a header as key exchanges see it: what its
// data says on the wire. A PROVISIONED entity has no name there.
func exchangeEntity(d entityauth.Data) token.Entity {
	return entityauth.EntityOf(d)
}
