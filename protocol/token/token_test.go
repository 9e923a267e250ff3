package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
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

var (
	window  = time.Unix(1_700_003_600, 0)
	expires = time.Unix(1_700_007_200, 0)
	session = mslcrypto.SessionKeys{
		Encryption: bytes.Repeat([]byte{0xe1}, 16),
		Signature:  bytes.Repeat([]byte{0xe2}, 32),
	}
)

func newKeys(t testing.TB, b byte) *Keys { return NewKeys(newContext(t, b)) }

func newContext(t testing.TB, b byte) mslcrypto.Context {
	k := bytes.Repeat([]byte{b}, 16)
	return peerKeys{EncryptionKey: k, HMACKey: k, WrappingKey: k}.context(t)
}

func masterSpec() MasterTokenSpec {
	return MasterTokenSpec{RenewalWindow: window, Expiration: expires, Sequence: 7, Serial: 31415, Identity: "DEV-1", Keys: session}
}

func mintMaster(t testing.TB, keys *Keys) *MasterToken {
	t.Helper()
	mt, err := MintMasterToken(masterSpec(), keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return mt
}

func TestMintMasterToken(t *testing.T) {
	keys := newKeys(t, 1)
	s := masterSpec()
	s.Expiration = expires.Add(999 * time.Millisecond) // dropped
	s.IssuerData = framing.Object{"scheme": "PSK"}
	s.Keys.SignatureAlgorithm = mslcrypto.AESCMAC
	minted, err := MintMasterToken(s, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	wire := encode(t, minted.Object())
	for _, mt := range []*MasterToken{minted, func() *MasterToken {
		mt, err := ParseMasterToken(decode(t, wire), keys)
		if err != nil {
			t.Fatal(err)
		}
		return mt
	}()} {
		if !mt.Verified() || !mt.Equal(minted) || mt.Identity() != "DEV-1" || !mt.Expiration.Equal(expires) || mt.IssuerData()["scheme"] != "PSK" ||
			mt.SessionKeys().SignatureAlgorithm != mslcrypto.AESCMAC || !bytes.Equal(mt.SessionKeys().Encryption, session.Encryption) ||
			!bytes.Equal(mt.SessionKeys().Signature, session.Signature) {
			t.Errorf("%v is not what was minted", mt)
		}
		if again := encode(t, mt.Object()); !bytes.Equal(again, wire) {
			t.Error("encoded otherwise the second time")
		}
	}
	// A holder sees the outside only, and can restore it from what it sent.
	held, err := ParseMasterToken(decode(t, wire), nil)
	if err != nil {
		t.Fatal(err)
	}
	if held.Verified() || held.Identity() != "" || held.SessionKeys().Encryption != nil || held.IssuerData() != nil || !held.Equal(minted) {
		t.Error("a holder sees inside the token")
	}

	o := decode(t, minted.tokendata)
	if len(o) != 5 || o["renewalwindow"] != window.Unix() || o["expiration"] != expires.Unix() {
		t.Errorf("token data %v", o)
	}
	context, err := keys.Verify(minted.tokendata, minted.signature)
	if err != nil || context == nil {
		t.Fatal(context, err)
	}
	sessiondata, err := framing.Get[[]byte](o, "sessiondata")
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := context.Decrypt(sessiondata)
	if err != nil {
		t.Fatal(err)
	}
	inside := decode(t, plaintext)
	if len(inside) != 7 || inside["hmackey"] != inside["signaturekey"] || inside["encryptionalgorithm"] != "AES" {
		t.Errorf("session data has %d members", len(inside))
	}
}

func TestMintRefuses(t *testing.T) {
	keys := newKeys(t, 1)
	for name, change := range map[string]func(*MasterTokenSpec){
		"expires before renewal": func(s *MasterTokenSpec) { s.Expiration = window.Add(-time.Second) },
		"sequence negative":      func(s *MasterTokenSpec) { s.Sequence = -1 },
		"sequence too great":     func(s *MasterTokenSpec) { s.Sequence = MaxNumber + 1 },
		"serial negative":        func(s *MasterTokenSpec) { s.Serial = -1 },
		"serial too great":       func(s *MasterTokenSpec) { s.Serial = MaxNumber + 1 },
		"no keys":                func(s *MasterTokenSpec) { s.Keys = mslcrypto.SessionKeys{} },
	} {
		s := masterSpec()
		change(&s)
		_, err := MintMasterToken(s, keys, framing.JSON)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantCode(t, err, mslerr.InternalException)
	}
	_, err := MintMasterToken(masterSpec(), nil, framing.JSON)
	wantCode(t, err, mslerr.InternalException)

	mt := mintMaster(t, keys)
	good := UserIDTokenSpec{RenewalWindow: window, Expiration: expires, Serial: 1, User: "u"}
	for name, change := range map[string]func(*UserIDTokenSpec){
		"expires before renewal": func(s *UserIDTokenSpec) { s.Expiration = window.Add(-time.Second) },
		"serial negative":        func(s *UserIDTokenSpec) { s.Serial = -1 },
		"no user":                func(s *UserIDTokenSpec) { s.User = "" },
	} {
		s := good
		change(&s)
		if _, err := MintUserIDToken(s, mt, keys, framing.JSON); !errors.Is(err, mslerr.InternalException) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = MintUserIDToken(good, nil, keys, framing.JSON)
	wantCode(t, err, mslerr.InternalException)
	_, err = MintUserIDToken(good, mt, nil, framing.JSON)
	wantCode(t, err, mslerr.InternalException)
}

// sealAs signs token data of any content, to see how it is read.
func sealAs(t *testing.T, keys *Keys, o framing.Object) framing.Object {
	t.Helper()
	s, err := seal(o, keys.Primary(), framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return s.Object()
}

// Checks run in the order of the table in spec 03 section 1.1, whether the token
// is verified or not.
func TestMasterTokenCheckOrder(t *testing.T) {
	keys, other := newKeys(t, 1), newKeys(t, 2)
	o := framing.Object{"renewalwindow": int64(2), "expiration": int64(1), "sequencenumber": int64(-1), "serialnumber": int64(-1), "sessiondata": []byte{}}
	for _, v := range []struct {
		code  mslerr.Code
		name  string
		value any
	}{
		{mslerr.MasterTokenExpiresBeforeRenewal, "expiration", int64(2)},
		{mslerr.MasterTokenSequenceNumberOutOfRange, "sequencenumber", MaxNumber},
		{mslerr.MasterTokenSerialNumberOutOfRange, "serialnumber", int64(0)},
		{mslerr.MasterTokenSessionDataMissing, "", nil},
	} {
		for _, k := range []*Keys{keys, other, nil} {
			_, err := ParseMasterToken(sealAs(t, keys, o), k)
			wantCode(t, err, v.code)
		}
		o[v.name] = v.value
	}
	for _, name := range []string{"renewalwindow", "expiration", "sequencenumber", "serialnumber", "sessiondata"} {
		full := decode(t, mintMaster(t, keys).tokendata)
		for _, bad := range []any{nil, true} {
			full[name] = bad
			_, err := ParseMasterToken(sealAs(t, keys, full), nil)
			wantCode(t, err, mslerr.MasterTokenTokenDataParseError)
		}
	}
	for _, o := range []framing.Object{{}, {"tokendata": "*", "signature": ""}, {"tokendata": "AA=="}, {"tokendata": "AA==", "signature": int64(1)}} {
		_, err := ParseMasterToken(o, keys)
		wantCode(t, err, mslerr.ParseError)
	}
	_, err := ParseMasterToken(framing.Object{"tokendata": "", "signature": ""}, keys)
	wantCode(t, err, mslerr.MasterTokenTokenDataMissing)
}

func TestMasterTokenSessionData(t *testing.T) {
	keys := newKeys(t, 1)
	good := func() framing.Object {
		return framing.Object{"identity": "i", "encryptionkey": make([]byte, 16), "signaturekey": []byte{1}, "hmackey": []byte{2}}
	}
	parse := func(session framing.Object) (*MasterToken, error) {
		ct, err := encrypt(session, keys.Primary(), framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		o := decode(t, mintMaster(t, keys).tokendata)
		o["sessiondata"] = ct
		return ParseMasterToken(sealAs(t, keys, o), keys)
	}
	mt, err := parse(good())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "signature key", []byte(mt.SessionKeys().Signature), []byte{1})
	same(t, "algorithm", mt.SessionKeys().SignatureAlgorithm, "HmacSHA256")
	for name, v := range map[string]struct {
		change framing.Object
		code   mslerr.Code
	}{
		"no identity":         {framing.Object{"identity": nil}, mslerr.MasterTokenSessionDataParseError},
		"no encryption key":   {framing.Object{"encryptionkey": nil}, mslerr.MasterTokenSessionDataParseError},
		"no signature key":    {framing.Object{"signaturekey": nil, "hmackey": nil}, mslerr.MasterTokenSessionDataParseError},
		"issuer data a text":  {framing.Object{"issuerdata": "x"}, mslerr.MasterTokenSessionDataParseError},
		"unknown signature":   {framing.Object{"signaturealgorithm": "hmacsha256"}, mslerr.UnidentifiedAlgorithm},
		"unknown encryption":  {framing.Object{"encryptionalgorithm": "DES"}, mslerr.UnidentifiedAlgorithm},
		"algorithm a number":  {framing.Object{"encryptionalgorithm": int64(1)}, mslerr.MasterTokenSessionDataParseError},
		"key of 5 bytes":      {framing.Object{"encryptionkey": make([]byte, 5)}, mslerr.MasterTokenKeyCreationError},
		"key empty":           {framing.Object{"signaturekey": []byte{}}, mslerr.MasterTokenKeyCreationError},
		"CMAC key of 1 byte":  {framing.Object{"signaturealgorithm": "AESCmac"}, mslerr.MasterTokenKeyCreationError},
		"RSA with a MAC key":  {framing.Object{"signaturealgorithm": "SHA256withRSA"}, mslerr.MasterTokenKeyCreationError},
		"signature key a int": {framing.Object{"signaturekey": int64(3)}, mslerr.MasterTokenSessionDataParseError},
	} {
		o := good()
		for member, value := range v.change {
			o[member] = value
		}
		_, err := parse(o)
		if err == nil {
			t.Error(name, "is accepted")
			continue
		}
		wantCode(t, err, v.code)
	}
}

func TestEquality(t *testing.T) {
	keys := newKeys(t, 1)
	a, b := mintMaster(t, keys), mintMaster(t, keys)
	if !a.Equal(b) || a.Equal(nil) || !(*MasterToken)(nil).Equal(nil) {
		t.Error("master tokens are compared by something else")
	}
	for _, other := range []MasterToken{
		{Serial: a.Serial + 1, Sequence: a.Sequence, Expiration: a.Expiration},
		{Serial: a.Serial, Sequence: a.Sequence + 1, Expiration: a.Expiration},
		{Serial: a.Serial, Sequence: a.Sequence, Expiration: a.Expiration.Add(time.Second)},
	} {
		if a.Equal(&other) {
			t.Errorf("%v equals %v", a, &other)
		}
	}
	u := &UserIDToken{Serial: 1, MasterTokenSerial: 2}
	if !u.Equal(&UserIDToken{Serial: 1, MasterTokenSerial: 2}) || u.Equal(&UserIDToken{Serial: 1, MasterTokenSerial: 3}) || u.Equal(nil) {
		t.Error("user ID tokens are compared by something else")
	}
	s := &ServiceToken{Name: "n", MasterTokenSerial: 1, UserIDTokenSerial: 2, data: []byte{1}}
	if !s.Equal(&ServiceToken{Name: "n", MasterTokenSerial: 1, UserIDTokenSerial: 2}) || s.Equal(&ServiceToken{Name: "m", MasterTokenSerial: 1, UserIDTokenSerial: 2}) ||
		s.Equal(&ServiceToken{Name: "n", MasterTokenSerial: -1, UserIDTokenSerial: 2}) || s.Equal(nil) {
		t.Error("service tokens are compared by something else")
	}
}

// Spec 03 section 3, all cells of the table, with the boundary.
func TestRenewableAndExpired(t *testing.T) {
	for _, verified := range []bool{true, false} {
		mt := &MasterToken{RenewalWindow: window, Expiration: expires, verified: verified}
		uit := &UserIDToken{RenewalWindow: window, Expiration: expires, verified: verified}
		for _, v := range []struct {
			now                time.Time
			renewable, expired bool
		}{
			{window.Add(-time.Millisecond), false, false},
			{window, true, false},
			{expires.Add(-time.Millisecond), true, false},
			{expires, true, true},
			{time.Time{}, true, verified}, // by our own clock it is long past
		} {
			if mt.Renewable(v.now) != v.renewable || uit.Renewable(v.now) != v.renewable {
				t.Errorf("verified %v: renewable at %v: %v", verified, v.now, !v.renewable)
			}
			if mt.Expired(v.now) != v.expired || uit.Expired(v.now) != v.expired {
				t.Errorf("verified %v: expired at %v: %v", verified, v.now, !v.expired)
			}
		}
	}
	future := &MasterToken{RenewalWindow: time.Now().Add(time.Hour), Expiration: time.Now().Add(2 * time.Hour), verified: true}
	if future.Renewable(time.Time{}) || future.Expired(time.Time{}) {
		t.Error("our own token is not judged by our own clock")
	}
	edge := &MasterToken{RenewalWindow: time.Unix(1<<63-1, 0), Expiration: time.Unix(1<<63-1, 0)}
	if edge.Expired(time.Now()) {
		t.Error("the last second there is has passed")
	}
}

func TestUserIDToken(t *testing.T) {
	keys := newKeys(t, 1)
	mt := mintMaster(t, keys)
	minted, err := MintUserIDToken(UserIDTokenSpec{RenewalWindow: window, Expiration: expires, Serial: 42, User: "user-9",
		IssuerData: framing.Object{"a": int64(1)}}, mt, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	uit, err := ParseUserIDToken(decode(t, encode(t, minted.Object())), mt, keys)
	if err != nil {
		t.Fatal(err)
	}
	if !uit.Verified() || uit.User() != "user-9" || !uit.Equal(minted) || !uit.BoundTo(mt) || uit.BoundTo(nil) || uit.IssuerData()["a"] != int64(1) {
		t.Errorf("%v is not what was minted", uit)
	}
	held, err := ParseUserIDToken(minted.Object(), mt, nil)
	if err != nil || held.Verified() || held.User() != "" {
		t.Error("a holder sees inside the token", err)
	}
	other := &MasterToken{Serial: mt.Serial + 1}
	for _, k := range []*Keys{keys, nil} { // also when it is not verified
		_, err = ParseUserIDToken(minted.Object(), other, k)
		wantCode(t, err, mslerr.UserIDTokenMasterTokenMismatch)
		_, err = ParseUserIDToken(minted.Object(), nil, k)
		wantCode(t, err, mslerr.UserIDTokenMasterTokenMismatch)
	}

	o := framing.Object{"renewalwindow": int64(2), "expiration": int64(1), "mtserialnumber": int64(-1), "serialnumber": MaxNumber + 1, "userdata": []byte{}}
	for _, v := range []struct {
		code  mslerr.Code
		name  string
		value any
	}{
		{mslerr.UserIDTokenExpiresBeforeRenewal, "expiration", int64(2)},
		{mslerr.UserIDTokenMasterTokenSerialNumberOutOfRange, "mtserialnumber", mt.Serial + 1},
		{mslerr.UserIDTokenSerialNumberOutOfRange, "serialnumber", MaxNumber},
		{mslerr.UserIDTokenUserDataMissing, "userdata", []byte("x")},
		{mslerr.CiphertextEnvelopeParseError, "", nil}, // the mismatch comes last
	} {
		_, err := ParseUserIDToken(sealAs(t, keys, o), mt, keys)
		wantCode(t, err, v.code)
		o[v.name] = v.value
	}
	for _, name := range []string{"renewalwindow", "expiration", "mtserialnumber", "serialnumber", "userdata"} {
		full := decode(t, minted.tokendata)
		delete(full, name)
		_, err := ParseUserIDToken(sealAs(t, keys, full), mt, nil)
		wantCode(t, err, mslerr.UserIDTokenTokenDataParseError)
	}
}

func TestServiceTokens(t *testing.T) {
	keys := newKeys(t, 1)
	contexts := ServiceContexts{"": newContext(t, 2), "com.example.own": newContext(t, 3)}
	mt := mintMaster(t, keys)
	uit, err := MintUserIDToken(UserIDTokenSpec{RenewalWindow: window, Expiration: expires, Serial: 42, User: "u"}, mt, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("service data "), 20)
	for _, name := range []string{"com.example.own", "com.example.other", ""} {
		for _, encrypt := range []bool{false, true} {
			for _, compression := range []string{"", "GZIP", "LZW"} {
				s := ServiceTokenSpec{Name: name, Data: data, MasterToken: mt, UserIDToken: uit, Encrypt: encrypt, Compression: compression}
				minted, err := MintServiceToken(s, contexts, framing.JSON)
				if err != nil {
					t.Fatal(err)
				}
				o := decode(t, minted.tokendata)
				if got, _ := o["compressionalgo"].(string); got != compression {
					t.Errorf("compressed with %q, not %q", got, compression)
				}
				st, err := ParseServiceToken(decode(t, encode(t, minted.Object())), mt, uit, contexts)
				if err != nil {
					t.Fatal(err)
				}
				if got, known := st.Data(); !known || !bytes.Equal(got, data) || !st.Verified() || st.Deleted() || st.Encrypted != encrypt || !st.Equal(minted) {
					t.Errorf("%v %v %q: not what was minted", st, encrypt, compression)
				}
				st, err = ParseServiceToken(minted.Object(), mt, uit, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got, known := st.Data(); known || got != nil || st.Verified() || st.Deleted() {
					t.Error("data of a token that is not verified")
				}
			}
		}
	}
}

func TestServiceTokenBinding(t *testing.T) {
	keys := newKeys(t, 1)
	contexts := ServiceContexts{"": newContext(t, 2)}
	mt, other := mintMaster(t, keys), &MasterToken{Serial: 1}
	uit := &UserIDToken{Serial: 42, MasterTokenSerial: mt.Serial}
	mint := func(mt *MasterToken, uit *UserIDToken) *ServiceToken {
		st, err := MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x"), MasterToken: mt, UserIDToken: uit}, contexts, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	free := mint(nil, nil)
	if o := decode(t, free.tokendata); o["mtserialnumber"] != nil || o["uitserialnumber"] != nil || free.MasterTokenSerial != -1 || free.UserIDTokenSerial != -1 {
		t.Error("an unbound token names a token")
	}
	for _, v := range []struct {
		st   *ServiceToken
		mt   *MasterToken
		uit  *UserIDToken
		code mslerr.Code
	}{
		{free, nil, nil, -1},
		{free, mt, uit, -1},
		{mint(mt, nil), mt, nil, -1},
		{mint(mt, nil), nil, nil, mslerr.ServiceTokenMasterTokenMismatch},
		{mint(mt, nil), other, nil, mslerr.ServiceTokenMasterTokenMismatch},
		{mint(mt, uit), mt, uit, -1},
		{mint(mt, uit), mt, nil, mslerr.ServiceTokenUserIDTokenMismatch},
		{mint(mt, uit), mt, &UserIDToken{Serial: 43}, mslerr.ServiceTokenUserIDTokenMismatch},
		{mint(mt, uit), other, nil, mslerr.ServiceTokenMasterTokenMismatch},
		{mint(nil, uit), mt, uit, -1},
		{mint(nil, uit), nil, nil, mslerr.ServiceTokenUserIDTokenMismatch},
	} {
		_, err := ParseServiceToken(v.st.Object(), v.mt, v.uit, contexts)
		if v.code >= 0 {
			wantCode(t, err, v.code)
		} else if err != nil {
			t.Errorf("%v: %v", v.st, err)
		}
	}
	_, err := MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x"), MasterToken: other, UserIDToken: uit}, contexts, framing.JSON)
	wantCode(t, err, mslerr.InternalException)
}

func TestServiceTokenDeletion(t *testing.T) {
	mt := &MasterToken{Serial: 5}
	minted, err := MintServiceToken(ServiceTokenSpec{Name: "n", MasterToken: mt, Encrypt: true, Compression: "GZIP"}, nil, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if len(minted.signature) != 0 || minted.Encrypted {
		t.Errorf("a deletion is signed or encrypted")
	}
	same(t, "token data", string(encode(t, decode(t, minted.tokendata))),
		`{"encrypted":false,"mtserialnumber":5,"name":"n","servicedata":""}`)
	for _, contexts := range []ServiceContexts{nil, {"": newContext(t, 2)}} {
		st, err := ParseServiceToken(decode(t, encode(t, minted.Object())), mt, nil, contexts)
		if err != nil || !st.Deleted() || st.Verified() {
			t.Error("a deletion is not recognised, or taken for verified", err)
		}
	}
}

func TestServiceTokenErrors(t *testing.T) {
	keys := newKeys(t, 2)
	contexts := ServiceContexts{"": keys.Primary()}
	for _, o := range []framing.Object{{}, {"signature": ""}, {"tokendata": "", "signature": ""}} {
		_, err := ParseServiceToken(o, nil, nil, contexts)
		wantCode(t, err, mslerr.ServiceTokenTokenDataMissing)
	}
	good := func() framing.Object {
		return framing.Object{"name": "n", "encrypted": false, "servicedata": []byte("x")}
	}
	for _, v := range []struct {
		change framing.Object
		code   mslerr.Code
	}{
		{framing.Object{"name": nil}, mslerr.ParseError},
		{framing.Object{"encrypted": "false"}, mslerr.ParseError},
		{framing.Object{"servicedata": nil}, mslerr.ParseError},
		{framing.Object{"mtserialnumber": "1"}, mslerr.ParseError},
		{framing.Object{"mtserialnumber": int64(-1)}, mslerr.ServiceTokenMasterTokenSerialNumberOutOfRange},
		{framing.Object{"uitserialnumber": MaxNumber + 1}, mslerr.ServiceTokenUserIDTokenSerialNumberOutOfRange},
		{framing.Object{"compressionalgo": "gzip"}, mslerr.UnidentifiedCompression},
		{framing.Object{"compressionalgo": "LZ4"}, mslerr.UnidentifiedCompression},
		{framing.Object{"compressionalgo": "GZIP"}, mslerr.UncompressionError},
		{framing.Object{"encrypted": true}, mslerr.CiphertextEnvelopeParseError},
	} {
		o := good()
		for name, value := range v.change {
			o[name] = value
		}
		_, err := ParseServiceToken(sealAs(t, keys, o), nil, nil, contexts)
		if err == nil {
			t.Errorf("%v is accepted", v.change)
			continue
		}
		wantCode(t, err, v.code)
	}
	_, err := MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x")}, nil, framing.JSON)
	wantCode(t, err, mslerr.InternalException)
	_, err = MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("x"), Compression: "LZ4"}, contexts, framing.JSON)
	wantCode(t, err, mslerr.UnsupportedCompression)
}

// A token that inflates beyond 200 times its size is refused (W-18).
func TestServiceTokenBomb(t *testing.T) {
	keys := newKeys(t, 2)
	bomb, err := compress.GZIP.Compress(nil, make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	o := sealAs(t, keys, framing.Object{"name": "n", "encrypted": false, "compressionalgo": "GZIP", "servicedata": bomb})
	_, err = ParseServiceToken(o, nil, nil, ServiceContexts{"": keys.Primary()})
	wantCode(t, err, mslerr.UncompressionError)
}

func TestKeysRotate(t *testing.T) {
	keys := newKeys(t, 1)
	first := mintMaster(t, keys)
	wrapped, err := keys.Primary().Wrap(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	keys.Rotate(newContext(t, 2), 1)
	second := mintMaster(t, keys)
	readable := func(mt *MasterToken) bool {
		got, err := ParseMasterToken(mt.Object(), keys)
		if err != nil {
			t.Fatal(err)
		}
		return got.Verified()
	}
	if !readable(first) || !readable(second) {
		t.Error("a token of the ring is not verified")
	}
	if _, err := keys.Unwrap(wrapped); err != nil {
		t.Error("an older key no longer unwraps:", err)
	}
	keys.Rotate(newContext(t, 3), 1)
	if readable(first) || !readable(second) {
		t.Error("the ring keeps too much or too little")
	}
	if _, err := keys.Unwrap(wrapped); !errors.Is(err, mslerr.UnwrapError) {
		t.Error(err)
	}
	keys.Rotate(newContext(t, 4), 0)
	if readable(second) {
		t.Error("the ring keeps too much")
	}
	if c, err := (*Keys)(nil).Verify(nil, nil); c != nil || err != nil {
		t.Error("no ring verifies", err)
	}
	if _, err := (*Keys)(nil).Unwrap(nil); !errors.Is(err, mslerr.UnwrapNotSupported) {
		t.Error(err)
	}
	if _, err := NewKeys(&mslcrypto.JWE{}).Verify(nil, nil); !errors.Is(err, mslerr.VerifyNotSupported) {
		t.Error(err)
	}
}

func TestKeysConcurrently(t *testing.T) {
	keys := newKeys(t, 1)
	contexts := []mslcrypto.Context{newContext(t, 2), newContext(t, 3)}
	var done sync.WaitGroup
	for i := range 4 {
		done.Go(func() {
			for n := range 50 {
				if i == 0 {
					keys.Rotate(contexts[n%2], 100)
				}
				mt, err := MintMasterToken(masterSpec(), keys, framing.JSON)
				if err != nil {
					t.Error(err)
					return
				}
				if mt, err = ParseMasterToken(mt.Object(), keys); err != nil || !mt.Verified() {
					t.Error("a token of the ring is not verified", err)
				}
			}
		})
	}
	done.Wait()
}

func TestMergeIssuerData(t *testing.T) {
	if MergeIssuerData(nil, nil) != nil {
		t.Error("something from nothing")
	}
	old := framing.Object{"a": int64(1), "b": int64(2)}
	merged := MergeIssuerData(old, framing.Object{"b": int64(3)})
	same(t, "merged", merged, framing.Object{"a": int64(1), "b": int64(3)})
	same(t, "old", old, framing.Object{"a": int64(1), "b": int64(2)})
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]int64{0: 1, MaxNumber - 1: MaxNumber, MaxNumber: 0} {
		same(t, "next", NextNumber(n), want)
	}
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.Int64Range(0, MaxNumber).Draw(r, "sequence")
		a := &MasterToken{Sequence: n, Expiration: expires}
		b := &MasterToken{Sequence: NextNumber(n), Expiration: expires}
		if !b.NewerThan(a) || a.NewerThan(b) || a.NewerThan(a) {
			r.Fatal("a renewal is not newer")
		}
	})
}

func TestTokensPrintNumbersOnly(t *testing.T) {
	keys := newKeys(t, 0x77)
	mt := mintMaster(t, keys)
	uit, err := MintUserIDToken(UserIDTokenSpec{RenewalWindow: window, Expiration: expires, Serial: 42, User: "very-secret"}, mt, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	st, err := MintServiceToken(ServiceTokenSpec{Name: "n", Data: []byte("very-secret")}, ServiceContexts{"": keys.Primary()}, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	for v, want := range map[any]string{
		mt:  "master token 31415/7",
		uit: "user ID token 31415/42",
		st:  `service token "n" -1/-1`,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
			if got := fmt.Sprintf(verb, v); got != want {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "t", v)
		if s := log.String(); strings.Contains(s, "secret") || strings.Contains(s, "tokendata") || !strings.Contains(s, "serial=") {
			t.Error(s)
		}
	}
	held := Held{Token: mt, Keys: mt.SessionKeys()}
	for _, verb := range []string{"%+v", "%#v", "%x", "%d"} {
		if s := fmt.Sprintf(verb, held); strings.Contains(s, "225") || strings.Contains(s, "e1e1") || strings.Contains(s, "0xe1") {
			t.Error(s)
		}
	}
}

func FuzzTokens(f *testing.F) {
	p := readPeer(f)
	for _, list := range [][]peerToken{p.MasterTokens[:3], p.UserIDTokens[:2], p.ServiceTokens[:5]} {
		for _, v := range list {
			f.Add(v.Token)
		}
	}
	// Verified whatever the signature says, so that the inside is read too.
	keys := NewKeys(mslcrypto.Null{})
	contexts := ServiceContexts{"": mslcrypto.Null{}}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := framing.Decode(data)
		if err != nil {
			return
		}
		for _, k := range []*Keys{keys, nil} {
			mt, err := ParseMasterToken(o, k)
			if err == nil {
				if again, err := ParseMasterToken(mt.Object(), k); err != nil || !again.Equal(mt) {
					t.Fatal("not the same when read again", err)
				}
				mt.Renewable(time.Now())
				mt.NewerThan(mt)
			}
			_, _ = ParseUserIDToken(o, &MasterToken{Serial: 1}, k)
		}
		if st, err := ParseServiceToken(o, &MasterToken{Serial: 1}, nil, contexts); err == nil {
			if _, known := st.Data(); !known {
				t.Fatal("verified and not known")
			}
		}
	})
}

func BenchmarkMintAndParse(b *testing.B) {
	keys := newKeys(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		mt := mintMaster(b, keys)
		if _, err := ParseMasterToken(mt.Object(), keys); err != nil {
			b.Fatal(err)
		}
	}
}
