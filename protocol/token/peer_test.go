package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// peer is what another implementation made, and how it read it.
type peer struct {
	TokenKeys        peerKeys            `json:"token_keys"`
	ServiceTokenKeys map[string]peerKeys `json:"service_token_keys"`
	AtHand           [][]byte            `json:"at_hand"`
	MasterTokens     []peerToken         `json:"master_tokens"`
	UserIDTokens     []peerToken         `json:"user_id_tokens"`
	ServiceTokens    []peerToken         `json:"service_tokens"`
	Newer            []struct {
		Sequence     int64 `json:"sequencenumber"`
		Than         int64 `json:"than_sequencenumber"`
		LaterExpires bool  `json:"expiration_later"`
		Newer        bool
	}
}

type peerKeys struct{ EncryptionKey, HMACKey, WrappingKey []byte }

func (k peerKeys) context(t testing.TB) mslcrypto.Context {
	t.Helper()
	c, err := mslcrypto.NewSymmetric("k", mslcrypto.SymmetricKeys{
		Encryption: k.EncryptionKey, Signature: k.HMACKey, Wrapping: k.WrappingKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type peerToken struct {
	Case    string
	Token   []byte
	MT, UIT *int
	Error   *int
	OK      struct {
		Verified, Decrypted, Encrypted, Deleted bool
		RenewalWindow, Expiration               int64
		SequenceNumber, SerialNumber            int64
		MTSerialNumber, UITSerialNumber         int64
		Identity, IssuerData, Name              string
		EncryptionKey, SignatureKey, Data       []byte
		ExpiredNow                              bool `json:"expired_now"`
		RenewableNow                            bool `json:"renewable_now"`
	}
}

func readPeer(t testing.TB) *peer {
	t.Helper()
	data, err := os.ReadFile("testdata/peer.json")
	if err != nil {
		t.Fatal(err)
	}
	p := new(peer)
	if err := json.Unmarshal(data, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *peer) keys(t testing.TB) *Keys { return NewKeys(p.TokenKeys.context(t)) }

func (p *peer) contexts(t testing.TB) ServiceContexts {
	c := ServiceContexts{}
	for name, k := range p.ServiceTokenKeys {
		if name == "default" {
			name = ""
		}
		c[name] = k.context(t)
	}
	return c
}

// atHand are the tokens that are there when v is read.
func (p *peer) atHand(t testing.TB, v peerToken) (mt *MasterToken, uit *UserIDToken) {
	t.Helper()
	var err error
	if v.MT != nil {
		if mt, err = ParseMasterToken(decode(t, p.AtHand[*v.MT]), p.keys(t)); err != nil {
			t.Fatal(err)
		}
	}
	if v.UIT != nil {
		if uit, err = ParseUserIDToken(decode(t, p.AtHand[*v.UIT]), mt, p.keys(t)); err != nil {
			t.Fatal(err)
		}
	}
	return mt, uit
}

func decode(t testing.TB, data []byte) framing.Object {
	t.Helper()
	o, err := framing.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func encode(t testing.TB, o framing.Object) []byte {
	t.Helper()
	data, err := framing.JSON.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func wantCode(t *testing.T, err error, code mslerr.Code) {
	t.Helper()
	var e *mslerr.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want %v", err, code)
	}
}

// same compares what a token says with what the peer says of it.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func sameIssuerData(t *testing.T, got framing.Object, want string) {
	t.Helper()
	if want == "" {
		same(t, "issuer data", len(got), 0)
		return
	}
	same(t, "issuer data", string(encode(t, got)), string(encode(t, decode(t, []byte(want)))))
}

// preserved checks that a token travels as it was received.
func preserved(t *testing.T, got framing.Object, received []byte) {
	t.Helper()
	o := decode(t, received)
	for _, name := range []string{memberTokenData, memberSignature} {
		want, err := framing.Get[[]byte](o, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[name].([]byte), want) {
			t.Errorf("%s has changed", name)
		}
	}
}

func TestMasterTokensOfPeer(t *testing.T) {
	p := readPeer(t)
	for _, v := range p.MasterTokens {
		t.Run(v.Case, func(t *testing.T) {
			mt, err := ParseMasterToken(decode(t, v.Token), p.keys(t))
			if v.Error != nil {
				wantCode(t, err, mslerr.Code(*v.Error))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same(t, "verified", mt.Verified(), v.OK.Verified)
			same(t, "renewal window", mt.RenewalWindow.Unix(), v.OK.RenewalWindow)
			same(t, "expiration", mt.Expiration.Unix(), v.OK.Expiration)
			same(t, "sequence", mt.Sequence, v.OK.SequenceNumber)
			same(t, "serial", mt.Serial, v.OK.SerialNumber)
			same(t, "identity", mt.Identity(), v.OK.Identity)
			same(t, "encryption key", []byte(mt.SessionKeys().Encryption), v.OK.EncryptionKey)
			same(t, "signature key", []byte(mt.SessionKeys().Signature), v.OK.SignatureKey)
			same(t, "expired", mt.Expired(time.Time{}), v.OK.ExpiredNow)
			same(t, "renewable", mt.Renewable(time.Time{}), v.OK.RenewableNow)
			sameIssuerData(t, mt.IssuerData(), v.OK.IssuerData)
			preserved(t, mt.Object(), v.Token)
		})
	}
}

func TestUserIDTokensOfPeer(t *testing.T) {
	p := readPeer(t)
	for _, v := range p.UserIDTokens {
		t.Run(v.Case, func(t *testing.T) {
			mt, _ := p.atHand(t, v)
			uit, err := ParseUserIDToken(decode(t, v.Token), mt, p.keys(t))
			if v.Error != nil {
				wantCode(t, err, mslerr.Code(*v.Error))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			same(t, "verified", uit.Verified(), v.OK.Verified)
			same(t, "renewal window", uit.RenewalWindow.Unix(), v.OK.RenewalWindow)
			same(t, "expiration", uit.Expiration.Unix(), v.OK.Expiration)
			same(t, "serial", uit.Serial, v.OK.SerialNumber)
			same(t, "master token's serial", uit.MasterTokenSerial, v.OK.MTSerialNumber)
			same(t, "user", uit.User(), v.OK.Identity)
			sameIssuerData(t, uit.IssuerData(), v.OK.IssuerData)
			preserved(t, uit.Object(), v.Token)
		})
	}
}

func TestServiceTokensOfPeer(t *testing.T) {
	p := readPeer(t)
	for _, v := range p.ServiceTokens {
		t.Run(v.Case, func(t *testing.T) {
			mt, uit := p.atHand(t, v)
			st, err := ParseServiceToken(decode(t, v.Token), mt, uit, p.contexts(t))
			if v.Error != nil {
				wantCode(t, err, mslerr.Code(*v.Error))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			data, known := st.Data()
			same(t, "verified", st.Verified(), v.OK.Verified)
			same(t, "known", known, v.OK.Decrypted)
			same(t, "data", data, v.OK.Data)
			same(t, "deleted", st.Deleted(), v.OK.Deleted)
			same(t, "encrypted", st.Encrypted, v.OK.Encrypted)
			same(t, "name", st.Name, v.OK.Name)
			same(t, "master token's serial", st.MasterTokenSerial, v.OK.MTSerialNumber)
			same(t, "user ID token's serial", st.UserIDTokenSerial, v.OK.UITSerialNumber)
			preserved(t, st.Object(), v.Token)
		})
	}
}

func TestNewerThanOfPeer(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, v := range readPeer(t).Newer {
		a, b := &MasterToken{Sequence: v.Sequence, Expiration: now}, &MasterToken{Sequence: v.Than, Expiration: now}
		if v.LaterExpires {
			a.Expiration = now.Add(time.Second)
		}
		if a.NewerThan(b) != v.Newer {
			t.Errorf("%d newer than %d: %v", v.Sequence, v.Than, !v.Newer)
		}
	}
}
