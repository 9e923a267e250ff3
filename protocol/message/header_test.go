package message

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

func TestIDs(t *testing.T) {
	for _, tt := range []struct{ id, next int64 }{{0, 1}, {1, 2}, {MaxID - 1, MaxID}, {MaxID, 0}} {
		if got := NextID(tt.id); got != tt.next {
			t.Errorf("NextID(%d) = %d, want %d", tt.id, got, tt.next)
		}
		if got := PreviousID(tt.next); got != tt.id {
			t.Errorf("PreviousID(%d) = %d, want %d", tt.next, got, tt.id)
		}
	}
	seen := make(map[int64]bool)
	for range 1000 {
		id := RandomID()
		if id < 0 || id >= MaxID || seen[id] {
			t.Fatalf("RandomID() = %d", id)
		}
		seen[id] = true
	}
	if MaxID != 9007199254740992 || MaxID > math.MaxInt64 {
		t.Error("MaxID is not 2^53")
	}
}

func TestIntersect(t *testing.T) {
	cbor, _ := framing.ByName("CBOR")
	c := &Capabilities{
		Compression: []compress.Algorithm{compress.LZW, compress.GZIP},
		Languages:   []string{"fr", "en", "de"},
		Formats:     []framing.Format{framing.JSON, cbor},
	}
	own := &Capabilities{
		Compression: []compress.Algorithm{compress.GZIP, compress.LZW, compress.LZ4},
		Languages:   []string{"de", "fr"},
		Formats:     []framing.Format{cbor, framing.JSON},
	}
	got := c.Intersect(own)
	want := &Capabilities{
		Compression: []compress.Algorithm{compress.GZIP, compress.LZW},
		Languages:   []string{"fr", "de"},
		Formats:     []framing.Format{cbor, framing.JSON},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got.Format() != cbor || got.Algorithm() != compress.GZIP {
		t.Errorf("would use %v, %v", got.Format(), got.Algorithm())
	}
	var none *Capabilities
	if none.Intersect(own) != nil || own.Intersect(nil) != nil || none.Format() != framing.JSON || none.Algorithm() != nil {
		t.Error("absent capabilities do not count as absent")
	}
	o := (&Capabilities{}).object()
	if len(o) != 3 || len(o["compressionalgos"].(framing.Array)) != 0 {
		t.Errorf("empty capabilities are %v", o)
	}
}

func TestLifetimes(t *testing.T) {
	now := time.Unix(1000, 0)
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Int64Range(-1, int64(100*time.Hour))
		l := Lifetimes{
			MasterRenewal:    time.Duration(duration.Draw(t, "renewal")),
			MasterExpiration: time.Duration(duration.Draw(t, "expiration")),
		}
		r, e := l.master(now)
		if r.After(e) || !e.After(now) {
			t.Fatalf("renewal window %v, expiration %v", r, e)
		}
	})
	r, e := Lifetimes{}.user(now)
	if r != now.Add(time.Hour) || e != now.Add(6*time.Hour) {
		t.Errorf("default %v, %v", r, e)
	}
}

