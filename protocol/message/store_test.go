package message

import (
	"context"
	"slices"
	"sync"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// issuer is a token.Issuer in memory, as simple as tests need it.
type issuer struct {
	mu        sync.Mutex
	newest    map[int64]int64 // sequence number by serial number
	claimed   map[[2]int64]bool
	confirmed [][2]int64
	revoked   map[string]bool // by identity
	calls     []string
	serial    int64
}

func newIssuer() *issuer {
	return &issuer{newest: map[int64]int64{}, claimed: map[[2]int64]bool{}, revoked: map[string]bool{}}
}

func (i *issuer) Create(_ context.Context, e token.Entity) (serial, sequence int64, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.serial++
	i.newest[i.serial] = 1
	return i.serial, 1, nil
}

func (i *issuer) Renewable(_ context.Context, e token.Entity, serial, sequence int64) error {
	if i.newest[serial] != sequence {
		return mslerr.New(mslerr.MasterTokenSequenceNumberOutOfSync, "not the newest")
	}
	return nil
}

func (i *issuer) Renew(ctx context.Context, e token.Entity, serial, sequence int64) (int64, error) {
	if err := i.Renewable(ctx, e, serial, sequence); err != nil {
		return 0, err
	}
	i.newest[serial]++
	return i.newest[serial], nil
}

func (i *issuer) Confirm(_ context.Context, e token.Entity, serial, sequence int64) error {
	i.confirmed = append(i.confirmed, [2]int64{serial, sequence})
	return nil
}

func (i *issuer) AcceptNonReplayable(_ context.Context, service string, e token.Entity, serial, id int64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls = append(i.calls, "claim "+service+" "+e.Scheme+" "+e.Identity)
	if i.claimed[[2]int64{serial, id}] {
		return mslerr.New(mslerr.MessageReplayed, "again")
	}
	i.claimed[[2]int64{serial, id}] = true
	return nil
}

func (i *issuer) Revoked(_ context.Context, e token.Entity, serial int64, user token.User, userSerial int64) error {
	if i.revoked[e.Identity] {
		return mslerr.New(mslerr.MasterTokenIdentityRevoked, "revoked")
	}
	if user != "" && i.revoked[string(user)] {
		return mslerr.New(mslerr.UserIDTokenRevoked, "revoked")
	}
	return nil
}

// holder is a token.Holder in memory.
type holder struct {
	held    []*token.Held
	counter int64
	users   map[string]*token.UserIDToken
	service []*token.ServiceToken
}

func (h *holder) Newest(context.Context) (*token.Held, error) {
	if len(h.held) == 0 {
		return nil, nil
	}
	return h.held[len(h.held)-1], nil
}

func (h *holder) Find(_ context.Context, t *token.MasterToken) (*token.Held, error) {
	for _, held := range h.held {
		if held.Token.Equal(t) {
			return held, nil
		}
	}
	return nil, nil
}

func (h *holder) Put(_ context.Context, held *token.Held) error {
	h.held = append(h.held, held)
	return nil
}

func (h *holder) Remove(_ context.Context, t *token.MasterToken) error {
	h.held = slices.DeleteFunc(h.held, func(held *token.Held) bool { return held.Token.Equal(t) })
	return nil
}

func (h *holder) NextNonReplayable(context.Context, *token.MasterToken) (int64, error) {
	h.counter++
	return h.counter, nil
}

func (h *holder) UserIDToken(_ context.Context, user string) (*token.UserIDToken, error) {
	return h.users[user], nil
}

func (h *holder) PutUserIDToken(_ context.Context, user string, t *token.UserIDToken) error {
	if h.users == nil {
		h.users = map[string]*token.UserIDToken{}
	}
	h.users[user] = t
	return nil
}

func (h *holder) RemoveUserIDToken(context.Context, *token.UserIDToken) error { return nil }

func (h *holder) ServiceTokens(context.Context, *token.MasterToken, *token.UserIDToken) ([]*token.ServiceToken, error) {
	return h.service, nil
}

func (h *holder) PutServiceTokens(_ context.Context, tokens []*token.ServiceToken) error {
	h.service = append(h.service, tokens...)
	return nil
}

func (h *holder) RemoveServiceTokens(context.Context, string, *token.MasterToken, *token.UserIDToken) error {
	return nil
}
