package token

import "context"

// Issuer keeps what the servers of a service must agree on about the tokens
// they give out (spec 03 sections 7 and 8): numbers, revocation, replays. It
// holds no keys and sees no token bytes. All methods may be called concurrently
// and by all servers of the service; each decision is one atomic step.
//
// A store that cannot be reached returns an error that is no *mslerr.Error; the
// caller then refuses (mslerr.InternalException), and never accepts on doubt.
type Issuer interface {
	// Create draws the numbers of a new token for e: a random serial number
	// and the first sequence number, 1. Earlier tokens of e stay good until
	// the new one is confirmed (W-02).
	Create(ctx context.Context, e Entity) (serial, sequence int64, err error)
	// Renewable says whether Renew would succeed: nil, or
	// mslerr.MasterTokenSequenceNumberOutOfSync, or a revocation's error.
	Renewable(ctx context.Context, e Entity, serial, sequence int64) error
	// Renew draws the next sequence number. It accepts the newest token, and
	// the one from which the newest was issued, whose answer may have been lost.
	Renew(ctx context.Context, e Entity, serial, sequence int64) (next int64, err error)
	// Confirm is told that a token is in use by its holder: what its creation
	// or renewal makes obsolete is discarded now. Confirming again does nothing.
	Confirm(ctx context.Context, e Entity, serial, sequence int64) error

	// AcceptNonReplayable claims a non-replayable ID under a token, once over
	// all servers that answer to the service name (spec 03 section 8). Errors:
	// mslerr.MessageReplayed, mslerr.MessageReplayedUnrecoverable.
	AcceptNonReplayable(ctx context.Context, service string, e Entity, serial, id int64) error

	// Revoked is asked for every message under a token: nil, or the error the
	// holder is to see, such as mslerr.MasterTokenIdentityRevoked. With a user
	// it asks about the user ID token of that serial number too.
	Revoked(ctx context.Context, e Entity, serial int64, user User, userSerial int64) error
}
