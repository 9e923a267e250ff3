package token

import "github.com/mslgo/msl/protocol/mslcrypto"

// Keys is the ring of keys with which a service makes its master tokens and user
// ID tokens: a primary one, and older ones whose tokens are still good. It is
// the same at all servers of the service. Safe for concurrent use.
type Keys struct{ contexts []mslcrypto.Context }

// NewKeys makes a ring; tokens are made with primary.
func NewKeys(primary mslcrypto.Context, older ...mslcrypto.Context) *Keys { panic("unbuilt") }

// Primary is the context that makes new tokens.
func (k *Keys) Primary() mslcrypto.Context { panic("unbuilt") }

// Rotate makes primary the new primary context and keeps at most keep older ones.
func (k *Keys) Rotate(primary mslcrypto.Context, keep int) { panic("unbuilt") }

// Verify returns the context that made signature, nil if none did.
func (k *Keys) Verify(data, signature []byte) (mslcrypto.Context, error) { panic("unbuilt") }
