package session

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/session/mux"
	"github.com/mslgo/msl/transport"
)

// Code says why a session or a stream ended: one of the channel's own codes, or
// an application's.
type Code = frame.Code

// Error says that a session was closed, by which side and why.
type Error struct {
	Code   Code
	Remote bool   // the other side closed it
	Reason string // for people; up to 256 bytes
}

// Error implements error.
func (e *Error) Error() string {
	s := "session: closed"
	if e.Remote {
		s += " by the peer"
	}
	s += ": " + e.Code.String()
	if e.Reason != "" {
		s += fmt.Sprintf(": %q", e.Reason)
	}
	return s
}

// Is reports whether target is net.ErrClosed, or an *Error with the same code,
// whoever closed.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code || target == net.ErrClosed
}

var (
	// ErrChannelLost says that the connection died and the channel could not
	// be saved: what was not acknowledged may not have arrived.
	ErrChannelLost = errors.New("session: the channel is lost")

	// ErrNoChannel says that the responder did not set a channel up; see
	// [NoChannelError].
	ErrNoChannel = errors.New("session: the responder set no channel up")

	// ErrUntrusted says that somebody else answered than was expected.
	ErrUntrusted = errors.New("session: the responder is not who was expected")

	// ErrGoingAway is why a session opens no more streams after a Shutdown by
	// either side: those that are open finish, and more belong into another
	// session, which another dial gives.
	ErrGoingAway = mux.ErrGoingAway

	// ErrAuth says that a side with a signing key did not prove it (X11).
	ErrAuth = errors.New("session: AUTH is missing or wrong")
)

// NoChannelError is the outcome of a set-up that was answered without one.
type NoChannelError struct {
	Reason string
	// Header is the answer of a responder that has never shown that it speaks
	// the channel, if the caller allowed classic fallback: the exchange is
	// complete, and classic MSL may go on. Nil: never fall back (X12).
	Header *message.Header
}

// Error implements error.
func (e *NoChannelError) Error() string { return ErrNoChannel.Error() + ": " + e.Reason }

// Unwrap returns [ErrNoChannel].
func (e *NoChannelError) Unwrap() error { return ErrNoChannel }

// ClassicError is what [Accept] returns for a message that asks for no channel.
// The connection is open, and the caller's.
type ClassicError struct {
	Header *message.Header // opened; further checks are the caller's
	Reader *framing.Reader // what follows the header
	Conn   transport.Conn
}

// Error implements error.
func (*ClassicError) Error() string { return "session: a classic message, not a channel" }

// lostError is [ErrChannelLost] with its cause.
type lostError struct{ cause error }

func (e *lostError) Error() string { return ErrChannelLost.Error() + ": " + e.cause.Error() }

func (e *lostError) Unwrap() []error { return []error{ErrChannelLost, e.cause} }

// timeoutError is a net.Error and an os.ErrDeadlineExceeded.
type timeoutError string

func (e timeoutError) Error() string      { return string(e) }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }
