package message

import (
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// sessionContext is the context of the session keys of t, which names identity.
func sessionContext(identity string, t *token.MasterToken, keys mslcrypto.SessionKeys) (mslcrypto.Context, error) {
	c, err := mslcrypto.NewSession(keys, mslcrypto.SessionKeyID(identity, t.Sequence))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// heldContext is the context of a token that was given to us.
func heldContext(h *token.Held) (mslcrypto.Context, error) {
	return sessionContext(h.Self.Identity, h.Token, h.Keys)
}

// own is a token of our own issue as its holder would keep it.
func own(t *token.MasterToken) *token.Held {
	return &token.Held{Token: t, Keys: t.SessionKeys(), Self: entityOfToken(t)}
}
