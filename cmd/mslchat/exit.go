package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/session"
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

// errGone is wrapped by what says that nobody answers (any more).
var errGone = errors.New("unreachable")

// exit says what went wrong and returns the exit code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	var refusal *wire.Refusal
	var header *message.ErrorHeader
	var op *net.OpError
	code := exitFailed
	switch {
	case ctx.Err() != nil:
		a.say("mslchat: interrupted")
		return exitInterrupted
	case errors.Is(err, errUsage):
		code = exitUsage
	case errors.Is(err, session.ErrUntrusted), errors.Is(err, session.ErrAuth):
		code = exitUntrusted
	case errors.As(err, &refusal), errors.As(err, &header):
		code = exitRefused
	case errors.Is(err, errGone), errors.As(err, &op) && op.Op == "dial", errors.Is(err, session.ErrChannelLost):
		code = exitUnreachable
	}
	a.say("mslchat: %s", wire.Clean(err.Error()))
	return code
}

// explainDial says what a person can do about a failed dial.
func explainDial(url string, err error) error {
	var header *message.ErrorHeader
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens at %s: is it running there, and is the address right?", errGone, url)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer from %s within %v", errGone, url, dialTimeout)
	case errors.As(err, &header):
		return fmt.Errorf("%s refused us: %w", url, err)
	}
	return fmt.Errorf("cannot reach %s: %w", url, err)
}
