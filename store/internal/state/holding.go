package state

import (
	"context"

	"github.com/mslgo/msl/protocol/token"
)

// Holding is a [token.Holder] made of transactions on one [Holder]. The store
// calls f with the state; if write is set and f succeeds, it keeps what f did to
// it for good before it returns. It may call f again if another was faster.
type Holding func(ctx context.Context, write bool, f func(*Holder) error) error

var _ token.Holder = Holding(nil)

// Newest implements [token.Holder].
func (h Holding) Newest(ctx context.Context) (held *token.Held, err error) {
	err = h(ctx, false, func(s *Holder) error {
		held = s.Newest()
		return nil
	})
	return held, err
}

// Find implements [token.Holder].
func (h Holding) Find(ctx context.Context, t *token.MasterToken) (held *token.Held, err error) {
	err = h(ctx, false, func(s *Holder) error {
		held = s.Find(t)
		return nil
	})
	return held, err
}

// Put implements [token.Holder].
func (h Holding) Put(ctx context.Context, t *token.Held) error {
	return h(ctx, true, func(s *Holder) error { return s.Put(t) })
}

// Remove implements [token.Holder].
func (h Holding) Remove(ctx context.Context, t *token.MasterToken) error {
	return h(ctx, true, func(s *Holder) error {
		s.Remove(t)
		return nil
	})
}

// NextNonReplayable implements [token.Holder].
func (h Holding) NextNonReplayable(ctx context.Context, t *token.MasterToken) (id int64, err error) {
	err = h(ctx, true, func(s *Holder) (err error) {
		id, err = s.NextNonReplayable(t)
		return err
	})
	if err != nil {
		return 0, err // not kept: nobody may use it
	}
	return id, nil
}

// UserIDToken implements [token.Holder].
func (h Holding) UserIDToken(ctx context.Context, user string) (t *token.UserIDToken, err error) {
	err = h(ctx, false, func(s *Holder) error {
		t = s.UserIDToken(user)
		return nil
	})
	return t, err
}

// PutUserIDToken implements [token.Holder].
func (h Holding) PutUserIDToken(ctx context.Context, user string, t *token.UserIDToken) error {
	return h(ctx, true, func(s *Holder) error { return s.PutUserIDToken(user, t) })
}

// RemoveUserIDToken implements [token.Holder].
func (h Holding) RemoveUserIDToken(ctx context.Context, t *token.UserIDToken) error {
	return h(ctx, true, func(s *Holder) error {
		s.RemoveUserIDToken(t)
		return nil
	})
}

// ServiceTokens implements [token.Holder].
func (h Holding) ServiceTokens(ctx context.Context, mt *token.MasterToken, uit *token.UserIDToken) (list []*token.ServiceToken, err error) {
	err = h(ctx, false, func(s *Holder) (err error) {
		list, err = s.ServiceTokens(mt, uit)
		return err
	})
	return list, err
}

// PutServiceTokens implements [token.Holder].
func (h Holding) PutServiceTokens(ctx context.Context, tokens []*token.ServiceToken) error {
	return h(ctx, true, func(s *Holder) error { return s.PutServiceTokens(tokens) })
}

// RemoveServiceTokens implements [token.Holder].
func (h Holding) RemoveServiceTokens(ctx context.Context, name string, mt *token.MasterToken, uit *token.UserIDToken) error {
	return h(ctx, true, func(s *Holder) error { return s.RemoveServiceTokens(name, mt, uit) })
}
