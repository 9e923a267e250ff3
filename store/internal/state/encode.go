package state

import (
	"encoding/json"
	"fmt"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// What stores write is JSON of the records below. Tokens stand in it as they
// travel and are read again as they were read first, by who cannot see inside.
// A change of meaning is a new version.
const (
	holderVersion = 1
	entityVersion = 1
)

type holderRecord struct {
	Version  int                    `json:"version"`
	Tokens   []heldRecord           `json:"tokens,omitempty"`
	Counters map[int64]int64        `json:"counters,omitempty"`
	Users    map[string]boundRecord `json:"users,omitempty"`
	Services []boundRecord          `json:"services,omitempty"`
}

type heldRecord struct {
	Token         []byte       `json:"token"`
	Encryption    []byte       `json:"encryption"`
	Signature     []byte       `json:"signature"`
	Algorithm     string       `json:"algorithm,omitempty"`
	Self          token.Entity `json:"self"`
	Issuer        token.Entity `json:"issuer"`
	Authenticated bool         `json:"authenticated,omitempty"`
	Sentinel      bool         `json:"sentinel,omitempty"`
	CBOR          bool         `json:"cbor,omitempty"`
}

// boundRecord is a token with the serial numbers of what it is bound to.
type boundRecord struct {
	Token       []byte `json:"token"`
	MasterToken int64  `json:"mt"`
	UserIDToken int64  `json:"uit"`
}

// Encode writes all that h holds, session keys too: whoever stores it encrypts.
func (h *Holder) Encode() ([]byte, error) {
	r := holderRecord{Version: holderVersion, Counters: h.counters, Users: make(map[string]boundRecord, len(h.users))}
	var err error
	for _, t := range h.tokens {
		held := heldRecord{
			Encryption:    t.Keys.Encryption,
			Signature:     t.Keys.Signature,
			Algorithm:     t.Keys.SignatureAlgorithm,
			Self:          t.Self,
			Issuer:        t.From.Issuer,
			Authenticated: t.From.Authenticated,
			Sentinel:      t.From.Sentinel,
			CBOR:          t.From.CBOR,
		}
		if held.Token, err = framing.JSON.Append(nil, t.Token.Object()); err != nil {
			return nil, err
		}
		r.Tokens = append(r.Tokens, held)
	}
	for user, t := range h.users {
		bound := boundRecord{MasterToken: t.MasterTokenSerial}
		if bound.Token, err = framing.JSON.Append(nil, t.Object()); err != nil {
			return nil, err
		}
		r.Users[user] = bound
	}
	for _, t := range h.services {
		bound := boundRecord{MasterToken: t.MasterTokenSerial, UserIDToken: t.UserIDTokenSerial}
		if bound.Token, err = framing.JSON.Append(nil, t.Object()); err != nil {
			return nil, err
		}
		r.Services = append(r.Services, bound)
	}
	return json.Marshal(r)
}

// DecodeHolder reads what Encode wrote. The contexts are the application's: with
// them service tokens are verified and their data known, as when they came.
func DecodeHolder(data []byte, contexts token.ServiceContexts) (*Holder, error) {
	var r holderRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.Version != holderVersion {
		return nil, fmt.Errorf("store: record of version %d, not %d", r.Version, holderVersion)
	}
	h := &Holder{counters: r.Counters, users: make(map[string]*token.UserIDToken, len(r.Users))}
	for _, held := range r.Tokens {
		o, err := framing.Decode(held.Token)
		if err != nil {
			return nil, err
		}
		t, err := token.ParseMasterToken(o, nil)
		if err != nil {
			return nil, err
		}
		h.tokens = append(h.tokens, &token.Held{
			Token: t,
			Keys: mslcrypto.SessionKeys{
				Encryption:         held.Encryption,
				Signature:          held.Signature,
				SignatureAlgorithm: held.Algorithm,
			},
			Self: held.Self,
			From: token.Origin{Issuer: held.Issuer, Authenticated: held.Authenticated, Sentinel: held.Sentinel, CBOR: held.CBOR},
		})
	}
	for user, bound := range r.Users {
		o, mt, _, err := bound.open()
		if err != nil {
			return nil, err
		}
		if h.users[user], err = token.ParseUserIDToken(o, mt, nil); err != nil {
			return nil, err
		}
	}
	for _, bound := range r.Services {
		o, mt, uit, err := bound.open()
		if err != nil {
			return nil, err
		}
		t, err := token.ParseServiceToken(o, mt, uit, contexts)
		if err != nil { // a key of the application has changed
			if t, err = token.ParseServiceToken(o, mt, uit, nil); err != nil {
				return nil, err
			}
		}
		h.services = append(h.services, t)
	}
	return h, nil
}

// open gives the token, and of what it is bound to as much as is needed to read it.
func (r *boundRecord) open() (framing.Object, *token.MasterToken, *token.UserIDToken, error) {
	o, err := framing.Decode(r.Token)
	return o, &token.MasterToken{Serial: r.MasterToken}, &token.UserIDToken{Serial: r.UserIDToken}, err
}

type entityRecord struct {
	Version int `json:"version"`
	*Entity
}

// Encode writes all that is known of e.
func (e *Entity) Encode() ([]byte, error) { return json.Marshal(entityRecord{entityVersion, e}) }

// DecodeEntity reads what Encode wrote.
func DecodeEntity(data []byte) (*Entity, error) {
	r := entityRecord{Entity: new(Entity)}
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.Version != entityVersion {
		return nil, fmt.Errorf("store: record of version %d, not %d", r.Version, entityVersion)
	}
	return r.Entity, nil
}

// Encode writes what is known of u.
func (u *User) Encode() ([]byte, error) { return json.Marshal(u) }

// DecodeUser reads what Encode wrote.
func DecodeUser(data []byte) (*User, error) {
	u := new(User)
	return u, json.Unmarshal(data, u)
}
