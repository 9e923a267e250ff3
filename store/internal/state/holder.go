// Package state has what stores keep, apart from where they keep it: what an
// entity holds of one remote, and what an issuer knows of one entity. Values
// are not safe for concurrent use: a store loads one, changes it and saves it in
// one transaction.
package state

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// MaxServiceTokens bounds what one remote can make a holder keep.
const MaxServiceTokens = 1024

// Holder is what one entity was given by one remote (spec 09 section 14). Its
// methods are those of [token.Holder]. The zero value holds nothing.
type Holder struct {
	tokens   []*token.Held
	counters map[int64]int64 // last non-replayable ID by serial number
	users    map[string]*token.UserIDToken
	services []*token.ServiceToken
}

// Newest returns a copy of the newest master token, nil if there is none.
func (h *Holder) Newest() *token.Held {
	var newest *token.Held
	for _, t := range h.tokens {
		if newest == nil || t.Token.NewerThan(newest.Token) {
			newest = t
		}
	}
	return clone(newest)
}

// Find returns a copy of the held token equal to t, nil if there is none.
func (h *Holder) Find(t *token.MasterToken) *token.Held {
	if i := h.index(t); i >= 0 {
		return clone(h.tokens[i])
	}
	return nil
}

func (h *Holder) index(t *token.MasterToken) int {
	return slices.IndexFunc(h.tokens, func(held *token.Held) bool { return held.Token.Equal(t) })
}

// clone copies all that is not immutable.
func clone(t *token.Held) *token.Held {
	if t == nil {
		return nil
	}
	c := *t
	c.Keys.Encryption, c.Keys.Signature = bytes.Clone(t.Keys.Encryption), bytes.Clone(t.Keys.Signature)
	return &c
}

// Put adds t or replaces the equal one.
func (h *Holder) Put(t *token.Held) error {
	if t == nil || t.Token == nil {
		return mslerr.New(mslerr.InternalException, "no master token to keep")
	}
	if i := h.index(t.Token); i >= 0 {
		h.tokens[i] = clone(t)
		return nil
	}
	h.tokens = append(h.tokens, clone(t))
	return nil
}

// Remove deletes t; with the last of its serial number, all that is bound to it.
func (h *Holder) Remove(t *token.MasterToken) {
	if t == nil {
		return
	}
	if i := h.index(t); i >= 0 {
		h.tokens = slices.Delete(h.tokens, i, i+1)
	}
	if h.anyOf(t.Serial) != nil {
		return
	}
	for user, uit := range h.users {
		if uit.MasterTokenSerial == t.Serial {
			h.dropServices(uit)
			delete(h.users, user)
		}
	}
	h.services = slices.DeleteFunc(h.services, func(st *token.ServiceToken) bool { return st.MasterTokenSerial == t.Serial })
	delete(h.counters, t.Serial)
}

// anyOf is any master token of that serial number, nil if there is none.
func (h *Holder) anyOf(serial int64) *token.MasterToken {
	for _, t := range h.tokens {
		if t.Token.Serial == serial {
			return t.Token
		}
	}
	return nil
}

// NextNonReplayable draws the next ID under t.
func (h *Holder) NextNonReplayable(t *token.MasterToken) (int64, error) {
	if t == nil {
		return 0, &mslerr.Error{Code: mslerr.NonReplayableMessageRequiresMasterToken}
	}
	if h.counters == nil {
		h.counters = make(map[int64]int64)
	}
	next := token.NextNumber(h.counters[t.Serial])
	h.counters[t.Serial] = next
	return next, nil
}

// UserIDToken returns the token of a local user, nil if there is none.
func (h *Holder) UserIDToken(user string) *token.UserIDToken { return h.users[user] }

// PutUserIDToken replaces the token of a local user. Service tokens bound to one
// of another number go with it.
func (h *Holder) PutUserIDToken(user string, t *token.UserIDToken) error {
	if t == nil {
		return mslerr.New(mslerr.InternalException, "no user ID token to keep")
	}
	if h.anyOf(t.MasterTokenSerial) == nil {
		return mslerr.New(mslerr.UserIDTokenMasterTokenNotFound, "serial number %d", t.MasterTokenSerial)
	}
	if h.users == nil {
		h.users = make(map[string]*token.UserIDToken)
	}
	old := h.users[user]
	h.users[user] = t
	if old != nil && !old.Equal(t) {
		h.dropServices(old)
	}
	return nil
}

