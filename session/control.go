package session

import (
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/session/link"
)

// control is the session's own source of frames, beside those of the streams:
// AUTH, CONTROL, and those of rekeys.
type control struct {
	rekey  rekey
	inband inband

	mu   sync.Mutex // guards auth, which leaves by whoever writes
	auth []byte     // the frame to be sent; nil: none, or it has left

	// Touched by who reads the connection only.
	verify   func(data, signature []byte) error // of AUTH; nil once the first record was handled
	expected bool                               // the other side's header announced AUTH; never changes
	verified bool
	opened   bool // the first record was handled
}

// Waiting implements link.Source.
func (c *control) Waiting() frame.Class {
	c.mu.Lock()
	auth := c.auth != nil
	c.mu.Unlock()
	if c.inband.waiting() {
		return frame.Data
	}
	if auth || c.rekey.waiting() {
		return frame.Control
	}
	return frame.None
}

// AppendFrames implements link.Source. AUTH stands in the first record; a change
// of keys ends a record.
func (c *control) AppendFrames(dst []byte, room int, most frame.Class, _ uint64) ([]byte, frame.Class) {
	start := len(dst)
	dst = c.appendAuth(dst, room)
	class := frame.Control
	if most >= frame.Data {
		before := len(dst)
		if dst = c.inband.append(dst, room-(len(dst)-start)); len(dst) > before {
			class = frame.Data
		}
	}
	if most >= frame.Control {
		dst = c.rekey.append(dst, room-(len(dst)-start))
	}
	if len(dst) == start {
		return dst, frame.None
	}
	return dst, class
}

func (c *control) appendAuth(dst []byte, room int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.auth == nil || len(c.auth) > room {
		return dst
	}
	dst = append(dst, c.auth...)
	c.auth = nil
	return dst
}

// HandleFrame implements link.Source.
func (c *control) HandleFrame(typ uint64, b []byte, _ *framing.Buffer) ([]byte, error) {
	switch typ {
	case frame.TypeAuth:
		data, signature, rest, err := frame.ParseAuth(b)
		switch {
		case err != nil:
			return nil, err
		case c.opened || c.verified:
			return nil, frame.Violation(frame.CodeAuth, "AUTH outside the first record")
		}
		if err := c.verify(data, signature); err != nil {
			return nil, frame.Violation(frame.CodeAuth, "AUTH is not the other side's")
		}
		c.verified = true
		c.rekey.signed = true // it has a signing key
		return rest, nil
	case frame.TypeRekey, frame.TypeRekeyDone, frame.TypeRekeySwitch, frame.TypeRekeyAsk:
		return c.rekey.handle(typ, b)
	case frame.TypeControl:
		return c.inband.handle(b)
	}
	return frame.Skip(typ, b)
}

// BatchEnd implements link.Source.
func (c *control) BatchEnd() bool { return false }

// BatchSent implements link.Source.
func (c *control) BatchSent() {}

// Sparse implements link.Source.
func (c *control) Sparse() uint64 { return 0 }

// Share implements link.Source.
func (c *control) Share(link.Connection) {}

// Appoint implements link.Source.
func (c *control) Appoint() {}

// Acked implements link.Source.
func (c *control) Acked(uint64) {}

// firstRecord is called when the frames of the first record were handled.
func (c *control) firstRecord() error {
	c.opened, c.verify = true, nil
	if c.expected && !c.verified {
		return frame.Violation(frame.CodeAuth, "AUTH was announced and is not in the first record")
	}
	return nil
}
