package token

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

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

// Formats differ from blob to blob: a token made in one travels in another.
func TestTokensInOtherFormats(t *testing.T) {
	keys := newKeys(t, 1)
	for _, inner := range framing.Formats() {
		for _, outer := range framing.Formats() {
			minted, err := MintMasterToken(masterSpec(), keys, inner)
			if err != nil {
				t.Fatal(err)
			}
			data, err := outer.Append(nil, minted.Object())
			if err != nil {
				t.Fatal(err)
			}
			mt, err := ParseMasterToken(decode(t, data), keys)
			if err != nil || !mt.Verified() || !mt.Equal(minted) || !bytes.Equal(mt.SessionKeys().Signature, session.Signature) {
				t.Errorf("%s in %s: %v, %v", inner.Name(), outer.Name(), mt, err)
			}
		}
	}
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
		maps.Copy(o, v.change)
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

func TestSealedMasterToken(t *testing.T) {
	keys := newKeys(t, 1)
	minted := mintMaster(t, keys)
	sealed := minted.Sealed()
	if sealed.IsZero() || sealed.Serial != minted.Serial {
		t.Errorf("serial number %d of %v", sealed.Serial, minted)
	}
	mt, err := sealed.Open(keys)
	if err != nil {
		t.Fatal(err)
	}
	if !mt.Verified() || !mt.Equal(minted) || !bytes.Equal(mt.SessionKeys().Signature, session.Signature) || !bytes.Equal(encode(t, mt.Object()), encode(t, minted.Object())) {
		t.Errorf("%v is not what was sealed", mt)
	}
	if mt, err = sealed.Open(newKeys(t, 2)); err != nil || mt.Verified() {
		t.Errorf("verified with other keys: %v", err)
	}
	if !(SealedMasterToken{}).IsZero() {
		t.Error("there is a token in the zero value")
	}
}
