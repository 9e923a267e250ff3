package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// symmetric is a set of symmetric keys.
type symmetric struct{ EncryptionKey, HMACKey, WrappingKey []byte }

func (k symmetric) context(t testing.TB, keyID string) mslcrypto.Context {
	t.Helper()
	c, err := mslcrypto.NewSymmetric(keyID, mslcrypto.SymmetricKeys{Encryption: k.EncryptionKey, Signature: k.HMACKey, Wrapping: k.WrappingKey})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keyPair is an asymmetric key in DER.
type keyPair struct {
	Public  []byte `json:"publickey_spki"`
	Private []byte `json:"privatekey_pkcs8"`
}

// keys is keys.json.
type keys struct {
	PSK           map[string]symmetric
	TokenKeys     map[string]symmetric `json:"token_issuer_keys"`
	ServiceTokens map[string]symmetric `json:"service_token_keys"`
	RSA           map[string]keyPair   `json:"rsa_by_public_key_id"`
	ECC           map[string]keyPair   `json:"ecc_by_public_key_id"`
	X509          struct {
		Authority []byte `json:"trusted_authority_certificate"`
		Client    []byte `json:"client_certificate"`
		Private   []byte `json:"client_privatekey_pkcs8"`
	}
	DH map[string]struct {
		P string `json:"p_hex"`
		G string `json:"g_hex"`
	} `json:"diffie_hellman_parameters"`
	Users []struct {
		Email, Password string
		User            token.User
	}
	Entities map[string]struct{ Scheme, Identity, PubKeyID string }
}

func loadKeys(t testing.TB, path string) *keys {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k := new(keys)
	if err := json.Unmarshal(data, k); err != nil {
		t.Fatal(err)
	}
	return k
}

func privateKey[K any](t testing.TB, der []byte) K {
	t.Helper()
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k.(K)
}

func publicKey[K any](t testing.TB, der []byte) K {
	t.Helper()
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return k.(K)
}

// registered is the store of the public keys of a scheme, with the entities that
// keys.json lists for them.
func registered[K any](t testing.TB, k *keys, pairs map[string]keyPair) entityauth.KeyStore[K] {
	t.Helper()
	store := make(map[string]entityauth.Registered[K])
	for id, pair := range pairs {
		r := entityauth.Registered[K]{Key: publicKey[K](t, pair.Public)}
		for _, e := range k.Entities {
			if e.PubKeyID == id {
				r.Identities = append(r.Identities, e.Identity)
			}
		}
		store[id] = r
	}
	return entityauth.StaticKeys(store)
}

func (k *keys) psks() entityauth.PSK {
	store := make(map[string]entityauth.PSKKeys)
	for id, s := range k.PSK {
		store[id] = entityauth.PSKKeys{Encryption: s.EncryptionKey, HMAC: s.HMACKey, Wrapping: s.WrappingKey}
	}
	return entityauth.PSK{Keys: entityauth.StaticPSKs(store)}
}

func (k *keys) tokenKeys(t testing.TB, issuer string) *token.Keys {
	t.Helper()
	s, ok := k.TokenKeys[issuer]
	if !ok {
		t.Fatalf("no token keys of %q", issuer)
	}
	return token.NewKeys(s.context(t, issuer))
}

// serviceContexts are the keys for service tokens. Some files write "default" for
// the empty name.
func serviceContexts(t testing.TB, sets map[string]symmetric) token.ServiceContexts {
	t.Helper()
	contexts := make(token.ServiceContexts)
	for name, s := range sets {
		if name == "default" {
			name = ""
		}
		contexts[name] = s.context(t, name)
	}
	return contexts
}

// entityAuth is every entity authentication scheme, with the keys of the vectors.
func (k *keys) entityAuth(t testing.TB, issuer *token.Keys, session func(*token.MasterToken) mslcrypto.Context, now func() time.Time) entityauth.Schemes {
	t.Helper()
	authority, err := x509.ParseCertificate(k.X509.Authority)
	if err != nil {
		t.Fatal(err)
	}
	psk := k.psks()
	schemes := entityauth.Schemes{
		psk, entityauth.PSKProfile(psk),
		entityauth.RSA{Keys: registered[*rsa.PublicKey](t, k, k.RSA)},
		entityauth.ECC{Keys: registered[*ecdsa.PublicKey](t, k, k.ECC)},
		entityauth.X509{Roots: []*x509.Certificate{authority}, Now: now},
		entityauth.None{}, entityauth.NoneSuffixed{},
		entityauth.Provisioned{Next: func(context.Context) (string, error) { return "assigned", nil }},
		entityauth.NewEd25519(nil),
	}
	return append(schemes, entityauth.MTProtected{Inner: schemes, Keys: issuer, Session: session})
}

func (k *keys) userAuth(issuer *token.Keys) userauth.Schemes {
	return userauth.Schemes{
		userauth.EmailPassword{Check: func(_ context.Context, email, password string) (token.User, error) {
			for _, u := range k.Users {
				if u.Email == email && u.Password == password {
					return u.User, nil
				}
			}
			return "", errors.New("no such user")
		}},
		userauth.UserIDToken{Keys: issuer},
	}
}

// keyExchange is every key exchange scheme, as an issuer has it.
func (k *keys) keyExchange(t testing.TB, issuer *token.Keys) keyx.Schemes {
	t.Helper()
	psk := k.psks().WithPolicy(entityauth.Policy{})
	dh := keyx.DiffieHellman{}
	for id, p := range k.DH {
		dh.Parameters = append(dh.Parameters, keyx.DHParameters{ID: id, P: number(t, p.P), G: number(t, p.G)})
	}
	return keyx.Schemes{
		keyx.HPKE{}, dh, keyx.AsymmetricWrapped{InsecurePKCS1: true}, keyx.SymmetricWrapped{PSK: psk},
		keyx.JWELadder{PSK: psk, TokenKeys: issuer}, keyx.JWKLadder{PSK: psk, TokenKeys: issuer},
	}
}
