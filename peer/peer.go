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
	"log/slog"
	"slices"

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

// addresses are the URLs of one session's dial, and how to dial them.
type addresses struct {
	urls []string
	opts *transport.Options
}

// connect connects to the first URL that answers.
func (a addresses) connect(ctx context.Context) (transport.Conn, error) {
	return a.dial(ctx, a.urls)
}

// again connects a session that has lost its connection: to the server that has
// it, at the addresses that it gave, and then to the URLs that were dialled. Each
// attempt begins with the next of them, as one that answers need not have it.
func (a addresses) again(ctx context.Context, at []string, attempt int) (transport.Conn, error) {
	urls := make([]string, 0, len(at)+len(a.urls))
	for _, u := range at {
		if a.protects(u) {
			urls = append(urls, u)
		}
	}
	urls = append(urls, a.urls...)
	if len(urls) > 0 {
		n := attempt % len(urls)
		urls = append(urls[n:len(urls):len(urls)], urls[:n]...)
	}
	return a.dial(ctx, urls)
}

// protects says whether an address that the server gave protects no less than
// those that were dialled.
func (a addresses) protects(rawURL string) bool {
	t, u, err := transport.Find(rawURL, a.opts)
	if err != nil {
		return false
	}
	return t.Protected(u.Scheme) || !slices.ContainsFunc(a.urls, func(dialled string) bool {
		t, u, err := transport.Find(dialled, a.opts)
		return err == nil && t.Protected(u.Scheme)
	})
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
