package framing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The example of spec 01 section 8.
func TestJSONExample(t *testing.T) {
	o := Object{"name": "n1", "count": int64(1 << 53), "blob": []byte{0xff, 0xfe, 0}, "empty": []byte{}, "nested": Object{"ok": true}, "gone": nil}
	const want = `{"blob":"//4A","count":9007199254740992,"empty":"","name":"n1","nested":{"ok":true}}`
	prefix := []byte("xy")
	got, err := JSON.Append(prefix, o)
	if err != nil || string(got) != "xy"+want {
		t.Fatalf("%s, %v", got, err)
	}
	back, err := Decode([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := Get[[]byte](back, "blob"); err != nil || !bytes.Equal(b, []byte{0xff, 0xfe, 0}) {
		t.Error(b, err)
	}
	if b, ok, err := Opt[[]byte](back, "empty"); err != nil || !ok || len(b) != 0 {
		t.Error("empty binary is not absent binary", b, ok, err)
	}
	if n, err := Get[int64](back, "count"); err != nil || n != 1<<53 {
		t.Error(n, err)
	}
}

func TestJSONParse(t *testing.T) {
	deep := func(n int) string {
		return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1)
	}
	for _, c := range []struct {
		name, in string
		want     Object // nil: refused
	}{
		{"empty object", `{}`, Object{}},
		{"white space", "{ \"a\" :\t[ 1 ,\r\n2 ] , \"b\" : { } }", Object{"a": Array{int64(1), int64(2)}, "b": Object{}}},
		{"trailing white space", "{\"a\":1} \t\r\n", Object{"a": int64(1)}},
		{"trailing bytes", `{"a":1}x`, nil},
		{"two objects", `{"a":1}{"b":2}`, nil},
		{"leading white space", ` {"a":1}`, nil},
		{"leading newline", "\n{}", nil},
		{"byte order mark", "\xef\xbb\xbf{}", nil},
		{"nothing", ``, nil},
		{"array", `[]`, nil},
		{"string", `"a"`, nil},
		{"duplicate", `{"a":1,"a":1}`, nil},
		{"duplicate by escape", `{"a":1,"\u0061":1}`, nil},
		{"duplicate of a null", `{"a":null,"a":1}`, nil},
		{"duplicate inside", `{"b":{"a":1,"a":1}}`, nil},
		{"case", `{"a":1,"A":2}`, Object{"a": int64(1), "A": int64(2)}},
		{"null member", `{"a":null,"b":1}`, Object{"b": int64(1)}},
		{"null element", `{"a":[null]}`, Object{"a": Array{nil}}},
		{"empty name", `{"":1}`, Object{"": int64(1)}},
		{"literals", `{"t":true,"f":false}`, Object{"t": true, "f": false}},
		{"bad literal", `{"t":tru}`, nil},
		{"upper-case literal", `{"t":True}`, nil},
		{"cut literal", `{"t":t`, nil},
		{"max", `{"n":9223372036854775807}`, Object{"n": int64(math.MaxInt64)}},
		{"min", `{"n":-9223372036854775808}`, Object{"n": int64(math.MinInt64)}},
		{"2^53+1", `{"n":9007199254740993}`, Object{"n": int64(1<<53 + 1)}},
		{"2^53+1 with a fraction", `{"n":9007199254740993.0}`, Object{"n": int64(1<<53 + 1)}},
		{"beyond max", `{"n":9223372036854775808}`, nil},
		{"beyond min", `{"n":-9223372036854775809}`, nil},
		{"1e3", `{"n":1e3}`, Object{"n": int64(1000)}},
		{"5.0", `{"n":5.0}`, Object{"n": int64(5)}},
		{"12.50e+1", `{"n":12.50E+1}`, Object{"n": int64(125)}},
		{"500e-2", `{"n":500e-2}`, Object{"n": int64(5)}},
		{"-0.0", `{"n":-0.0}`, Object{"n": int64(0)}},
		{"5.5", `{"n":-5.5}`, Object{"n": -5.5}},
		{"1e300", `{"n":1e300}`, Object{"n": 1e300}},
		{"1e19", `{"n":1e19}`, Object{"n": 1e19}},
		{"1e999", `{"n":1e999}`, nil},
		{"huge exponent", `{"n":1e99999999999999999999}`, nil},
		{"007", `{"n":007}`, nil},
		{"-007", `{"n":-007}`, nil},
		{"-0", `{"n":-0}`, nil},
		{"0", `{"n":0}`, Object{"n": int64(0)}},
		{"minus", `{"n":-}`, nil},
		{"plus", `{"n":+1}`, nil},
		{"point", `{"n":1.}`, nil},
		{"point first", `{"n":.5}`, nil},
		{"exponent without digits", `{"n":1e}`, nil},
		{"hex", `{"n":0x10}`, nil},
		{"NaN", `{"n":NaN}`, nil},
		{"unquoted name", `{a:1}`, nil},
		{"single quotes", `{'a':1}`, nil},
		{"unquoted string", `{"a":b}`, nil},
		{"trailing comma", `{"a":1,}`, nil},
		{"trailing comma in array", `{"a":[1,]}`, nil},
		{"missing colon", `{"a" 1}`, nil},
		{"missing comma", `{"a":1 "b":2}`, nil},
		{"missing value", `{"a":}`, nil},
		{"mismatch", `{"a":[1}`, nil},
		{"cut", `{"a":1`, nil},
		{"cut string", `{"a":"b`, nil},
		{"cut escape", `{"a":"\`, nil},
		{"comment", `{/**/}`, nil},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9\u00E9"}`, Object{"a": "\"\\/\b\f\n\r\té\u00e9"}},
		{"bad escape", `{"a":"\x"}`, nil},
		{"bad unit", `{"a":"\u00g0"}`, nil},
		{"surrogate pair", `{"a":"x\ud83d\uDE00y"}`, Object{"a": "x😀y"}},
		{"high alone", `{"a":"\ud83d"}`, nil},
		{"high before a character", `{"a":"\ud83d\u0041"}`, nil},
		{"low alone", `{"a":"\ude00"}`, nil},
		{"low first", `{"a":"\ude00\ud83d"}`, nil},
		{"escaped nul", `{"a":"\u0000"}`, Object{"a": "\x00"}},
		{"control character", "{\"a\":\"\n\"}", nil},
		{"nul", "{\"a\":\"\x00\"}", nil},
		{"delete", "{\"a\":\"\x7f\"}", Object{"a": "\x7f"}},
		{"UTF-8", `{"é":"日本😀"}`, Object{"é": "日本😀"}},
		{"U+FFFD", "{\"a\":\"\uFFFD\"}", Object{"a": "\uFFFD"}},
		{"split pair", "{\"a\":\"x\xed\xa0\xbd\xed\xb8\x80y\"}", Object{"a": "x😀y"}},
		{"half of a split pair", "{\"a\":\"\xed\xa0\xbd\"}", nil},
		{"malformed UTF-8", "{\"a\":\"\xff\"}", nil},
		{"overlong", "{\"a\":\"\xc0\xaf\"}", nil},
		{"cut UTF-8", "{\"a\":\"\xe6\x97\"}", nil},
		{"malformed UTF-8 in a name", "{\"\xff\":1}", nil},
		{"not normalised", "{\"a\":\"e\u0301\"}", Object{"a": "e\u0301"}},
		{"depth 64", deep(64), nest(64)},
		{"depth 65", deep(65), nil},
		{"depth of arrays", `{"a":` + strings.Repeat("[", 64), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decode([]byte(c.in))
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

func nest(n int) Object {
	o := Object{}
	for range n - 1 {
		o = Object{"a": o}
	}
	return o
}

func TestJSONParseBoundsMemory(t *testing.T) {
	in := []byte(`{"a":[` + strings.Repeat("0,", 1<<20) + `0]}`)
	_, err := JSON.Parse(in)
	var le *LimitError
	if !errors.As(err, &le) || le.Max != maxValues {
		t.Fatal(err)
	}
}

func TestSyntaxErrorsQuoteNothing(t *testing.T) {
	for _, in := range []string{`{"secret1":"secret2"`, `{"secret1":secret2}`, `{"secret1":1,"secret1":2}`, `{"a":1}secret`} {
		if _, err := Decode([]byte(in)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestJSONAppend(t *testing.T) {
	self := Object{}
	self["self"], self["again"] = self, self
	for _, c := range []struct {
		name string
		in   Object
		want string // empty: refused
	}{
		{"empty", Object{}, `{}`},
		{"nil", nil, `{}`},
		{"null member", Object{"a": nil}, `{}`},
		{"sorted", Object{"b": "1", "a": "2", "B": "3"}, `{"B":"3","a":"2","b":"1"}`},
		{"int", Object{"a": 1, "b": int64(-2)}, `{"a":1,"b":-2}`},
		{"no minus zero", Object{"a": math.Copysign(0, -1)}, `{"a":0}`},
		{"integral double", Object{"a": 1e15}, `{"a":1000000000000000}`},
		{"double", Object{"a": 0.5}, `{"a":0.5}`},
		{"not a number", Object{"a": math.NaN()}, ``},
		{"infinite", Object{"a": math.Inf(1)}, ``},
		{"binary", Object{"a": []byte{0xfb, 0xff}}, `{"a":"+/8="}`},
		{"long binary", Object{"a": make([]byte, 90)}, `{"a":"` + strings.Repeat("A", 120) + `"}`},
		{"empty binary", Object{"a": []byte{}, "b": []byte(nil)}, `{"a":"","b":""}`},
		{"array", Object{"a": Array{"x", int64(1), Array{}, Object{}}}, `{"a":["x",1,[],{}]}`},
		{"null element", Object{"a": Array{nil}}, ``},
		{"escapes", Object{"a": "\"\\\n\r\t\x00\x1f/"}, `{"a":"\"\\\n\r\t\u0000\u001f/"}`},
		{"beyond U+FFFF", Object{"a": "x😀é"}, `{"a":"x\ud83d\ude00é"}`},
		{"malformed UTF-8", Object{"a": "\xff"}, ``},
		{"malformed name", Object{"\xff": "a"}, ``},
		{"empty name", Object{"": "a"}, ``},
		{"other type", Object{"a": struct{}{}}, ``},
		{"other type inside", Object{"a": Object{"b": uint8(1)}}, ``},
		{"cycle", self, ``},
		{"deep", nest(65), ``},
		{"deep array", Object{"a": nestArray(64)}, ``},
	} {
		got, err := JSON.Append(nil, c.in)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: %s", c.name, got)
			}
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
		if !json.Valid(got) {
			t.Errorf("%s: not JSON", c.name)
		}
	}
}

func nestArray(n int) Array {
	a := Array{}
	for range n - 1 {
		a = Array{a}
	}
	return a
}

func TestFormats(t *testing.T) {
	if f, err := Detect('{'); err != nil || f.Name() != "JSON" {
		t.Error(f, err)
	}
	for _, b := range []byte{0, ' ', '\n', '[', 0xEF, RecordEven, RecordOdd, RecordEarly} {
		if _, err := Detect(b); err == nil {
			t.Errorf("%x is a format", b)
		}
	}
	if _, ok := ByName("XML"); ok {
		t.Error("XML is a format")
	}
	fs := Formats()
	if fs[0] != JSON {
		t.Error("JSON is not the default")
	}
	for _, f := range fs {
		if g, ok := ByName(f.Name()); !ok || g != f {
			t.Error(f.Name())
		}
	}
	clear(fs)
	if _, err := Detect('{'); err != nil {
		t.Error("the list can be changed")
	}
}

// objects draws objects as they may come out of a parser: binary only where the
// format has it.
func objects(binary bool, depth int) *rapid.Generator[Object] {
	return rapid.Map(rapid.MapOfN(rapid.StringN(1, 5, -1), values(binary, depth), 0, 5), func(m map[string]any) Object { return m })
}

func values(binary bool, depth int) *rapid.Generator[any] {
	of := []*rapid.Generator[any]{
		rapid.String().AsAny(),
		rapid.Int64().AsAny(),
		rapid.Bool().AsAny(),
		rapid.Map(rapid.Float64(), func(f float64) any {
			if n, ok := integer(f); ok {
				return n
			}
			return f
		}),
	}
	if binary {
		of = append(of, rapid.SliceOf(rapid.Byte()).AsAny())
	}
	if depth > 0 {
		of = append(of, rapid.Deferred(func() *rapid.Generator[any] { return objects(binary, depth-1).AsAny() }),
			rapid.Deferred(func() *rapid.Generator[any] {
				return rapid.Map(rapid.SliceOfN(values(binary, depth-1), 0, 4), func(l []any) any { return Array(l) })
			}))
	}
	return rapid.OneOf(of...)
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := objects(false, 3).Draw(t, "object")
		b, err := JSON.Append(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		back, err := JSON.Parse(b)
		if err != nil || !reflect.DeepEqual(back, o) {
			t.Fatalf("%s: %v, %v", b, back, err)
		}
		again, err := JSON.Append(nil, back)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%s, then %s: %v", b, again, err)
		}
	})
}

// FuzzJSONParse compares with encoding/json where the rules agree: all that is
// accepted here and has no split surrogate pairs is JSON of the same meaning.
func FuzzJSONParse(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":[true,false,null,"x"],"c":{"d":-1.5e3}}`, `{"a":"\ud83d\ude00\n\u00e9"}`, `{"n":9223372036854775808}`,
		`{"a":"//4A","a":1}`, "{\"a\":\"\xed\xa0\xbd\xed\xb8\x80\"}", `{"n":12.50e1,"m":-0}`, `{} `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		o, err := JSON.Parse(in)
		if err != nil {
			return
		}
		if out, err := JSON.Append(nil, o); err == nil {
			back, err := JSON.Parse(out)
			if err != nil || !reflect.DeepEqual(back, o) {
				t.Fatalf("%q: %v, %v", out, back, err)
			}
		}
		if !utf8.Valid(in) {
			return
		}
		d := json.NewDecoder(bytes.NewReader(in))
		d.UseNumber()
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			t.Fatalf("encoding/json refuses: %v", err)
		}
		if !same(o, m) {
			t.Fatalf("%v is not %v", o, m)
		}
	})
}

// same compares what was parsed here with what encoding/json made of it.
func same(ours, theirs any) bool {
	switch theirs := theirs.(type) {
	case map[string]any:
		o, ok := ours.(Object)
		n := 0
		for name, v := range theirs {
			if v != nil {
				n++
				ok = ok && same(o[name], v)
			}
		}
		return ok && n == len(o)
	case []any:
		a, ok := ours.(Array)
		return ok && slices.EqualFunc(a, theirs, same)
	case json.Number:
		f, _ := theirs.Float64()
		switch n := ours.(type) {
		case int64:
			return float64(n) == f
		case float64:
			return n == f
		}
		return false
	}
	return ours == theirs
}

// scanned runs a scanner over pieces of in, cut at cuts.
func scanned(f Format, in []byte, cuts ...int) (total int, done bool, err error) {
	s := f.NewScanner(Limits{})
	from := 0
	for _, to := range append(cuts, len(in)) {
		n, done, err := s.Scan(in[from:to])
		total += n
		if done || err != nil {
			return total, done, err
		}
		from = to
	}
	return total, false, nil
}

func FuzzJSONScanner(f *testing.F) {
	for _, s := range []string{`{"a":"}\"{","b":[{}]}{"c":1}`, `{"a":"\\"} x`, "{\"é\":\"\xff\"}", `{"a":[}`, `[`, `{"a`} {
		f.Add([]byte(s), uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) { scannerAgrees(t, JSON, in, int(cut)) })
}

// scannerAgrees checks that cutting changes nothing and that the scanner finds
// the end of whatever the parser accepts.
func scannerAgrees(t *testing.T, f Format, in []byte, cut int) {
	t.Helper()
	n, done, err := scanned(f, in)
	cut = min(cut, len(in))
	n2, done2, err2 := scanned(f, in, cut)
	if n != n2 || done != done2 || (err == nil) != (err2 == nil) {
		t.Fatalf("whole: %d %v %v; cut at %d: %d %v %v", n, done, err, cut, n2, done2, err2)
	}
	if _, err := f.Parse(in); err == nil && (!done || len(bytes.TrimRight(in[n:], " \t\r\n")) > 0) {
		t.Fatalf("parser accepts %d bytes, scanner finds %d %v", len(in), n, done)
	}
	if _, err := f.Parse(in[:n]); done && err == nil {
		for i := range n {
			if _, err := f.Parse(in[:i]); err == nil {
				t.Fatalf("an object ends at %d and at %d", i, n)
			}
		}
	}
}

func TestJSONScannerSplitsEverywhere(t *testing.T) {
	in := []byte(`{"a":"}\"{é😀\\","b":[{"c":[[],{}]},"]"],"n":1.5}{"next":1}`)
	want := bytes.Index(in, []byte(`{"next"`))
	for i := range in {
		for j := i; j < len(in); j++ {
			if n, done, err := scanned(JSON, in, i, j); n != want || !done || err != nil {
				t.Fatal(i, j, n, done, err)
			}
		}
	}
}

func TestScannerLimits(t *testing.T) {
	for _, f := range Formats() {
		o := Object{"a": Array{Object{"b": strings.Repeat("x", 100)}}}
		in, err := f.Append(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			limits Limits
			ok     bool
		}{
			{Limits{}, true}, {Limits{Object: len(in)}, true}, {Limits{Object: len(in) - 1}, false},
			{Limits{Depth: 3}, true}, {Limits{Depth: 2}, false},
		} {
			n, done, err := f.NewScanner(c.limits).Scan(in)
			if c.ok {
				if n != len(in) || !done || err != nil {
					t.Errorf("%s %+v: %d %v %v", f.Name(), c.limits, n, done, err)
				}
				continue
			}
			var le *LimitError
			if !errors.As(err, &le) || le.Max != c.limits.Object+c.limits.Depth || done {
				t.Errorf("%s %+v: %v %v", f.Name(), c.limits, done, err)
			}
		}
	}
}

// chunk is a payload chunk of 64 KiB as classic messages have it.
func chunk() Object {
	payload := make([]byte, 64<<10)
	for i := range payload {
		payload[i] = byte(i * i >> 3)
	}
	return Object{"payload": payload, "signature": payload[:32]}
}

func BenchmarkAppend(b *testing.B) {
	for _, f := range Formats() {
		b.Run(f.Name(), func(b *testing.B) {
			o := chunk()
			b.SetBytes(64 << 10)
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = f.Append(buf[:0], o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, f := range Formats() {
		b.Run(f.Name(), func(b *testing.B) {
			in, err := f.Append(nil, chunk())
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(64 << 10)
			b.ReportAllocs()
			for b.Loop() {
				o, err := f.Parse(in)
				if err != nil {
					b.Fatal(err)
				}
				if p, err := Get[[]byte](o, "payload"); err != nil || len(p) != 64<<10 {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	for _, f := range Formats() {
		b.Run(f.Name(), func(b *testing.B) {
			in, err := f.Append(nil, chunk())
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(64 << 10)
			for b.Loop() {
				if _, done, _ := f.NewScanner(Limits{}).Scan(in); !done {
					b.Fatal("no end")
				}
			}
		})
	}
}

func BenchmarkBase64(b *testing.B) {
	s := base64.StdEncoding.EncodeToString(make([]byte, 64<<10))
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeBase64(s); err != nil {
			b.Fatal(err)
		}
	}
}
