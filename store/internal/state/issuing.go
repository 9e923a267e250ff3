package state

import (
	"context"
	"crypto/rand"
	"encoding/binary"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// Issuing is a [token.Issuer] made of transactions, with the revocations that
// it answers for.
type Issuing struct {
	entity func(ctx context.Context, e token.Entity, write bool, f func(*Entity) error) error
	user   func(ctx context.Context, u token.User, write bool, f func(*User) error) error
}

// NewIssuing makes an issuer. The functions run f in a transaction on what is
// known of one entity, or one user, as said at [Holding].
func NewIssuing(
	entity func(ctx context.Context, e token.Entity, write bool, f func(*Entity) error) error,
	user func(ctx context.Context, u token.User, write bool, f func(*User) error) error,
) Issuing {
	return Issuing{entity, user}
}

var _ token.Issuer = (*Issuing)(nil)

// User is what an issuer knows of one user.
type User struct{ Revoked bool }

// randomNumber is a random serial number, 0 to 2^53-1.
func randomNumber() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:]) & uint64(token.MaxNumber-1))
}

// Create implements [token.Issuer].
func (i *Issuing) Create(ctx context.Context, e token.Entity) (serial, sequence int64, err error) {
	err = i.entity(ctx, e, true, func(s *Entity) (err error) {
		serial, sequence, err = s.Create(randomNumber)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return serial, sequence, nil
}

// Renewable implements [token.Issuer].
func (i *Issuing) Renewable(ctx context.Context, e token.Entity, serial, sequence int64) error {
	return i.entity(ctx, e, false, func(s *Entity) error { return s.Renewable(serial, sequence) })
}

// Renew implements [token.Issuer].
func (i *Issuing) Renew(ctx context.Context, e token.Entity, serial, sequence int64) (next int64, err error) {
	err = i.entity(ctx, e, true, func(s *Entity) (err error) {
		next, err = s.Renew(serial, sequence)
		return err
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// Confirm implements [token.Issuer]. It is told of every use of a token, and
// writes at the first only.
func (i *Issuing) Confirm(ctx context.Context, e token.Entity, serial, sequence int64) error {
	var needed bool
	err := i.entity(ctx, e, false, func(s *Entity) error {
		needed = s.NeedsConfirm(serial, sequence)
		return nil
	})
	if err != nil || !needed {
		return err
	}
	return i.entity(ctx, e, true, func(s *Entity) error {
		s.Confirm(serial, sequence)
		return nil
	})
}

// AcceptNonReplayable implements [token.Issuer].
func (i *Issuing) AcceptNonReplayable(ctx context.Context, service string, e token.Entity, serial, id int64) error {
	return i.entity(ctx, e, true, func(s *Entity) error { return s.AcceptNonReplayable(service, serial, id) })
}

// Revoked implements [token.Issuer].
func (i *Issuing) Revoked(ctx context.Context, e token.Entity, serial int64, user token.User, userSerial int64) error {
	err := i.entity(ctx, e, false, func(s *Entity) error { return s.CheckRevoked(serial) })
	if err != nil || user == "" {
		return err
	}
	return i.user(ctx, user, false, func(u *User) error {
		if u.Revoked {
			return mslerr.New(mslerr.UserIDTokenRevoked, "serial number %d", userSerial)
		}
		return nil
	})
}

// RevokeEntity refuses all tokens of e, also new ones.
func (i *Issuing) RevokeEntity(ctx context.Context, e token.Entity) error {
	return i.setEntity(ctx, e, true)
}

// ReinstateEntity undoes RevokeEntity.
func (i *Issuing) ReinstateEntity(ctx context.Context, e token.Entity) error {
	return i.setEntity(ctx, e, false)
}

func (i *Issuing) setEntity(ctx context.Context, e token.Entity, revoked bool) error {
	return i.entity(ctx, e, true, func(s *Entity) error {
		s.Revoked = revoked
		return nil
	})
}

// RevokeToken refuses the tokens of e with that serial number.
func (i *Issuing) RevokeToken(ctx context.Context, e token.Entity, serial int64) error {
	return i.entity(ctx, e, true, func(s *Entity) error {
		s.RevokeToken(serial)
		return nil
	})
}

// RevokeUser refuses all user ID tokens of u, also new ones.
func (i *Issuing) RevokeUser(ctx context.Context, u token.User) error {
	return i.setUser(ctx, u, true)
}

// ReinstateUser undoes RevokeUser.
func (i *Issuing) ReinstateUser(ctx context.Context, u token.User) error {
	return i.setUser(ctx, u, false)
}

func (i *Issuing) setUser(ctx context.Context, u token.User, revoked bool) error {
	return i.user(ctx, u, true, func(s *User) error {
		s.Revoked = revoked
		return nil
	})
}
