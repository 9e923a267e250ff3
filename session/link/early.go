package link

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
)

// Bounds of early data, whatever the limits of the peer (channel set-up 4.1.5).
const (
	MaxEarlyRecord  = 16 << 10 // bytes of plaintext in a record
	MaxEarly        = 64 << 10 // in all
	MaxEarlyStreams = 16

	// Of its records with their headers, where they are not opened: even a
	// byte of plaintext is in a record of its own.
	maxSkipped = MaxEarly * (stream.RecordOverhead + 1)
)

// earlyInput is what who reads knows of early data.
type earlyInput struct {
	past    bool // another record was here
	open    bool // the record being handled is early
	records int
	bytes   int // of plaintext; of whole records if they are skipped
	streams int
}

// earlyNext waits for a record and reports whether it is early data that is to
// be opened. What is not is skipped, by its length. The first record of another
// kind ends early data, and its key.
func (l *Link) earlyNext(r *framing.Reader) (bool, error) {
	e := &l.in.early
	e.open = false
	for !e.past {
		kind, err := r.Peek()
		if err != nil {
			return false, err
		}
		switch {
		case kind != framing.RecordEarly:
			e.past = true
			if o := l.cfg.Early; o != nil {
				l.cfg.Opener.Continue(o.Seq())
				o.Erase()
			}
		case l.cfg.Early != nil:
			e.open = true
			return true, nil
		default:
			n, err := r.SkipRecord(MaxEarlyRecord + stream.TagLength)
			if err != nil {
				return false, err
			}
			if e.bytes += framing.RecordHeaderLength + n; e.bytes > maxSkipped {
				return false, &framing.LimitError{Limit: "early data that is skipped", Max: maxSkipped}
			}
		}
	}
	return false, nil
}

// take counts a record that was opened.
func (e *earlyInput) take(plaintext int) error {
	e.records++
	if e.bytes += plaintext; e.bytes > MaxEarly {
		return frame.Violation(frame.CodeProtocol, "more than %d bytes of early data", MaxEarly)
	}
	return nil
}

// allow says whether a frame may be early.
func (e *earlyInput) allow(typ uint64) error {
	switch {
	case typ == frame.TypePadding, frame.IsStream(typ):
		return nil
	case typ == frame.TypeStreamOpen:
		if e.streams++; e.streams > MaxEarlyStreams {
			return frame.Violation(frame.CodeStreamLimit, "more than %d streams in early data", MaxEarlyStreams)
		}
		return nil
	}
	return frame.Violation(frame.CodeProtocol, "frame %#x in early data", typ)
}
