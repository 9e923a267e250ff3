package frame

// AppendResetStream appends RESET_STREAM (04: v id, v code).
func AppendResetStream(dst []byte, id uint64, code Code) []byte {
	return AppendVarint(AppendVarint(AppendVarint(dst, TypeResetStream), id), uint64(code))
}

// AppendStopSending appends STOP_SENDING (05: v id, v code).
func AppendStopSending(dst []byte, id uint64, code Code) []byte {
	return AppendVarint(AppendVarint(AppendVarint(dst, TypeStopSending), id), uint64(code))
}

// ParseStreamCode reads the body of RESET_STREAM or STOP_SENDING.
func ParseStreamCode(b []byte) (id uint64, code Code, rest []byte, err error) {
	id, c, rest, err := parseVarints(b)
	return id, Code(c), rest, err
}

// Stream is the body of a STREAM frame (08 to 0f: v id, if LEN v length, data).
type Stream struct {
	ID         uint64
	Fin        bool
	Compressed bool // Data is v raw length || LZ4 block
	Data       []byte
}

var errEmpty = &Error{CodeProtocol, "empty STREAM without FIN"}

// StreamOverhead is the most bytes that AppendStreamHeader appends.
const StreamOverhead = 1 + 8 + 8

// StreamHeaderLen is the number of bytes that AppendStreamHeader appends for
// data of n bytes; n is negative for a frame without LEN.
func StreamHeaderLen(id uint64, n int) int {
	l := 1 + VarintLen(id)
	if n >= 0 {
		l += VarintLen(uint64(n))
	}
	return l
}

// AppendStreamHeader appends what comes before the data of a STREAM frame with n
// bytes of data. A negative n means that the data goes to the end of the record.
// A frame is empty only with FIN.
func AppendStreamHeader(dst []byte, id uint64, n int, fin bool) []byte {
	typ := byte(TypeStream)
	if fin {
		typ |= flagFin
	}
	if n >= 0 {
		typ |= flagLen
	}
	dst = AppendVarint(append(dst, typ), id)
	if n >= 0 {
		dst = AppendVarint(dst, uint64(n))
	}
	return dst
}

// AppendCompressedHeader appends what comes before the LZ4 block, of n bytes, of a
// STREAM frame with COMPRESSED; raw is the number of bytes that the block gives.
func AppendCompressedHeader(dst []byte, id uint64, raw, n int, fin bool) []byte {
	at := len(dst)
	dst = AppendStreamHeader(dst, id, VarintLen(uint64(raw))+n, fin)
	dst[at] |= flagCompressed
	return AppendVarint(dst, uint64(raw))
}

// ParseStream reads the body of a STREAM frame of type typ; its data lies in b.
func ParseStream(typ uint64, b []byte) (s Stream, rest []byte, err error) {
	s.Fin, s.Compressed = typ&flagFin != 0, typ&flagCompressed != 0
	if s.ID, b, err = ParseVarint(b); err != nil {
		return Stream{}, nil, err
	}
	if typ&flagLen != 0 {
		s.Data, rest, err = parseBytes(b, MaxVarint, errShort)
	} else {
		s.Data, rest = b, b[len(b):]
	}
	switch {
	case err != nil:
		return Stream{}, nil, err
	case len(s.Data) == 0 && !s.Fin:
		return Stream{}, nil, errEmpty
	}
	return s, rest, nil
}

// AppendMaxData appends MAX_DATA (10: v max).
func AppendMaxData(dst []byte, limit uint64) []byte {
	return AppendVarint(AppendVarint(dst, TypeMaxData), limit)
}

// ParseMaxData reads the body of MAX_DATA.
func ParseMaxData(b []byte) (limit uint64, rest []byte, err error) { return ParseVarint(b) }

// AppendMaxStreamData appends MAX_STREAM_DATA (11: v id, v max).
func AppendMaxStreamData(dst []byte, id, limit uint64) []byte {
	return AppendVarint(AppendVarint(AppendVarint(dst, TypeMaxStreamData), id), limit)
}

// ParseMaxStreamData reads the body of MAX_STREAM_DATA.
func ParseMaxStreamData(b []byte) (id, limit uint64, rest []byte, err error) { return parseVarints(b) }

// AppendMaxStreams appends MAX_STREAMS (12: v n).
func AppendMaxStreams(dst []byte, n uint64) []byte {
	return AppendVarint(AppendVarint(dst, TypeMaxStreams), n)
}

// ParseMaxStreams reads the body of MAX_STREAMS.
func ParseMaxStreams(b []byte) (n uint64, rest []byte, err error) { return ParseVarint(b) }

// AppendGoaway appends GOAWAY (21: v n: only the receiver's first n streams are served).
func AppendGoaway(dst []byte, n uint64) []byte {
	return AppendVarint(AppendVarint(dst, TypeGoaway), n)
}

// ParseGoaway reads the body of GOAWAY.
func ParseGoaway(b []byte) (n uint64, rest []byte, err error) { return ParseVarint(b) }
