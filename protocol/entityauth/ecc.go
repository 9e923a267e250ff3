package entityauth

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"log/slog"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const eccName = "ECC"

// ECC is the scheme of entities with a registered ECC key (spec 05 section 4.2).
// It signs headers with ECDSA and SHA-256 and does not encrypt them.
type ECC struct {
	// Self and Private are our own name, key ID and key; zero if we have none.
	Self    ECCData
	Private *ecdsa.PrivateKey
	// Keys are the public keys of others.
	Keys KeyStore[*ecdsa.PublicKey]
}

// Name is "ECC".
func (ECC) Name() string { return eccName }

// Encrypts is false.
func (ECC) Encrypts() bool { return false }

// Protects is true.
func (ECC) Protects() bool { return true }

// Format shows whose key it is, never the key.
func (s ECC) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.LogValue().String())) }

// LogValue shows whose key it is, never the key.
func (s ECC) LogValue() slog.Value { return slog.StringValue(eccName + " " + s.Self.identity) }

// ECCData is a name and the ID of the key that proves it.
type ECCData struct{ keyData }

// NewECCData names an entity.
func NewECCData(identity, keyID string) ECCData { return ECCData{keyData{identity, keyID}} }

// Scheme is "ECC".
func (ECCData) Scheme() string { return eccName }

// Parse reads {"identity": string, "pubkeyid": string}.
func (ECC) Parse(authdata framing.Object) (Data, error) {
	d, err := parseKeyData(authdata)
	if err != nil {
		return nil, err
	}
	return ECCData{d}, nil
}

// Context signs and verifies for ourselves, mslerr.ECCPrivateKeyNotFound if we have
// no key, and verifies for others: mslerr.ECCPublicKeyNotFound, also when the key
// does not speak for the name.
func (s ECC) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	entity, ok := d.(ECCData)
	if !ok {
		return nil, wrongData(s, d)
	}
	if err := p.Check(ctx, entity.identity, eccName); err != nil {
		return nil, err
	}
	if entity == s.Self {
		if s.Private == nil {
			return nil, mslerr.New(mslerr.ECCPrivateKeyNotFound, "no private key of our own")
		}
		return &mslcrypto.ECDSASigning{Private: s.Private, Public: &s.Private.PublicKey}, nil
	}
	public, err := s.Keys.find(ctx, entity.keyID, entity.identity, mslerr.ECCPublicKeyNotFound)
	if err != nil {
		return nil, err
	}
	return &mslcrypto.ECDSASigning{Public: public}, nil
}
