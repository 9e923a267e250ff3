package entityauth

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// Registered is a public key and the entities it speaks for. The data of schemes
// RSA and ECC names an identity and, apart from it, a key; without this list the
// owner of any registered key could take any name (W-27).
type Registered[K any] struct {
	Key        K
	Identities []string
}

// A KeyStore finds public keys by their ID. An ID without a key is an error: a
// plain one becomes mslerr.RSAPublicKeyNotFound or mslerr.ECCPublicKeyNotFound. A
// store that cannot be reached returns an mslerr.InternalException.
type KeyStore[K any] func(ctx context.Context, keyID string) (Registered[K], error)

// StaticKeys is a store that does not change.
func StaticKeys[K any](keys map[string]Registered[K]) KeyStore[K] {
	keys = maps.Clone(keys)
	return func(_ context.Context, keyID string) (Registered[K], error) {
		k, ok := keys[keyID]
		if !ok {
			return k, errNoKey
		}
		return k, nil
	}
}

var errNoKey = errors.New("no such key")

// find gives the key of that ID if it speaks for identity. Whether the ID or the
// name is wrong is not told (W-15).
func (keys KeyStore[K]) find(ctx context.Context, keyID, identity string, notFound mslerr.Code) (K, error) {
	var zero K
	if keys == nil {
		return zero, mslerr.New(notFound, "no key store")
	}
	k, err := keys(ctx, keyID)
	if err != nil {
		return zero, lookupError(ctx, notFound, err)
	}
	if !slices.Contains(k.Identities, identity) {
		return zero, mslerr.Wrap(notFound, errNoKey)
	}
	return k.Key, nil
}

// StaticPSKs is a store that does not change.
func StaticPSKs(keys map[string]PSKKeys) PSKStore {
	keys = maps.Clone(keys)
	return func(_ context.Context, identity string) (PSKKeys, error) {
		k, ok := keys[identity]
		if !ok {
			return k, errNoKey
		}
		return k, nil
	}
}

// keyData is what [RSAData] and [ECCData] have in common: a name, and the ID of
// the key that is to prove it.
type keyData struct{ identity, keyID string }

// Identity is the entity's name.
func (d keyData) Identity() string { return d.identity }

// KeyID is the ID of its key.
func (d keyData) KeyID() string { return d.keyID }

// AuthData is {"identity": string, "pubkeyid": string}.
func (d keyData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"identity": d.identity, "pubkeyid": d.keyID}, nil
}

func parseKeyData(authdata framing.Object) (keyData, error) {
	identity, err := member[string](authdata, "identity")
	if err != nil {
		return keyData{}, err
	}
	keyID, err := member[string](authdata, "pubkeyid")
	if err != nil {
		return keyData{}, err
	}
	return keyData{identity, keyID}, nil
}
