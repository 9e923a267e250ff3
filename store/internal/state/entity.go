package state

import (
	"slices"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

const (
	// maxBehind is how often a holder may renew one token without the answer
	// reaching it.
	maxBehind = 16
	// maxUnconfirmed is how many tokens of one entity may be new at once. More
	// are made only by replayed requests (W-02).
	maxUnconfirmed = 8
	// maxServices is how many service names claim IDs under one token.
	maxServices = 64

	firstSequence = 1
)

// Entity is what an issuer knows of one entity: of its token, and of newer ones
// that it has not yet used. The zero value knows nothing.
type Entity struct {
	Revoked       bool    // all its tokens are
	RevokedTokens []int64 // serial numbers, also of forgotten tokens
	Tokens        []Token // oldest first; at most one confirmed, which is then the first
}

// Token is what an issuer knows of the tokens of one serial number.
type Token struct {
	Serial    int64
	Confirmed bool  // its holder uses it
	Old       int64 // the sequence number from which Newest was made; the same if it was not
	Newest    int64
	Windows   map[string]*Window // by service name
}

// Create adds a token. draw draws a random serial number.
func (e *Entity) Create(draw func() int64) (serial, sequence int64, err error) {
	if e.Revoked {
		return 0, 0, &mslerr.Error{Code: mslerr.MasterTokenIdentityRevoked}
	}
	for serial = draw(); e.find(serial) != nil || slices.Contains(e.RevokedTokens, serial); {
		serial = draw()
	}
	first := 0
	if len(e.Tokens) > 0 && e.Tokens[0].Confirmed {
		first = 1
	}
	if len(e.Tokens)-first >= maxUnconfirmed {
		e.Tokens = slices.Delete(e.Tokens, first, first+1)
	}
	e.Tokens = append(e.Tokens, Token{Serial: serial, Old: firstSequence, Newest: firstSequence})
	return serial, firstSequence, nil
}

func (e *Entity) find(serial int64) *Token {
	if i := e.index(serial); i >= 0 {
		return &e.Tokens[i]
	}
	return nil
}

func (e *Entity) index(serial int64) int {
	return slices.IndexFunc(e.Tokens, func(t Token) bool { return t.Serial == serial })
}

// Renewable says whether Renew would succeed.
func (e *Entity) Renewable(serial, sequence int64) error {
	if err := e.CheckRevoked(serial); err != nil {
		return err
	}
	t := e.find(serial)
	switch {
	case t == nil:
		return mslerr.New(mslerr.MasterTokenSequenceNumberOutOfSync, "nothing is known of serial number %d", serial)
	case sequence == t.Newest:
		return nil
	case sequence != t.Old, behind(t.Old, t.Newest) >= maxBehind:
		return mslerr.New(mslerr.MasterTokenSequenceNumberOutOfSync, "sequence number %d, newest %d", sequence, t.Newest)
	}
	return nil
}

// behind is how many numbers newest is after old, with wrapping.
func behind(old, newest int64) int64 {
	if newest >= old {
		return newest - old
	}
	return newest - old + token.MaxNumber + 1
}

// Renew draws the next sequence number.
func (e *Entity) Renew(serial, sequence int64) (next int64, err error) {
	if err := e.Renewable(serial, sequence); err != nil {
		return 0, err
	}
	t := e.find(serial)
	t.Old = sequence
	t.Newest = token.NextNumber(t.Newest)
	return t.Newest, nil
}

// NeedsConfirm says whether Confirm would change anything.
func (e *Entity) NeedsConfirm(serial, sequence int64) bool {
	i := e.index(serial)
	if i < 0 {
		return false
	}
	t := &e.Tokens[i]
	return !t.Confirmed || sequence == t.Newest && t.Old != t.Newest
}

// Confirm says that a token is in use: older serial numbers are forgotten, and
// the sequence number from which it was made renews no more.
func (e *Entity) Confirm(serial, sequence int64) {
	i := e.index(serial)
	if i < 0 {
		return
	}
	e.Tokens = slices.Delete(e.Tokens, 0, i)
	t := &e.Tokens[0]
	t.Confirmed = true
	if sequence == t.Newest {
		t.Old = t.Newest
	}
}

// AcceptNonReplayable claims an ID. Of a token that is not known the IDs already
// used are not known either: then none is accepted, and the holder gets a new
// token. It looks at revocations too, since its transaction sees the newest, which
// a store that was only read may not have shown.
func (e *Entity) AcceptNonReplayable(service string, serial, id int64) error {
	if err := e.CheckRevoked(serial); err != nil {
		return err
	}
	t := e.find(serial)
	if t == nil {
		return mslerr.New(mslerr.MessageReplayedUnrecoverable, "nothing is known of serial number %d", serial)
	}
	w := t.Windows[service]
	if w == nil {
		w = new(Window)
	}
	if err := w.Accept(id); err != nil {
		return err
	}
	if len(t.Windows) >= maxServices && t.Windows[service] == nil {
		return mslerr.New(mslerr.InternalException, "more than %d service names claim IDs under one token", maxServices)
	}
	if t.Windows == nil {
		t.Windows = make(map[string]*Window)
	}
	t.Windows[service] = w
	return nil
}

// CheckRevoked is the error the holder of a revoked token is to see, or nil.
func (e *Entity) CheckRevoked(serial int64) error {
	if e.Revoked || slices.Contains(e.RevokedTokens, serial) {
		return &mslerr.Error{Code: mslerr.MasterTokenIdentityRevoked}
	}
	return nil
}

// RevokeToken revokes the tokens of one serial number, known or not.
func (e *Entity) RevokeToken(serial int64) {
	if !slices.Contains(e.RevokedTokens, serial) {
		e.RevokedTokens = append(e.RevokedTokens, serial)
	}
	if i := e.index(serial); i >= 0 {
		e.Tokens = slices.Delete(e.Tokens, i, i+1)
	}
}

// Forgettable says whether nothing is lost but that the entity has to
// authenticate again.
func (e *Entity) Forgettable() bool { return !e.Revoked && len(e.RevokedTokens) == 0 }
