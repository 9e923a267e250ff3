package framing

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

// The order of names, the shortest heads and doubles are those of RFC 8949
// section 4.2.1.
func TestCBORAppend(t *testing.T) {
	self := Object{}
	self["self"], self["again"] = Array{self}, self
	for _, c := range []struct {
		name string
		in   Object
		want string // hex behind the tag; empty: refused
	}{
		{"empty", Object{}, "a0"},
		{"nil", nil, "a0"},
		{"null member", Object{"a": nil, "b": Object{"c": nil}}, "a16162a0"},
		{"order", Object{"b": 1, "aa": 2, "a": int64(-3)}, "a3" + "616122" + "616201" + "62616102"},
		{"integers", Object{"a": Array{23, 24, 256, int64(1 << 53), int64(math.MinInt64)}}, "a1616185" + "17" + "1818" + "190100" + "1b0020000000000000" + "3b7fffffffffffffff"},
		{"binary", Object{"a": []byte{0xff, 0xfe, 0}, "b": []byte{}, "c": []byte(nil)}, "a3" + "616143fffe00" + "616240" + "616340"},
		{"text", Object{"a": "é😀"}, "a1616166c3a9f09f9880"},
		{"doubles", Object{"a": Array{0.5, 1e300}}, "a1616182f93800fb7e37e43c8800759c"},
		// Examples of RFC 8949 appendix A, and neighbours of what half precision has.
		{"floats", Object{"a": Array{100000.0, 3.4028234663852886e+38, 1.1, 65504.0, 65536.0, 0x1p-24, 0x1p-25, 0x1.004p-14, 0x1.002p-14, math.Copysign(0, -1)}},
			"a161618a" + "fa47c35000" + "fa7f7fffff" + "fb3ff199999999999a" + "f97bff" + "fa47800000" + "f90001" + "fa33000000" + "f90401" + "fa38801000" + "f98000"},
		{"long names", Object{strings.Repeat("b", 24): 1, strings.Repeat("c", 23): 2},
			"a2" + "77" + strings.Repeat("63", 23) + "02" + "7818" + strings.Repeat("62", 24) + "01"},
		{"booleans", Object{"a": Array{true, false}}, "a1616182f5f4"},
		{"containers", Object{"a": Array{Array(nil), Object(nil)}}, "a1616182" + "80" + "a0"},
		{"null element", Object{"a": Array{nil}}, ""},
		{"not a number", Object{"a": math.NaN()}, ""},
		{"infinite", Object{"a": math.Inf(-1)}, ""},
		{"malformed UTF-8", Object{"a": "\xff"}, ""},
		{"malformed name", Object{"\xff": "a"}, ""},
		{"empty name", Object{"": "a"}, ""},
		{"other type", Object{"a": uint8(1)}, ""},
		{"cycle", self, ""},
		{"deep", nest(65), ""},
		{"deep array", Object{"a": nestArray(64)}, ""},
	} {
		got, err := CBOR.Append([]byte("x"), c.in)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: %x", c.name, got)
			}
			continue
		}
		if err != nil || got[0] != 'x' || hex.EncodeToString(got[1:]) != "d9d9f7"+c.want {
			t.Errorf("%s: %x, %v", c.name, got, err)
		}
	}
	for _, o := range []Object{nest(64), {"a": nestArray(63)}} {
		b, err := CBOR.Append(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(b); err != nil || !reflect.DeepEqual(back, o) {
			t.Error(err)
		}
	}
}

