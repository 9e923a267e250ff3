package framing

import (
	"math"
	"strconv"
)

// Value is the Go types a member may be asked for as.
type Value interface {
	string | int64 | float64 | bool | []byte | Object | Array
}

// Get returns the member of that name, which must be there (spec 01 section 1).
// Nothing is coerced but what the encodings leave open:
//
//   - int64 accepts a double if it is integral and in range, float64 any integer;
//   - []byte accepts a string of valid Base64, which is what JSON has for binary;
//   - [Object] accepts binary that holds an encoded object, in encodings that
//     have real binary values. A string is never an object.
//
// A []byte or [Object] may share memory with o. Errors are *[MemberError].
func Get[T Value](o Object, name string) (T, error) {
	v, ok, err := Opt[T](o, name)
	if err == nil && !ok {
		err = &MemberError{Member: name, Missing: true}
	}
	return v, err
}

// Opt is [Get] for a member that may be absent; the bool says whether it is there.
func Opt[T Value](o Object, name string) (T, bool, error) {
	m := o[name]
	if m == nil {
		var zero T
		return zero, false, nil
	}
	v, want := as[T](m)
	if want != "" {
		return v, false, &MemberError{Member: name, Want: want}
	}
	return v, true, nil
}

// Binary is [Get] with []byte for whoever has memory for the result: that of
// [DecodeShared] is put into that of buf, if there is enough of it, and shares
// none with o.
func Binary(o Object, name string, buf []byte) ([]byte, error) {
	switch m := o[name].(type) {
	case []byte:
		return append(buf[:0], m...), nil
	case text:
		b, err := appendBase64(buf[:0], m)
		if err != nil {
			return nil, &MemberError{Member: name, Want: wantBinary}
		}
		return b, nil
	}
	return Get[[]byte](o, name)
}

// Elements returns the elements of a, each under the rules of [Get]. The
// [MemberError] of one that does not fit names its index, as in "[2]".
func Elements[T Value](a Array) ([]T, error) {
	list := make([]T, len(a))
	for i, m := range a {
		var want string
		if list[i], want = as[T](m); want != "" {
			return nil, &MemberError{Member: "[" + strconv.Itoa(i) + "]", Want: want}
		}
	}
	return list, nil
}

const wantBinary = "binary"

// as gives m as a T; if it is none, what was wanted.
func as[T Value](m any) (v T, want string) {
	if v, ok := m.(T); ok {
		return v, ""
	}
	ok := false
	switch t := any(&v).(type) {
	case *string:
		want = "a string"
		var s text
		s, ok = m.(text)
		*t = string(s)
	case *bool:
		want = "a boolean"
	case *Array:
		want = "an array"
	case *int64:
		want = "an integer"
		*t, ok = integer(m)
	case *float64:
		want = "a number"
		var n int64
		n, ok = integer(m)
		*t = float64(n)
	case *[]byte:
		want = wantBinary
		var err error
		switch s := m.(type) {
		case string:
			*t, err = DecodeBase64(s)
			ok = err == nil
		case text:
			*t, err = appendBase64([]byte{}, s)
			ok = err == nil
		}
	case *Object:
		want = "an object"
		if b, isBinary := m.([]byte); isBinary {
			var err error
			*t, err = Decode(b)
			ok = err == nil
		}
	}
	if ok {
		want = ""
	}
	return v, want
}

func integer(m any) (int64, bool) {
	switch n := m.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case float64:
		// -2^63 is a double, 2^63-1 is not: hence the uneven bounds. The
		// comparison with the truncated value also refuses NaN.
		if n == math.Trunc(n) && n >= -1<<63 && n < 1<<63 {
			return int64(n), true
		}
	}
	return 0, false
}
