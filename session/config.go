package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/session/internal/recent"
	"github.com/mslgo/msl/transport"
)

// An Initiator says how this side begins sessions with one service or peer. It
// is not changed while in use and may be used for many sessions at once.
type Initiator struct {
	// Network is who we are and which schemes we accept. Its own entity
	// authentication data is needed for first contact and for AUTH. Of its key
	// exchange schemes only HPKE is offered, all of them with ClassicFallback.
	Network *message.Network

	// Holder keeps the tokens of To. Nil: none are kept, and every set-up is a
	// first contact.
	Holder token.Holder

	// To is the name that the responder answers to: the service's, which is the
	// same at all its servers, or between equals the peer's identity. 1 to 255 bytes.
	To string

	// Trust says who may answer under To. Nil: nobody.
	Trust Trust

	// Limits of the session.
	Limits Limits

	// Algorithms that may be used.
	Algorithms Algorithms

	// Fresh asks for first contact although a token is held: after an
	// ENTITY_REAUTH, or as often as a policy wants it. The held token is
	// dropped when the new set-up is confirmed, not before.
	Fresh bool

	// InsecureNoAuth accepts a resumed session from a responder that has a
	// signing key and does not prove it. Whoever has the service's token keys,
	// or learned the session keys, can then be the service (X11).
	InsecureNoAuth bool

	// Slot is the renewal slot towards To, shared with the requests of classic
	// MSL and with other set-ups: of all that may bring a token, one is under way
	// at a time. Nil: nobody else is asking.
	Slot *classic.Slot

	// ClassicFallback offers, at first contact, key exchanges that classic MSL
	// knows. A responder that does not speak the channel then gives a
	// [NoChannelError] with its answer, on which classic MSL can go on. Not
	// together with trust on first use.
	ClassicFallback bool

	// ServiceTokens is told of service tokens that the responder sent inside the
	// channel, after the Holder has them. It must not wait for the session. Nil:
	// nobody is.
	ServiceTokens func(*Session, []*token.ServiceToken)

	// Connect makes another connection for a session that has lost its own. at
	// is where the responder says that this very server is reached: to be tried
	// first, unless they protect less. attempt counts from 0 since the last
	// good connection: each had better begin with another address. Nil: what
	// [Connect] was given, and without it a session ends with its connection.
	Connect func(ctx context.Context, at []string, attempt int) (transport.Conn, error)

	// OnState is told of each change of a session's [State], in order. It must
	// not wait for the session. Nil: nobody is.
	OnState func(*Session, State)

	// Log gets a line for each set-up that fails or ends. Nil: silent.
	Log *slog.Logger

	// Observe is told of figures and events. The zero value: nobody is.
	Observe observe.Observer

	// KeyLog gets the secrets of every session, with which whoever recorded its
	// connection can read it: for finding faults, never in service. Each Write is
	// whole lines; the format stands in docs/operations.md. Nil: none.
	KeyLog io.Writer

	pause func(attempt int) time.Duration // before an attach; nil: the usual one
}

// Trust says who is expected to answer. Implementations may be called
// concurrently.
type Trust interface {
	// Expect returns the entity that answers to name. The zero Entity means
	// that nobody is known yet and the first to answer is to be pinned; an
	// error ends the set-up.
	Expect(ctx context.Context, name string) (token.Entity, error)
	// Pin keeps e as the one that answers to name. It is called only after
	// Expect returned the zero Entity, when the first record of e was opened
	// and before Dial returns, and never replaces another (X19).
	Pin(ctx context.Context, name string, e token.Entity) error
}

// Known is the [Trust] in one entity that is known beforehand.
func Known(e token.Entity) Trust { return known(e) }

type known token.Entity

func (k known) Expect(context.Context, string) (token.Entity, error) { return token.Entity(k), nil }

func (k known) Pin(context.Context, string, token.Entity) error { return nil }

// A Responder says how this side answers. It counts what is unconfirmed and
// remembers first contacts, so one value serves all connections of a service
// and is not copied after its first use.
type Responder struct {
	// Network is who we are and which schemes we accept. It issues tokens:
	// TokenKeys and Issuer are needed. Its own entity authentication data must
	// protect integrity.
	Network *message.Network

	// Names we answer to: the service's, or between equals our own identity.
	Names []string

	// Issuers are the identities, besides our own, whose tokens we accept: of
	// services of this network that share our token keys.
	Issuers []string

	// Admit is asked about everybody who has authenticated, before the answer
	// is written, and later as Recheck says. An error refuses the set-up; a *mslerr.Error is sent as it
	// is, another as mslerr.EntityRejectedByApp. Nil admits everybody.
	Admit func(ctx context.Context, info Info) error

	// Recheck is how often it is asked, besides at every attach, whether the entity,
	// token and user of a session that stands are revoked, and Admit again: a
	// refusal ends the session with REVOKED. Default an hour, negative: never.
	Recheck time.Duration

	// Limits of the sessions.
	Limits Limits

	// Algorithms that may be used.
	Algorithms Algorithms

	// RequireAuth wants AUTH from every initiator with a signing key that
	// resumes: who has only its session keys is then refused (X11).
	RequireAuth bool

	// AcceptEarly takes the early data of [DialEarly], which the network's Issuer
	// must then allow once in the whole service: a store that loses claims lets
	// it be replayed. It has no forward secrecy. Not with RequireAuth. By
	// default it is dropped, and comes again with the initiator's next flight.
	AcceptEarly bool

	// At is where this very server can be reached, if it stands behind a
	// balancer: at most 4 URLs of at most 256 bytes.
	At []string

	// Unconfirmed bounds the set-ups that are begun and not yet confirmed.
	// Default 1024. Beyond it initiators get TRANSIENT_FAILURE.
	Unconfirmed int

	// Timeout is how long an initiator may take for its header, and again for
	// the record that confirms the set-up. Default 10 s.
	Timeout time.Duration

	// ServiceTokens is told of service tokens that an initiator sent inside its
	// channel. It must not wait for the session. Nil: nobody is.
	ServiceTokens func(*Session, []*token.ServiceToken)

	// Retained is how many bytes of records may be kept for all sessions until
	// they are acknowledged. If more are, new sessions end with their
	// connections. Default 1 GiB.
	Retained int64

	// Moves is how often in 10 seconds a session may get another connection.
	// Default 10.
	Moves int

	// OnState is told of each change of a session's [State], in order. It must
	// not wait for the session. Nil: nobody is.
	OnState func(*Session, State)

	// Log gets a line for each set-up that fails. Nil: silent.
	Log *slog.Logger

	// Observe is told of figures and events. The zero value: nobody is.
	Observe observe.Observer

	// KeyLog gets the secrets of every session, as in [Initiator].
	KeyLog io.Writer

	channels registry

	mu          sync.Mutex
	unconfirmed int
	seen        recent.Set[contact] // first contacts: a repeated one costs no key exchange (W-02)
}

func (r *Responder) timeout() time.Duration {
	if r.Timeout <= 0 {
		return 10 * time.Second
	}
	return r.Timeout
}

// begin counts one more unconfirmed set-up and reports whether it is within the bound.
func (r *Responder) begin() bool {
	most := r.Unconfirmed
	if most <= 0 {
		most = 1024
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unconfirmed >= most {
		return false
	}
	r.unconfirmed++
	return true
}

// end is called when a set-up that was begun is confirmed or over.
func (r *Responder) end() {
	r.mu.Lock()
	r.unconfirmed--
	r.mu.Unlock()
}

// first reports whether this is the first time that a first contact of e has
// the message ID.
func (r *Responder) first(e token.Entity, id int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.Add(contact{e, id})
}

type contact struct {
	entity token.Entity
	id     int64
}

// Limits is what one side of a session allows the other at first and keeps for
// it. Zero fields mean the default.
type Limits struct {
	// Record is the largest record plaintext we accept, in bytes: 16 KiB to
	// 1 MiB, default 64 KiB.
	Record int
	// StreamWindow is the credit of a stream at first, in bytes: 64 KiB or
	// more, default 256 KiB. It grows with bandwidth and delay up to
	// StreamWindowMax, default 16 MiB.
	StreamWindow, StreamWindowMax int64
	// Window is the credit of the whole session, in bytes: 64 KiB or more, default
	// 4 MiB. It grows up to WindowMax, default 32 MiB.
	Window, WindowMax int64
	// Streams is how many streams the other side may have open: 16 to 65536,
	// default 256.
	Streams int
	// Retain is the least number of bytes we keep until they are acknowledged:
	// 64 KiB or more, default 1 MiB. It grows up to RetainMax, default 16 MiB.
	Retain, RetainMax int64
	// Durable is how long a session outlives its connection, in whole seconds
	// up to a day: default 2 minutes, negative: not at all. The lower of both
	// sides holds.
	Durable time.Duration
	// Idle is how long a session may have no streams before this side closes
	// it with IDLE, and up to twice that: default 30 minutes, negative: for ever.
	Idle time.Duration
	// Bandwidth is how many bytes of data a second may leave on all streams
	// together, see [Session.SetBandwidth]. Default: as many as there are.
	Bandwidth int64
	// Rekey is how often the session gets new keys from a new KEM share:
	// default an hour, negative: only by [Session.Rekey].
	Rekey time.Duration
	// NoCompression ends the session with COMPRESSION when the other side sends
	// compressed data on a stream. By default that is taken, within the bounds of
	// Record and of credit; what this side sends is compressed only where
	// [StreamOptions] or SetCompress say so.
	NoCompression bool
}

func (l Limits) rekey() time.Duration {
	if l.Rekey == 0 {
		return time.Hour
	}
	return l.Rekey
}

func (l Limits) idle() time.Duration {
	if l.Idle == 0 {
		return 30 * time.Minute
	}
	return l.Idle
}

// offer is what the members of a header say about l.
func (l Limits) offer() (offer, error) {
	o := offer{
		maxRecord: int64(l.Record), window: l.StreamWindow, credit: l.Window,
		streams: int64(l.Streams), retain: l.Retain,
	}.withDefaults()
	switch {
	case l.Durable == 0:
		o.durable = 120
	case l.Durable > 0:
		o.durable = int64(l.Durable / time.Second)
	}
	return o, o.validate()
}

// validate also makes sure of the limits, so that nothing is begun with bad ones.
func (i *Initiator) validate() error {
	switch {
	case i.Network == nil:
		return fmt.Errorf("session: Initiator without Network")
	case len(i.To) == 0 || len(i.To) > maxName:
		return fmt.Errorf("session: To has %d bytes, not 1 to %d", len(i.To), maxName)
	case i.Trust == nil:
		return fmt.Errorf("session: Initiator without Trust: nobody may answer")
	case i.Network.Self != nil && i.Network.Self.Identity() == i.To:
		return fmt.Errorf("session: To is our own name")
	}
	return i.Algorithms.validate()
}

func (r *Responder) validate() error {
	switch {
	case r.Network == nil:
		return fmt.Errorf("session: Responder without Network")
	case r.Network.Self == nil:
		return fmt.Errorf("session: Responder without entity authentication data of its own")
	case r.Network.TokenKeys == nil || r.Network.Issuer == nil:
		return fmt.Errorf("session: Responder without TokenKeys or Issuer")
	case !slices.ContainsFunc(r.Network.KeyExchange, isHPKE):
		return fmt.Errorf("session: Responder without key exchange scheme HPKE")
	case !protects(r.Network):
		return fmt.Errorf("session: Responder with entity authentication that proves nothing")
	case len(r.Names) == 0:
		return fmt.Errorf("session: Responder answers to no name")
	case len(r.At) > maxAt:
		return fmt.Errorf("session: %d addresses in At, more than %d", len(r.At), maxAt)
	case slices.ContainsFunc(r.At, func(u string) bool { return len(u) > maxAtSize }):
		return fmt.Errorf("session: an address in At has more than %d bytes", maxAtSize)
	}
	return r.Algorithms.validate()
}

func isHPKE(s keyx.Scheme) bool {
	_, ok := s.(keyx.HPKE)
	return ok
}

// protects says whether our own entity authentication protects integrity: two
// sides of which neither does get no channel.
func protects(n *message.Network) bool {
	s, ok := schemeOf(n, n.Self.Scheme())
	return ok && s.Protects()
}
