// Package mslerr holds the error codes of Message Security Layer and the one
// protocol error type.
//
// Every failure has two numbers: a [ResponseCode], the only input to automatic
// recovery at the other side, and a [Code], which says what exactly went wrong
// and serves logs and support. Both are errors, so that a caller can match at
// either depth:
//
//	errors.Is(err, mslerr.EmailPasswordIncorrect) // the exact failure
//	errors.Is(err, mslerr.UserDataReauth)         // what the other side should do
//
// Streams and channels have codes of their own, in package session.
package mslerr

import (
	"errors"
	"fmt"
	"strconv"
)

// WireOffset is added to a [Code] where it travels as "internalcode".
const WireOffset = 100000

// ResponseCode is the "errorcode" of an error header: what its receiver is to
// do (spec 08 section 1). An unknown value on the wire counts as [Fail].
type ResponseCode int

// The response codes, with their numbers on the wire.
const (
	Fail              ResponseCode = 1  // the message is wrong; repeating it gives the same result
	TransientFailure  ResponseCode = 2  // a temporary problem; the application may try again later
	EntityReauth      ResponseCode = 3  // the master token was not accepted
	UserReauth        ResponseCode = 4  // the user ID token was not accepted
	KeyxRequired      ResponseCode = 5  // the answer needs session keys
	EntityDataReauth  ResponseCode = 6  // the entity authentication data was not accepted
	UserDataReauth    ResponseCode = 7  // the user's credentials were not accepted
	Expired           ResponseCode = 8  // the master token is expired and the message could not renew it
	Replayed          ResponseCode = 9  // the non-replayable ID was not accepted
	SSOTokenRejected  ResponseCode = 10 // the single-sign-on part of the credentials was not accepted
	firstResponseCode              = Fail
	lastResponseCode               = SSOTokenRejected
)

var responseNames = [...]string{
	Fail:             "FAIL",
	TransientFailure: "TRANSIENT_FAILURE",
	EntityReauth:     "ENTITY_REAUTH",
	UserReauth:       "USER_REAUTH",
	KeyxRequired:     "KEYX_REQUIRED",
	EntityDataReauth: "ENTITYDATA_REAUTH",
	UserDataReauth:   "USERDATA_REAUTH",
	Expired:          "EXPIRED",
	Replayed:         "REPLAYED",
	SSOTokenRejected: "SSOTOKEN_REJECTED",
}

// ParseResponseCode gives the response code for a number read from the wire;
// unknown numbers are [Fail].
func ParseResponseCode(n int64) ResponseCode {
	if n < int64(firstResponseCode) || n > int64(lastResponseCode) {
		return Fail
	}
	return ResponseCode(n)
}

// String returns MSL's name of the code, such as ENTITY_REAUTH.
func (c ResponseCode) String() string {
	if c < firstResponseCode || c > lastResponseCode {
		return "RESPONSE_CODE_" + strconv.Itoa(int(c))
	}
	return responseNames[c]
}

// Error makes a response code usable as the target of [errors.Is].
func (c ResponseCode) Error() string { return "msl: " + c.String() }

// Code is MSL's number for one exact failure. The wire carries it, plus
// [WireOffset], as "internalcode"; nobody may decide on it.
type Code int

// String returns MSL's name of the code, such as MASTERTOKEN_UNTRUSTED.
func (c Code) String() string {
	if i, ok := codes[c]; ok {
		return i.name
	}
	return "CODE_" + strconv.Itoa(int(c))
}

// Error makes a code usable as the target of [errors.Is].
func (c Code) Error() string {
	if i, ok := codes[c]; ok {
		return "msl: " + i.name + ": " + i.text
	}
	return "msl: " + c.String()
}

// Response is the response code that goes with c; [Fail] if c is not one of
// MSL's own.
func (c Code) Response() ResponseCode {
	if i, ok := codes[c]; ok {
		return i.response
	}
	return Fail
}

// Error is one protocol failure, found here or reported by the other side.
type Error struct {
	Code     Code
	Response ResponseCode // 0: the one that belongs to Code
	Remote   bool         // the other side said so, in an error header

	// MessageID is the ID of the message at fault, when it is known: the
	// error header that answers it carries the next one.
	MessageID    int64
	HasMessageID bool

	// UserMessage is the localised text an error header carried for the user.
	UserMessage string

	Detail string // what exactly, for a developer; never a secret or plaintext
	Err    error  // the cause, or nil
}

// New returns a local failure with a formatted detail. As with [fmt.Errorf],
// a %w in the format names the cause.
func New(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Detail: err.Error(), Err: errors.Unwrap(err)}
}

// Wrap returns a local failure with the given cause. A cause that is already
// an [*Error] keeps its own code and is returned as it is.
func Wrap(code Code, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: code, Err: err}
}

// WithMessageID returns a copy of the protocol error in err that names the
// message at fault, unless it names one already. An err that holds no protocol
// error is wrapped as an internal one.
func WithMessageID(err error, id int64) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Code: InternalException, Err: err}
	}
	c := *e
	if !c.HasMessageID {
		c.MessageID, c.HasMessageID = id, true
	}
	return &c
}

// ResponseCode is what the other side is told to do, or told us to.
func (e *Error) ResponseCode() ResponseCode {
	if e.Response != 0 {
		return e.Response
	}
	return e.Code.Response()
}

// Error implements error: MSL's name, whose finding it was, the detail.
func (e *Error) Error() string {
	s := "msl: "
	if e.Remote {
		s += "remote: "
	}
	s += e.Code.String()
	switch {
	case e.Detail != "":
		s += ": " + e.Detail
	case e.Err != nil:
		s += ": " + e.Err.Error()
	default:
		if i, ok := codes[e.Code]; ok {
			s += ": " + i.text
		}
	}
	if e.Remote || e.Response != 0 && e.Response != e.Code.Response() {
		s += " (" + e.ResponseCode().String() + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is this error's [Code] or its [ResponseCode].
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Code:
		return e.Code == t
	case ResponseCode:
		return e.ResponseCode() == t
	}
	return false
}
