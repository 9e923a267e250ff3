package peer

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/mslgo/msl/protocol/entityauth"
)

// IdentityFile is the name of the file in which [OpenIdentity] keeps the key.
const IdentityFile = "identity.pem"

// Identity is an entity of its own making: an Ed25519 key pair whose
// fingerprint is its name (channel set-up 4.10). It prints as the fingerprint.
type Identity struct {
	key ed25519.PrivateKey
}

// NewIdentity makes a fresh identity that lives in memory only.
func NewIdentity() (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("peer: making an identity: %w", err)
	}
	return &Identity{key}, nil
}

// OpenIdentity reads the identity in dir, or makes one on first use. The key
// lies in dir/identity.pem as PKCS #8, readable for its owner only. Programs
// that start at the same time agree on one identity.
func OpenIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, IdentityFile)
	id, err := readIdentity(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if id, err = NewIdentity(); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return nil, fmt.Errorf("peer: encoding the identity: %w", err)
	}
	err = createSecret(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if errors.Is(err, fs.ErrExist) { // another program was first
		return readIdentity(path)
	}
	if err != nil {
		return nil, fmt.Errorf("peer: keeping the identity: %w", err)
	}
	return id, nil
}

func readIdentity(path string) (*Identity, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("peer: reading the identity: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("peer: %s holds no PEM block: restore it, or remove it to get a new identity", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("peer: %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("peer: %s holds a %T, not an Ed25519 key", path, parsed)
	}
	return &Identity{key}, nil
}

// createSecret writes a file that only its owner can read, whole or not at
// all, and fails with fs.ErrExist if there is one.
func createSecret(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path) // unlike a rename, never replaces
}

// Fingerprint is the identity's name: "ed25519:" and the unpadded Base64url
// SHA-256 of the public key, 51 characters.
func (id *Identity) Fingerprint() string { return entityauth.Fingerprint(id.Public()) }

// Public is the public key.
func (id *Identity) Public() ed25519.PublicKey { return id.key.Public().(ed25519.PublicKey) }

// String is the fingerprint.
func (id *Identity) String() string { return id.Fingerprint() }

// GoString is the fingerprint.
func (id *Identity) GoString() string { return "peer.Identity(" + id.Fingerprint() + ")" }

// Format prints the fingerprint, whatever the verb.
func (id *Identity) Format(f fmt.State, _ rune) { fmt.Fprint(f, id.Fingerprint()) }

// LogValue is the fingerprint.
func (id *Identity) LogValue() slog.Value { return slog.StringValue(id.Fingerprint()) }
