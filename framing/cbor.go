package framing

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
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

var (
	cborEncoding = must(func() (cbor.UserBufferEncMode, error) {
		opts := cbor.CoreDetEncOptions()
		opts.NilContainers = cbor.NilContainerAsEmpty
		return opts.UserBufferEncMode()
	})
	cborDecoding = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		IntDec:           cbor.IntDecConvertSignedOrFail,
		NaN:              cbor.NaNDecodeForbidden,
		Inf:              cbor.InfDecodeForbidden,
		DefaultMapType:   reflect.TypeFor[Object](),
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxValues,
		MaxMapPairs:      maxValues,
	}.DecMode)
)

// must is for the options above, which are constant.
func must[T any](mode func() (T, error)) T {
	m, err := mode()
	if err != nil {
		panic(err)
	}
	return m
}

func (cborFormat) Name() string     { return "CBOR" }
func (cborFormat) Identifier() byte { return cborTag[0] }

func (cborFormat) Append(dst []byte, o Object) ([]byte, error) {
	v, err := encodable("", o, 1)
	if err != nil {
		return nil, err
	}
	buf := bytes.NewBuffer(append(slices.Grow(dst, sizeHint(o, hintDepth)), cborTag...))
	if err := cborEncoding.MarshalToBuffer(v, buf); err != nil {
		return nil, &MemberError{Want: "of a type that can be encoded"}
	}
	return buf.Bytes(), nil
}

// encodable returns v, which lies in the member called name, without null
// members, or says why it cannot be encoded. The depth is that of v.
func encodable(name string, v any, depth int) (any, error) {
	switch v := v.(type) {
	case []byte, int64, int, bool:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, &MemberError{Member: name, Want: "UTF-8 text"}
		}
		return v, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &MemberError{Member: name, Want: "a finite number"}
		}
		return v, nil
	case Object:
		if depth > maxDepth {
			return nil, &LimitError{Limit: "depth of an object", Max: maxDepth}
		}
		names, err := sortedNames(v)
		if err != nil {
			return nil, err
		}
		o := make(Object, len(names))
		for _, name := range names {
			if o[name], err = encodable(name, v[name], depth+1); err != nil {
				return nil, err
			}
		}
		return o, nil
	case Array:
		if depth > maxDepth {
			return nil, &LimitError{Limit: "depth of an object", Max: maxDepth}
		}
		a := make(Array, len(v))
		for i, e := range v {
			var err error
			if a[i], err = encodable(name, e, depth+1); err != nil {
				return nil, err
			}
		}
		return a, nil
	}
	return nil, &MemberError{Member: name, Want: "of a type that can be encoded"}
}

func (cborFormat) Parse(data []byte) (Object, error) {
	// The scanner knows the rules of structure; what is left to the decoder is
	// text, duplicates and the values themselves.
	s := cborScanner{limits: Limits{Object: max(len(data), 1)}.withDefaults()}
	switch n, done, err := s.Scan(data); {
	case err != nil:
		return nil, err
	case !done:
		return nil, &SyntaxError{Offset: n, Reason: "object without end"}
	case n < len(data):
		return nil, &SyntaxError{Offset: n, Reason: "bytes after the object"}
	}
	var o Object
	if err := cborDecoding.Unmarshal(data[len(cborTag):], &o); err != nil {
		// The decoder's own text quotes names.
		reason := "malformed CBOR"
		if _, dup := errors.AsType[*cbor.DupMapKeyError](err); dup {
			reason = "duplicate member"
		}
		return nil, &SyntaxError{Reason: reason}
	}
	return settle(o).(Object), nil
}

// settle turns what the decoder made into the types of an [Object], and removes
// null members.
func settle(v any) any {
	switch v := v.(type) {
	case Object:
		for name, m := range v {
			if m == nil {
				delete(v, name)
			} else {
				v[name] = settle(m)
			}
		}
	case []any:
		for i, e := range v {
			v[i] = settle(e)
		}
		return Array(v)
	}
	return v
}
