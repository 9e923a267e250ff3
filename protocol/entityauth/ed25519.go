package entityauth

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const ed25519Name = "ED25519"

// FingerprintPrefix begins the identity of every entity of scheme ED25519, and
// of no other.
const FingerprintPrefix = "ed25519:"

// Fingerprint is the identity that a public key names: 51 characters, the prefix
// and the unpadded base64url form of the key's SHA-256 (channel set-up 4.10).
func Fingerprint(public ed25519.PublicKey) string {
	h := sha256.Sum256(public)
	return FingerprintPrefix + base64.RawURLEncoding.EncodeToString(h[:])
}

// Ed25519 is the scheme of entities named by their Ed25519 key (channel set-up
// 4.10). It signs headers and does not encrypt them. Since the key is part of the
// data and the name is its fingerprint, no store of keys is needed.
type Ed25519 struct {
	private ed25519.PrivateKey
	self    Ed25519Data
}

// NewEd25519 makes the scheme for an entity with the given private key. With nil
// it verifies others and has no identity of its own.
func NewEd25519(private ed25519.PrivateKey) *Ed25519 {
	s := &Ed25519{private: private}
	if private != nil {
		s.self = newEd25519Data(private.Public().(ed25519.PublicKey))
	}
	return s
}

// Self is our own data; the zero value without a private key.
func (s *Ed25519) Self() Ed25519Data { return s.self }

// Name is "ED25519".
func (*Ed25519) Name() string { return ed25519Name }

// Encrypts is false.
func (*Ed25519) Encrypts() bool { return false }

// Protects is true.
func (*Ed25519) Protects() bool { return true }

// Format shows whose key it is, never the key.
func (s *Ed25519) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.LogValue().String())) }

// LogValue shows whose key it is, never the key.
func (s *Ed25519) LogValue() slog.Value {
	if s.private == nil {
		return slog.StringValue(ed25519Name)
	}
	return slog.StringValue(s.Self().Identity())
}

// Ed25519Data is a public key, which is a name as well.
type Ed25519Data struct {
	public      [ed25519.PublicKeySize]byte
	fingerprint string // of public; "" in the zero value
}

// NewEd25519Data names the owner of a public key: mslerr.IncorrectEntityAuthData
// if it has the wrong length.
func NewEd25519Data(public ed25519.PublicKey) (Ed25519Data, error) {
	if len(public) != ed25519.PublicKeySize {
		return Ed25519Data{}, mslerr.New(mslerr.IncorrectEntityAuthData,
			"public key of %d bytes, not %d", len(public), ed25519.PublicKeySize)
	}
	return newEd25519Data(public), nil
}

func newEd25519Data(public ed25519.PublicKey) Ed25519Data {
	return Ed25519Data{[ed25519.PublicKeySize]byte(public), Fingerprint(public)}
}

// Scheme is "ED25519".
func (Ed25519Data) Scheme() string { return ed25519Name }

// Identity is the fingerprint of the key.
func (d Ed25519Data) Identity() string {
	if d.fingerprint == "" {
		return Fingerprint(d.public[:])
	}
	return d.fingerprint
}

// PublicKey is the key.
func (d Ed25519Data) PublicKey() ed25519.PublicKey { return d.public[:] }

// AuthData is {"publickey": binary}.
func (d Ed25519Data) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"publickey": d.public[:]}, nil
}

// Parse reads {"publickey": binary}, 32 bytes.
func (*Ed25519) Parse(authdata framing.Object) (Data, error) {
	public, err := member[[]byte](authdata, "publickey")
	if err != nil {
		return nil, err
	}
	d, err := NewEd25519Data(public)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Context verifies for everybody, and signs for ourselves.
func (s *Ed25519) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	entity, ok := d.(Ed25519Data)
	if !ok {
		return nil, wrongData(s, d)
	}
	if err := p.Check(ctx, entity.Identity(), ed25519Name); err != nil {
		return nil, err
	}
	c := &mslcrypto.Ed25519{Public: entity.PublicKey()}
	if s.private != nil && entity == s.self {
		c.Private = s.private
	}
	return c, nil
}
