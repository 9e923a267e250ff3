package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
	mslhttp "github.com/mslgo/msl/transport/http"
)

// ErrServerClosed is what the serving calls return after Shutdown or Close.
var ErrServerClosed = errors.New("peer: the server is closed")

// A Server answers for a service. Several servers with the same Identity,
// Service, TokenKeys and Issuer are one service: a client that one of them
// knows can continue at any other.
type Server struct {
	// Identity is the service's, the same at all its servers. Required.
	Identity *Identity
	// Service is the name we answer to. Required.
	Service string

	// TokenKeys make the master tokens. Nil: fresh ones, so that clients have to
	// authenticate again when the program has been restarted; see [OpenTokenKeys].
	TokenKeys *token.Keys
	// Issuer keeps the state of issued tokens. Nil: in memory.
	Issuer token.Issuer

	// EntityAuth has schemes of clients that are accepted besides ED25519.
	EntityAuth entityauth.Schemes
	// UserAuth has the schemes of users' credentials that are accepted.
	UserAuth userauth.Schemes
	// ServiceContexts are the keys of our service tokens, by name; "" is for all
	// others. Nil: we give none, and read none.
	ServiceContexts token.ServiceContexts
	// Network is all that MSL can be told about a party, in place of Identity,
	// EntityAuth, UserAuth and ServiceContexts. TokenKeys, Issuer and Service are
	// put into a copy where it has none. Nil: made of those four.
	Network *message.Network

	// Admit is asked about everybody who has authenticated, before the answer
	// is written, and again as Recheck says; an error refuses. Nil admits
	// everybody: then whoever has a key, has access.
	Admit func(ctx context.Context, info Info) error
	// Recheck is how often it is asked whether a session that stands may go on;
	// see [session.Responder]. Default an hour, negative: never.
	Recheck time.Duration

	// Session is called, in a goroutine of its own, with each session. The
	// session is closed when it returns. ctx ends when the server is closed
	// or the session is over. Nil: there is a Handler, and who asks for a
	// session gets an answer without one.
	Session func(ctx context.Context, s *session.Session)

	// Handler answers requests of classic MSL on the same ports. Nil: there are
	// sessions only.
	Handler Handler
	// InsecurePlaintext lets answers go for everybody to read where there are no
	// keys, instead of having the client get some, and InsecureUnprotected for
	// everybody to change, too; see [ResponseWriter] for single answers.
	InsecurePlaintext   bool
	InsecureUnprotected bool
	// Timeout is how long a requester may keep the Handler waiting: for each
	// chunk of a request, and for each write of an answer. What does not come in
	// time is an os.ErrDeadlineExceeded, and ends the connection. For the next
	// request a connection waits two minutes. Default two minutes, over HTTP
	// that of transport/http; negative: for ever.
	Timeout time.Duration

	// Transports to listen with. Nil: transport.Defaults().
	Transports []transport.Transport
	// TLS has the certificate for wss.
	TLS *tls.Config
	// Origins of web pages that may connect, besides our own host.
	Origins []string

	// Limits of the sessions, Algorithms that may be used.
	Limits     session.Limits
	Algorithms session.Algorithms
	// Retained is how many bytes may be kept for all sessions until they are
	// acknowledged, and Moves how often in 10 seconds a session may get another
	// connection; see [session.Responder]. Default 1 GiB, and 10.
	Retained int64
	Moves    int

	// AcceptEarly takes the early data of [Client.DialEarly], once in the whole
	// service as its Issuer says, and without forward secrecy. By default it is
	// dropped, and comes again behind the answer.
	AcceptEarly bool

	// Handshakes is how many set-ups of sessions run at a time. Default 256;
	// those beyond it wait. Requests of classic MSL do not count: each is served
	// on its connection, whose number is the listener's to bound.
	Handshakes int

	// Log gets a line for each set-up that fails. Nil: silent.
	Log *slog.Logger

	// Observe is told of figures and events of the sessions. The zero value:
	// nobody is.
	Observe observe.Observer
	// KeyLog gets the secrets of every session: for finding faults, never in
	// service; see [session.Initiator]. Nil: none.
	KeyLog io.Writer

	names []string // besides Service; a Node's own
	node  *Node    // whose server this is; nil: a service's

	classic  *classic.Party
	requests requests

	start sync.Once
	acceptor
}

// ListenAndServe listens on the URLs and serves until ctx ends, the server is
// closed, or a listener fails. It returns ErrServerClosed after Shutdown or
// Close, else the first error. The sessions live on.
func (s *Server) ListenAndServe(ctx context.Context, urls ...string) error {
	listeners := make([]transport.Listener, 0, len(urls))
	for _, url := range urls {
		l, err := s.Listen(ctx, url)
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return err
		}
		listeners = append(listeners, l)
	}
	return s.Serve(ctx, listeners...)
}

