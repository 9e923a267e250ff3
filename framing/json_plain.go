package framing

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const (
	lowBits  = 0x0101010101010101 // of each of eight bytes
	highBits = 0x8080808080808080
	// plainBlock is large enough for [bytes.IndexByte] to pay, and small enough
	// for the processor's cache to hold what is looked at three times.
	plainBlock = 1 << 10
	// plainStart bytes are looked at before whole blocks are, which would cost
	// too much where every other character is none of the plain ones.
	plainStart = 64
)

// plain counts the bytes at the beginning of d that stand for themselves in a
// string: ASCII but quote, backslash and control characters. Payloads are long
// strings of nothing else, so it takes whole blocks where it can.
func plain(d []byte) int {
	n := plainWords(d[:min(len(d), plainStart)])
	if n < plainStart {
		return n
	}
	for len(d)-n >= plainBlock && plainAll(d[n:n+plainBlock]) {
		n += plainBlock
	}
	return n + plainWords(d[n:])
}

// plainWords is plain, eight bytes at a time.
func plainWords(d []byte) int {
	i := 0
	for ; i+8 <= len(d); i += 8 {
		w := binary.LittleEndian.Uint64(d[i:])
		quote, slash := w^(lowBits*'"'), w^(lowBits*'\\')
		// x-lowBits &^ x has the top bit of the lowest byte that is 0; a borrow can
		// only mark bytes above it, and the lowest mark is the one that counts.
		marks := (w | (quote-lowBits)&^quote | (slash-lowBits)&^slash | (w-lowBits*0x20)&^w) & highBits
		if marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(d); i++ {
		if c := d[i]; c < 0x20 || c >= 0x80 || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// plainAll reports whether all of d, whose length is a multiple of 32, is plain.
func plainAll(d []byte) bool {
	if bytes.IndexByte(d, '"') >= 0 || bytes.IndexByte(d, '\\') >= 0 {
		return false
	}
	// Bytes from 0x20 to 0x7F keep their top bits at 0 and borrow nothing when
	// 0x20 is taken away; the lowest of any others does not.
	const space = lowBits * 0x20
	var marks uint64
	for ; len(d) >= 32; d = d[32:] {
		a, b := binary.LittleEndian.Uint64(d), binary.LittleEndian.Uint64(d[8:])
		c, e := binary.LittleEndian.Uint64(d[16:]), binary.LittleEndian.Uint64(d[24:])
		marks |= a | (a - space) | b | (b - space) | c | (c - space) | e | (e - space)
	}
	return marks&highBits == 0
}
