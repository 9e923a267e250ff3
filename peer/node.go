package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
)

// A Node is one of two equals: it dials and answers, and both ends prove their
// keys. Its name is its own fingerprint, or with a Network the identity there.
type Node struct {
	// Identity is who we are. Required, unless there is a Network.
	Identity *Identity

	// Trust says which peers may reach us: those it knows by their
	// fingerprints. Nil: see Admit. Whom we dial is named in the call.
	Trust Trust
	// Admit is asked about every peer that reached us, besides Trust. With
	// neither, nobody is admitted.
	Admit func(ctx context.Context, info Info) error
	// Recheck is how often both are asked again about a peer whose session
	// stands; see [session.Responder]. Default an hour, negative: never.
	Recheck time.Duration

	// Session is called, in a goroutine of its own, with each session that a
	// peer opened. The session is closed when it returns. Nil: there is a
	// Handler, and sessions are closed at once.
	Session func(ctx context.Context, s *session.Session)

	// Handler answers requests of classic MSL. Nil: there are sessions only.
	Handler Handler
	// UserAuth has the schemes of users' credentials that are accepted.
	UserAuth userauth.Schemes
	// Network is all that MSL can be told about a party, in place of Identity and
	// UserAuth. Peers are then named by their identities, of the scheme of its
	// Self. TokenKeys and Issuer are put into a copy where it has none. Nil: made
	// of those two.
	Network *message.Network

	// Tokens keeps what peers give us. Nil: in memory.
	Tokens token.Holders
	// TokenKeys and Issuer are for the tokens that we give. Nil: in memory.
	TokenKeys *token.Keys
	Issuer    token.Issuer

	// Transports to dial and listen with. Nil: transport.Defaults().
	Transports []transport.Transport
	// TLS for wss.
	TLS *tls.Config

	// Limits of the sessions, Algorithms that may be used.
	Limits     session.Limits
	Algorithms session.Algorithms
	// Retained is how many bytes may be kept for all sessions that peers opened
	// until they are acknowledged, and Moves how often in 10 seconds such a session
	// may get another connection; see [session.Responder]. Default 1 GiB, and 10.
	Retained int64
	Moves    int

	// OnState is told when a session that we dialled loses its connection, gets
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

	start  sync.Once
	tokens token.Holders
	server *Server

	mu      sync.Mutex
	parties map[token.Entity]*classic.Party // the node towards each peer
}

// Dial opens a session with the peer of the given fingerprint, at the first of
// the URLs that answers, which race as in [Client.Dial]. ctx bounds the dial only; the session connects again by
// itself when it loses its connection.
func (n *Node) Dial(ctx context.Context, fingerprint string, urls ...string) (*session.Session, error) {
	i, err := n.initiator(fingerprint)
	if err != nil {
		return nil, err
	}
	to := addresses{urls, &transport.Options{Transports: n.Transports, TLS: n.TLS}}
	i.Connect = to.again
	return session.Connect(ctx, to.connect, i)
}

// NewSession opens a session with the peer of the given fingerprint over a
// connection that was made otherwise.
func (n *Node) NewSession(ctx context.Context, fingerprint string, conn net.Conn) (*session.Session, error) {
	i, err := n.initiator(fingerprint)
	if err != nil {
		return nil, err
	}
	return session.Dial(ctx, transport.NetConn(conn), i)
}

func (n *Node) initiator(fingerprint string) (*session.Initiator, error) {
	net, err := n.network()
	if err != nil {
		return nil, err
	}
	net.TokenKeys, net.Issuer = nil, nil // the other one's tokens are opaque
	to := token.Entity{Scheme: net.Self.Scheme(), Identity: fingerprint}
	p, err := n.party(to)
	if err != nil {
		return nil, err
	}
	return &session.Initiator{
		Network:    net,
		Holder:     n.tokens.Holder(fingerprint),
		To:         fingerprint,
		Trust:      session.Known(to),
		Limits:     n.Limits,
		Algorithms: n.Algorithms,
		OnState:    n.OnState,
		Slot:       p.Slot,
		Log:        n.Log,
		Observe:    n.Observe,
		KeyLog:     n.KeyLog,
	}, nil
}