func TestCBORParse(t *testing.T) {
	const tag = "d9d9f7"
	for _, c := range []struct {
		name, in string
		want     Object // nil: refused
	}{
		{"empty object", tag + "a0", Object{}},
		{"members", tag + "a2616101616243fffe00", Object{"a": int64(1), "b": []byte{0xff, 0xfe, 0}}},
		{"nested", tag + "a16161a1616281a0", Object{"a": Object{"b": Array{Object{}}}}},
		{"null member", tag + "a26161f6616201", Object{"b": int64(1)}},
		{"null member inside", tag + "a1616181a16162f6", Object{"a": Array{Object{}}}},
		{"null element", tag + "a1616181f6", Object{"a": Array{nil}}},
		{"half, single, double", tag + "a1616183f93800fa3f000000fb3fe0000000000000", Object{"a": Array{0.5, 0.5, 0.5}}},
		{"longer heads", tag + "b8016161" + "1b0000000000000005", Object{"a": int64(5)}},
		{"bounds", tag + "a16161821b7fffffffffffffff3b7fffffffffffffff", Object{"a": Array{int64(math.MaxInt64), int64(math.MinInt64)}}},
		{"nothing", "", nil},
		{"bare map", "a0", nil},
		{"tag alone", tag, nil},
		{"half a tag", "d9d9", nil},
		{"other tag", "d9d9f8a0", nil},
		{"tag twice", tag + tag + "a0", nil},
		{"tag inside", tag + "a16161d9d9f7a0", nil},
		{"date", tag + "a16161c101", nil},
		{"big number", tag + "a16161c24101", nil},
		{"array", tag + "80", nil},
		{"integer", tag + "01", nil},
		{"null", tag + "f6", nil},
		{"trailing byte", tag + "a000", nil},
		{"trailing white space", tag + "a00a", nil},
		{"two objects", tag + "a0" + tag + "a0", nil},
		{"cut", tag + "a26161", nil},
		{"cut text", tag + "a1626161", nil},
		{"duplicate", tag + "a2616101616101", nil},
		{"duplicate of a null", tag + "a26161f6616101", nil},
		{"duplicate inside", tag + "a16162a2616101616101", nil},
		{"indefinite map", tag + "bf616101ff", nil},
		{"indefinite array", tag + "a161619f01ff", nil},
		{"indefinite text", tag + "a161617f6161ff", nil},
		{"indefinite binary", tag + "a161615f4161ff", nil},
		{"break", tag + "a16161ff", nil},
		{"integer for a name", tag + "a10101", nil},
		{"binary for a name", tag + "a1416101", nil},
		{"reserved head", tag + "a161611c", nil},
		{"beyond int64", tag + "a161611b8000000000000000", nil},
		{"below int64", tag + "a161613b8000000000000000", nil},
		{"undefined", tag + "a16161f7", nil},
		{"simple value", tag + "a16161e0", nil},
		{"long simple value", tag + "a16161f820", nil},
		{"not a number", tag + "a16161f97e00", nil},
		{"infinite", tag + "a16161f97c00", nil},
		{"malformed UTF-8", tag + "a1616161ff", nil},
		{"malformed UTF-8 in a name", tag + "a161ff01", nil},
		{"too deep", tag + strings.Repeat("a16161", 64) + "a0", nil},
		{"claims much text", tag + "a161617b7fffffffffffffff", nil},
		{"claims much binary", tag + "a161615bffffffffffffffff", nil},
		{"claims many elements", tag + "a161619b7fffffffffffffff", nil},
		{"claims many members", tag + "bbffffffffffffffff", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := hex.DecodeString(c.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(in)
			if c.want != nil {
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Fatalf("%v, %v", got, err)
				}
				return
			}
			var se *SyntaxError
			var le *LimitError
			if !errors.As(err, &se) && !errors.As(err, &le) {
				t.Fatalf("%v, %v", got, err)
			}
		})
	}
}

func TestCBORErrorsQuoteNothing(t *testing.T) {
	for _, in := range []string{"\xd9\xd9\xf7\xa2\x66secret\x01\x66secret\x01", "\xd9\xd9\xf7\xa1\x66secret\x67secret\xff"} {
		if _, err := Decode([]byte(in)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
}

// All there are in half precision; longer forms are in TestCBORAppend.
func TestCBORHalf(t *testing.T) {
	for bits := range 1 << 16 {
		h := uint16(bits)
		f := halfValue(h)
		in := append([]byte("\xd9\xd9\xf7\xa1\x61a\xf9"), byte(h>>8), byte(h))
		o, err := CBOR.Parse(in)
		if h&0x7C00 == 0x7C00 {
			if err == nil {
				t.Fatalf("%04x: %v", h, o)
			}
			continue
		}
		if err != nil || o["a"] != f {
			t.Fatalf("%04x: %v, %v, not %v", h, o, err, f)
		}
		if out, err := CBOR.Append(nil, o); err != nil || !bytes.Equal(out, in) {
			t.Fatalf("%04x: %x, %v", h, out, err)
		}
		// RFC 8949 appendix D.
		want := math.Ldexp(float64(h&0x3FF), -24)
		if e := int(h >> 10 & 31); e > 0 {
			want = math.Ldexp(float64(h&0x3FF)+1024, e-25)
		}
		if math.Abs(f) != want || math.Signbit(f) != (h&0x8000 != 0) {
			t.Fatalf("%04x: %v", h, f)
		}
	}
}

func TestCBORGet(t *testing.T) {
	b, err := CBOR.Append(nil, Object{"encoded": []byte(`{"a":1}`), "binary": []byte("AAAA"), "five": 5.0, "half": 5.5})
	if err != nil {
		t.Fatal(err)
	}
	o, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	check[Object](t, o, "encoded", Object{"a": int64(1)}, true)
	check[[]byte](t, o, "binary", []byte("AAAA"), true)
	check[string](t, o, "binary", "", false)
	check[int64](t, o, "five", 5, true)
	check[int64](t, o, "half", 0, false)
}

func TestCBORParseBoundsMemory(t *testing.T) {
	in := append([]byte("\xd9\xd9\xf7\xa1\x61a\x99\xff\xff"), bytes.Repeat([]byte("\x81\x80"), 1<<16)...)
	_, err := CBOR.Parse(in)
	var le *LimitError
	if !errors.As(err, &le) || le.Max != maxValues {
		t.Fatal(err)
	}
}

// Objects within one another that claim more than there is must not get memory
// for it.
func TestCBORClaims(t *testing.T) {
	in := []byte("\xd9\xd9\xf7")
	for range 60 {
		in = append(in, "\xb9\x7f\xff\x61a"...)
	}
	in = append(in, make([]byte, 1<<16)...)
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := CBOR.Parse(in); err == nil {
			t.Error("accepted")
		}
	})
	if allocated > 10000 {
		t.Errorf("%v allocations", allocated)
	}
	var le *LimitError
	if _, err := CBOR.Parse(in); !errors.As(err, &le) || le.Max != maxValues {
		t.Error(err)
	}
}

func TestCBORRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := objects(true, 3).Draw(t, "object")
		b, err := CBOR.Append(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(b)
		if err != nil || !reflect.DeepEqual(back, o) {
			t.Fatalf("%x: %v, %v", b, back, err)
		}
		if again, err := CBOR.Append(nil, back); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x, then %x: %v", b, again, err)
		}
		cut := rapid.IntRange(0, len(b)).Draw(t, "cut")
		if n, done, err := scanned(CBOR, append(b, b...), cut); n != len(b) || !done || err != nil {
			t.Fatal(n, done, err)
		}
	})
}

// What JSON makes of an object and what CBOR makes of it mean the same.
func TestCBORAgreesWithJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := objects(true, 3).Draw(t, "object")
		var parsed [2]Object
		for i, f := range []Format{JSON, CBOR} {
			b, err := f.Append(nil, o)
			if err != nil {
				t.Fatal(err)
			}
			if parsed[i], err = Decode(b); err != nil {
				t.Fatal(err)
			}
		}
		// JSON has no binary: go on from there with what is binary decoded.
		if !alike(parsed[0], parsed[1]) {
			t.Fatalf("%v is not %v", parsed[0], parsed[1])
		}
	})
}

// alike compares a value parsed from JSON with one parsed from CBOR.
func alike(fromJSON, fromCBOR any) bool {
	switch c := fromCBOR.(type) {
	case []byte:
		b, want := as[[]byte](fromJSON)
		return want == "" && bytes.Equal(b, c)
	case Object:
		j, ok := fromJSON.(Object)
		if !ok || len(j) != len(c) {
			return false
		}
		for name := range c {
			if !alike(j[name], c[name]) {
				return false
			}
		}
		return true
	case Array:
		j, ok := fromJSON.(Array)
		if !ok || len(j) != len(c) {
			return false
		}
		for i := range c {
			if !alike(j[i], c[i]) {
				return false
			}
		}
		return true
	}
	return fromJSON == fromCBOR
}

func TestCBORScannerSplitsEverywhere(t *testing.T) {
	in, err := CBOR.Append(nil, Object{"a": Array{Object{}, Array{}, strings.Repeat("x", 30), []byte{}, 1e300}, "b": int64(1 << 40), "c": ""})
	if err != nil {
		t.Fatal(err)
	}
	want := len(in)
	in = append(in, in...)
	for i := range in {
		for j := i; j < len(in); j++ {
			if n, done, err := scanned(CBOR, in, i, j); n != want || !done || err != nil {
				t.Fatal(i, j, n, done, err)
			}
		}
	}
}

// What we write is what an outside judge writes, and reads back.
func TestCBORJudged(t *testing.T) {
	opts := cbor.CoreDetEncOptions()
	opts.NilContainers = cbor.NilContainerAsEmpty
	judge, err := opts.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		o := objects(true, 3).Draw(t, "object")
		o["f"] = float64(rapid.Float32().Draw(t, "single"))
		got, err := CBOR.Append(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		want, err := judge.Marshal(o)
		if err != nil || !bytes.Equal(got[len(cborTag):], want) {
			t.Fatalf("%x instead of %x, %v", got, want, err)
		}
	})
}

func FuzzCBORParse(f *testing.F) {
	for _, o := range []Object{{}, {"a": Array{1, "x", []byte{1}, 0.5, true, Object{"b": int64(-1 << 40)}}}, {"n": "é"}} {
		b, err := CBOR.Append(nil, o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint16(4))
	}
	f.Add([]byte("\xd9\xd9\xf7\xbf\x61a\x01\xff"), uint16(1))
	f.Add([]byte("\xd9\xd9\xf7\xa2\x61a\xf6\x61a\x01"), uint16(5))
	judge, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		IntDec:           cbor.IntDecConvertSignedOrFail,
		NaN:              cbor.NaNDecodeForbidden,
		Inf:              cbor.InfDecodeForbidden,
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxValues,
		MaxMapPairs:      maxValues,
	}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		scannerAgrees(t, CBOR, in, int(cut))
		o, err := CBOR.Parse(in)
		if err != nil {
			return
		}
		var judged map[string]any
		if err := judge.Unmarshal(in[len(cborTag):], &judged); err != nil {
			t.Fatalf("%x: %v, judged %v", in, o, err)
		}
		out, err := CBOR.Append(nil, o)
		if err != nil {
			return // null elements and empty names are only read
		}
		back, err := CBOR.Parse(out)
		if err != nil || !reflect.DeepEqual(back, o) {
			t.Fatalf("%x: %v, %v", out, back, err)
		}
		if len(out) > len(in) {
			t.Fatalf("%x is longer than %x", out, in)
		}
	})
}
