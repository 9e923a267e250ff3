package session

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/stream"
)

func sampleRequest() *request {
	return &request{
		versions: []int64{version},
		suites:   []stream.Suite{stream.ChaCha20Poly1305, stream.AES128GCM},
		shares:   []publicShare{{keyx.KEMMLKEM768X25519, span(0, maxShare)}, {keyx.KEMX25519, span(9, 32)}},
		to:       "service", from: "me", issuer: "you",
		offer: offer{maxRecord: 65536, window: 262144, credit: 4194304, streams: 256, retain: 1048576, durable: 0},
		early: true, auth: true, firstSuite: int64(stream.ChaCha20Poly1305),
	}
}

func sampleResponse() *response {
	return &response{
		suite: stream.AES256GCM, kem: keyx.KEMX25519, enc: span(3, 32), id: channelID(span(7, 16)),
		offer: offer{}.withDefaults(), early: earlyUnknown, auth: true, at: []string{"tcp://here:1"},
	}
}

// across sends o through JSON, as a header would.
func across(t *testing.T, o framing.Object) framing.Object {
	t.Helper()
	b, err := framing.JSON.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if o, err = framing.JSON.Parse(b); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestRequestMember(t *testing.T) {
	attach := &request{versions: []int64{version}, to: "service", from: "me", issuer: "you",
		attach: &attachRequest{id: channelID(span(1, 16)), epoch: 1 << 31, n: 3, received: 1 << 40, first: 8, count: 2, proof: span(2, 32)}}
	bare := &request{versions: []int64{7, version}, suites: []stream.Suite{stream.AES128GCM}, firstSuite: 1, to: "s", offer: offer{durable: 9}.withDefaults()}
	for _, r := range []*request{sampleRequest(), attach, bare} {
		got, err := parseRequest(across(t, r.object()))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("got  %+v\nwant %+v", got, r)
		}
	}
}

func TestRequestDefaults(t *testing.T) {
	r, err := parseRequest(framing.Object{"versions": framing.Array{1}, "suites": framing.Array{1, 99, -3}, "to": "s", "auth": false})
	if err != nil {
		t.Fatal(err)
	}
	want := offer{maxRecord: 65536, window: 262144, credit: 4194304, streams: 256, retain: 1048576, durable: 120}
	if r.offer != want || r.early || r.shares != nil {
		t.Errorf("defaults: %+v", r)
	}
	if len(r.suites) != 1 || r.suites[0] != stream.AES128GCM {
		t.Errorf("unknown suites are not skipped: %v", r.suites)
	}
	// Of a version that is not ours, nothing else is read.
	if r, err = parseRequest(framing.Object{"versions": framing.Array{99}, "to": 5}); err != nil || len(r.versions) != 1 {
		t.Errorf("other version: %+v, %v", r, err)
	}
}

func TestRequestRanges(t *testing.T) {
	many := make(framing.Array, maxList+1)
	for i := range many {
		many[i] = 1
	}
	one := framing.Object{"kem": int64(keyx.KEMX25519), "share": span(0, 32)}
	for name, members := range map[string]framing.Object{
		"versions missing":    {"versions": nil},
		"versions a string":   {"versions": "0"},
		"versions too many":   {"versions": many},
		"suites missing":      {"suites": nil},
		"suites of strings":   {"suites": framing.Array{"1"}},
		"suites too many":     {"suites": many},
		"to missing":          {"to": nil},
		"to empty":            {"to": ""},
		"to long":             {"to": strings.Repeat("x", 256)},
		"from empty":          {"from": ""},
		"issuer a number":     {"issuer": 1},
		"shares empty":        {"shares": framing.Array{}},
		"shares three":        {"shares": framing.Array{one, one, one}},
		"shares twice":        {"shares": framing.Array{one, one}},
		"share without kem":   {"shares": framing.Array{framing.Object{"share": span(0, 32)}}},
		"share too long":      {"shares": framing.Array{framing.Object{"kem": 1, "share": span(0, maxShare+1)}}},
		"maxrecord low":       {"maxrecord": 16383},
		"maxrecord high":      {"maxrecord": 1<<20 + 1},
		"window low":          {"window": 65535},
		"credit high":         {"credit": int64(1<<53 + 1)},
		"streams low":         {"streams": 15},
		"streams high":        {"streams": 65537},
		"retain low":          {"retain": 65535},
		"durable negative":    {"durable": -1},
		"durable long":        {"durable": 86401},
		"durable a fraction":  {"durable": 1.5},
		"early a string":      {"early": "yes"},
		"auth missing":        {"auth": nil},
		"attach a list":       {"attach": framing.Array{}},
		"attach empty":        {"attach": framing.Object{}},
		"attach id short":     {"attach": framing.Object{"id": span(0, 15), "epoch": 0, "n": 1, "received": 0, "first": 0, "count": 0, "proof": span(0, 32)}},
		"attach n zero":       {"attach": framing.Object{"id": span(0, 16), "epoch": 0, "n": 0, "received": 0, "first": 0, "count": 0, "proof": span(0, 32)}},
		"attach epoch beyond": {"attach": framing.Object{"id": span(0, 16), "epoch": 1 << 32, "n": 1, "received": 0, "first": 0, "count": 0, "proof": span(0, 32)}},
		"attach proof short":  {"attach": framing.Object{"id": span(0, 16), "epoch": 0, "n": 1, "received": 0, "first": 0, "count": 0, "proof": span(0, 31)}},
	} {
		t.Run(name, func(t *testing.T) {
			o := sampleRequest().object()
			maps.Copy(o, members)
			if _, err := parseRequest(o); !errors.Is(err, mslerr.ParseError) {
				t.Errorf("error %v, want %v", err, mslerr.ParseError)
			}
		})
	}
}

func TestResponseMember(t *testing.T) {
	noShare := sampleResponse()
	noShare.kem, noShare.enc, noShare.early, noShare.at = 0, nil, "", nil
	for _, r := range []*response{
		sampleResponse(), noShare,
		{versions: []int64{version}},
		{versions: []int64{version}, err: setupUnsupported},
		{attach: &attachResponse{received: 4, proof: span(0, 32)}},
		{attach: &attachResponse{err: attachClosed, code: 256, proof: span(0, 32)}},
		{attach: &attachResponse{err: attachUnknown}},
	} {
		got, err := parseResponse(across(t, r.object()))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("got  %+v\nwant %+v", got, r)
		}
	}
	if got, err := parseResponse(Sentinel()); err != nil || got.versions == nil {
		t.Errorf("sentinel: %+v, %v", got, err)
	}
	long := framing.Array{strings.Repeat("u", maxAtSize+1)}
	five := framing.Array{"a", "b", "c", "d", "e"}
	for name, members := range map[string]framing.Object{
		"version a string": {"version": "0"},
		"no version":       {"version": nil},
		"suite missing":    {"suite": nil},
		"kem alone":        {"enc": nil},
		"enc alone":        {"kem": nil},
		"enc long":         {"enc": span(0, maxEnc+1)},
		"id short":         {"id": span(0, 15)},
		"early other":      {"early": "perhaps"},
		"auth missing":     {"auth": nil},
		"at too many":      {"at": five},
		"at too long":      {"at": long},
		"credit low":       {"credit": 1},
		"attach empty":     {"attach": framing.Object{}},
		"attach unproved":  {"attach": framing.Object{"error": "closed", "code": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			o := sampleResponse().object()
			maps.Copy(o, members)
			if _, err := parseResponse(o); !errors.Is(err, mslerr.ParseError) {
				t.Errorf("error %v, want %v", err, mslerr.ParseError)
			}
		})
	}
}

func FuzzMembers(f *testing.F) {
	for _, o := range []framing.Object{sampleRequest().object(), sampleResponse().object(), Sentinel()} {
		b, err := framing.JSON.Append(nil, o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := framing.JSON.Parse(b)
		if err != nil {
			return
		}
		// What is accepted is in range and says the same when sent on.
		if r, err := parseRequest(o); err == nil && len(r.to) > 0 && r.attach == nil {
			if err := r.offer.validate(); err != nil {
				t.Error(err)
			}
			again, err := parseRequest(r.object())
			if err != nil || again.offer != r.offer || again.to != r.to || len(again.shares) != len(r.shares) {
				t.Errorf("%+v, then %+v, %v", r, again, err)
			}
		}
		if r, err := parseResponse(o); err == nil && r.attach == nil && r.versions == nil && o["version"] != nil {
			again, err := parseResponse(r.object())
			if err != nil || again.id != r.id || !bytes.Equal(again.enc, r.enc) || again.offer != r.offer {
				t.Errorf("%+v, then %+v, %v", r, again, err)
			}
		}
	})
}
