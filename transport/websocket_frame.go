//go:build !js

package transport

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/coder/websocket"
)

// A frame of a WebSocket (RFC 6455 section 5.2):
//
//	byte 0    FIN 0x80, RSV 0x70 (zero without extensions), opcode 0x0f
//	byte 1    MASK 0x80, length 0x7f; 126: it is in the 2 bytes that follow, 127: in 8
//	4 bytes   masking key, from a client always, from a server never
//	payload   byte i XORed with byte i mod 4 of the key
//
// A message is a binary frame and the continuations that follow it until FIN.
// Control frames may stand between them.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opControl      = 0x8 // and above
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa

	maxFrameHeader = 2 + 8 + 4
	maxControl     = 125 // bytes of a control frame's payload
)

type maskKey [4]byte

// appendFrameHeader appends the header of a frame that is alone in its message.
// key is nil for a server.
func appendFrameHeader(b []byte, opcode byte, length int, key *maskKey) []byte {
	masked := byte(0)
	if key != nil {
		masked = 0x80
	}
	b = append(b, 0x80|opcode)
	switch {
	case length < 126:
		b = append(b, masked|byte(length))
	case length <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), uint64(length))
	}
	if key != nil {
		b = append(b, key[:]...)
	}
	return b
}

// mask sets dst to src, which begins with the payload's byte pos, XORed with the
// key. They are the same memory or do not overlap.
func mask(dst, src []byte, key maskKey, pos int) {
	var pattern [1 << 10]byte
	for i := range min(len(src), len(key)) {
		pattern[i] = key[(pos+i)%len(key)]
	}
	for have := len(key); have < min(len(src), len(pattern)); have *= 2 {
		copy(pattern[have:], pattern[:have])
	}
	for len(src) > 0 {
		n := subtle.XORBytes(dst, src, pattern[:min(len(src), len(pattern))])
		dst, src = dst[n:], src[n:]
	}
}

// A frameError is a violation of RFC 6455, or of what this package takes of it.
type frameError struct {
	code   websocket.StatusCode // to be told to the peer
	reason string
}

func (e *frameError) Error() string { return "transport: WebSocket " + e.reason }

func protocolError(reason string) error {
	return &frameError{websocket.StatusProtocolError, reason}
}

// A frameReader takes the data of binary messages out of frames.
type frameReader struct {
	client  bool                              // reads what a server sends: nothing is masked
	limit   int64                             // bytes of a message
	control func(opcode byte, p []byte) error // is given each control frame

	head    [maxFrameHeader]byte
	have    int // bytes of head; a payload follows when it is whole
	opcode  byte
	fin     bool
	left    int64 // bytes of the payload to come
	key     maskKey
	pos     int              // in the payload
	message bool             // one has begun: what follows continues it
	size    int64            // of the message, as far as its frames' headers tell
	payload [maxControl]byte // of a control frame
}

// decode takes the next bytes of the connection, in pieces of any size, and puts
// the data among them to the front of b, of which it returns the length. The error
// is a *frameError, a *LimitError or control's. Nothing may follow it.
func (r *frameReader) decode(b []byte) (n int, err error) {
	for i := 0; i < len(b); {
		if r.left == 0 {
			size := r.headerSize()
			copied := copy(r.head[r.have:size], b[i:])
			i += copied
			r.have += copied
			if r.have < r.headerSize() {
				continue
			}
			if err := r.begin(); err != nil {
				return n, err
			}
		} else {
			part := b[i:min(int64(len(b)), int64(i)+r.left)]
			if !r.client {
				mask(part, part, r.key, r.pos)
			}
			if r.opcode >= opControl {
				copy(r.payload[r.pos:], part)
			} else {
				if n < i {
					copy(b[n:], part)
				}
				n += len(part)
			}
			i += len(part)
			r.pos += len(part)
			r.left -= int64(len(part))
		}
		if r.left == 0 {
			if err := r.finish(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// headerSize is how long the header is, as far as its first bytes tell.
func (r *frameReader) headerSize() int {
	size := 2
	if r.have < size {
		return size
	}
	switch r.head[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if r.head[1]&0x80 != 0 {
		size += len(r.key)
	}
	return size
}

// begin begins the frame whose header has been read.
func (r *frameReader) begin() error {
	first, second := r.head[0], r.head[1]
	r.fin, r.opcode = first&0x80 != 0, first&0x0f
	length := uint64(second & 0x7f)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(r.head[2:]))
	case 127:
		length = binary.BigEndian.Uint64(r.head[2:])
	}
	masked := second&0x80 != 0
	switch {
	case first&0x70 != 0:
		return protocolError("frame of an extension that was not negotiated")
	case masked && r.client:
		return protocolError("server masks")
	case !masked && !r.client:
		return protocolError("client does not mask")
	}
	if masked {
		r.key = maskKey(r.head[r.have-len(r.key) : r.have])
	}
	switch r.opcode {
	case opClose, opPing, opPong:
		if !r.fin || length > maxControl {
			return protocolError("control frame in parts or too long")
		}
		r.left = int64(length)
		return nil
	case opContinuation:
		if !r.message {
			return protocolError("continuation of no message")
		}
	case opBinary:
		if r.message {
			return protocolError("message inside another")
		}
		r.size = 0
	case opText:
		return &frameError{websocket.StatusUnsupportedData, "text message refused"}
	default:
		return protocolError("frame of unknown kind")
	}
	if length > uint64(r.limit-r.size) {
		return &LimitError{r.limit}
	}
	r.message = true
	r.left = int64(length)
	r.size += r.left
	return nil
}

// finish ends the frame.
func (r *frameReader) finish() error {
	n := r.pos
	r.have, r.pos = 0, 0
	if r.opcode >= opControl {
		return r.control(r.opcode, r.payload[:n])
	}
	r.message = !r.fin
	return nil
}

// closeReason parses the payload of a CLOSE (RFC 6455 sections 5.5.1 and 7.4).
func closeReason(p []byte) (e websocket.CloseError, ok bool) {
	if len(p) == 0 {
		return websocket.CloseError{Code: websocket.StatusNoStatusRcvd}, true
	}
	if len(p) == 1 {
		return e, false
	}
	e = websocket.CloseError{Code: websocket.StatusCode(binary.BigEndian.Uint16(p)), Reason: string(p[2:])}
	switch e.Code {
	case 1004, websocket.StatusNoStatusRcvd, websocket.StatusAbnormalClosure, websocket.StatusTLSHandshake:
		return e, false
	}
	return e, 1000 <= e.Code && e.Code <= 1014 || 3000 <= e.Code && e.Code <= 4999
}
