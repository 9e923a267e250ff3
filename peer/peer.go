// Package peer has the roles that a program plays: [Client] and [Server] of a
// service, and [Node], one of two equals. Each assembles what the lower rooms
// need from its fields, whose zero values are safe, and gives sessions whose
// streams are net.Conns.
//
// # Identities and trust
//
// An [Identity] is an Ed25519 key; its fingerprint is its name, so there is
// nothing to register. Whom to trust is always said: [Pinned], or
// [PinOnFirstUse], which works as SSH does. All servers of a service have the
// same identity and the same token keys.
//
// # Concurrency
//
// Clients, servers and nodes may be used by several goroutines at once and are
// not copied or changed after their first use.
package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/transport"
)

// Info is what is known of a session's other side.
type Info = session.Info

// network is what every role has: it is itself by its Ed25519 key, accepts the
// given schemes and exchanges keys by HPKE.
func network(id *Identity, schemes entityauth.Schemes) (*message.Network, error) {
	if id == nil {
		return nil, errors.New("peer: Identity is missing: open one with OpenIdentity")
	}
	self := entityauth.NewEd25519(id.key)
	return &message.Network{
		Self:        self.Self(),
		SelfScheme:  self,
		EntityAuth:  append(entityauth.Schemes{self}, schemes...),
		KeyExchange: keyx.Schemes{keyx.HPKE{}},
		Formats:     []framing.Format{framing.CBOR, framing.JSON},
	}, nil
}

// connect gives a function that connects to the first of urls that answers. An
// address that does not answer is passed over.
func connect(urls []string, opts *transport.Options) func(context.Context) (transport.Conn, error) {
	return func(ctx context.Context) (transport.Conn, error) {
		failed := make([]error, 0, len(urls))
		for _, url := range urls {
			conn, err := transport.Dial(ctx, url, opts)
			if err == nil {
				return conn, nil
			}
			failed = append(failed, err)
			if ctx.Err() != nil {
				break
			}
		}
		if len(urls) == 0 {
			return nil, errors.New("peer: no URL to dial")
		}
		return nil, fmt.Errorf("peer: %w", errors.Join(failed...))
	}
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
