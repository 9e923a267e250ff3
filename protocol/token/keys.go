package token

import (
	"slices"
	"sync"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// Keys is the ring of keys with which a service makes its master tokens and user
// ID tokens: a primary one, and older ones whose tokens are still good. It is
// the same at all servers of the service. Safe for concurrent use. A nil ring,
// as a holder of tokens has it, verifies nothing.
//
// Whoever has these keys reads all session keys in all tokens (W-01): rotate
// them often, and keep old ones no longer than their tokens live.
type Keys struct {
	mu       sync.RWMutex
	contexts []mslcrypto.Context // primary first; replaced as a whole, never changed
}

// NewKeys makes a ring; tokens are made with primary.
func NewKeys(primary mslcrypto.Context, older ...mslcrypto.Context) *Keys {
	return &Keys{contexts: slices.Concat([]mslcrypto.Context{primary}, older)}
}

func (k *Keys) all() []mslcrypto.Context {
	if k == nil {
		return nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.contexts
}

// Primary is the context that makes new tokens, nil if the ring is.
func (k *Keys) Primary() mslcrypto.Context {
	if all := k.all(); len(all) > 0 {
		return all[0]
	}
	return nil
}

// minting is the primary context of who needs one.
func (k *Keys) minting() (mslcrypto.Context, error) {
	if c := k.Primary(); c != nil {
		return c, nil
	}
	return nil, internal("no token keys to make tokens with")
}

// Rotate makes primary the new primary context and keeps at most keep older ones.
func (k *Keys) Rotate(primary mslcrypto.Context, keep int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	older := k.contexts[:min(max(keep, 0), len(k.contexts))]
	k.contexts = slices.Concat([]mslcrypto.Context{primary}, older)
}

// Verify returns the context that made signature, nil if none did.
func (k *Keys) Verify(data, signature []byte) (mslcrypto.Context, error) {
	var first error
	for _, c := range k.all() {
		ok, err := c.Verify(data, signature)
		if ok && err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// Unwrap unwraps what the primary context wrapped, or an older one while it was
// primary: the wrapping keys of the ladder key exchanges. The error is the
// primary context's.
func (k *Keys) Unwrap(wrapped []byte) ([]byte, error) {
	var first error
	for _, c := range k.all() {
		key, err := c.Unwrap(wrapped)
		if err == nil {
			return key, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = &mslerr.Error{Code: mslerr.UnwrapNotSupported}
	}
	return nil, first
}