// RemoveUserIDToken deletes t and the service tokens bound to it.
func (h *Holder) RemoveUserIDToken(t *token.UserIDToken) {
	if t == nil {
		return
	}
	for user, held := range h.users {
		if held.Equal(t) {
			delete(h.users, user)
		}
	}
	h.dropServices(t)
}

// dropServices deletes the service tokens bound to t, unless another local user
// holds an equal token.
func (h *Holder) dropServices(t *token.UserIDToken) {
	for _, held := range h.users {
		if held.Equal(t) {
			return
		}
	}
	h.services = slices.DeleteFunc(h.services, func(st *token.ServiceToken) bool { return boundToUser(st, t) })
}

// boundToUser compares both serial numbers where st names both: user ID tokens
// of different master tokens may have the same number.
func boundToUser(st *token.ServiceToken, t *token.UserIDToken) bool {
	return st.UserIDTokenSerial == t.Serial && (st.MasterTokenSerial < 0 || st.MasterTokenSerial == t.MasterTokenSerial)
}

// ServiceTokens returns those that apply to mt and uit.
func (h *Holder) ServiceTokens(mt *token.MasterToken, uit *token.UserIDToken) ([]*token.ServiceToken, error) {
	if err := checkBound(mt, uit, true); err != nil {
		return nil, err
	}
	var found []*token.ServiceToken
	for _, st := range h.services {
		if st.MasterTokenSerial >= 0 && (mt == nil || st.MasterTokenSerial != mt.Serial) {
			continue
		}
		if st.UserIDTokenSerial >= 0 && (uit == nil || st.UserIDTokenSerial != uit.Serial) {
			continue
		}
		found = append(found, st)
	}
	return found, nil
}

func checkBound(mt *token.MasterToken, uit *token.UserIDToken, both bool) error {
	switch {
	case uit == nil || mt == nil && !both:
		return nil
	case mt == nil:
		return &mslerr.Error{Code: mslerr.UserIDTokenMasterTokenNull}
	case !uit.BoundTo(mt):
		return &mslerr.Error{Code: mslerr.UserIDTokenMasterTokenMismatch}
	}
	return nil
}

// PutServiceTokens adds tokens, replacing those of the same name and binding:
// all or none.
func (h *Holder) PutServiceTokens(tokens []*token.ServiceToken) error {
	services := slices.Clone(h.services)
	for _, st := range tokens {
		if st == nil {
			return mslerr.New(mslerr.InternalException, "no service token to keep")
		}
		if st.MasterTokenSerial >= 0 && h.anyOf(st.MasterTokenSerial) == nil {
			return mslerr.New(mslerr.ServiceTokenMasterTokenNotFound, "serial number %d", st.MasterTokenSerial)
		}
		if st.UserIDTokenSerial >= 0 && h.userOf(st) == nil {
			return mslerr.New(mslerr.ServiceTokenUserIDTokenNotFound, "serial number %d", st.UserIDTokenSerial)
		}
		if i := slices.IndexFunc(services, st.Equal); i >= 0 {
			services[i] = st
		} else if len(services) == MaxServiceTokens {
			return fmt.Errorf("store: more than %d service tokens of one remote", MaxServiceTokens)
		} else {
			services = append(services, st)
		}
	}
	h.services = services
	return nil
}

// userOf is the user ID token that st is bound to, nil if it is not held.
func (h *Holder) userOf(st *token.ServiceToken) *token.UserIDToken {
	for _, uit := range h.users {
		if boundToUser(st, uit) {
			return uit
		}
	}
	return nil
}

// RemoveServiceTokens deletes what name, mt and uit have in common. A name alone
// means unbound tokens, a master token alone those not bound to a user.
func (h *Holder) RemoveServiceTokens(name string, mt *token.MasterToken, uit *token.UserIDToken) error {
	if name == "" && mt == nil && uit == nil {
		return nil
	}
	if err := checkBound(mt, uit, false); err != nil {
		return err
	}
	h.services = slices.DeleteFunc(h.services, func(st *token.ServiceToken) bool {
		if name != "" && st.Name != name {
			return false
		}
		switch {
		case uit != nil:
			return boundToUser(st, uit) && (mt == nil || st.MasterTokenSerial == mt.Serial)
		case mt != nil:
			return st.MasterTokenSerial == mt.Serial && st.UserIDTokenSerial < 0
		default:
			return st.MasterTokenSerial < 0 && st.UserIDTokenSerial < 0
		}
	})
	return nil
}
