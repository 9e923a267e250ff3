package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"syscall"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/transport"
)

// Exit codes; docs/mslchat.md lists them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUntrusted   = 3 // who answered is not who was expected
	exitRefused     = 4 // the other side does not want it
	exitUnreachable = 5 // nobody answers, or the connection is lost
	exitInterrupted = 130
)

// errUsage is wrapped by what is wrong with the command line.
var errUsage = errors.New("wrong usage")

func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// goneError says that nobody answers (any more), in the words of another error.
type goneError struct{ error }

func (e *goneError) Unwrap() error { return e.error }

// exit says what went wrong and returns the exit code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	var refusal *wire.Refusal
	var header *message.ErrorHeader
	var certificate *tls.CertificateVerificationError
	code := exitFailed
	switch {
	case ctx.Err() != nil:
		a.say("mslchat: interrupted")
		return exitInterrupted
	case errors.Is(err, errUsage):
		code = exitUsage
	case errors.Is(err, session.ErrUntrusted), errors.Is(err, session.ErrAuth), errors.As(err, &certificate):
		code = exitUntrusted
	case errors.As(err, &refusal), errors.As(err, &header):
		code = exitRefused
	case isGone(err), errors.Is(err, errLost), errors.Is(err, session.ErrChannelLost):
		code = exitUnreachable
	}
	a.say("mslchat: %s", wire.Clean(err.Error()))
	return code
}

// explainDial says what a person can do about a failed dial.
func explainDial(url string, err error) error {
	var header *message.ErrorHeader
	var scheme *transport.SchemeError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return fmt.Errorf("%s is not trusted: %w; --tls-ca says whom to trust", url, err)
	case errors.Is(err, session.ErrUntrusted), errors.Is(err, session.ErrAuth):
		return err
	case errors.As(err, &header):
		return fmt.Errorf("%s refused us: %w", url, err)
	case errors.As(err, &scheme):
		return usage("%v", scheme)
	case errors.Is(err, syscall.ECONNREFUSED):
		return &goneError{fmt.Errorf("nobody listens at %s: is it running there, and is the address right?", url)}
	case errors.Is(err, context.DeadlineExceeded):
		return &goneError{fmt.Errorf("no answer from %s within %v: is it a hub or somebody who listens?", url, dialTimeout)}
	}
	return &goneError{fmt.Errorf("cannot reach %s: %w", url, err)}
}

func isGone(err error) bool {
	_, gone := errors.AsType[*goneError](err)
	return gone
}
