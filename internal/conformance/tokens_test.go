package conformance

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

var tokenLists = map[string]runner{
	"description": nil, "token_keys": nil, "service_token_keys": nil,
	"master_tokens":           tokens(parseMasterToken),
	"user_id_tokens":          tokens(parseUserIDToken),
	"service_tokens":          tokens(parseServiceToken),
	"master_token_newer_than": newerThan,
}

// tokenCase is an encoded token and the tokens at hand when it is parsed.
type tokenCase struct {
	Case, Note                      string
	Token, MasterToken, UserIDToken []byte
	Parse                           result[map[string]any]
}

func tokens(parse func(t *testing.T, r *run, c *tokenCase) (any, error)) runner {
	return func(r *run, list json.RawMessage) {
		each(r, list, func(c *tokenCase) string { return c.Case }, func(t *testing.T, c *tokenCase) error {
			got, err := parse(t, r, c)
			if err != nil && mayAccept(c.Note) {
				return nil
			}
			return c.Parse.compare(nil, err, func(_, want map[string]any) error {
				return same(got, any(parseIssuerData(t, want)))
			})
		})
	}
}

func parseMasterToken(t *testing.T, r *run, c *tokenCase) (any, error) {
	o, err := framing.Decode(c.Token)
	if err != nil {
		return nil, err
	}
	mt, err := token.ParseMasterToken(o, r.issuerKeys(t))
	if err != nil {
		return nil, err
	}
	if err := unchanged(t, mt.Object(), o); err != nil {
		return nil, err
	}
	return viewMasterToken(t, mt, vectorsTime), nil
}

// atHand are the tokens that a case has at hand.
func (c *tokenCase) atHand(t *testing.T, r *run) (mt *token.MasterToken, uit *token.UserIDToken) {
	t.Helper()
	keys := r.issuerKeys(t)
	if len(c.MasterToken) > 0 {
		o, err := framing.Decode(c.MasterToken)
		if err != nil {
			t.Fatal(err)
		}
		if mt, err = token.ParseMasterToken(o, keys); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.UserIDToken) > 0 {
		o, err := framing.Decode(c.UserIDToken)
		if err != nil {
			t.Fatal(err)
		}
		if uit, err = token.ParseUserIDToken(o, mt, keys); err != nil {
			t.Fatal(err)
		}
	}
	return mt, uit
}

func parseUserIDToken(t *testing.T, r *run, c *tokenCase) (any, error) {
	mt, _ := c.atHand(t, r)
	o, err := framing.Decode(c.Token)
	if err != nil {
		return nil, err
	}
	u, err := token.ParseUserIDToken(o, mt, r.issuerKeys(t))
	if err != nil {
		return nil, err
	}
	if err := unchanged(t, u.Object(), o); err != nil {
		return nil, err
	}
	return viewUserIDToken(t, u), nil
}

func parseServiceToken(t *testing.T, r *run, c *tokenCase) (any, error) {
	var sets map[string]symmetric
	if err := json.Unmarshal(r.members["service_token_keys"], &sets); err != nil {
		t.Fatal(err)
	}
	mt, uit := c.atHand(t, r)
	o, err := framing.Decode(c.Token)
	if err != nil {
		return nil, err
	}
	s, err := token.ParseServiceToken(o, mt, uit, serviceContexts(t, sets))
	if err != nil {
		return nil, err
	}
	if err := unchanged(t, s.Object(), o); err != nil {
		return nil, err
	}
	return viewServiceToken(t, s), nil
}

// unchanged checks that a token would be sent on as it was received.
func unchanged(t *testing.T, got, received framing.Object) error {
	t.Helper()
	for _, member := range []string{"tokendata", "signature"} {
		g, err := framing.Get[[]byte](got, member)
		if err != nil {
			return err
		}
		r, err := framing.Get[[]byte](received, member)
		if err != nil {
			return err
		}
		if string(g) != string(r) {
			return fmt.Errorf("%s changes when the token is sent on", member)
		}
	}
	return nil
}

// newerThan compares sequence numbers, in tokens with the same expiration or a later one.
func newerThan(r *run, list json.RawMessage) {
	type newer struct {
		Sequence        int64 `json:"sequencenumber"`
		Than            int64 `json:"than_sequencenumber"`
		ExpirationLater bool  `json:"expiration_later"`
		Newer           bool
	}
	keys := r.issuerKeys(r.t)
	mint := func(t *testing.T, sequence int64, expiration time.Time) *token.MasterToken {
		t.Helper()
		mt, err := token.MintMasterToken(token.MasterTokenSpec{
			RenewalWindow: vectorsTime, Expiration: expiration, Sequence: sequence, Serial: 1, Identity: "x",
			Keys: mslcrypto.SessionKeys{Encryption: make([]byte, mslcrypto.EncryptionKeySize), Signature: make([]byte, mslcrypto.SignatureKeySize)},
		}, keys, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return mt
	}
	each(r, list, func(c *newer) string { return fmt.Sprintf("%d than %d", c.Sequence, c.Than) }, func(t *testing.T, c *newer) error {
		expiration := vectorsTime.Add(time.Hour)
		than := mint(t, c.Than, expiration)
		if c.ExpirationLater {
			expiration = expiration.Add(time.Hour)
		}
		if got := mint(t, c.Sequence, expiration).NewerThan(than); got != c.Newer {
			return fmt.Errorf("newer: %v, want %v", got, c.Newer)
		}
		return nil
	})
}
