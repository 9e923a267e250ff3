package file

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// Layout of the bbolt file, by bucket. Sealed is a random nonce of 24 bytes and
// XChaCha20-Poly1305 of the plaintext, with bucket || 0 || record key as
// additional data: a record moved elsewhere does not open.
//
//	meta      "salt"   32 random bytes
//	          "check"  sealed, the text checkText: tells a wrong key
//	holders   index    sealed, what is held of one remote (JSON)
//	entities  index    sealed, what the issuer knows of one entity (JSON)
//	users     index    sealed, whether a user is revoked (JSON)
//
//	index     HMAC-SHA256(index key, bucket || 0 || name)
//	name      the remote; u16(length of scheme) || scheme || identity; the user
//	keys      HKDF-SHA256(key, salt, sealInfo or indexInfo), 32 bytes each
const (
	bucketMeta     = "meta"
	bucketHolders  = "holders"
	bucketEntities = "entities"
	bucketUsers    = "users"

	saltKey   = "salt"
	checkKey  = "check"
	checkText = "msl store file 1"
	sealInfo  = "msl store file 1 seal"
	indexInfo = "msl store file 1 index"

	saltSize = 32
)

var buckets = []string{bucketMeta, bucketHolders, bucketEntities, bucketUsers}

// vault reads and writes sealed records.
type vault struct {
	path  string
	salt  []byte
	aead  cipher.AEAD
	index mslcrypto.Key
}

// openVault derives the keys of a file, which it sets up if it is new.
func openVault(tx *bbolt.Tx, key mslcrypto.Key) (*vault, error) {
	v := &vault{path: tx.DB().Path()}
	meta := tx.Bucket([]byte(bucketMeta))
	fresh := meta == nil
	if fresh {
		for _, name := range buckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return nil, err
			}
		}
		meta = tx.Bucket([]byte(bucketMeta))
		v.salt = make([]byte, saltSize)
		rand.Read(v.salt) // never fails
		if err := meta.Put([]byte(saltKey), v.salt); err != nil {
			return nil, err
		}
	} else if v.salt = bytes.Clone(meta.Get([]byte(saltKey))); len(v.salt) != saltSize {
		return nil, v.damaged(errors.New("no salt"))
	}
	seal, err := hkdf.Key(sha256.New, key, v.salt, sealInfo, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	if v.aead, err = chacha20poly1305.NewX(seal); err != nil {
		return nil, err
	}
	if v.index, err = hkdf.Key(sha256.New, key, v.salt, indexInfo, sha256.Size); err != nil {
		return nil, err
	}
	if fresh {
		return v, meta.Put([]byte(checkKey), v.seal(bucketMeta, []byte(checkKey), []byte(checkText)))
	}
	if _, err := v.unseal(bucketMeta, []byte(checkKey), meta.Get([]byte(checkKey))); err != nil {
		return nil, fmt.Errorf("%s: %w", v.path, ErrWrongKey)
	}
	return v, nil
}

// check says whether this is still the file that was opened, and not a new one
// in its place, whose records would be of other keys.
func (v *vault) check(tx *bbolt.Tx) error {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil || !bytes.Equal(meta.Get([]byte(saltKey)), v.salt) {
		return v.damaged(errors.New("another file is in its place"))
	}
	return nil
}

// get returns the plaintext of a record, nil if there is none.
func (v *vault) get(tx *bbolt.Tx, bucket string, name []byte) ([]byte, error) {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil, v.damaged(fmt.Errorf("no bucket %q", bucket))
	}
	key := v.indexOf(bucket, name)
	sealed := b.Get(key)
	if sealed == nil {
		return nil, nil
	}
	return v.unseal(bucket, key, sealed)
}

// put seals and writes a record.
func (v *vault) put(tx *bbolt.Tx, bucket string, name, plaintext []byte) error {
	key := v.indexOf(bucket, name)
	defer clear(plaintext)
	return tx.Bucket([]byte(bucket)).Put(key, v.seal(bucket, key, plaintext))
}

func (v *vault) indexOf(bucket string, name []byte) []byte {
	h := hmac.New(sha256.New, v.index)
	h.Write(additionalData(bucket, name))
	return h.Sum(nil)
}

func additionalData(bucket string, key []byte) []byte {
	return append(append([]byte(bucket), 0), key...)
}

func (v *vault) seal(bucket string, key, plaintext []byte) []byte {
	nonce := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+len(plaintext)+v.aead.Overhead())
	rand.Read(nonce) // never fails
	return v.aead.Seal(nonce, nonce, plaintext, additionalData(bucket, key))
}

func (v *vault) unseal(bucket string, key, sealed []byte) ([]byte, error) {
	n := v.aead.NonceSize()
	if len(sealed) < n {
		return nil, v.damaged(fmt.Errorf("a record in %q is cut short", bucket))
	}
	plaintext, err := v.aead.Open([]byte{}, sealed[:n], sealed[n:], additionalData(bucket, key))
	if err != nil {
		return nil, v.damaged(fmt.Errorf("a record in %q was changed", bucket))
	}
	return plaintext, nil
}

func (v *vault) damaged(err error) error { return &DamagedError{Path: v.path, Err: err} }

// entityName is unambiguous whatever the scheme and the identity are.
func entityName(e token.Entity) []byte {
	name := binary.BigEndian.AppendUint16(nil, uint16(min(len(e.Scheme), 1<<16-1)))
	return append(append(name, e.Scheme...), e.Identity...)
}
