package framing

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// CBOR encodes objects as RFC 8949 has it, with real binary values. Only those
// use it who announce it: the other stacks know JSON alone.
//
//	bytes 0-2   D9 D9 F7: the self-describe tag, whose first byte is the
//	            identifier; only here, no other tag is allowed anywhere
//	rest        one map of definite length, with text strings for names
//
// Objects inside are bare maps, binary is a byte string. Writing is Core
// Deterministic (RFC 8949 section 4.2.1). Reading refuses what JSON does as
// well: duplicate names, integers beyond int64, NaN and infinity; and of CBOR,
// indefinite lengths, tags, other names than text, and simple values but false,
// true and null.
var CBOR Format = cborFormat{}

type cborFormat struct{}

var cborTag = []byte{0xD9, 0xD9, 0xF7}

// Heads of data items (RFC 8949 section 3): three bits of major type, and five
// that are the argument if it is under 24, or say how many bytes of it follow.
const (
	cborUnsigned, cborNegative, cborBinary, cborText, cborArray, cborObject, cborTagged, cborSimple = 0, 1, 2, 3, 4, 5, 6, 7

	cborFalse, cborTrue, cborNull    = 20, 21, 22 // of cborSimple
	cborHalf, cborSingle, cborDouble = 25, 26, 27
)

func (cborFormat) Name() string     { return "CBOR" }
func (cborFormat) Identifier() byte { return cborTag[0] }

// Append encodes o with its members sorted as their encodings are: shorter names
// first.
func (cborFormat) Append(dst []byte, o Object) ([]byte, error) {
	dst = slices.Grow(dst, sizeHint(o, hintDepth))
	return appendCBORObject(append(dst, cborTag...), o, 1)
}

func appendCBORObject(dst []byte, o Object, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, &LimitError{Limit: "depth of an object", Max: maxDepth}
	}
	names, err := encodedNames(o)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	dst = appendHead(dst, cborObject, uint64(len(names)))
	for _, name := range names {
		dst = append(appendHead(dst, cborText, uint64(len(name))), name...)
		if dst, err = appendCBORValue(dst, name, o[name], depth); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendCBORValue encodes the value v of the member called name at the given depth.
func appendCBORValue(dst []byte, name string, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return nil, &MemberError{Member: name, Want: "UTF-8 text"}
		}
		return append(appendHead(dst, cborText, uint64(len(v))), v...), nil
	case []byte:
		return append(appendHead(dst, cborBinary, uint64(len(v))), v...), nil
	case int64:
		return appendInteger(dst, v), nil
	case int:
		return appendInteger(dst, int64(v)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &MemberError{Member: name, Want: "a finite number"}
		}
		return appendFloat(dst, v), nil
	case bool:
		if v {
			return append(dst, cborSimple<<5|cborTrue), nil
		}
		return append(dst, cborSimple<<5|cborFalse), nil
	case Object:
		return appendCBORObject(dst, v, depth+1)
	case Array:
		if depth+1 > maxDepth {
			return nil, &LimitError{Limit: "depth of an object", Max: maxDepth}
		}
		dst = appendHead(dst, cborArray, uint64(len(v)))
		for _, e := range v {
			var err error
			if dst, err = appendCBORValue(dst, name, e, depth+1); err != nil {
				return nil, err
			}
		}
		return dst, nil
	}
	return nil, &MemberError{Member: name, Want: "of a type that can be encoded"}
}

// appendHead appends the shortest head with that argument.
func appendHead(dst []byte, major byte, arg uint64) []byte {
	major <<= 5
	switch {
	case arg < 24:
		return append(dst, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, major|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), arg)
}

func appendInteger(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, cborNegative, uint64(-1-n))
	}
	return appendHead(dst, cborUnsigned, uint64(n))
}

// appendFloat appends the shortest of the three forms that is the same number.
func appendFloat(dst []byte, f float64) []byte {
	single := float32(f)
	if float64(single) != f {
		return binary.BigEndian.AppendUint64(append(dst, cborSimple<<5|cborDouble), math.Float64bits(f))
	}
	if h, ok := halfBits(single); ok {
		return binary.BigEndian.AppendUint16(append(dst, cborSimple<<5|cborHalf), h)
	}
	return binary.BigEndian.AppendUint32(append(dst, cborSimple<<5|cborSingle), math.Float32bits(single))
}

// halfBits is f in half precision (IEEE 754 binary16: one bit of sign, five of
// the exponent, ten of the fraction), if that is the same finite number.
func halfBits(f float32) (bits uint16, ok bool) {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	fraction := b & 0x7FFFFF
	switch exponent := int(b>>23&0xFF) - 127; {
	case b<<1 == 0:
		return sign, true
	case exponent > 15 || exponent < -24:
		return 0, false
	case exponent >= -14:
		return sign | uint16(exponent+15)<<10 | uint16(fraction>>13), fraction&0x1FFF == 0
	default: // subnormal: a multiple of 2^-24
		fraction |= 1 << 23
		shift := -1 - exponent
		return sign | uint16(fraction>>shift), fraction&(1<<shift-1) == 0
	}
}

// halfValue is the number whose half precision is h.
func halfValue(h uint16) float64 {
	fraction, exponent := float64(h&0x3FF), int(h>>10&0x1F)
	var f float64
	switch exponent {
	case 0:
		f = math.Ldexp(fraction, -24)
	case 31:
		f = math.Inf(1) // or NaN: neither is accepted
	default:
		f = math.Ldexp(fraction+1024, exponent-25)
	}
	if h&0x8000 != 0 {
		return -f
	}
	return f
}
