package frame

import (
	"errors"
	"fmt"
)

// Code says why a stream or a channel ended (docs/protocol.md section 5). Codes
// from 256 on are the application's, see [Application].
type Code uint64

// The channel's own codes.
const (
	CodeNoError     Code = 0
	CodeInternal    Code = 1
	CodeProtocol    Code = 2 // grammar, wrong sender or place
	CodeFlowControl Code = 3
	CodeStreamLimit Code = 4
	CodeStreamState Code = 5
	CodeKeys        Code = 6
	CodeAuth        Code = 7
	CodeControl     Code = 8
	CodeCompression Code = 9
	CodeAbuse       Code = 10 // rates
	CodeRevoked     Code = 11
	CodeIdle        Code = 12
	CodeRefused     Code = 13 // never reached the application: safe to repeat
	CodeCancelled   Code = 14
	CodeShutdown    Code = 15
)

const firstApplication = 256

// MaxApplication is the largest code of an application.
const MaxApplication = MaxVarint - firstApplication

var codeNames = [...]string{
	"NO_ERROR", "INTERNAL", "PROTOCOL", "FLOW_CONTROL", "STREAM_LIMIT", "STREAM_STATE", "KEYS", "AUTH",
	"CONTROL", "COMPRESSION", "ABUSE", "REVOKED", "IDLE", "REFUSED", "CANCELLED", "SHUTDOWN",
}

// Application is the code in which the application's code c, at most
// MaxApplication, travels.
func Application(c uint64) Code { return Code(firstApplication + min(c, MaxApplication)) }

// Application returns the application's code, if c is one.
func (c Code) Application() (code uint64, ok bool) {
	if c < firstApplication {
		return 0, false
	}
	return uint64(c) - firstApplication, true
}

// String is the name in docs/protocol.md, "application code n" or "code n".
func (c Code) String() string {
	if c < Code(len(codeNames)) {
		return codeNames[c]
	}
	if a, ok := c.Application(); ok {
		return fmt.Sprintf("application code %d", a)
	}
	return fmt.Sprintf("code %d", uint64(c))
}

// An Error is a violation of the protocol by the peer: the channel is closed
// with Code.
type Error struct {
	Code   Code
	Reason string // what was wrong; holds nothing that the peer sent but numbers
}

// Error implements error.
func (e *Error) Error() string { return "msl channel: " + e.Code.String() + ": " + e.Reason }

// Violation returns an *Error with a formatted reason.
func Violation(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// CodeOf is the code of the *Error in err, CodeInternal if there is none and
// CodeNoError for nil.
func CodeOf(err error) Code {
	if err == nil {
		return CodeNoError
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
