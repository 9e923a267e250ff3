package framing

// A sealed record on the wire (docs/protocol.md, sealed records):
//
//	byte 0      kind: 0x10, 0x11 or 0x12
//	bytes 1-3   length of what follows, big endian
//	rest        ciphertext and tag
//
// Bytes 0-3 are the additional data of the encryption.

// RecordHeaderLength is the length of a record's header.
const RecordHeaderLength = 4

// MaxRecordLength is the greatest length that a record's header can state.
const MaxRecordLength = 1<<24 - 1

// The kinds of records: the first byte, which no encoder format has.
const (
	RecordEven  byte = 0x10 // sealed with a key of an even generation
	RecordOdd   byte = 0x11 // of an odd one
	RecordEarly byte = 0x12 // early data
)

// IsRecord reports whether a unit that begins with b is a record.
func IsRecord(b byte) bool { return RecordEven <= b && b <= RecordEarly }

// PutRecordHeader writes a record's header into b[:4]. The length is that of
// what follows the header; it panics if the header cannot state it.
func PutRecordHeader(b []byte, kind byte, length int) {
	if length < 0 || length > MaxRecordLength {
		panic("framing: record length out of range")
	}
	_ = b[3]
	b[0], b[1], b[2], b[3] = kind, byte(length>>16), byte(length>>8), byte(length)
}

// AppendRecordHeader appends a record's header to dst; see [PutRecordHeader].
func AppendRecordHeader(dst []byte, kind byte, length int) []byte {
	dst = append(dst, 0, 0, 0, 0)
	PutRecordHeader(dst[len(dst)-RecordHeaderLength:], kind, length)
	return dst
}

// recordLength reads the length of what follows the header at the beginning of b.
func recordLength(b []byte) int { return int(b[1])<<16 | int(b[2])<<8 | int(b[3]) }

// A Record is one sealed record, in memory that it may share with others. Its
// holder may change its bytes, to open it in place.
type Record struct {
	B      []byte  // header and body, contiguous
	Buffer *Buffer // what B lies in; one reference belongs to this record
}

// Kind is the first byte: [RecordEven], [RecordOdd] or [RecordEarly].
func (r Record) Kind() byte { return r.B[0] }

// Header is the first four bytes.
func (r Record) Header() []byte { return r.B[:RecordHeaderLength:RecordHeaderLength] }

// Body is what follows the header.
func (r Record) Body() []byte { return r.B[RecordHeaderLength:] }

// Release gives up the record's reference; B must not be touched afterwards.
func (r Record) Release() { r.Buffer.Release() }
