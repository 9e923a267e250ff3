package mux

import (
	"errors"
	"io"
	"net"

	"github.com/mslgo/msl/session/frame"
)

// ErrGoingAway is returned by OpenStream when one of the sides has announced
// that it ends the channel: open the stream in a new one.
var ErrGoingAway = errors.New("msl: channel takes no new streams: it is shutting down")

// A StreamError is why a direction of a stream ended before its end.
type StreamError struct {
	Code   frame.Code // the application's codes are frame.Application(c)
	Remote bool       // the peer ended it
}

// Error implements error.
func (e *StreamError) Error() string {
	if e.Remote {
		return "msl: stream ended by peer: " + e.Code.String()
	}
	return "msl: stream ended: " + e.Code.String()
}

// Is reports whether target is a StreamError of the same code and side.
func (e *StreamError) Is(target error) bool {
	t, ok := target.(*StreamError)
	return ok && *t == *e
}

// A channelError is what calls of a stream return when its channel has ended.
type channelError struct {
	cause     error
	truncated bool // the stream's bytes are not complete
}

func (e *channelError) Error() string {
	if e.truncated {
		return "msl: stream cut short: " + e.cause.Error()
	}
	return "msl: channel ended: " + e.cause.Error()
}

func (e *channelError) Unwrap() error { return e.cause }

func (e *channelError) Is(target error) bool { return e.truncated && target == io.ErrUnexpectedEOF }

// readError is what reading a stream without its FIN returns at the channel's end.
func readError(cause error) error {
	if cause == net.ErrClosed {
		return cause
	}
	return &channelError{cause, true}
}

// writeError is what writing returns at the channel's end.
func writeError(cause error) error {
	if cause == net.ErrClosed {
		return cause
	}
	return &channelError{cause, false}
}
