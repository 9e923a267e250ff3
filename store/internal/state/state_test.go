package state

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// Spec 03 section 8, with each bound on both sides.
func TestWindow(t *testing.T) {
	const (
		ok    mslerr.Code = -1
		again             = mslerr.MessageReplayed
		lost              = mslerr.MessageReplayedUnrecoverable
		out               = mslerr.NonReplayableIDOutOfRange
		last              = token.MaxNumber
		all               = ^uint64(0)
	)
	for _, v := range []struct {
		largest int64
		seen    uint64
		id      int64
		want    mslerr.Code
	}{
		{0, 0, 0, again}, {0, 0, 1, ok}, {0, 0, 65536, ok}, {0, 0, 65537, lost},
		{100, all, -1, out}, {100, all, last + 1, out},
		{100, all, 100, again}, {100, all, 95, again}, {100, all, 94, lost}, {100, all, 0, lost},
		{100, all, 101, ok}, {100, all, 100 + 65536, ok}, {100, all, 100 + 65537, lost},
		{100, 1, 99, ok}, {100, 1, 37, ok}, {100, 1, 36, lost}, {100, 1 | 1<<63, 37, lost}, {100, 1 | 1<<5, 95, again},
		{last, all, last, again}, {last, all, 0, ok}, {last, all, 65535, ok}, {last, all, 65536, lost},
		{last - 1, all, last, ok}, {last - 65536, all, 0, lost}, {last - 65535, all, 0, ok},
		{3, all, last, lost},
	} {
		w := Window{v.largest, v.seen}
		err := w.Accept(v.id)
		switch {
		case v.want == ok && err != nil, v.want != ok && !errors.Is(err, v.want):
			t.Errorf("ID %d after %d (%x): %v, want %v", v.id, v.largest, v.seen, err, v.want)
		case err == nil && !errors.Is(w.Accept(v.id), again) && !errors.Is(w.Accept(v.id), lost):
			t.Errorf("ID %d after %d is accepted twice", v.id, v.largest)
		}
	}
}

// No ID is ever accepted twice, in whatever order they come.
func TestWindowNeverTwice(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var w Window
		accepted := make(map[int64]bool)
		for _, id := range rapid.SliceOfN(rapid.Int64Range(0, 300), 1, 200).Draw(r, "ids") {
			if w.Accept(id) != nil {
				continue
			}
			if accepted[id] || id == 0 {
				r.Fatalf("ID %d is accepted twice", id)
			}
			accepted[id] = true
		}
		if next := w.Largest + 1; w.Accept(next) != nil {
			r.Fatal("the next ID is refused")
		}
	})
}

func TestSequenceNumbersWrap(t *testing.T) {
	e := &Entity{Tokens: []Token{{Serial: 1, Old: token.MaxNumber - 1, Newest: token.MaxNumber}}}
	next, err := e.Renew(1, token.MaxNumber)
	if err != nil || next != 0 {
		t.Fatal(next, err)
	}
	if next, err = e.Renew(1, token.MaxNumber); err != nil || next != 1 { // the answer was lost
		t.Fatal(next, err)
	}
	for range maxBehind - 2 {
		if _, err = e.Renew(1, token.MaxNumber); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = e.Renew(1, token.MaxNumber); !errors.Is(err, mslerr.MasterTokenSequenceNumberOutOfSync) {
		t.Fatal(err)
	}
}

func TestCreateDrawsAgain(t *testing.T) {
	e := &Entity{Tokens: []Token{{Serial: 1}}, RevokedTokens: []int64{2}}
	var drawn int64
	serial, _, err := e.Create(func() int64 { drawn++; return drawn })
	if err != nil || serial != 3 {
		t.Fatal(serial, err)
	}
}

func TestServiceNamesAreBounded(t *testing.T) {
	e := &Entity{Tokens: []Token{{Serial: 1}}}
	for n := range maxServices {
		if err := e.AcceptNonReplayable(string(rune('a'+n)), 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.AcceptNonReplayable("one more", 1, 1); !errors.Is(err, mslerr.InternalException) {
		t.Fatal(err)
	}
	if len(e.Tokens[0].Windows) != maxServices {
		t.Fatal(len(e.Tokens[0].Windows))
	}
}

func TestRevokedClaimsNothing(t *testing.T) {
	for _, e := range []*Entity{
		{Revoked: true, Tokens: []Token{{Serial: 1}}},
		{RevokedTokens: []int64{1}},
	} {
		if err := e.AcceptNonReplayable("s", 1, 1); !errors.Is(err, mslerr.MasterTokenIdentityRevoked) {
			t.Error(err)
		}
	}
}

func TestEntityEncoding(t *testing.T) {
	e := &Entity{Revoked: true, RevokedTokens: []int64{5}, Tokens: []Token{
		{Serial: token.MaxNumber, Confirmed: true, Old: 3, Newest: 4, Windows: map[string]*Window{"s": {Largest: 7, Seen: ^uint64(0)}}},
		{Serial: 2, Newest: 1},
	}}
	data, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeEntity(data)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "{}", `{"version":2}`, `[]`} {
		if _, err := DecodeEntity([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
		if _, err := DecodeHolder([]byte(bad), nil); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// What an application's contexts verified is verified again when it is read.
func TestHolderEncodingKeepsServiceData(t *testing.T) {
	k := mslcrypto.Key(bytes.Repeat([]byte{1}, 16))
	c, err := mslcrypto.NewSymmetric("", mslcrypto.SymmetricKeys{Encryption: k, Signature: k})
	if err != nil {
		t.Fatal(err)
	}
	contexts := token.ServiceContexts{"": c}
	st, err := token.MintServiceToken(token.ServiceTokenSpec{Name: "n", Data: []byte("data"), Encrypt: true}, contexts, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	h := new(Holder)
	if err := h.PutServiceTokens([]*token.ServiceToken{st}); err != nil {
		t.Fatal(err)
	}
	data, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		contexts token.ServiceContexts
		known    bool
	}{{contexts, true}, {nil, false}, {token.ServiceContexts{"": &mslcrypto.JWE{}}, false}} {
		got, err := DecodeHolder(data, v.contexts)
		if err != nil {
			t.Fatal(err)
		}
		list, err := got.ServiceTokens(nil, nil)
		if err != nil || len(list) != 1 || list[0].Verified() != v.known {
			t.Fatal(list, err)
		}
		if data, known := list[0].Data(); known != v.known || known && string(data) != "data" {
			t.Errorf("data %q, %v", data, known)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"users":{"u":{"token":"e30=","mt":1}}}`))
	f.Add([]byte(`{"version":1,"tokens":[{"token":"e30="}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := DecodeHolder(data, nil); err == nil {
			h.Newest()
		}
		if e, err := DecodeEntity(data); err == nil {
			_ = e.AcceptNonReplayable("s", 1, 1)
			e.Confirm(1, 1)
		}
	})
}
