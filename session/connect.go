package session

import (
	"context"
	"errors"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/transport"
)

// Connect dials until a session stands or there is no point in another attempt:
// connect makes a connection for each. A responder that does not accept the held
// token, or finds it expired, is tried once more by first contact (channel set-up
// 4.8.2); the token is kept until that is confirmed. All else is the caller's to
// decide, and its error that of [Dial]. The session calls connect again when it
// loses its connection, unless i has a Connect of its own.
func Connect(ctx context.Context, connect func(context.Context) (transport.Conn, error), i *Initiator) (*Session, error) {
	return connectBy(ctx, connect, i, Dial)
}

// ConnectEarly is Connect with [DialEarly]: a session that it returns before
// the answer is not set up again when that is a refusal, as nobody but the
// application may repeat its early data.
func ConnectEarly(ctx context.Context, connect func(context.Context) (transport.Conn, error), i *Initiator) (*Session, error) {
	return connectBy(ctx, connect, i, DialEarly)
}

func connectBy(
	ctx context.Context, connect func(context.Context) (transport.Conn, error), i *Initiator,
	dial func(context.Context, transport.Conn, *Initiator) (*Session, error),
) (*Session, error) {
	if i.Connect == nil {
		again := *i
		again.Connect = func(ctx context.Context, _ []string, _ int) (transport.Conn, error) { return connect(ctx) }
		i = &again
	}
	for {
		conn, err := connect(ctx)
		if err != nil {
			return nil, err
		}
		s, err := dial(ctx, conn, i)
		if err == nil || i.Fresh || !wantsFirstContact(err) {
			return s, err
		}
		fresh := *i
		fresh.Fresh = true
		i = &fresh
	}
}

func wantsFirstContact(err error) bool {
	h, ok := errors.AsType[*message.ErrorHeader](err)
	return ok && (h.Response == mslerr.EntityReauth || h.Response == mslerr.Expired)
}
