package frame

import "encoding/binary"

// MaxReason is the length limit of the reason in CLOSE.
const MaxReason = 256

var errReason = &Error{CodeProtocol, "reason of CLOSE above 256 bytes"}

// AppendPing appends PING (01: 8 bytes).
func AppendPing(dst []byte, data [8]byte) []byte {
	return append(AppendVarint(dst, TypePing), data[:]...)
}

// AppendPong appends PONG (02: 8 bytes).
func AppendPong(dst []byte, data [8]byte) []byte {
	return append(AppendVarint(dst, TypePong), data[:]...)
}

// ParsePing reads the body of PING or PONG.
func ParsePing(b []byte) (data [8]byte, rest []byte, err error) {
	if len(b) < len(data) {
		return data, nil, errShort
	}
	return [8]byte(b), b[8:], nil
}

// AppendAck appends ACK (03: v n).
func AppendAck(dst []byte, n uint64) []byte {
	return AppendVarint(AppendVarint(dst, TypeAck), n)
}

// ParseAck reads the body of ACK.
func ParseAck(b []byte) (n uint64, rest []byte, err error) { return ParseVarint(b) }

// AppendKeyUpdate appends KEY_UPDATE (18).
func AppendKeyUpdate(dst []byte) []byte { return AppendVarint(dst, TypeKeyUpdate) }

// AppendClose appends CLOSE (22: v code, s reason). The reason is cut at
// MaxReason bytes.
func AppendClose(dst []byte, code Code, reason string) []byte {
	reason = reason[:min(len(reason), MaxReason)]
	dst = AppendVarint(AppendVarint(dst, TypeClose), uint64(code))
	return append(AppendVarint(dst, uint64(len(reason))), reason...)
}

// ParseClose reads the body of CLOSE.
func ParseClose(b []byte) (code Code, reason, rest []byte, err error) {
	c, b, err := ParseVarint(b)
	if err != nil {
		return 0, nil, nil, err
	}
	reason, rest, err = parseBytes(b, MaxReason, errReason)
	return Code(c), reason, rest, err
}

// Rekey is the body of REKEY (19: u32 epoch, u16 kem, L share, L
// entityauthdata, L signature; channel set-up 4.7).
type Rekey struct {
	Epoch      uint32 // the new one
	KEM        uint16
	Share      []byte
	EntityAuth []byte // empty without a signing key
	Signature  []byte
}

// AppendRekey appends REKEY. Its fields are at most 65535 bytes each.
func AppendRekey(dst []byte, r Rekey) []byte {
	dst = binary.BigEndian.AppendUint32(AppendVarint(dst, TypeRekey), r.Epoch)
	dst = binary.BigEndian.AppendUint16(dst, r.KEM)
	return appendL(appendL(appendL(dst, r.Share), r.EntityAuth), r.Signature)
}

// ParseRekey reads the body of REKEY; its fields lie in b.
func ParseRekey(b []byte) (r Rekey, rest []byte, err error) {
	if len(b) < 6 {
		return Rekey{}, nil, errShort
	}
	r.Epoch, r.KEM, b = binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:]), b[6:]
	rest, err = parseLs(b, &r.Share, &r.EntityAuth, &r.Signature)
	return r, rest, err
}

// RekeyDone is the body of REKEY_DONE (1a: u32 epoch, L enc, L entityauthdata,
// L signature; channel set-up 4.7).
type RekeyDone struct {
	Epoch      uint32
	Enc        []byte
	EntityAuth []byte // empty without a signing key
	Signature  []byte
}

// AppendRekeyDone appends REKEY_DONE. Its fields are at most 65535 bytes each.
func AppendRekeyDone(dst []byte, r RekeyDone) []byte {
	dst = binary.BigEndian.AppendUint32(AppendVarint(dst, TypeRekeyDone), r.Epoch)
	return appendL(appendL(appendL(dst, r.Enc), r.EntityAuth), r.Signature)
}

// ParseRekeyDone reads the body of REKEY_DONE; its fields lie in b.
func ParseRekeyDone(b []byte) (r RekeyDone, rest []byte, err error) {
	r.Epoch, b, err = ParseRekeySwitch(b)
	if err != nil {
		return RekeyDone{}, nil, err
	}
	rest, err = parseLs(b, &r.Enc, &r.EntityAuth, &r.Signature)
	return r, rest, err
}

// AppendRekeySwitch appends REKEY_SWITCH (1b: u32 epoch).
func AppendRekeySwitch(dst []byte, epoch uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendVarint(dst, TypeRekeySwitch), epoch)
}

// ParseRekeySwitch reads the body of REKEY_SWITCH.
func ParseRekeySwitch(b []byte) (epoch uint32, rest []byte, err error) {
	if len(b) < 4 {
		return 0, nil, errShort
	}
	return binary.BigEndian.Uint32(b), b[4:], nil
}

// AppendRekeyAsk appends REKEY_ASK (1c).
func AppendRekeyAsk(dst []byte) []byte { return AppendVarint(dst, TypeRekeyAsk) }

// AppendAuth appends AUTH (1d: L entityauthdata, L signature). The fields are
// at most 65535 bytes each.
func AppendAuth(dst, entityAuth, signature []byte) []byte {
	return appendL(appendL(AppendVarint(dst, TypeAuth), entityAuth), signature)
}

// ParseAuth reads the body of AUTH; its fields lie in b.
func ParseAuth(b []byte) (entityAuth, signature, rest []byte, err error) {
	rest, err = parseLs(b, &entityAuth, &signature)
	return entityAuth, signature, rest, err
}

// ControlPart is the body of CONTROL (20: b flags, s part; channel set-up 4.11).
type ControlPart struct {
	Fin      bool // last part of its message
	Response bool
	Data     []byte
}

// ControlOverhead is the most bytes that CONTROL adds to its part.
const ControlOverhead = 1 + 1 + 8

// AppendControl appends CONTROL.
func AppendControl(dst []byte, c ControlPart) []byte {
	var flags byte
	if c.Fin {
		flags |= controlFin
	}
	if c.Response {
		flags |= controlResponse
	}
	dst = append(AppendVarint(dst, TypeControl), flags)
	return append(AppendVarint(dst, uint64(len(c.Data))), c.Data...)
}

// ParseControl reads the body of CONTROL; its part lies in b.
func ParseControl(b []byte) (c ControlPart, rest []byte, err error) {
	if len(b) == 0 {
		return ControlPart{}, nil, errShort
	}
	if b[0]&^(controlFin|controlResponse) != 0 {
		return ControlPart{}, nil, errFlags
	}
	c.Fin, c.Response = b[0]&controlFin != 0, b[0]&controlResponse != 0
	c.Data, rest, err = parseBytes(b[1:], MaxVarint, errShort)
	return c, rest, err
}

// appendL appends L(s): u16 length, bytes.
func appendL(dst, s []byte) []byte {
	if len(s) > 0xffff {
		panic("frame: field above 65535 bytes")
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// parseLs reads one L() after the other.
func parseLs(b []byte, fields ...*[]byte) (rest []byte, err error) {
	for _, f := range fields {
		if len(b) < 2 {
			return nil, errShort
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > len(b) {
			return nil, errShort
		}
		*f, b = b[:n:n], b[n:]
	}
	return b, nil
}
