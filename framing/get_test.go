package framing

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
)

func TestGet(t *testing.T) {
	o := Object{
		"text": "abc", "binarytext": "//4A", "empty": "", "urlsafe": "__4A",
		"int": int64(7), "goint": 8, "five": 5.0, "half": 5.5, "huge": 1e300, "edge": -0x1p63, "over": 0x1p63, "nan": math.NaN(),
		"bool": true, "bin": []byte{1, 2}, "object": Object{"a": int64(1)}, "array": Array{"x", "y"},
		"encoded": []byte(`{"b":2}`), "nil": nil,
	}
	check[string](t, o, "text", "abc", true)
	check[string](t, o, "int", "", false)
	check[string](t, o, "bin", "", false)
	check[int64](t, o, "int", 7, true)
	check[int64](t, o, "goint", 8, true)
	check[int64](t, o, "five", 5, true)
	check[int64](t, o, "edge", math.MinInt64, true)
	for _, name := range []string{"half", "huge", "over", "nan", "text", "bool", "bin", "object"} {
		check[int64](t, o, name, 0, false)
	}
	check[float64](t, o, "half", 5.5, true)
	check[float64](t, o, "int", 7, true)
	check[float64](t, o, "text", 0, false)
	check[bool](t, o, "bool", true, true)
	check[bool](t, o, "int", false, false)
	check[[]byte](t, o, "bin", []byte{1, 2}, true)
	check[[]byte](t, o, "binarytext", []byte{0xff, 0xfe, 0}, true)
	check[[]byte](t, o, "empty", []byte{}, true)
	check[[]byte](t, o, "urlsafe", nil, false)
	check[[]byte](t, o, "object", nil, false)
	check[Object](t, o, "object", Object{"a": int64(1)}, true)
	check[Object](t, o, "encoded", Object{"b": int64(2)}, true)
	check[Object](t, o, "bin", nil, false)
	check[Object](t, o, "binarytext", nil, false)
	check[Object](t, o, "array", nil, false)
	check[Array](t, o, "array", Array{"x", "y"}, true)
	check[Array](t, o, "object", nil, false)

	for _, name := range []string{"absent", "nil", "TEXT"} {
		_, err := Get[string](o, name)
		var me *MemberError
		if !errors.As(err, &me) || !me.Missing || me.Member != name {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok, err := Opt[string](o, name); ok || err != nil {
			t.Errorf("%s: optional: %v %v", name, ok, err)
		}
	}
}

// check asks for a member both ways; good says whether it is a T.
func check[T Value](t *testing.T, o Object, name string, want T, good bool) {
	t.Helper()
	got, err := Get[T](o, name)
	opt, ok, optErr := Opt[T](o, name)
	if good {
		if err != nil || optErr != nil || !ok || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(opt, want) {
			t.Errorf("%s as %T: %v, %v, %v, %v", name, want, got, err, ok, optErr)
		}
		return
	}
	var me *MemberError
	if !errors.As(err, &me) || me.Missing || me.Member != name || me.Want == "" || optErr == nil || ok {
		t.Errorf("%s as %T: %v, %v", name, want, err, optErr)
	}
}

func TestElements(t *testing.T) {
	got, err := Elements[string](Array{"a", "b"})
	if err != nil || !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Fatal(got, err)
	}
	for _, a := range []Array{{"a", nil}, {"a", int64(1)}} {
		_, err = Elements[string](a)
		var me *MemberError
		if !errors.As(err, &me) || me.Member != "[1]" {
			t.Errorf("%v: %v", a, err)
		}
	}
}

func TestBase64(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []byte // nil: refused
	}{
		{"", []byte{}},
		{"//4A", []byte{0xff, 0xfe, 0}},
		{" /\t/\r4\nA ", []byte{0xff, 0xfe, 0}},
		{"QQ==", []byte("A")},
		{"QQ= =\n", []byte("A")},
		{"QR==", []byte("A")}, // discarded bits
		{"QUI=", []byte("AB")},
		{"QUJ=", []byte("AB")},
		{"__4A", nil},
		{"--4A", nil},
		{"QQ", nil},
		{"QQ=", nil},
		{"QUI", nil},
		{"QQ==QQ==", nil},
		{"QQ==A", nil},
		{"Q===", nil},
		{"=QQQ", nil},
		{"====", nil},
		{"AB=C", nil},
		{"QQ\v==", nil},
		{"Q", nil},
	} {
		got, err := DecodeBase64(c.in)
		if c.want == nil {
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Errorf("%q: %v %v", c.in, got, err)
			}
		} else if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%q: %v %v", c.in, got, err)
		}
	}
}

func TestBase64URL(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []byte
	}{
		{"", []byte{}}, {"__4A", []byte{0xff, 0xfe, 0}}, {"//4A", []byte{0xff, 0xfe, 0}},
		{"QQ", []byte("A")}, {"QQ==", []byte("A")}, {"QUI", []byte("AB")}, {"Q", nil}, {"Q!", nil},
	} {
		got, err := DecodeBase64URL(c.in)
		if (err == nil) != (c.want != nil) || !bytes.Equal(got, c.want) {
			t.Errorf("%q: %v %v", c.in, got, err)
		}
	}
	if s := EncodeBase64URL([]byte{0xff, 0xfe, 0, 1}); s != "__4AAQ" {
		t.Error(s)
	}
}