// ListenAndServe, Serve, ServeConn, Shutdown and Close are as those of [Server].

// ListenAndServe listens on the URLs and serves peers; see [Server.ListenAndServe].
func (n *Node) ListenAndServe(ctx context.Context, urls ...string) error {
	n.init()
	return n.server.ListenAndServe(ctx, urls...)
}

// Listen listens on a URL with the node's transports, for [Node.Serve].
func (n *Node) Listen(ctx context.Context, url string) (transport.Listener, error) {
	n.init()
	return n.server.Listen(ctx, url)
}

// Serve serves the peers that reach the listeners; see [Server.Serve].
func (n *Node) Serve(ctx context.Context, listeners ...transport.Listener) error {
	n.init()
	return n.server.Serve(ctx, listeners...)
}

// ServeConn serves one connection; see [Server.ServeConn].
func (n *Node) ServeConn(ctx context.Context, conn net.Conn) error {
	n.init()
	return n.server.ServeConn(ctx, conn)
}

// Shutdown drains the sessions that peers opened; see [Server.Shutdown].
func (n *Node) Shutdown(ctx context.Context) error {
	n.init()
	return n.server.Shutdown(ctx)
}

// Close ends the sessions that peers opened; see [Server.Close].
func (n *Node) Close() error {
	n.init()
	return n.server.Close()
}

func (n *Node) init() {
	n.start.Do(func() {
		if n.tokens = n.Tokens; n.tokens == nil {
			n.tokens = store.NewMemory()
		}
		network, err := n.network()
		if err != nil {
			network = &message.Network{}
		}
		keys, issuer := cmp.Or(network.TokenKeys, n.TokenKeys), network.Issuer
		if keys == nil {
			keys = NewTokenKeys()
		}
		if issuer == nil {
			issuer = n.Issuer
		}
		if issuer == nil {
			issuer = store.NewMemoryIssuer()
		}
		n.server = &Server{
			TokenKeys:  keys,
			Issuer:     issuer,
			Handler:    n.Handler,
			node:       n,
			Admit:      n.admit,
			Recheck:    n.Recheck,
			Session:    n.Session,
			Transports: n.Transports,
			TLS:        n.TLS,
			Limits:     n.Limits,
			Algorithms: n.Algorithms,
			Retained:   n.Retained,
			Moves:      n.Moves,
			Log:        n.Log,
			Observe:    n.Observe,
			KeyLog:     n.KeyLog,
		}
		if err == nil { // else the server says what is missing, too
			n.server.Network, n.server.names = network, []string{network.Self.Identity()}
		}
		if n.Session == nil && n.Handler != nil {
			n.server.Session = func(context.Context, *session.Session) {}
		}
	})
}

// network is who we are, in a copy of its own.
func (n *Node) network() (*message.Network, error) {
	if n.Network == nil {
		net, err := network(n.Identity, nil)
		if err == nil {
			net.UserAuth = n.UserAuth
		}
		return net, err
	}
	if n.Network.Self == nil {
		return nil, errors.New("peer: Self is missing in the Network of a Node")
	}
	net := *n.Network
	return &net, nil
}

// errStranger is for our own log; peers learn only that they are refused.
var errStranger = errors.New("peer: not among those who may reach us")

func (n *Node) admit(ctx context.Context, info Info) error {
	if n.Trust == nil && n.Admit == nil {
		return mslerr.New(mslerr.EntityRejectedByApp, "%w: neither Trust nor Admit is set", errStranger)
	}
	if n.Trust != nil {
		known, err := n.Trust.Expect(ctx, info.Entity.Identity)
		if err != nil || known != info.Entity {
			return mslerr.New(mslerr.EntityRejectedByApp, "%w: %w", errStranger, errors.Join(err, fmt.Errorf("%s", info.Entity.Identity)))
		}
	}
	if n.Admit != nil {
		return n.Admit(ctx, info)
	}
	return nil
}
