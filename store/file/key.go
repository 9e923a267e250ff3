package file

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/mslgo/msl/protocol/mslcrypto"
)

// KeySize is the length of a store's key, in bytes.
const KeySize = 32

// NewKey makes a random key.
func NewKey() mslcrypto.Key {
	key := make(mslcrypto.Key, KeySize)
	rand.Read(key) // never fails
	return key
}

// LoadKey reads the key file at path: [KeySize] bytes and nothing else, for its
// owner's eyes only. If there is none it makes one; programs that do so at the
// same time get the same key.
func LoadKey(path string) (mslcrypto.Key, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := writeKey(path, NewKey()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readKey(path)
}

func readKey(path string) (mslcrypto.Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("store/file: key file %s is open to others: mode %v, want 0600", path, info.Mode().Perm())
	}
	key, err := io.ReadAll(io.LimitReader(f, KeySize+1))
	if err != nil {
		return nil, err
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("store/file: key file %s does not have %d bytes", path, KeySize)
	}
	return key, nil
}

// writeKey makes the file as a whole or not at all, and fails with fs.ErrExist
// if there is one: a link never replaces anything.
func writeKey(path string, key mslcrypto.Key) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
