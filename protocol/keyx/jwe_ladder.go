package keyx

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strconv"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// JWELadder is the [Ladder] that wraps with JSON Web Encryption.
type JWELadder Ladder

var jweRung = rung{
	name:      "JWE_LADDER",
	withUsage: true,
	keyID:     randomKeyID,
	wrapping: func(key mslcrypto.Context) wrapper {
		return &mslcrypto.JWE{Key: key, Algorithm: mslcrypto.JWEA128KW}
	},
}

// Name is "JWE_LADDER".
func (JWELadder) Name() string { return jweRung.name }

// Offer asks for keys under the newest wrapping key, then under the pre-shared one.
func (s JWELadder) Offer(ctx context.Context, _ Parties) ([]Offer, error) {
	return Ladder(s).offer(ctx, jweRung)
}

// ParseRequest reads a request.
func (JWELadder) ParseRequest(keydata framing.Object) (Request, error) { return jweRung.parse(keydata) }

// Answer makes session keys and the next wrapping key.
func (s JWELadder) Answer(ctx context.Context, r Request, p Parties) (*Answer, error) {
	return Ladder(s).answer(ctx, jweRung, r, p)
}

// Complete unwraps the session keys and keeps the next wrapping key.
func (s JWELadder) Complete(ctx context.Context, o Offer, keydata framing.Object, p Parties) (*Result, error) {
	return Ladder(s).complete(ctx, jweRung, o, keydata, p)
}

// randomKeyID is a random signed number, which receivers ignore.
func randomKeyID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return strconv.FormatInt(int64(binary.BigEndian.Uint64(b[:])), 10)
}
