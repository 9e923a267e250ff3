package framing

import (
	"bytes"
	"math"
	"unicode/utf8"
)

func (cborFormat) Parse(data []byte) (Object, error) { return parseCBOR(data, false) }

// parseCBOR leaves binary where it is in data if share is set.
func parseCBOR(data []byte, share bool) (Object, error) {
	if !bytes.HasPrefix(data, cborTag) {
		return nil, &SyntaxError{Reason: "no self-describe tag"}
	}
	p := cborParser{data: data, share: share, pos: len(cborTag)}
	major, _, n, err := p.head()
	if err != nil {
		return nil, err
	}
	if major != cborObject {
		return nil, p.fail("no object")
	}
	o, err := p.object(n)
	if err != nil {
		return nil, err
	}
	if p.pos < len(data) {
		return nil, p.fail("bytes after the object")
	}
	return o, nil
}

// cborParser is a cursor over data; pos is the next byte to look at.
type cborParser struct {
	data   []byte
	share  bool
	pos    int
	depth  int
	values int // that arrays and objects so far say they have
}

func (p *cborParser) fail(reason string) error {
	return &SyntaxError{Offset: p.pos, Reason: reason}
}

// head takes the head of an item.
func (p *cborParser) head() (major, info byte, arg uint64, err error) {
	if p.pos == len(p.data) {
		return 0, 0, 0, p.fail("object without end")
	}
	b := p.data[p.pos]
	p.pos++
	major, info = b>>5, b&0x1F
	switch {
	case info < 24:
		return major, info, uint64(info), nil
	case info == 31:
		return 0, 0, 0, p.fail("indefinite length")
	case info > 27:
		return 0, 0, 0, p.fail("malformed head")
	}
	rest, err := p.take(1 << (info - 24))
	for _, b := range rest {
		arg = arg<<8 | uint64(b)
	}
	return major, info, arg, err
}

// take takes the next n bytes, which stay where they are.
func (p *cborParser) take(n uint64) ([]byte, error) {
	if n > uint64(len(p.data)-p.pos) {
		return nil, p.fail("object without end")
	}
	b := p.data[p.pos:][:n:n]
	p.pos += int(n)
	return b, nil
}

// enter begins an array of n elements or an object of n members, which take at
// least so many bytes each. They are counted before there is memory for them.
func (p *cborParser) enter(n uint64, least int) error {
	if p.depth++; p.depth > maxDepth {
		return &LimitError{Limit: "depth of an object", Max: maxDepth}
	}
	if n > uint64(maxValues-p.values) {
		return &LimitError{Limit: "number of values in an object", Max: maxValues}
	}
	p.values += int(n)
	if int(n)*least > len(p.data)-p.pos {
		return p.fail("object without end")
	}
	return nil
}

// object parses the n members behind its head.
func (p *cborParser) object(n uint64) (Object, error) {
	if err := p.enter(n, 2); err != nil {
		return nil, err
	}
	o, nulls := make(Object, n), false
	for range n {
		at := p.pos
		major, _, size, err := p.head()
		if err != nil {
			return nil, err
		}
		if major != cborText {
			return nil, &SyntaxError{Offset: at, Reason: "name that is not text"}
		}
		name, err := p.text(size)
		if err != nil {
			return nil, err
		}
		if _, dup := o[name]; dup {
			return nil, &SyntaxError{Offset: at, Reason: "duplicate member"}
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		o[name] = v // a null too, until the end: it also counts for duplicates
		nulls = nulls || v == nil
	}
	p.depth--
	if nulls {
		removeNulls(o)
	}
	return o, nil
}

// array parses the n elements behind its head.
func (p *cborParser) array(n uint64) (Array, error) {
	if err := p.enter(n, 1); err != nil {
		return nil, err
	}
	a := make(Array, n)
	for i := range a {
		var err error
		if a[i], err = p.value(); err != nil {
			return nil, err
		}
	}
	p.depth--
	return a, nil
}

func (p *cborParser) text(n uint64) (string, error) {
	b, err := p.take(n)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", p.fail("malformed UTF-8")
	}
	return string(b), nil
}

func (p *cborParser) value() (any, error) {
	major, info, arg, err := p.head()
	if err != nil {
		return nil, err
	}
	switch major {
	case cborUnsigned, cborNegative:
		switch {
		case arg > math.MaxInt64:
			return nil, p.fail("integer out of range")
		case major == cborNegative:
			return -1 - int64(arg), nil
		}
		return int64(arg), nil
	case cborBinary:
		b, err := p.take(arg)
		if err != nil {
			return nil, err
		}
		if p.share {
			return b, nil
		}
		return append([]byte{}, b...), nil
	case cborText:
		return p.text(arg)
	case cborArray:
		return p.array(arg)
	case cborObject:
		return p.object(arg)
	case cborTagged:
		return nil, p.fail("tag inside an object")
	}
	switch info {
	case cborFalse:
		return false, nil
	case cborTrue:
		return true, nil
	case cborNull:
		return nil, nil
	case cborHalf:
		return p.finite(halfValue(uint16(arg)))
	case cborSingle:
		return p.finite(float64(math.Float32frombits(uint32(arg))))
	case cborDouble:
		return p.finite(math.Float64frombits(arg))
	}
	return nil, p.fail("simple value that is not allowed")
}

func (p *cborParser) finite(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, p.fail("number that is not finite")
	}
	return f, nil
}