// The senders' rules of spec 04 section 3.
func TestSealRefuses(t *testing.T) {
	w := connected(t)
	keys := tokenKeys(t, 30)
	mint := func(serial int64) *token.MasterToken {
		t.Helper()
		mt, err := token.MintMasterToken(token.MasterTokenSpec{
			RenewalWindow: w.now, Expiration: w.now.Add(time.Hour), Sequence: 1, Serial: serial, Identity: "psk-client", Keys: w.held().Keys,
		}, keys, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return mt
	}
	mintUser := func(mt *token.MasterToken, serial int64) *token.UserIDToken {
		t.Helper()
		u, err := token.MintUserIDToken(token.UserIDTokenSpec{RenewalWindow: w.now, Expiration: w.now.Add(time.Hour), Serial: serial, User: "alice"}, mt, keys, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	mintService := func(mt *token.MasterToken, u *token.UserIDToken) *token.ServiceToken {
		t.Helper()
		s, err := token.MintServiceToken(token.ServiceTokenSpec{Name: "s", Data: []byte("x"), MasterToken: mt, UserIDToken: u}, w.client.ServiceContexts, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	mine, other := w.held(), mint(99)
	user, otherUser := mintUser(mine.Token, 5), mintUser(mine.Token, 6)
	service := func(s *token.ServiceToken) []*token.ServiceToken { return []*token.ServiceToken{s} }
	requests := HeaderSpec{}
	w.offer(&requests)
	for _, tt := range []struct {
		name string
		s    HeaderSpec
		code mslerr.Code
	}{
		{"ID too great", HeaderSpec{MessageID: new(int64(MaxID + 1))}, mslerr.MessageIDOutOfRange},
		{"ID negative", HeaderSpec{MessageID: new(int64(-1))}, mslerr.MessageIDOutOfRange},
		{"non-replayable without master token", HeaderSpec{NonReplayableID: new(int64(1))}, mslerr.NonReplayableMessageRequiresMasterToken},
		{"non-replayable ID out of range", HeaderSpec{Under: mine, NonReplayableID: new(int64(-1))}, mslerr.NonReplayableIDOutOfRange},
		{"handshake, not renewable", HeaderSpec{Handshake: true, KeyRequests: requests.KeyRequests}, mslerr.HandshakeDataMissing},
		{"handshake without key requests", HeaderSpec{Handshake: true, Renewable: true}, mslerr.HandshakeDataMissing},
		{"non-replayable handshake", HeaderSpec{Under: mine, Handshake: true, Renewable: true, KeyRequests: requests.KeyRequests, NonReplayableID: new(int64(1))}, mslerr.InternalException},
		{"user ID token without master token", HeaderSpec{Tokens: Tokens{UserID: user}}, mslerr.UserIDTokenMasterTokenMismatch},
		{"user ID token of another master token", HeaderSpec{Under: mine, Tokens: Tokens{UserID: mintUser(other, 1)}}, mslerr.UserIDTokenMasterTokenMismatch},
		{"service token of another master token", HeaderSpec{Under: mine, Tokens: Tokens{Service: service(mintService(other, nil))}}, mslerr.ServiceTokenMasterTokenMismatch},
		{"service token of another user", HeaderSpec{Under: mine, Tokens: Tokens{UserID: user, Service: service(mintService(mine.Token, otherUser))}}, mslerr.ServiceTokenUserIDTokenMismatch},
		{"service token of a user, without one", HeaderSpec{Under: mine, Tokens: Tokens{Service: service(mintService(mine.Token, user))}}, mslerr.ServiceTokenUserIDTokenMismatch},
		{"peer tokens", HeaderSpec{PeerMT: mine.Token}, mslerr.InternalException},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.client.Seal(t.Context(), tt.s)
			wantCode(t, err, tt.code)
		})
	}
	good := HeaderSpec{Under: mine, MessageID: new(int64(MaxID)), Tokens: Tokens{UserID: user, Service: slices.Concat(
		service(mintService(nil, nil)), service(mintService(mine.Token, nil)), service(mintService(mine.Token, user)))}}
	h, err := w.server.Receive(t.Context(), seal1(t, w.client, good).Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if h.MessageID != MaxID || len(h.Tokens.Service) != 3 || h.User != "alice" {
		t.Errorf("%+v", h)
	}
	answer, err := w.server.Respond(t.Context(), h, RespondOptions{})
	if err != nil || *answer.MessageID != 0 || len(answer.Tokens.Service) != 3 {
		t.Errorf("a server does not echo service tokens: %+v, %v", answer, err)
	}
	if _, err := (&Network{}).Seal(t.Context(), HeaderSpec{}); !errors.Is(err, mslerr.MessageEntityNotFound) {
		t.Errorf("nobody sends: %v", err)
	}
}

func TestReplaceServiceTokens(t *testing.T) {
	one := &token.ServiceToken{Name: "a", MasterTokenSerial: -1, UserIDTokenSerial: -1}
	bound := &token.ServiceToken{Name: "a", MasterTokenSerial: 1, UserIDTokenSerial: -1}
	newer := &token.ServiceToken{Name: "a", MasterTokenSerial: 1, UserIDTokenSerial: -1}
	list := []*token.ServiceToken{one, bound}
	if got := ReplaceServiceTokens(list, newer); !slices.Equal(got, []*token.ServiceToken{one, newer}) || list[1] != bound {
		t.Errorf("%v", got)
	}
}

// sealData makes a header of the PSK client with the given plaintext.
func sealData(t testing.TB, o framing.Object) []byte {
	t.Helper()
	d := entityauth.NewPSKData("psk-client")
	c, err := entityauth.PSK{Keys: psks}.Context(context.Background(), d, entityauth.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	authdata, _ := entityauth.Object(d, framing.JSON)
	raw, err := seal(c, framing.Object{"entityauthdata": authdata}, "headerdata", o, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestHeaderData(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	w.server.Limits = Limits{ServiceTokens: 2}
	object := framing.Object{}
	for _, tt := range []struct {
		name   string
		change framing.Object
		code   mslerr.Code
		named  bool // the error names the message
	}{
		{"no ID", framing.Object{"messageid": nil}, mslerr.ParseError, false},
		{"ID is text", framing.Object{"messageid": "7"}, mslerr.ParseError, false},
		{"ID negative", framing.Object{"messageid": -1}, mslerr.MessageIDOutOfRange, false},
		{"ID too great", framing.Object{"messageid": MaxID + 1}, mslerr.MessageIDOutOfRange, false},
		{"timestamp is text", framing.Object{"timestamp": "now"}, mslerr.ParseError, true},
		{"no renewable", framing.Object{"renewable": nil}, mslerr.ParseError, true},
		{"handshake is a number", framing.Object{"handshake": 1}, mslerr.ParseError, true},
		{"non-replayable ID negative", framing.Object{"nonreplayableid": -1}, mslerr.NonReplayableIDOutOfRange, true},
		{"non-replayable ID without master token", framing.Object{"nonreplayableid": 1}, mslerr.IncompleteNonReplayableMessage, true},
		{"handshake that asks for nothing", framing.Object{"handshake": true}, mslerr.HandshakeDataMissing, true},
		{"capabilities are a list", framing.Object{"capabilities": framing.Array{}}, mslerr.ParseError, true},
		{"key requests are an object", framing.Object{"keyrequestdata": object}, mslerr.ParseError, true},
		{"key request is text", framing.Object{"keyrequestdata": framing.Array{"x"}}, mslerr.ParseError, true},
		{"key request of an unknown scheme", framing.Object{"keyrequestdata": framing.Array{framing.Object{"scheme": "X", "keydata": object}}}, mslerr.UnidentifiedKeyxScheme, true},
		{"too many key requests", framing.Object{"keyrequestdata": slices.Repeat(framing.Array{object}, keyx.MaxRequests+1)}, mslerr.ParseError, true},
		{"too many service tokens", framing.Object{"servicetokens": framing.Array{object, object, object}}, mslerr.ParseError, true},
		{"service token is text", framing.Object{"servicetokens": framing.Array{"x"}}, mslerr.ParseError, true},
		{"key response is text", framing.Object{"keyresponsedata": "x"}, mslerr.ParseError, true},
		{"credentials of an unknown scheme", framing.Object{"userauthdata": framing.Object{"scheme": "X", "authdata": object}}, mslerr.UnidentifiedUserAuthScheme, true},
		{"channel is text", framing.Object{"channel": "x"}, mslerr.ParseError, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := framing.Object{"messageid": 7, "renewable": false}
			maps.Copy(o, tt.change)
			_, err := w.server.Receive(t.Context(), sealData(t, o), OpenOptions{})
			wantCode(t, err, tt.code)
			var e *mslerr.Error
			if errors.As(err, &e); e.HasMessageID != tt.named || e.HasMessageID && e.MessageID != 7 {
				t.Errorf("%v: names a message: %v", err, e.HasMessageID)
			}
		})
	}
	// Little is required, and what is not known is ignored; so are, outside peer
	// to peer networks, the peer's tokens.
	h, err := w.server.Receive(t.Context(), sealData(t, framing.Object{
		"messageid": 7, "renewable": true, "x": true, "sender": "somebody", "peermastertoken": "x", "peeruseridtoken": 1, "peerservicetokens": true,
		"capabilities": framing.Object{"compressionalgos": framing.Array{"ZSTD", "GZIP"}, "languages": 7, "encoderformats": framing.Array{"XML"}},
	}), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (&Capabilities{Compression: []compress.Algorithm{compress.GZIP}}); !reflect.DeepEqual(h.Capabilities, want) {
		t.Errorf("capabilities %+v", h.Capabilities)
	}
	if !h.Timestamp.IsZero() || h.Handshake || h.NonReplayable {
		t.Errorf("%+v", h)
	}
}

func TestOpenRefuses(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	w.server.Limits.Header = 10000
	for raw, code := range map[string]mslerr.Code{
		``:                                     mslerr.MessageDataMissing,
		`x`:                                    mslerr.ParseError,
		`{`:                                    mslerr.ParseError,
		`{}`:                                   mslerr.ParseError,
		`{"payload":"AA=="}`:                   mslerr.ParseError,
		`{"headerdata":"AA==","signature":""}`: mslerr.MessageEntityNotFound,
		`{"errordata":"AA==","signature":""}`:  mslerr.MessageEntityNotFound,
		`{"headerdata":"AA==","entityauthdata":{"scheme":"X","authdata":{}}}`:                                         mslerr.UnidentifiedEntityAuthScheme,
		`{"headerdata":"AA==","entityauthdata":{"scheme":"RSA","authdata":{}}}`:                                       mslerr.EntityAuthFactoryNotFound,
		`{"headerdata":"AA==","entityauthdata":{"scheme":"PSK","authdata":{"identity":"nobody"}},"signature":""}`:     mslerr.EntityNotFound,
		`{"headerdata":"AA==","entityauthdata":{"scheme":"PSK","authdata":{"identity":"psk-client"}},"signature":""}`: mslerr.MessageEntityDataBasedVerificationFailed,
		`{"errordata":"AA==","entityauthdata":{"scheme":"PSK","authdata":{"identity":"psk-client"}},"signature":""}`:  mslerr.MessageVerificationFailed,
		`{"headerdata":"","entityauthdata":{"scheme":"PSK","authdata":{"identity":"psk-client"}},"signature":""}`:     mslerr.HeaderDataMissing,
		`{"headerdata":"AA==","entityauthdata":{"scheme":"PSK","authdata":{"identity":"psk-client"}}}`:                mslerr.ParseError,
		`{"headerdata":"bm8=","entityauthdata":{"scheme":"NONE","authdata":{"identity":"x"}},"signature":""}`:         mslerr.ParseError,
		`{"headerdata":"AA==","mastertoken":"x","signature":""}`:                                                      mslerr.ParseError,
		`{"headerdata":"AA==","x":"` + strings.Repeat("x", 10000) + `"}`:                                              mslerr.ParseError,
	} {
		_, err := w.server.Open(t.Context(), []byte(raw), OpenOptions{})
		var e *mslerr.Error
		if !errors.As(err, &e) || e.Code != code || e.HasMessageID {
			t.Errorf("%.100s: %v, want %v", raw, err, code)
		}
	}
	// The data of an ignored identity is not parsed.
	c := connected(t)
	o, _ := framing.Decode(seal1(t, c.client, HeaderSpec{Under: c.held()}).Raw)
	o["entityauthdata"] = framing.Object{"scheme": "X"}
	raw, _ := framing.JSON.Append(nil, o)
	if _, err := c.server.Open(t.Context(), raw, OpenOptions{}); err != nil {
		t.Errorf("both identities: %v", err)
	}
}

// A stopped context ends the call, and is to be seen in the error.
func TestContextEnds(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	stop := errors.New("stop")
	w.server.EntityAuth = entityauth.Schemes{entityauth.PSK{Keys: func(ctx context.Context, _ string) (entityauth.PSKKeys, error) {
		return entityauth.PSKKeys{}, context.Cause(ctx)
	}}}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	_, err := w.server.Open(ctx, seal1(t, w.client, HeaderSpec{}).Raw, OpenOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	wantCode(t, err, mslerr.InternalException)
}

// The complete message of spec 04 section 9.1, and the error header after it.
const specMessage = `{"entityauthdata":{"authdata":{"identity":"psk-dev-1"},"scheme":"PSK"},"headerdata":"eyJjaXBoZXJ0ZXh0IjoiYVRPd0pEakFiZWM5cG1LMnlsUzhHbENnSWFUMzU2SmJZL3pqQ09sSXRDck5SM3h6UzNqUEtpMTU1TnZ1a2VWVm1QUjh6SDFHUHQwN3FrSUVkd1FOM0Yvd0F0UTJEb1JxelJJTzBNQXVuWmU2c1JHQUpONi9NQ0xGRVpXemRXL2VmbHEwS043TUl2RE9PQmIyWEF6VzBzUlRiWmM0R013VzVaak5xY2RQS3JhcVhSTkJnYlpLTTFMY2M4eUdxclZSMnJUUi9BeStwSVlFckpWQ1BMTGdDdHl4V3M0UGUvcWNoY0lvaXVzSXVIZEduSjFSdktJUEk0a1JzblhQY0pEOGMzUG1lL1kxUC9ESnRFZnhCc0VtWHBiczJKWDhMRmFSNnZWTXhxWWRaSUU9IiwiaXYiOiI4dWc3bUVSdHVIdHpZSUlXbTZ6cDNnPT0iLCJrZXlpZCI6InBzay1kZXYtMSIsInNoYTI1NiI6IkFBPT0ifQ==","signature":"OzbfEBWdm7th3pNbCSiWd9TBL/zU7V6O3l7gcyvrf0U="}`

const specError = `{"entityauthdata":{"authdata":{"identity":"psk-dev-1"},"scheme":"PSK"},"errordata":"eyJjaXBoZXJ0ZXh0Ijoiclp3M2F2TnNFZ0ZkREpsWlBTcjFTcGdNY0E4UkFzcGtSWFJWbTljZTNiakFHSWM3ditxY21KZ240Z1F1em1SK1R0ZVhLYVZ1czhqL3Irc3FxUWJjZ0pMME5NVDIyUEZiNEgyY2s0UmdaVkI2MnFlbk5tNkNzamZaOXd3YjF6OTUiLCJpdiI6IlJIaHV1WU5MZ2FhbGRMQXl6a3g1L1E9PSIsImtleWlkIjoicHNrLWRldi0xIiwic2hhMjU2IjoiQUE9PSJ9","signature":"/oO2zrQnvZfK8wTTRIstiOZ43oieSR2Pe2/szIgTIhw="}`

func TestSpecVector(t *testing.T) {
	rising := func(from byte, n int) (k mslcrypto.Key) {
		for i := range n {
			k = append(k, from+byte(i))
		}
		return k
	}
	n := &Network{EntityAuth: entityauth.Schemes{entityauth.PSK{Keys: func(context.Context, string) (entityauth.PSKKeys, error) {
		return entityauth.PSKKeys{Encryption: rising(0, 16), HMAC: rising(0x40, 32)}, nil
	}}}}
	h, err := n.Receive(t.Context(), []byte(specMessage), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if h.MessageID != MaxID || h.Timestamp.Unix() != 1700000000 || h.Sender.Identity != "psk-dev-1" || len(h.Capabilities.Compression) != 2 {
		t.Errorf("%+v", h)
	}
	e := openError(t, n, []byte(specError), OpenOptions{})
	if e.MessageID != 0 || e.Response != mslerr.KeyxRequired || !errors.Is(e, mslerr.ResponseRequiresEncryption) || e.Text != "m" {
		t.Errorf("%+v", e)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(specMessage))
	f.Add([]byte(specError))
	f.Add([]byte(`{"mastertoken":{"tokendata":"","signature":""},"headerdata":"AA==","signature":""}`))
	f.Add([]byte(`{"entityauthdata":{"scheme":"NONE","authdata":{"identity":"x"}},"headerdata":"` +
		base64.StdEncoding.EncodeToString([]byte(`{"messageid":1,"renewable":true}`)) + `","signature":""}`))
	n := &Network{EntityAuth: entityauth.Schemes{entityauth.None{}, entityauth.PSK{Keys: psks}}, TokenKeys: tokenKeys(f, 1), Issuer: newIssuer()}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := n.Receive(context.Background(), raw, OpenOptions{})
		if (h == nil) == (err == nil) {
			t.Errorf("%v, %v", h, err)
		}
	})
}

// FuzzHeaderData gets past the signature, to the inside of a header.
func FuzzHeaderData(f *testing.F) {
	f.Add([]byte(`{"messageid":1,"renewable":true,"handshake":true,"timestamp":1,"nonreplayableid":2,"capabilities":{},"keyrequestdata":[{"scheme":"HPKE","keydata":{"kem":32,"publickey":"AA=="}}],"servicetokens":[{}],"useridtoken":{},"channel":{}}`))
	f.Add([]byte(`{"messageid":1,"renewable":true,"keyresponsedata":{"mastertoken":{"tokendata":"AA==","signature":""},"scheme":"HPKE","keydata":{}},"peermastertoken":{}}`))
	w := newWorld(f, entityauth.NewNoneData("x"))
	p2p := *w.server
	p2p.PeerToPeer = true
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		raw, err := framing.JSON.Append(nil, framing.Object{
			"entityauthdata": framing.Object{"scheme": "NONE", "authdata": framing.Object{"identity": "x"}},
			"headerdata":     plaintext, "signature": []byte{},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []*Network{w.server, &p2p} {
			h, err := n.Receive(context.Background(), raw, OpenOptions{})
			if (h == nil) == (err == nil) {
				t.Fatalf("%v, %v", h, err)
			}
			if h == nil {
				continue
			}
			if _, err := n.Respond(context.Background(), h, RespondOptions{}); err != nil {
				var e *mslerr.Error
				if !errors.As(err, &e) || !e.HasMessageID {
					t.Fatal(err)
				}
			}
		}
	})
}

// Headers look the same after sealing and opening, in every format.
func TestHeaderRoundTrip(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(framing.Formats()).Draw(t, "format")
		s := HeaderSpec{
			Format: f, MessageID: new(rapid.Int64Range(0, MaxID).Draw(t, "id")),
			Renewable: rapid.Bool().Draw(t, "renewable"), Capabilities: w.client.Capabilities(),
		}
		if rapid.Bool().Draw(t, "channel") {
			s.Channel = framing.Object{"id": rapid.SliceOf(rapid.Byte()).Draw(t, "channel id")}
		}
		sealed, err := w.client.Seal(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		raw, format, err := framing.NewReader(io.MultiReader(bytes.NewReader(sealed.Raw), strings.NewReader("{}")), framing.Limits{}).Object()
		if err != nil || !bytes.Equal(raw, sealed.Raw) || format != f {
			t.Fatalf("one object of %v: %v", format, err)
		}
		h, err := w.server.Receive(context.Background(), raw, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if h.MessageID != *s.MessageID || h.Renewable != s.Renewable || h.Format != f || !h.Timestamp.Equal(w.now) || (h.Channel == nil) != (s.Channel == nil) {
			t.Fatalf("%+v", h)
		}
		if s.Channel != nil {
			id, err := framing.Get[[]byte](h.Channel, "id")
			if err != nil || !bytes.Equal(id, s.Channel["id"].([]byte)) {
				t.Fatalf("channel ID %x, %v", id, err)
			}
		}
	})
}