// Listen listens on a URL with the server's transports, for [Server.Serve].
func (s *Server) Listen(ctx context.Context, url string) (transport.Listener, error) {
	return transport.Listen(ctx, url, &transport.Options{Transports: s.Transports, TLS: s.TLS, Origins: s.Origins})
}

// Serve accepts connections on the listeners, which it closes in the end, and
// serves them. It returns as ListenAndServe does.
func (s *Server) Serve(ctx context.Context, listeners ...transport.Listener) error {
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	if err := s.init(); err != nil {
		return err
	}
	return s.serve(ctx, listeners)
}

// ServeConn serves one connection and returns when its session is over, or with
// the error of its set-up, or at once if it goes on with a session that had lost
// its connection. The connection belongs to the server.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn) error {
	if err := s.init(); err != nil {
		return err
	}
	return s.serveConn(ctx, transport.NetConn(conn))
}

// ServeHTTP serves the channel over WebSocket, and requests that are POSTed,
// beside whatever else a web server does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.init(); err != nil {
		http.Error(w, "the server is not configured", http.StatusInternalServerError)
		return
	}
	if r.Method == http.MethodPost && s.Handler != nil {
		(&mslhttp.Handler{Serve: s.ServeExchange, Timeout: s.Timeout}).ServeHTTP(w, r)
		return
	}
	h := transport.WebSocketHandler{
		Options: &transport.Options{Origins: s.Origins},
		Serve: func(conn transport.Conn) {
			// The hijacked connection outlives the request's context.
			_ = s.serveConn(context.WithoutCancel(r.Context()), conn)
		},
	}
	h.ServeHTTP(w, r)
}

// Shutdown stops listening, lets the open streams of all sessions finish until
// ctx ends, closes the sessions and waits for them. It returns ctx's error if
// that came first.
func (s *Server) Shutdown(ctx context.Context) error { return s.shutdown(ctx) }

// Close stops listening and closes all sessions at once.
func (s *Server) Close() error {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.shutdown(done); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// init assembles the responder on the first use.
func (s *Server) init() (err error) {
	s.start.Do(func() {
		keys, issuer := s.TokenKeys, s.Issuer
		if keys == nil {
			keys = NewTokenKeys()
		}
		if issuer == nil {
			issuer = store.NewMemoryIssuer()
		}
		n, nerr := s.network(keys, issuer)
		if nerr != nil {
			s.failed = nerr
			return
		}
		if s.Session == nil && s.Handler == nil {
			s.failed = errors.New("peer: Session and Handler are missing: nobody would serve anything")
			return
		}
		s.requests = requests{s.Handler, s.InsecurePlaintext, s.InsecureUnprotected, s.Timeout, orDiscard(s.Log)}
		s.classic = s.party(n)
		if s.Handler != nil {
			s.acceptor.classic = s.serveClassic
		}
		names := s.names
		if s.Service != "" {
			names = append(names, s.Service)
		}
		s.acceptor.start(&session.Responder{
			Network:     n,
			Names:       names,
			Admit:       s.Admit,
			Recheck:     s.Recheck,
			Limits:      s.Limits,
			Algorithms:  s.Algorithms,
			Retained:    s.Retained,
			Moves:       s.Moves,
			AcceptEarly: s.AcceptEarly,
			Log:         s.Log,
			Observe:     s.Observe,
			KeyLog:      s.KeyLog,
		}, s.Session, s.Handshakes, orDiscard(s.Log))
	})
	return s.failed
}

// network is who we are, and what we issue.
func (s *Server) network(keys *token.Keys, issuer token.Issuer) (*message.Network, error) {
	if s.Network == nil {
		n, err := network(s.Identity, s.EntityAuth)
		if err != nil {
			return nil, err
		}
		n.UserAuth, n.ServiceContexts = s.UserAuth, s.ServiceContexts
		n.TokenKeys, n.Issuer, n.Service = keys, issuer, s.Service
		return n, nil
	}
	n := *s.Network
	if n.TokenKeys == nil {
		n.TokenKeys = keys
	}
	if n.Issuer == nil {
		n.Issuer = issuer
	}
	if n.Service == "" {
		n.Service = s.Service
	}
	return &n, nil
}

// party is the server as classic MSL sees it.
func (s *Server) party(n *message.Network) *classic.Party {
	p := &classic.Party{Network: n}
	if s.Admit != nil {
		p.Admit = func(ctx context.Context, h *message.Header) error { return s.Admit(ctx, infoOf(h)) }
	}
	if s.Session != nil {
		p.Channel = session.Sentinel()
	}
	return p
}

// infoOf is what is known of who sent a classic message.
func infoOf(h *message.Header) Info {
	return Info{Entity: h.Sender, User: h.User, Resumed: h.MasterToken != nil}
}
