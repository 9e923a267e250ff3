package frame

import "encoding/binary"

// MaxVarint is the largest value of a variable-length integer.
const MaxVarint = 1<<62 - 1

var (
	errShort   = &Error{CodeProtocol, "frame cut short"}
	errLongInt = &Error{CodeProtocol, "variable-length integer not in shortest form"}
)

// AppendVarint appends v in its shortest form (RFC 9000 section 16: the two
// highest bits of the first byte say 1, 2, 4 or 8 bytes). It panics if v is
// above MaxVarint.
func AppendVarint(dst []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(dst, byte(v))
	case v < 1<<14:
		return append(dst, byte(v>>8)|0x40, byte(v))
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(dst, uint32(v)|0x80<<24)
	case v <= MaxVarint:
		return binary.BigEndian.AppendUint64(dst, v|0xc0<<56)
	}
	panic("frame: integer above 2^62-1")
}

// VarintLen is the length of v in its shortest form.
func VarintLen(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	}
	return 8
}

// ParseVarint reads the variable-length integer that b begins with and returns
// what follows it. Any but the shortest form is an error.
func ParseVarint(b []byte) (v uint64, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, errShort
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, nil, errShort
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	if VarintLen(v) != n {
		return 0, nil, errLongInt
	}
	return v, b[n:], nil
}

// parseVarints reads two integers.
func parseVarints(b []byte) (v, w uint64, rest []byte, err error) {
	if v, b, err = ParseVarint(b); err != nil {
		return 0, 0, nil, err
	}
	if w, b, err = ParseVarint(b); err != nil {
		return 0, 0, nil, err
	}
	return v, w, b, nil
}

// parseBytes reads v length || bytes, at most limit of them.
func parseBytes(b []byte, limit uint64, tooLong *Error) (s, rest []byte, err error) {
	n, b, err := ParseVarint(b)
	switch {
	case err != nil:
		return nil, nil, err
	case n > limit:
		return nil, nil, tooLong
	case n > uint64(len(b)):
		return nil, nil, errShort
	}
	return b[:n:n], b[n:], nil
}
