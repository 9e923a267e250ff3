package token

import (
	"context"

	"github.com/mslgo/msl/protocol/mslcrypto"
)

// Held is a master token as its holder keeps it.
type Held struct {
	Token *MasterToken
	Keys  mslcrypto.SessionKeys
	Self  Entity // whom it names: us, as we authenticated when it was issued
	From  Origin
}

// Origin says who issued a token and how far that is to be trusted. A token
// without an authenticated origin makes no channel (channel set-up, X14).
type Origin struct {
	Issuer        Entity
	Authenticated bool // the issuer's entity authentication protected integrity
	Sentinel      bool // the issuer has shown that it speaks the channel
	CBOR          bool // the issuer announced CBOR
}

// Holder keeps what one entity was given by one remote, a service or a peer
// (spec 09 section 14). Serial numbers are chosen by that remote, so holders of
// different remotes share nothing (W-28). All methods may be called
// concurrently, also by several processes where the store outlives one, and
// each takes effect as a whole or not at all.
type Holder interface {
	// Newest returns the newest master token, nil if there is none.
	Newest(ctx context.Context) (*Held, error)
	// Find returns the held token equal to t in serial number, sequence number
	// and expiration, nil if there is none.
	Find(ctx context.Context, t *MasterToken) (*Held, error)
	// Put adds h or replaces the equal one.
	Put(ctx context.Context, h *Held) error
	// Remove deletes t; with the last token of its serial number everything
	// bound to it: user ID tokens, service tokens, the non-replayable counter.
	Remove(ctx context.Context, t *MasterToken) error

	// NextNonReplayable draws the next non-replayable ID under t: 1 first, 0
	// after 2^53. It is kept for good before it is returned.
	NextNonReplayable(ctx context.Context, t *MasterToken) (int64, error)

	// UserIDToken returns the token of a local user, nil if there is none.
	UserIDToken(ctx context.Context, user string) (*UserIDToken, error)
	// PutUserIDToken replaces the token of a local user. Its master token must
	// be held: mslerr.UserIDTokenMasterTokenNotFound.
	PutUserIDToken(ctx context.Context, user string, t *UserIDToken) error
	// RemoveUserIDToken deletes t and the service tokens bound to it.
	RemoveUserIDToken(ctx context.Context, t *UserIDToken) error

	// ServiceTokens returns those that apply to mt and uit, either of which
	// may be nil: the unbound ones, those bound to mt alone, those bound to both.
	ServiceTokens(ctx context.Context, mt *MasterToken, uit *UserIDToken) ([]*ServiceToken, error)
	// PutServiceTokens adds tokens, replacing those of the same name and
	// binding: all or none.
	PutServiceTokens(ctx context.Context, tokens []*ServiceToken) error
	// RemoveServiceTokens deletes by name, by master token, by user ID token,
	// or what all that are given have in common; nothing if none is given.
	RemoveServiceTokens(ctx context.Context, name string, mt *MasterToken, uit *UserIDToken) error
}

// Holders gives the holder for a remote: the name of a service, or the
// identity of a peer.
type Holders interface {
	Holder(remote string) Holder
}
