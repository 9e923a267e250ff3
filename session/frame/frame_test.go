package frame

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// walk parses every frame of a record and writes it again.
func walk(b []byte) (again []byte, err error) {
	for len(b) > 0 {
		var typ uint64
		if typ, b, err = ParseType(b); err != nil {
			return nil, err
		}
		body := b
		var (
			id, n uint64
			code  Code
			ping  [8]byte
		)
		switch {
		case typ == TypePadding, typ == TypeKeyUpdate, typ == TypeRekeyAsk:
			again = AppendVarint(again, typ)
		case typ == TypePing:
			ping, b, err = ParsePing(b)
			again = AppendPing(again, ping)
		case typ == TypePong:
			ping, b, err = ParsePing(b)
			again = AppendPong(again, ping)
		case typ == TypeAck:
			n, b, err = ParseAck(b)
			again = AppendAck(again, n)
		case typ == TypeResetStream:
			id, code, b, err = ParseStreamCode(b)
			again = AppendResetStream(again, id, code)
		case typ == TypeStopSending:
			id, code, b, err = ParseStreamCode(b)
			again = AppendStopSending(again, id, code)
		case typ == TypeStreamOpen:
			var o StreamOpen
			if o, b, err = ParseStreamOpen(b); err == nil {
				if err := o.Check(); err != nil && o.Len() < MaxStreamOpen-8 {
					return nil, fmt.Errorf("parsed, but Check says: %w", err)
				}
				if m, err := NewMetadata(o.Metadata.Map()); err != nil || len(m) > 0 && !bytes.Equal(m, o.Metadata) {
					return nil, fmt.Errorf("metadata %x again is %x, %w", []byte(o.Metadata), []byte(m), err)
				}
				if n := o.Len(); n != 1+len(body)-len(b) {
					return nil, fmt.Errorf("Len %d for %x", n, body)
				}
				again = AppendStreamOpen(again, &o)
			}
		case IsStream(typ):
			var s Stream
			if s, b, err = ParseStream(typ, b); err == nil {
				l := -1
				if typ&flagLen != 0 {
					l = len(s.Data)
				}
				at := len(again)
				again = AppendStreamHeader(again, s.ID, l, s.Fin)
				if len(again)-at != StreamHeaderLen(s.ID, l) {
					return nil, fmt.Errorf("StreamHeaderLen(%d, %d) is wrong", s.ID, l)
				}
				if s.Compressed {
					again[at] |= flagCompressed
				}
				again = append(again, s.Data...)
			}
		case typ == TypeMaxData:
			n, b, err = ParseMaxData(b)
			again = AppendMaxData(again, n)
		case typ == TypeMaxStreamData:
			id, n, b, err = ParseMaxStreamData(b)
			again = AppendMaxStreamData(again, id, n)
		case typ == TypeMaxStreams:
			n, b, err = ParseMaxStreams(b)
			again = AppendMaxStreams(again, n)
		case typ == TypeRekey:
			var r Rekey
			r, b, err = ParseRekey(b)
			again = AppendRekey(again, r)
		case typ == TypeRekeyDone:
			var r RekeyDone
			r, b, err = ParseRekeyDone(b)
			again = AppendRekeyDone(again, r)
		case typ == TypeRekeySwitch:
			var e uint32
			e, b, err = ParseRekeySwitch(b)
			again = AppendRekeySwitch(again, e)
		case typ == TypeAuth:
			var ead, sig []byte
			ead, sig, b, err = ParseAuth(b)
			again = AppendAuth(again, ead, sig)
		case typ == TypeControl:
			var c ControlPart
			c, b, err = ParseControl(b)
			again = AppendControl(again, c)
		case typ == TypeGoaway:
			n, b, err = ParseGoaway(b)
			again = AppendGoaway(again, n)
		case typ == TypeClose:
			var reason []byte
			code, reason, b, err = ParseClose(b)
			again = AppendClose(again, code, string(reason))
		default:
			b, err = Skip(typ, b)
			if err == nil {
				again = append(AppendVarint(again, typ), body[:len(body)-len(b)]...)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return again, nil
}

const vector = "06000b046368617401046c616e6702656e03020b00026869"

// The vector of channel set-up 6.5.
func TestVector(t *testing.T) {
	m, err := NewMetadata(map[string]string{"lang": "en"})
	if err != nil {
		t.Fatal(err)
	}
	b := AppendStreamOpen(nil, &StreamOpen{ID: 0, Urgency: 3, Incremental: true, Label: []byte("chat"), Metadata: m})
	b = AppendAck(b, 2)
	b = append(AppendStreamHeader(b, 0, 2, true), "hi"...)
	if got := hex.EncodeToString(b); got != vector {
		t.Errorf("got %s, want %s", got, vector)
	}
	if again, err := walk(b); err != nil || !bytes.Equal(again, b) {
		t.Errorf("again %x, %v", again, err)
	}
}

func TestVarint(t *testing.T) {
	for _, c := range []struct {
		v uint64
		b string
	}{
		{0, "00"}, {37, "25"}, {63, "3f"}, {64, "4040"}, {15293, "7bbd"}, {16383, "7fff"}, {16384, "80004000"},
		{494878333, "9d7f3e7d"}, {1<<30 - 1, "bfffffff"}, {1 << 30, "c000000040000000"},
		{151288809941952652, "c2197c5eff14e88c"}, {MaxVarint, "ffffffffffffffff"},
	} {
		if got := hex.EncodeToString(AppendVarint(nil, c.v)); got != c.b {
			t.Errorf("%d: got %s, want %s", c.v, got, c.b)
		}
		b, _ := hex.DecodeString(c.b + "aa")
		v, rest, err := ParseVarint(b)
		if v != c.v || len(rest) != 1 || err != nil || VarintLen(v) != len(b)-1 {
			t.Errorf("%s: got %d, %x, %v", c.b, v, rest, err)
		}
	}
	for _, s := range []string{"", "40", "4025", "403f", "8000", "80000040", "80003fff", "c0000000", "c00000003fffffff"} {
		b, _ := hex.DecodeString(s)
		if _, _, err := ParseVarint(b); CodeOf(err) != CodeProtocol {
			t.Errorf("%s: %v", s, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Range(0, MaxVarint).Draw(t, "v") >> rapid.IntRange(0, 61).Draw(t, "shift")
		got, rest, err := ParseVarint(AppendVarint(nil, v))
		if got != v || len(rest) != 0 || err != nil {
			t.Fatalf("%d: got %d, %x, %v", v, got, rest, err)
		}
	})
}

func TestRefused(t *testing.T) {
	long := func(n int) string { return hex.EncodeToString(AppendVarint(nil, uint64(n))) + strings.Repeat("61", n) }
	for name, s := range map[string]string{
		"type not shortest":        "4006",
		"unknown type":             "07",
		"unknown type 30":          "30",
		"unknown cut":              "404003",
		"ping cut":                 "0101020304050607",
		"ack cut":                  "03",
		"reset without code":       "0400",
		"open without flags":       "0600",
		"open flag bit 4":          "0600100000",
		"open flag bit 7":          "0600800000",
		"open label 256":           "060000" + long(256) + "00",
		"open 17 entries":          "0600000011",
		"open empty key":           "0600000001000161",
		"open key 65":              "0600000001" + long(65) + "00",
		"open key twice":           "06000000020161000161" + "00",
		"open keys falling":        "06000000020162000161" + "00",
		"open value 1025":          "06000000010161" + long(1025),
		"open above 4096":          "0600000004" + "0161" + long(1024) + "0162" + long(1024) + "0163" + long(1024) + "0164" + long(1024),
		"stream empty":             "0a0000",
		"stream empty to the end":  "0800",
		"stream length":            "0a000561",
		"stream length compressed": "0e00",
		"control flags":            "200400",
		"control cut":              "200005",
		"close reason 257":         "2200" + long(257),
		"rekey cut":                "19000000",
		"auth cut":                 "1d0001",
		"switch cut":               "1b000000",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := walk(b); CodeOf(err) != CodeProtocol {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLimitsOfStreamOpen(t *testing.T) {
	many := map[string]string{}
	for i := range MaxMetadata {
		many[fmt.Sprintf("%02d%s", i, strings.Repeat("k", MaxKey-2))] = strings.Repeat("v", 170)
	}
	m, err := NewMetadata(many)
	if err != nil {
		t.Fatal(err)
	}
	o := StreamOpen{ID: 1 << 40, Urgency: 7, Label: bytes.Repeat([]byte("l"), MaxLabel), Metadata: m}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	b := AppendStreamOpen(nil, &o)
	_, b, _ = ParseType(b)
	got, rest, err := ParseStreamOpen(b)
	if err != nil || len(rest) != 0 || !maps.Equal(got.Metadata.Map(), many) || len(got.Label) != MaxLabel {
		t.Errorf("%v", err)
	}
	for _, bad := range []map[string]string{
		{"": "v"}, {strings.Repeat("k", 65): ""}, {"k": strings.Repeat("v", 1025)},
	} {
		if _, err := NewMetadata(bad); err == nil {
			t.Errorf("%v passed", bad)
		}
	}
	many["one more"] = ""
	if _, err := NewMetadata(many); err == nil || !strings.Contains(err.Error(), "16") {
		t.Errorf("17 entries: %v", err)
	}
	o.Metadata, _ = NewMetadata(map[string]string{"a": strings.Repeat("v", 1024), "b": strings.Repeat("v", 1024), "c": strings.Repeat("v", 1024), "d": strings.Repeat("v", 1024)})
	for _, bad := range []*StreamOpen{&o, {Urgency: 8}, {Label: make([]byte, 256)}} {
		if bad.Check() == nil {
			t.Errorf("%.40v passed", bad)
		}
	}
}

func TestCodes(t *testing.T) {
	for c, want := range map[Code]string{0: "NO_ERROR", 3: "FLOW_CONTROL", 15: "SHUTDOWN", 16: "code 16", 255: "code 255", 256: "application code 0", Application(7): "application code 7"} {
		if c.String() != want {
			t.Errorf("%d: %s", uint64(c), c)
		}
	}
	if c, ok := Application(7).Application(); c != 7 || !ok {
		t.Error(c, ok)
	}
	if _, ok := CodeShutdown.Application(); ok {
		t.Error("SHUTDOWN is the channel's")
	}
	AppendVarint(nil, uint64(Application(1<<63))) // does not panic
	err := fmt.Errorf("reading: %w", Violation(CodeStreamState, "stream %d", 4))
	if CodeOf(err) != CodeStreamState || CodeOf(errors.New("x")) != CodeInternal || CodeOf(nil) != CodeNoError {
		t.Error("CodeOf")
	}
	if !strings.Contains(err.Error(), "STREAM_STATE: stream 4") {
		t.Error(err)
	}
}

// every is a record with every frame.
func every() []byte {
	b := AppendPing([]byte{0}, [8]byte{1, 2, 3})
	b = AppendPong(b, [8]byte{4, 5, 6})
	b = AppendAck(b, 70000)
	b = AppendStreamOpen(b, &StreamOpen{ID: 5, Urgency: 7})
	b = AppendResetStream(b, 5, Application(3))
	b = AppendStopSending(b, 1<<40, CodeCancelled)
	b = AppendMaxData(b, 1<<30)
	b = AppendMaxStreamData(b, 5, 1<<20)
	b = AppendMaxStreams(b, 300)
	b = AppendKeyUpdate(b)
	b = AppendRekey(b, Rekey{1, 0x20, []byte("share"), []byte("ead"), []byte("sig")})
	b = AppendRekeyDone(b, RekeyDone{1, []byte("enc"), nil, nil})
	b = AppendRekeySwitch(b, 1)
	b = AppendRekeyAsk(b)
	b = AppendAuth(b, []byte("{}"), []byte("signature"))
	b = AppendControl(b, ControlPart{Fin: true, Response: true, Data: []byte("header")})
	b = AppendGoaway(b, 12)
	b = AppendClose(b, CodeIdle, "nothing to do")
	b = append(AppendVarint(b, FirstUnknown+2), 3, 'a', 'b', 'c')
	b = append(AppendStreamHeader(b, 5, 3, false), "abc"...)
	b = AppendStreamHeader(b, 5, 0, true)
	return append(AppendStreamHeader(b, 5, -1, false), "to the end"...)
}

func TestEveryFrame(t *testing.T) {
	if again, err := walk(every()); err != nil || !bytes.Equal(again, every()) {
		t.Errorf("%x was written again as %x, %v", every(), again, err)
	}
	b := every()
	for i := range b[:len(b)-12] { // a cut never panics and never reads on
		if again, err := walk(b[:i]); err == nil && !bytes.Equal(again, b[:i]) {
			t.Errorf("cut at %d: %x", i, again)
		}
	}
}

func TestCodecDoesNotAllocate(t *testing.T) {
	b := make([]byte, 0, 4096)
	o := StreamOpen{ID: 5, Urgency: 7, Label: []byte("label"), Metadata: Metadata{1, 1, 'k', 1, 'v'}}
	if n := testing.AllocsPerRun(100, func() {
		r := AppendStreamOpen(b[:0], &o)
		r = append(AppendStreamHeader(r, 5, 3, true), "abc"...)
		r = AppendMaxStreamData(r, 5, 1<<20)
		_, r, _ = ParseType(r)
		_, r, _ = ParseStreamOpen(r)
		typ, r, _ := ParseType(r)
		_, r, _ = ParseStream(typ, r)
		_, r, _ = ParseType(r)
		if _, _, rest, err := ParseMaxStreamData(r); err != nil || len(rest) != 0 {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCompressedHeader(t *testing.T) {
	b := append(AppendCompressedHeader(nil, 6, 300, 5, true), "block and more"...)
	if want := "0f0607412c"; hex.EncodeToString(b[:5]) != want {
		t.Errorf("%x, want %s", b[:5], want)
	}
	typ, body, _ := ParseType(b)
	s, rest, err := ParseStream(typ, body)
	if err != nil || s.ID != 6 || !s.Fin || !s.Compressed || string(rest) != " and more" {
		t.Fatalf("%+v, %q, %v", s, rest, err)
	}
	if raw, block, err := ParseVarint(s.Data); raw != 300 || string(block) != "block" || err != nil {
		t.Error(raw, string(block), err)
	}
}

func FuzzFrames(f *testing.F) {
	seed, _ := hex.DecodeString(vector)
	f.Add(seed)
	f.Add(every())
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := walk(b)
		if err != nil {
			if CodeOf(err) != CodeProtocol {
				t.Fatalf("%x: %v", b, err)
			}
			return
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x was written again as %x", b, again)
		}
	})
}

// SkipBody passes over what the parsers read.
func TestSkipBody(t *testing.T) {
	meta, err := NewMetadata(map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range [][]byte{
		{0}, AppendPing(nil, [8]byte{1}), AppendPong(nil, [8]byte{1}), AppendAck(nil, 300), AppendResetStream(nil, 70, 300),
		AppendStopSending(nil, 70, 300), AppendStreamOpen(nil, &StreamOpen{ID: 70, Label: []byte("l"), Metadata: meta}),
		append(AppendStreamHeader(nil, 70, 3, true), 1, 2, 3), AppendMaxData(nil, 300), AppendMaxStreamData(nil, 70, 300),
		AppendMaxStreams(nil, 300), AppendKeyUpdate(nil), AppendRekey(nil, Rekey{Share: []byte("s")}),
		AppendRekeyDone(nil, RekeyDone{Enc: []byte("e")}), AppendRekeySwitch(nil, 1), AppendRekeyAsk(nil),
		AppendAuth(nil, []byte("e"), []byte("s")), AppendControl(nil, ControlPart{Data: []byte("c")}), AppendGoaway(nil, 300),
		AppendClose(nil, 300, "why"), {0x40, 0x40, 2, 1, 2},
	} {
		typ, body, err := ParseType(append(f, 0xee))
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := SkipBody(typ, body); err != nil || len(rest) != 1 {
			t.Errorf("type %#x: %x is left, %v", typ, rest, err)
		}
		for n := range len(body) - 1 {
			if rest, err := SkipBody(typ, body[:n]); err == nil && len(rest) > 0 {
				t.Errorf("type %#x cut at %d: %x is left", typ, n, rest)
			}
		}
	}
	for _, typ := range []uint64{0x07, 0x13, 0x17, 0x1e, 0x23, 0x3f} {
		if _, err := SkipBody(typ, nil); err == nil {
			t.Errorf("type %#x was skipped", typ)
		}
	}
}
