package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"

	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
	mslhttp "github.com/mslgo/msl/transport/http"
)

// A Client opens sessions with the servers of one service, and sends them
// requests of classic MSL.
type Client struct {
	// Identity is who we are. Required, unless there is a Network.
	Identity *Identity
	// Service is the name the servers answer to. Required.
	Service string
	// Trust says who the servers have to be. Required.
	Trust Trust

	// Tokens keeps what the service gives us, so that the next contact needs
	// no key exchange and no signature. Nil: in memory, as long as the Client lives.
	Tokens token.Holders

	// EntityAuth has schemes of servers that are accepted besides ED25519.
	EntityAuth entityauth.Schemes
	// Network is all that MSL can be told about a party, in place of Identity and
	// EntityAuth: for other identities, key exchanges and service tokens, as
	// services of classic MSL want them. Nil: made of those two.
	Network *message.Network
	// Reauthenticate gives other entity authentication data when the service
	// rejects what we have, for [Client.Do]. Nil: there is none.
	Reauthenticate func(ctx context.Context, rejected error) (entityauth.Data, error)

	// ClassicFallback lets a service answer that does not speak the channel: Dial
	// then returns a *session.NoChannelError with a Header, whose tokens are kept,
	// so that [Client.Do] can go on with them at once. It needs a Network with a
	// key exchange of classic MSL, and [Pinned]. A service that has shown that it
	// speaks the channel is held to it.
	ClassicFallback bool

	// Transports to dial with. Nil: transport.Defaults().
	Transports []transport.Transport
	// TLS for wss. Nil: the system's roots.
	TLS *tls.Config
	// Exchangers carry requests over what gives no connections, besides the
	// Transports. Nil: http and https.
	Exchangers []transport.Exchanger

	// Limits of the sessions, Algorithms that may be used.
	Limits     session.Limits
	Algorithms session.Algorithms

	// OnState is told when a session loses its connection, gets
	// another, or ends. It must not wait for the session. Nil: nobody is.
	OnState func(*session.Session, session.State)

	// Log gets a line for each set-up that fails. Nil: silent.
	Log *slog.Logger

	// Observe is told of figures and events of the sessions. The zero value:
	// nobody is.
	Observe observe.Observer
	// KeyLog gets the secrets of every session: for finding faults, never in
	// service; see [session.Initiator]. Nil: none.
	KeyLog io.Writer

	start   sync.Once // makes what all sessions share
	tokens  token.Holders
	self    *message.Network
	failed  error // to make self
	options *transport.Options

	mu      sync.Mutex
	classic *classic.Party // see Do
	slot    classic.Slot
	http    mslhttp.Transport
}

// Dial connects to the service at one of the URLs and sets a session up with the
// first that answers. They race: each begins 250 ms after the one before it, or
// at once when that fails, and what connects too late is closed. ctx bounds the dial only, not the session, which
// connects again by itself when it loses its connection. When the server shuts
// down, open streams finish and new ones get session.ErrGoingAway: Dial again.
// Errors are those of transport.Dial and session.Connect.
func (c *Client) Dial(ctx context.Context, urls ...string) (*session.Session, error) {
	i, err := c.initiator()
	if err != nil {
		return nil, err
	}
	to := addresses{urls, c.options}
	i.Connect = to.again
	s, err := session.Connect(ctx, to.connect, i)
	return s, c.adopt(ctx, err)
}

// adopt keeps what a classic answer to a set-up brought.
func (c *Client) adopt(ctx context.Context, err error) error {
	e, ok := errors.AsType[*session.NoChannelError](err)
	if !ok || e.Header == nil {
		return err
	}
	p, failed := c.party(ctx)
	if failed == nil {
		failed = p.Adopt(ctx, e.Header)
	}
	if failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// transports are those to dial with, and at their end one that says why http is
// none of them.
func (c *Client) transports() []transport.Transport {
	list := c.Transports
	if list == nil {
		list = transport.Defaults()
	}
	return append(slices.Clip(list), &c.http)
}

// exchangers are those to send requests with.
func (c *Client) exchangers() []transport.Exchanger {
	if c.Exchangers == nil {
		return []transport.Exchanger{&c.http}
	}
	return c.Exchangers
}

// DialEarly is Dial without waiting for the service's answer, if a token of an
// earlier session is held; else it is Dial. Streams may be opened and written to
// at once, and up to 64 KiB of that leaves before the answer.
//
// Such early data is not forward secret. It is processed at most once, but
// perhaps not at all: where that cannot be known, its streams end with
// session.ErrOutcomeUnknown, and only the application may send it again. See
// session.DialEarly.
func (c *Client) DialEarly(ctx context.Context, urls ...string) (*session.Session, error) {
	i, err := c.initiator()
	if err != nil {
		return nil, err
	}
	to := addresses{urls, c.options}
	i.Connect = to.again
	return session.ConnectEarly(ctx, to.connect, i)
}

// NewSession sets a session up over a connection that was made otherwise. The
// connection belongs to the session from then on, also if the set-up fails, and
// the session ends with it.
func (c *Client) NewSession(ctx context.Context, conn net.Conn) (*session.Session, error) {
	i, err := c.initiator()
	if err != nil {
		return nil, err
	}
	return session.Dial(ctx, transport.NetConn(conn), i)
}

func (c *Client) initiator() (*session.Initiator, error) {
	n, err := c.network()
	if err != nil {
		return nil, err
	}
	return &session.Initiator{
		Network:         n,
		Holder:          c.holders().Holder(c.Service),
		To:              c.Service,
		Trust:           c.Trust,
		Limits:          c.Limits,
		Algorithms:      c.Algorithms,
		Slot:            &c.slot,
		ClassicFallback: c.ClassicFallback,
		OnState:         c.OnState,
		Log:             c.Log,
		Observe:         c.Observe,
		KeyLog:          c.KeyLog,
	}, nil
}

// init assembles what all sessions share.
func (c *Client) init() {
	c.start.Do(func() {
		if c.tokens = c.Tokens; c.tokens == nil {
			c.tokens = store.NewMemory()
		}
		if c.self = c.Network; c.self == nil {
			c.self, c.failed = network(c.Identity, c.EntityAuth)
		}
		c.options = &transport.Options{Transports: c.transports(), TLS: c.TLS}
	})
}

// network is who we are.
func (c *Client) network() (*message.Network, error) {
	c.init()
	return c.self, c.failed
}

// holders is where tokens are kept.
func (c *Client) holders() token.Holders {
	c.init()
	return c.tokens
}
