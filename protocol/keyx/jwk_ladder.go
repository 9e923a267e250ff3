package keyx

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// JWKLadder is the [Ladder] that wraps with AES key wrap.
type JWKLadder Ladder

var jwkRung = rung{
	name:      "JWK_LADDER",
	withUsage: false,
	keyID:     func() string { return "wrapKeyId" },
	wrapping: func(key mslcrypto.Context) wrapper {
		return &mslcrypto.JWKWrapping{Key: key}
	},
}

// Name is "JWK_LADDER".
func (JWKLadder) Name() string { return jwkRung.name }

// Offer asks for keys under the newest wrapping key, then under the pre-shared one.
func (s JWKLadder) Offer(ctx context.Context, _ Parties) ([]Offer, error) {
	return Ladder(s).offer(ctx, jwkRung)
}

// ParseRequest reads a request.
func (JWKLadder) ParseRequest(keydata framing.Object) (Request, error) { return jwkRung.parse(keydata) }

// Answer makes session keys and the next wrapping key.
func (s JWKLadder) Answer(ctx context.Context, r Request, p Parties) (*Answer, error) {
	return Ladder(s).answer(ctx, jwkRung, r, p)
}

// Complete unwraps the session keys and keeps the next wrapping key.
func (s JWKLadder) Complete(ctx context.Context, o Offer, keydata framing.Object, p Parties) (*Result, error) {
	return Ladder(s).complete(ctx, jwkRung, o, keydata, p)
}
