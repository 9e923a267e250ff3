package link

import (
	"errors"
	"os"

	"github.com/mslgo/msl/session/frame"
)

// A CloseError says that the channel ended by CLOSE.
type CloseError struct {
	Code   frame.Code
	Reason string
	Remote bool // the peer closed it
}

func (e *CloseError) Error() string {
	who := "closed"
	if e.Remote {
		who = "closed by the peer"
	}
	s := "msl channel: " + who + ": " + e.Code.String()
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is reports whether target is a CloseError with the same code.
func (e *CloseError) Is(target error) bool {
	t, ok := target.(*CloseError)
	return ok && t.Code == e.Code
}

// A LostError says that the connection ended without CLOSE.
type LostError struct {
	Cause error
}

func (e *LostError) Error() string { return "msl channel: connection lost: " + e.Cause.Error() }

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Cause }

var (
	// ErrClosed is the error of a Link that was closed before it had a connection.
	ErrClosed = errors.New("msl channel: closed before it began")

	// ErrUnacknowledged is the error of [Link.Close] if the peer did not
	// confirm the end in time.
	ErrUnacknowledged = errors.New("msl channel: CLOSE was not acknowledged")

	// ErrSilent is the cause of a [LostError] when the peer was silent too
	// long. It is a net.Error and an os.ErrDeadlineExceeded.
	ErrSilent error = silentError{}
)

type silentError struct{}

func (silentError) Error() string        { return "nothing received from the peer" }
func (silentError) Timeout() bool        { return true }
func (silentError) Temporary() bool      { return true }
func (silentError) Is(target error) bool { return target == os.ErrDeadlineExceeded }
