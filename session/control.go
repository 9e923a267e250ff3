package session

import (
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

// control is the session's own source of frames, beside those of the streams:
// AUTH, and what is said of the frames that this side does not serve.
type control struct {
	verify   func(data, signature []byte) error
	expected bool // the other side's header announced AUTH

	mu   sync.Mutex // guards auth, which leaves by whoever writes
	auth []byte     // the frame to be sent; nil: none, or it has left

	// Touched by the reading goroutine only.
	verified bool
	opened   bool // the first record was handled
}

// Waiting implements link.Source.
func (c *control) Waiting() frame.Class {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.auth != nil {
		return frame.Control
	}
	return frame.None
}

// AppendFrames implements link.Source. AUTH stands in the first record.
func (c *control) AppendFrames(dst []byte, room int, _ frame.Class, _ uint64) ([]byte, frame.Class) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.auth == nil || len(c.auth) > room {
		return dst, frame.None
	}
	dst = append(dst, c.auth...)
	c.auth = nil
	return dst, frame.Control
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
		return rest, nil
	case frame.TypeRekey, frame.TypeRekeyDone, frame.TypeRekeySwitch, frame.TypeRekeyAsk:
		return nil, frame.Violation(frame.CodeKeys, "no rekey is under way")
	case frame.TypeControl:
		return nil, frame.Violation(frame.CodeControl, "no CONTROL is served")
	}
	return frame.Skip(typ, b)
}

// BatchEnd implements link.Source.
func (c *control) BatchEnd() {}

// Acked implements link.Source.
func (c *control) Acked(uint64) {}

// firstRecord is called when the frames of the first record were handled.
func (c *control) firstRecord() error {
	c.opened = true
	if c.expected && !c.verified {
		return frame.Violation(frame.CodeAuth, "AUTH was announced and is not in the first record")
	}
	return nil
}
