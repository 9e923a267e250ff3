package framing

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// The checklist of spec 01, line by line. The tables elsewhere go deeper.
func TestSpec01Checklist(t *testing.T) {
	encode := func(t *testing.T, o Object) string {
		t.Helper()
		b, err := JSON.Append(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Run("nothing follows the last brace", func(t *testing.T) {
		if s := encode(t, Object{"a": 1}); s != `{"a":1}` {
			t.Errorf("%q", s)
		}
	})
	t.Run("names are exact and unique", func(t *testing.T) {
		o, err := Decode([]byte(`{"Data":1}`))
		if _, there, _ := Opt[int64](o, "data"); err != nil || there {
			t.Error(o, err)
		}
		if _, err := Decode([]byte(`{"data":1,"data":2}`)); err == nil {
			t.Error("duplicate accepted")
		}
	})
	t.Run("received bytes are kept", func(t *testing.T) {
		const odd = "{ \"b\":1.0,\n\"a\":\"\\u0041\" }"
		r := NewReader(strings.NewReader(odd+`{}`), Limits{})
		defer r.Close()
		if b, _, err := r.Object(); err != nil || string(b) != odd {
			t.Errorf("%q, %v", b, err)
		}
	})
	t.Run("Base64", func(t *testing.T) {
		o := Object{"spaced": " / /\t4\r\nA", "url": "__4A"}
		check[[]byte](t, o, "spaced", []byte{0xff, 0xfe, 0}, true)
		check[[]byte](t, o, "url", nil, false)
	})
	t.Run("empty is not absent", func(t *testing.T) {
		if s := encode(t, Object{"empty": []byte{}, "absent": nil}); s != `{"empty":""}` {
			t.Error(s)
		}
	})
	t.Run("integers are int64", func(t *testing.T) {
		const in = `{"a":9007199254740992,"b":9007199254740993}`
		o, err := Decode([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		check[int64](t, o, "a", 1<<53, true)
		check[int64](t, o, "b", 1<<53+1, true)
		if s := encode(t, o); s != in {
			t.Error(s)
		}
	})
	t.Run("no null, no quoted numbers or booleans", func(t *testing.T) {
		s := encode(t, Object{"n": int64(5), "b": true, "x": nil, "o": Object{"y": nil}})
		if s != `{"b":true,"n":5,"o":{}}` {
			t.Error(s)
		}
		check[int64](t, Object{"n": "5"}, "n", 0, false)
		check[bool](t, Object{"b": "true"}, "b", false, false)
	})
	t.Run("the first byte is the format", func(t *testing.T) {
		for _, in := range []string{"\xef\xbb\xbf{}", "\n{}", " {}", ""} {
			if _, err := Decode([]byte(in)); err == nil {
				t.Errorf("%q accepted", in)
			}
		}
	})
	t.Run("unknown names of formats", func(t *testing.T) {
		if _, known := ByName("json"); known {
			t.Error("names are exact")
		}
	})
}

// Spec 01 section 4.1, 3 to 5: white space behind the last object is no object.
func TestWhiteSpaceAtTheEnd(t *testing.T) {
	r := NewReader(strings.NewReader("{}\r\n {} \t\n"), Limits{})
	defer r.Close()
	for range 2 {
		if b, _, err := r.Object(); err != nil || string(b) != "{}" {
			t.Fatal(string(b), err)
		}
	}
	if _, err := r.Peek(); err != io.EOF {
		t.Error(err)
	}
}

// Spec 01 section 4.1, 7: what other stacks can read is read.
func TestDefaultObjectLimit(t *testing.T) {
	object := func(size int) io.Reader {
		return strings.NewReader(`{"a":"` + strings.Repeat("x", size-8) + `"}`)
	}
	r := NewReader(object(10*1024*1024), Limits{})
	defer r.Close()
	if b, _, err := r.Object(); err != nil || len(b) != 10*1024*1024 {
		t.Error(len(b), err)
	}
	r = NewReader(object(10*1024*1024+1), Limits{})
	defer r.Close()
	var le *LimitError
	if _, _, err := r.Object(); !errors.As(err, &le) {
		t.Error(err)
	}
}

// What the JavaScript and C++ stacks are strict about holds for all that is written.
func TestWrittenJSONIsStrict(t *testing.T) {
	b, err := JSON.Append(nil, Object{"a": "\u007f\u0080\u2028<>&/😀", "b": Array{1, "x", Object{}}})
	if err != nil || !json.Valid(b) {
		t.Errorf("%s, %v", b, err)
	}
	for _, c := range b {
		if c >= 0xF0 {
			t.Errorf("%s has a character of four bytes", b)
			break
		}
	}
}
