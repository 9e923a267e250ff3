package framing

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON is MSL's own encoder format (spec 01 sections 3 and 4): identifier '{',
// always UTF-8, binary as Base64 strings. It is stricter than encoding/json:
// see the rules at its parser.
var JSON Format = jsonFormat{}

type jsonFormat struct{}

func (jsonFormat) Name() string     { return "JSON" }
func (jsonFormat) Identifier() byte { return '{' }

// Append encodes o with its members sorted by name, without white space, and
// with nothing behind the last brace.
func (jsonFormat) Append(dst []byte, o Object) ([]byte, error) {
	dst = slices.Grow(dst, sizeHint(o, hintDepth))
	return appendObject(dst, o, 1)
}

func appendObject(dst []byte, o Object, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, &LimitError{Limit: "depth of an object", Max: maxDepth}
	}
	names, err := encodedNames(o)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	dst = append(dst, '{')
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		var err error
		if dst, err = appendValue(dst, name, o[name], depth); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// encodedNames returns the names of the members to encode, in no order.
func encodedNames(o Object) ([]string, error) {
	names := make([]string, 0, len(o))
	for name, v := range o {
		if v == nil {
			continue
		}
		if name == "" { // the C++ stack refuses it
			return nil, &MemberError{Member: name, Want: "named"}
		}
		if !utf8.ValidString(name) {
			return nil, &MemberError{Member: name, Want: "named in UTF-8"}
		}
		names = append(names, name)
	}
	return names, nil
}

// appendValue encodes the value v of the member called name at the given depth.
func appendValue(dst []byte, name string, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return nil, &MemberError{Member: name, Want: "UTF-8 text"}
		}
		return appendString(dst, v), nil
	case []byte:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v)
		return append(dst, '"'), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case float64:
		// Integral doubles are written as integers, as Java does, unless they
		// would then read as an integer out of range.
		if n, ok := integer(v); ok {
			return strconv.AppendInt(dst, n, 10), nil
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &MemberError{Member: name, Want: "a finite number"}
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case Object:
		return appendObject(dst, v, depth+1)
	case Array:
		if depth+1 > maxDepth {
			return nil, &LimitError{Limit: "depth of an object", Max: maxDepth}
		}
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendValue(dst, name, e, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return nil, &MemberError{Member: name, Want: "of a type that can be encoded"}
}

const hexDigits = "0123456789abcdef"

// appendString encodes s, which is valid UTF-8. Characters beyond U+FFFF become
// surrogate escapes: the UTF-8 reader of the JavaScript stack throws on them.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < 0xF0 {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		if c >= 0xF0 {
			r, n := utf8.DecodeRuneInString(s[i:])
			hi, lo := utf16.EncodeRune(r)
			dst = appendEscape(appendEscape(dst, hi), lo)
			i += n
		} else {
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = appendEscape(dst, rune(c))
			}
			i++
		}
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u',
		hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// hintDepth is how deep sizeHint looks. MSL has its large values near the top,
// and an object that by mistake holds itself must not keep it busy.
const hintDepth = 3

// sizeHint estimates the encoding's size, so that binary, which is most of it,
// is written once and never moved.
func sizeHint(v any, depth int) int {
	if depth == 0 {
		return 0
	}
	switch v := v.(type) {
	case string:
		return len(v) + 2
	case []byte:
		return base64.StdEncoding.EncodedLen(len(v)) + 2
	case Object:
		n := 2
		for name, m := range v {
			n += len(name) + 4 + sizeHint(m, depth-1)
		}
		return n
	case Array:
		n := 2
		for _, e := range v {
			n += 1 + sizeHint(e, depth-1)
		}
		return n
	}
	return 20 // a number or a boolean
}
