package framing

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// What is shared reads as what is not, members and errors alike.
func TestDecodeShared(t *testing.T) {
	for _, data := range []string{
		`{"empty":"","binary":"//4A","escaped":"\/\/4A","spaced":" /\t/\u00204\r\nA","text":"b\u00f6se \"x\" \ud83d\ude00","n":7,"t":true,"null":null}`,
		`{"o":{"binary":"AAAA","deep":{"a":["//4A","",[1,"x"]]}},"a":["//4A","AA=="],"bad":"AA="}`,
		`{"long":"` + strings.Repeat("QUJD", 3*plainBlock) + `"}`,
		"{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", `{"a":"\q"}`, `{"a":"x","a":"y"}`, `{"a":"x"} x`, `{"a":"x`, ``, ` {}`, "\xd9\xd9\xf7\xa1aaC\x01\x02\x03",
	} {
		want, wantErr := Decode([]byte(data))
		got, err := DecodeShared([]byte(data))
		if !reflect.DeepEqual(err, wantErr) {
			t.Errorf("%.40q: error %v, want %v", data, err, wantErr)
		}
		sameMembers(t, got, want)
	}
}

func sameMembers(t *testing.T, got, want Object) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d members, want %d", len(got), len(want))
	}
	for name := range want {
		sameMember[string](t, got, want, name)
		sameMember[[]byte](t, got, want, name)
		sameMember[int64](t, got, want, name)
		sameMember[bool](t, got, want, name)
		g, gerr := Binary(got, name, []byte("memory"))
		w, werr := Binary(want, name, []byte("memory"))
		if !bytes.Equal(g, w) || !reflect.DeepEqual(gerr, werr) {
			t.Errorf("%s: binary %.40q, %v, want %.40q, %v", name, g, gerr, w, werr)
		}
		if inner, ok, _ := Opt[Object](want, name); ok {
			o, err := Get[Object](got, name)
			if err != nil {
				t.Fatal(err)
			}
			sameMembers(t, o, inner)
		}
		if inner, ok, _ := Opt[Array](want, name); ok {
			a, err := Get[Array](got, name)
			if err != nil {
				t.Fatal(err)
			}
			g, gerr := Elements[[]byte](a)
			w, werr := Elements[[]byte](inner)
			if !reflect.DeepEqual(g, w) || !reflect.DeepEqual(gerr, werr) {
				t.Errorf("%s: elements %q, %v, want %q, %v", name, g, gerr, w, werr)
			}
		}
	}
}

func sameMember[T Value](t *testing.T, got, want Object, name string) {
	t.Helper()
	g, gerr := Get[T](got, name)
	w, werr := Get[T](want, name)
	if !reflect.DeepEqual(g, w) || !reflect.DeepEqual(gerr, werr) {
		t.Errorf("%s: %.40v, %v, want %.40v, %v", name, g, gerr, w, werr)
	}
}

// A shared object cannot be encoded by mistake.
func TestSharedIsNotEncoded(t *testing.T) {
	o, err := DecodeShared([]byte(`{"a":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Formats() {
		_, err := f.Append(nil, o)
		if _, ok := errors.AsType[*MemberError](err); !ok {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
}

func TestBinary(t *testing.T) {
	o, err := DecodeShared([]byte(`{"s":"Y2Q=","empty":"","bad":"Y2Q","n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	buf := []byte("abcdefgh")
	got, err := Binary(o, "s", buf)
	if err != nil || string(got) != "cd" || &got[0] != &buf[0] {
		t.Errorf("%q, %v", got, err)
	}
	if got, err = Binary(o, "s", nil); err != nil || string(got) != "cd" {
		t.Errorf("without memory: %q, %v", got, err)
	}
	if got, err = Binary(o, "empty", buf); err != nil || got == nil || len(got) > 0 {
		t.Errorf("empty: %q, %v", got, err)
	}
	if got, err = Binary(Object{"b": []byte("cd")}, "b", buf); err != nil || string(got) != "cd" || &got[0] != &buf[0] {
		t.Errorf("that needs no decoding: %q, %v", got, err)
	}
	for _, name := range []string{"n", "bad", "absent"} {
		_, err := Binary(o, name, buf)
		if e, ok := errors.AsType[*MemberError](err); !ok || e.Member != name || e.Missing != (name == "absent") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Binary of CBOR stays where it is, and whoever appends to it changes nothing else.
func TestDecodeOwned(t *testing.T) {
	data, err := CBOR.Append(nil, Object{"a": []byte("xyz"), "b": Object{"c": []byte{}}, "s": "text"})
	if err != nil {
		t.Fatal(err)
	}
	for name, decode := range map[string]func([]byte) (Object, error){"shared": DecodeShared, "owned": DecodeOwned, "copied": Decode} {
		before := bytes.Clone(data)
		o, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Get[[]byte](o, "a")
		if err != nil || string(a) != "xyz" {
			t.Fatalf("%s: %q, %v", name, a, err)
		}
		_ = append(a, '!')
		if !bytes.Equal(data, before) {
			t.Errorf("%s: appending to a member changed the bytes behind it", name)
		}
		a[0] = 'X'
		if shares := !bytes.Equal(data, before); shares != (name != "copied") {
			t.Errorf("%s: shares memory: %t", name, shares)
		}
		a[0] = 'x'
	}
	o, err := DecodeOwned([]byte(`{"a":"eHl6"}`))
	if s, _ := o["a"].(string); err != nil || s != "eHl6" {
		t.Errorf("JSON: %v, %v", o, err)
	}
}

func TestAppendObject(t *testing.T) {
	r := NewReader(iotest.OneByteReader(strings.NewReader(`{"a":1} {"b":"}"}{"c"`)), Limits{})
	defer r.Close()
	buf := make([]byte, 0, 100)
	for _, want := range []string{`{"a":1}`, `{"b":"}"}`} {
		got, format, err := r.AppendObject(buf)
		if err != nil || format != JSON || string(got) != want || &got[0] != &buf[:1][0] {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, _, err := r.AppendObject(buf); err != io.ErrUnexpectedEOF {
		t.Errorf("cut off: %v", err)
	}
}
