package framing

import "math"

func (cborFormat) NewScanner(limits Limits) Scanner {
	return &cborScanner{limits: limits.withDefaults()}
}

// cborScanner walks the heads of data items.
type cborScanner struct {
	limits Limits
	size   int       // bytes taken so far
	values int       // items so far
	open   []cborRun // the maps and arrays around the next item, outermost first

	major   byte   // of the head being read
	info    byte   // its low five bits
	missing int    // bytes of its argument still to come
	arg     uint64 // what there is of it
	skip    int    // bytes of a string still to come
}

// cborRun is a map or an array and the items it still lacks, names counted.
type cborRun struct {
	items int
	isMap bool
}

func (s *cborScanner) Scan(p []byte) (n int, done bool, err error) {
	for n < len(p) && !done && err == nil {
		if s.skip > 0 {
			k := min(s.skip, len(p)-n)
			n += k
			s.size += k
			if s.skip -= k; s.skip == 0 {
				done = s.finish()
			}
			continue
		}
		done, err = s.head(p[n])
		n++
		s.size++
	}
	if err == nil && s.size > s.limits.Object {
		return n, false, s.tooLarge()
	}
	return n, done, err
}

func (s *cborScanner) tooLarge() error {
	return &LimitError{Limit: "object size", Max: s.limits.Object}
}

func (s *cborScanner) fail(reason string) error {
	return &SyntaxError{Offset: s.size, Reason: reason}
}

// head takes one byte of a head.
func (s *cborScanner) head(b byte) (done bool, err error) {
	if s.size < len(cborTag) {
		if b != cborTag[s.size] {
			return false, s.fail("no self-describe tag")
		}
		return false, nil
	}
	if s.missing > 0 {
		s.arg = s.arg<<8 | uint64(b)
		if s.missing--; s.missing > 0 {
			return false, nil
		}
		return s.item()
	}
	s.major, s.info = b>>5, b&0x1F
	switch {
	case s.info < 24:
		s.arg = uint64(s.info)
		return s.item()
	case s.info < 28:
		s.arg, s.missing = 0, 1<<(s.info-24)
		return false, nil
	case s.info == 31:
		return false, s.fail("indefinite length")
	}
	return false, s.fail("malformed head")
}

// item acts on a whole head.
func (s *cborScanner) item() (done bool, err error) {
	depth := len(s.open)
	if depth == 0 && s.major != cborObject {
		return false, s.fail("no object")
	}
	if depth > 0 {
		if in := s.open[depth-1]; in.isMap && in.items%2 == 0 {
			if s.major != cborText {
				return false, s.fail("name that is not text")
			}
		} else if s.values++; s.values > maxValues {
			return false, &LimitError{Limit: "number of values in an object", Max: maxValues}
		}
	}
	switch s.major {
	case cborUnsigned, cborNegative:
		if s.arg > math.MaxInt64 {
			return false, s.fail("integer out of range")
		}
	case cborBinary, cborText:
		// Refused now, not when the bytes have come. The head's last byte is
		// not yet counted.
		if s.arg > uint64(s.limits.Object) || int(s.arg) > s.limits.Object-s.size-1 {
			return false, s.tooLarge()
		}
		if s.skip = int(s.arg); s.skip > 0 {
			return false, nil
		}
	case cborArray, cborObject:
		if depth == s.limits.Depth {
			return false, &LimitError{Limit: "depth of an object", Max: s.limits.Depth}
		}
		if s.arg > maxValues {
			return false, &LimitError{Limit: "number of values in an object", Max: maxValues}
		}
		run := cborRun{items: int(s.arg), isMap: s.major == cborObject}
		if run.isMap {
			run.items *= 2
		}
		if run.items > 0 {
			s.open = append(s.open, run)
			return false, nil
		}
		if depth == 0 {
			return true, nil
		}
	case cborTagged:
		return false, s.fail("tag inside an object")
	default:
		switch s.info {
		case cborFalse, cborTrue, cborNull, cborHalf, cborSingle, cborDouble:
		default:
			return false, s.fail("simple value that is not allowed")
		}
	}
	return s.finish(), nil
}

// finish counts a whole item, and with it all that it was the last of.
func (s *cborScanner) finish() (done bool) {
	for len(s.open) > 0 {
		in := &s.open[len(s.open)-1]
		if in.items--; in.items > 0 {
			return false
		}
		s.open = s.open[:len(s.open)-1]
	}
	return true
}
