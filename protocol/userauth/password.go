package userauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/mslgo/msl/protocol/token"
)

// The cost of a password check: argon2id with 19 MiB, two passes, one thread.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16 // bytes
	argonHash    = 32 // bytes
)

// The greatest cost that a stored hash may ask for.
const (
	maxArgonMemory  = 1024 * 1024 // KiB
	maxArgonTime    = 64
	maxArgonThreads = 64
)

var (
	errPassword = errors.New("userauth: wrong user or password")
	errHash     = errors.New("userauth: malformed password hash")
)

var encoding = base64.RawStdEncoding

// HashPassword gives what a store keeps instead of a password: an argon2id hash
// with a random salt and its cost, as text in the usual form "$argon2id$v=19$...".
// It takes some 20 ms and 19 MiB.
func HashPassword(password string) string {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt)
	hash := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonHash)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		encoding.EncodeToString(salt), encoding.EncodeToString(hash))
}

// VerifyPassword says whether hash was made of password. The comparison takes the
// same time wherever they differ. The error is about the hash: it is not one, or
// asks for more than 1 GiB, 64 passes or 64 threads.
func VerifyPassword(hash, password string) (bool, error) {
	var version, memory, time, threads int
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false, errHash
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil {
		return false, errHash
	}
	if memory < 8 || memory > maxArgonMemory || time < 1 || time > maxArgonTime || threads < 1 || threads > maxArgonThreads {
		return false, errHash
	}
	salt, err := encoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 {
		return false, errHash
	}
	want, err := encoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return false, errHash
	}
	got := argon2.IDKey([]byte(password), salt, uint32(time), uint32(memory), uint8(threads), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// Account is a user with a password.
type Account struct {
	User token.User
	Hash string // by HashPassword
}

// Passwords checks passwords against stored hashes: its Check is that of
// [EmailPassword]. An unknown address costs as much time as a wrong password, so
// that nobody can find out who has an account. Use it by pointer.
type Passwords struct {
	// Account finds an account by e-mail address; a plain error means that
	// there is none.
	Account func(ctx context.Context, email string) (Account, error)
	// Parallel is how many passwords are checked at once, since each costs
	// memory. Others wait. Default 4.
	Parallel int

	once  sync.Once
	slots chan struct{}
	decoy string
}

func (s *Passwords) init() {
	n := s.Parallel
	if n <= 0 {
		n = 4
	}
	s.slots = make(chan struct{}, n)
	s.decoy = HashPassword(rand.Text())
}

// Check gives the user of that address if the password is right.
func (s *Passwords) Check(ctx context.Context, email, password string) (token.User, error) {
	s.once.Do(s.init)
	account, missing := s.Account(ctx, email)
	if missing != nil {
		account = Account{Hash: s.decoy}
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-s.slots }()
	ok, err := VerifyPassword(account.Hash, password)
	switch {
	case missing != nil:
		return "", missing
	case err != nil:
		return "", err
	case !ok:
		return "", errPassword
	}
	return account.User, nil
}
