package peer

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// NewTokenKeys makes a ring with one fresh key set that lives in memory only:
// the tokens made with it are worthless once the program ends.
func NewTokenKeys() *token.Keys {
	context, err := freshTokenKey().context()
	if err != nil {
		panic(err) // its keys have the lengths it gave them
	}
	return token.NewKeys(context)
}

// OpenTokenKeys reads the token keys of a service from the file at path, or
// makes the first on first use. Every server of the service needs the same
// file, and nobody else may have it: whoever does can open every token.
//
// The file is JSON: {"keys": [{"id", "encryption", "hmac", "wrapping"}]}, the
// primary key set first, older ones behind it, bytes in Base64. To rotate, put
// a new set in front at all servers.
func OpenTokenKeys(path string) (*token.Keys, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fresh, merr := json.MarshalIndent(tokenKeyFile{Keys: []tokenKey{freshTokenKey()}}, "", "  ")
		if merr != nil {
			return nil, fmt.Errorf("peer: encoding token keys: %w", merr)
		}
		if err = createSecret(path, append(fresh, '\n')); err == nil || errors.Is(err, fs.ErrExist) {
			data, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("peer: token keys: %w", err)
	}
	var file tokenKeyFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("peer: token keys: %s is damaged: %w", path, err)
	}
	contexts := make([]mslcrypto.Context, 0, len(file.Keys))
	for i, k := range file.Keys {
		context, err := k.context()
		if err != nil {
			return nil, fmt.Errorf("peer: token keys: %s: key set %d: %w", path, i+1, err)
		}
		contexts = append(contexts, context)
	}
	if len(contexts) == 0 {
		return nil, fmt.Errorf("peer: token keys: %s holds none", path)
	}
	return token.NewKeys(contexts[0], contexts[1:]...), nil
}

type tokenKeyFile struct {
	Keys []tokenKey `json:"keys"`
}

// tokenKey is stored and therefore plain bytes, unlike mslcrypto.Key, which
// refuses to be marshalled.
type tokenKey struct {
	ID         string `json:"id"`
	Encryption []byte `json:"encryption"`
	HMAC       []byte `json:"hmac"`
	Wrapping   []byte `json:"wrapping"`
}

func freshTokenKey() tokenKey {
	k := tokenKey{ID: "tokens-" + rand.Text()[:8], Encryption: make([]byte, 16), HMAC: make([]byte, 32), Wrapping: make([]byte, 16)}
	for _, b := range [][]byte{k.Encryption, k.HMAC, k.Wrapping} {
		rand.Read(b) // never fails
	}
	return k
}

func (k tokenKey) context() (mslcrypto.Context, error) {
	if len(k.Encryption) != mslcrypto.EncryptionKeySize || len(k.HMAC) != mslcrypto.SignatureKeySize || len(k.Wrapping) != 16 {
		return nil, fmt.Errorf("keys of the wrong length")
	}
	return mslcrypto.NewSymmetric(k.ID, mslcrypto.SymmetricKeys{Encryption: k.Encryption, Signature: k.HMAC, Wrapping: k.Wrapping})
}
