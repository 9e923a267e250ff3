package entityauth

import (
	"context"
	"crypto/rsa"
	"fmt"
	"log/slog"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const rsaName = "RSA"

// RSA is the scheme of entities with a registered RSA key (spec 05 section 4.2).
// It signs headers with RSASSA-PKCS1-v1_5 and SHA-256 and does not encrypt them.
type RSA struct {
	// Self and Private are our own name, key ID and key; zero if we have none.
	Self    RSAData
	Private *rsa.PrivateKey
	// Keys are the public keys of others.
	Keys KeyStore[*rsa.PublicKey]
}

// Name is "RSA".
func (RSA) Name() string { return rsaName }

// Encrypts is false.
func (RSA) Encrypts() bool { return false }

// Protects is true.
func (RSA) Protects() bool { return true }

// Format shows whose key it is, never the key.
func (s RSA) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.LogValue().String())) }

// LogValue shows whose key it is, never the key.
func (s RSA) LogValue() slog.Value { return slog.StringValue(rsaName + " " + s.Self.identity) }

// RSAData is a name and the ID of the key that proves it.
type RSAData struct{ keyData }

// NewRSAData names an entity.
func NewRSAData(identity, keyID string) RSAData { return RSAData{keyData{identity, keyID}} }

// Scheme is "RSA".
func (RSAData) Scheme() string { return rsaName }

// Parse reads {"identity": string, "pubkeyid": string}.
func (RSA) Parse(authdata framing.Object) (Data, error) {
	d, err := parseKeyData(authdata)
	if err != nil {
		return nil, err
	}
	return RSAData{d}, nil
}

// Context signs and verifies for ourselves, mslerr.RSAPrivateKeyNotFound if we have
// no key, and verifies for others: mslerr.RSAPublicKeyNotFound, also when the key
// does not speak for the name.
func (s RSA) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	entity, ok := d.(RSAData)
	if !ok {
		return nil, wrongData(s, d)
	}
	if err := p.Check(ctx, entity.identity, rsaName); err != nil {
		return nil, err
	}
	if entity == s.Self {
		if s.Private == nil {
			return nil, mslerr.New(mslerr.RSAPrivateKeyNotFound, "no private key of our own")
		}
		return &mslcrypto.RSASigning{Private: s.Private, Public: &s.Private.PublicKey}, nil
	}
	public, err := s.Keys.find(ctx, entity.keyID, entity.identity, mslerr.RSAPublicKeyNotFound)
	if err != nil {
		return nil, err
	}
	return &mslcrypto.RSASigning{Public: public}, nil
}
