package frame

// Frame types (docs/protocol.md section 5): a varint in shortest form, then the
// fields. v = varint, b = byte, s = v length || bytes, L = u16 length || bytes.
const (
	TypePadding       uint64 = 0x00 // no fields
	TypePing          uint64 = 0x01 // 8 bytes
	TypePong          uint64 = 0x02 // the 8 bytes of the newest PING
	TypeAck           uint64 = 0x03 // v n: n records received
	TypeResetStream   uint64 = 0x04 // v id, v code
	TypeStopSending   uint64 = 0x05 // v id, v code
	TypeStreamOpen    uint64 = 0x06 // v id, b flags, s label, v n, n x (s key, s value)
	TypeStream        uint64 = 0x08 // to 0x0f, with flags: v id, if LEN v length, data
	TypeMaxData       uint64 = 0x10 // v max
	TypeMaxStreamData uint64 = 0x11 // v id, v max
	TypeMaxStreams    uint64 = 0x12 // v n
	TypeKeyUpdate     uint64 = 0x18 // no fields; last in its record
	TypeRekey         uint64 = 0x19 // u32 epoch, u16 kem, L share, L entityauthdata, L signature
	TypeRekeyDone     uint64 = 0x1a // u32 epoch, L enc, L entityauthdata, L signature; last in its record
	TypeRekeySwitch   uint64 = 0x1b // u32 epoch; last in its record
	TypeRekeyAsk      uint64 = 0x1c // no fields
	TypeAuth          uint64 = 0x1d // L entityauthdata, L signature
	TypeControl       uint64 = 0x20 // b flags (1 FIN, 2 RESPONSE), s part
	TypeGoaway        uint64 = 0x21 // v n
	TypeClose         uint64 = 0x22 // v code, s reason
	FirstUnknown      uint64 = 0x40 // from here on: s, skipped by who does not know them
)

// Flags in the type of a STREAM frame.
const (
	flagFin        = 1
	flagLen        = 2 // without it the data ends with the record
	flagCompressed = 4
	streamFlags    = flagFin | flagLen | flagCompressed
)

// Flags of STREAM_OPEN and CONTROL.
const (
	openUrgency     = 7
	openIncremental = 8
	controlFin      = 1
	controlResponse = 2
)

// IsStream reports whether typ is a STREAM frame with any flags.
func IsStream(typ uint64) bool { return typ&^streamFlags == TypeStream }

// AsksForAck reports whether a record with a frame of this type asks to be
// acknowledged (channel set-up 4.12.2).
func AsksForAck(typ uint64) bool {
	switch typ {
	case TypePadding, TypePong, TypeAck, TypeMaxData, TypeMaxStreamData, TypeMaxStreams:
		return false
	}
	return true
}

// ParseType reads the type of the frame that b begins with.
func ParseType(b []byte) (typ uint64, rest []byte, err error) { return ParseVarint(b) }

var (
	errUnknown = &Error{CodeProtocol, "unknown frame type"}
	errFlags   = &Error{CodeProtocol, "flag without meaning"}
)

// Skip passes over the body of a frame of a type that the caller does not know.
// Below FirstUnknown that is an error.
func Skip(typ uint64, b []byte) (rest []byte, err error) {
	if typ < FirstUnknown {
		return nil, errUnknown
	}
	_, rest, err = parseBytes(b, MaxVarint, errShort)
	return rest, err
}

// SkipBody passes over the body of a frame of any type by its lengths, whatever
// it says.
func SkipBody(typ uint64, b []byte) (rest []byte, err error) {
	switch typ {
	case TypePadding, TypeKeyUpdate, TypeRekeyAsk:
		return b, nil
	case TypePing, TypePong:
		_, rest, err = ParsePing(b)
	case TypeAck, TypeMaxData, TypeMaxStreams, TypeGoaway:
		_, rest, err = ParseVarint(b)
	case TypeResetStream, TypeStopSending, TypeMaxStreamData:
		_, _, rest, err = parseVarints(b)
	case TypeStreamOpen:
		_, rest, err = ParseStreamOpen(b)
	case TypeRekey:
		_, rest, err = ParseRekey(b)
	case TypeRekeyDone:
		_, rest, err = ParseRekeyDone(b)
	case TypeRekeySwitch:
		_, rest, err = ParseRekeySwitch(b)
	case TypeAuth:
		_, _, rest, err = ParseAuth(b)
	case TypeControl:
		_, rest, err = ParseControl(b)
	case TypeClose:
		_, _, rest, err = ParseClose(b)
	default:
		if IsStream(typ) {
			_, rest, err = ParseStream(typ, b)
		} else {
			rest, err = Skip(typ, b)
		}
	}
	return rest, err
}
