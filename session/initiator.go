package session

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

// maxHeader is the largest header of a set-up that is read, in bytes.
const maxHeader = 256 << 10

// Dial begins a session on conn, which it takes over, also when it fails. The
// end of ctx ends the set-up only. It returns when the first record of the
// responder was opened, which proves the keys; only then are a new token and a
// pin stored.
//
// Refusals by the responder are *[message.ErrorHeader], other failures of the
// protocol *[mslerr.Error]; [ErrNoChannel], [ErrUntrusted] and [ErrAuth] can be
// matched. One call is one attempt, see [Connect].
func Dial(ctx context.Context, conn transport.Conn, i *Initiator) (*Session, error) {
	s := &initiator{Initiator: i, conn: conn, recorder: i.Observe.Session(observe.Initiator)}
	defer s.erase()
	return s.result(ctx, guard(ctx, conn, func(ctx context.Context) error {
		if err := s.open(ctx); err != nil {
			return err
		}
		return s.answered(ctx)
	}))
}

// result is what an attempt gave, which has failed if err is not nil.
func (s *initiator) result(ctx context.Context, err error) (*Session, error) {
	recordSetUp(s.recorder, s.session, err)
	if err == nil {
		return s.session, nil
	}
	abandon(s.conn, s.reader, s.epoch, s.session, err)
	if s.Log != nil {
		s.Log.InfoContext(ctx, "msl session: set-up failed", "to", s.To, "err", err)
	}
	return nil, err
}

// abandon ends an attempt that failed with err, of which anything may be nil
// but the connection. A channel that was begun is closed, as its other side may
// be content with it.
func abandon(conn transport.Conn, r *framing.Reader, e *epoch, s *Session, err error) {
	if s != nil && s.link != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = s.link.Close(ctx, frame.CodeInternal, "")
		cancel()
		s.link.Abort(err)
		<-s.link.Done()
		return
	}
	conn.Close()
	if r != nil {
		r.Close()
	}
	if e != nil {
		e.erase()
	}
}

// guard runs setUp such that the end of ctx ends it, by closing conn.
func guard(ctx context.Context, conn transport.Conn, setUp func(context.Context) error) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := setUp(ctx)
	if !stop() {
		// The connection is closed under whatever has just succeeded.
		return context.Cause(ctx)
	}
	return err
}

// initiator is the state of one attempt.
type initiator struct {
	*Initiator
	conn     transport.Conn
	reader   *framing.Reader
	recorder *observe.Recorder

	network  message.Network // with the key exchange schemes of this attempt
	expected token.Entity    // zero: whoever answers first
	held     *token.Held     // the token of the request; nil: first contact
	older    *token.Held     // to be dropped when this set-up is confirmed
	turn     *classic.Turn   // the renewal slot, if it is held
	kept     *token.MasterToken

	request *request
	sent    *message.Sealed
	offers  []keyx.Offer
	parties keyx.Parties
	shares  []share
	hq      digest

	header   *message.Header
	response *response

	wantsEarly bool
	early      *earlyData // nil: none is sent

	epoch    *epoch
	exporter mslcrypto.Key
	session  *Session
}

// open is the first part of the initiator's half of a set-up (channel set-up
// 4.1): it ends with the request.
func (s *initiator) open(ctx context.Context) error {
	return inTurn(ctx,
		s.begin,
		s.expect,      // 4.3.1: who may answer
		s.chooseToken, // 4.1.1
		s.takeSlot,    // 4.1.1
		s.makeRequest, // 4.1.2 to 4.1.5
		s.sendRequest,
		done(s.recorder, "request sent"),
	)
}

// answered is the other part (4.3).
func (s *initiator) answered(ctx context.Context) error {
	return inTurn(ctx,
		s.readResponse, // 4.3.1: it verifies, 4.3.2: its ID
		done(s.recorder, "response opened"),
		s.checkResponder, // 4.3.1
		s.checkChannel,   // 4.3.2
		s.deriveKeys,     // 4.3.3, 4.4
		done(s.recorder, "keys derived"),
		s.confirm, // 4.3.3, 4.3.4
		done(s.recorder, "confirmed"),
		s.keep, // 4.3.3: pin and token
	)
}

// inTurn does the steps until one fails.
func inTurn(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *initiator) begin(context.Context) error {
	if err := s.validate(); err != nil {
		return err
	}
	if s.conn.Form() == transport.Single {
		return &NoChannelError{Reason: "the connection is of the classic form"}
	}
	s.reader = framing.NewReader(s.conn, framing.Limits{Object: maxHeader})
	s.network = *s.Network
	return nil
}

func (s *initiator) expect(ctx context.Context) (err error) {
	s.expected, err = s.Trust.Expect(ctx, s.To)
	if err != nil {
		return fmt.Errorf("session: %q: %w", s.To, err)
	}
	if s.firstUse() && s.ClassicFallback {
		return errors.New("session: classic fallback together with trust on first use")
	}
	return nil
}

func (s *initiator) firstUse() bool { return s.expected == token.Entity{} }

// chooseToken takes the newest token if it may make a channel: issued by the
// expected entity, which was authenticated and has shown the sentinel (X14), to who we
// are now. Without one, or when asked for, it is first contact.
func (s *initiator) chooseToken(ctx context.Context) error {
	if s.Holder == nil {
		return nil
	}
	h, err := s.Holder.Newest(ctx)
	if err != nil {
		return err
	}
	if h == nil {
		return nil
	}
	from := h.From
	good := from.Authenticated && from.Sentinel && !s.firstUse() && from.Issuer == s.expected
	ours := s.network.Self == nil || entityauth.EntityOf(s.network.Self) == h.Self
	if s.Fresh || !good || !ours {
		s.older = h
	} else {
		s.held = h
	}
	return nil
}

// renews says whether the set-up is to bring a token.
func (s *initiator) renews() bool { return s.held == nil || s.held.Token.Expired(now(s.Network)) }

// takeSlot takes the renewal slot for a set-up that is to bring a token, unless
// another message gets one meanwhile that will do (spec 09 section 5.2).
func (s *initiator) takeSlot(ctx context.Context) error {
	for s.Slot != nil && s.turn == nil && s.renews() {
		var err error
		if s.turn, _, err = s.Slot.Acquire(ctx); err != nil {
			return err
		}
		s.held, s.older = nil, nil
		if err := s.chooseToken(ctx); err != nil {
			return err
		}
	}
	if s.turn != nil && !s.renews() {
		s.turn.Publish(s.held.Token)
	}
	return nil
}

func (s *initiator) makeRequest(ctx context.Context) error {
	o, err := s.Limits.offer()
	if err != nil {
		return err
	}
	if s.Connect == nil {
		o.durable = 0 // nobody could attach
	}
	s.request = &request{
		versions: []int64{version},
		suites:   s.Algorithms.suites(),
		to:       s.To,
		offer:    o,
	}
	renew := s.held != nil && s.renews()
	if s.held != nil {
		s.request.from = s.held.Self.Identity
		s.request.issuer = s.held.From.Issuer.Identity
		s.request.auth = s.canSign()
		s.parties = keyx.Parties{Identity: s.held.Self.Identity, Token: s.held.Token}
	} else {
		if s.network.Self == nil {
			return errors.New("session: first contact without entity authentication data of our own")
		}
		self := entityauth.EntityOf(s.network.Self)
		s.parties = keyx.Parties{Requester: self, Identity: self.Identity}
	}
	// HPKE alone, as one KEM then carries everything; without it if a classic
	// peer may answer, since an unknown scheme fails its whole message.
	if s.mayFallBack() {
		s.network.KeyExchange = slices.DeleteFunc(slices.Clone(s.network.KeyExchange), isHPKE)
	} else {
		s.network.KeyExchange = keyx.Schemes{keyx.HPKE{KEMs: s.Algorithms.kems()}}
	}
	if s.held == nil || renew {
		if s.offers, err = s.network.KeyExchange.Offer(ctx, s.parties); err != nil {
			return err
		}
	}
	if s.held != nil || s.mayFallBack() {
		if err := s.makeShares(); err != nil {
			return err
		}
	}
	spec := s.requestSpec(renew)
	if s.canEarly() {
		s.request.early = true
		spec.Channel = s.request.object()
		if spec.NonReplayableID, err = s.nonReplayableID(ctx); err != nil {
			return err
		}
	}
	s.sent, err = s.network.Seal(ctx, spec)
	if err != nil {
		return err
	}
	s.hq = headerHash(s.sent.Raw)
	return nil
}

// mayFallBack says whether a classic answer is good enough: the caller allowed
// it, and this peer has never shown that it speaks the channel (X12).
func (s *initiator) mayFallBack() bool {
	return s.ClassicFallback && s.held == nil && (s.older == nil || !s.older.From.Sentinel)
}

// makeShares makes a fresh key of the best KEM (4.1.4). One is enough: a
// responder has all.
func (s *initiator) makeShares() error {
	one, err := newShare(s.Algorithms.kems()[0])
	if err != nil {
		return err
	}
	s.shares = []share{one}
	s.request.shares = []publicShare{{one.kem, one.public}}
	return nil
}

// canSign says whether we have a signing key: AUTH is then always sent on
// resumption, since the other side's policy is not visible (4.5).
func (s *initiator) canSign() bool {
	return s.network.Self != nil && entityauth.EntityOf(s.network.Self) == s.held.Self && signs(&s.network, s.network.Self.Scheme())
}

func (s *initiator) sendRequest(context.Context) error {
	if _, err := s.conn.Write(s.sent.Raw); err != nil || !s.canEarly() {
		return err
	}
	return s.beginEarly()
}

// readResponse reads and opens the answer: it verifies with the key of the
// entity that sent it or with those of the request's token, and its ID is the
// next one.
func (s *initiator) readResponse(ctx context.Context) error {
	raw, _, err := s.reader.Object()
	if err != nil {
		err = parseFailure(err)
		return fmt.Errorf("session: no answer to the set-up: %w", err)
	}
	s.header, err = s.network.Open(ctx, raw, message.OpenOptions{
		RequestID: &s.sent.MessageID,
		Offers:    s.offers,
		Parties:   s.parties,
		Holder:    holding{s.Holder, s.held},
	})
	return err
}

// holding finds the request's token and no other: an answer under another one
// does not belong to the request.
type holding struct {
	token.Holder
	held *token.Held
}

func (h holding) Find(_ context.Context, t *token.MasterToken) (*token.Held, error) {
	if h.held == nil || !h.held.Token.Equal(t) {
		return nil, nil
	}
	return h.held, nil
}

func (s *initiator) checkResponder(context.Context) error {
	if s.held != nil && s.header.Held != nil {
		return nil // who has the session keys; AUTH tells more
	}
	switch h := s.header; {
	case h.EntityAuth == nil || !h.HeaderProtected:
		return fmt.Errorf("%w: nothing proves who answered", ErrUntrusted)
	case s.firstUse():
		if _, ok := h.EntityAuth.(interface{ PublicKey() ed25519.PublicKey }); !ok {
			return fmt.Errorf("%w: scheme %s carries no key that could be pinned", ErrUntrusted, h.Sender.Scheme)
		}
	case h.Sender != s.expected:
		return fmt.Errorf("%w: %s %q instead of %s %q answers to %q", ErrUntrusted,
			h.Sender.Scheme, h.Sender.Identity, s.expected.Scheme, s.expected.Identity, s.To)
	}
	return nil
}

func (s *initiator) checkChannel(context.Context) error {
	if s.header.Channel == nil {
		e := &NoChannelError{Reason: "it answered classically"}
		if s.mayFallBack() {
			e.Header = s.header
		}
		return e
	}
	r, err := parseResponse(s.header.Channel)
	if err != nil {
		return err
	}
	s.response = r
	switch {
	case r.versions != nil && r.err != "":
		return &NoChannelError{Reason: fmt.Sprintf("%q, versions %d", r.err, r.versions)}
	case r.versions != nil || r.attach != nil:
		return &NoChannelError{Reason: "it speaks the channel, but does not answer our request for one"}
	case r.version != version:
		return mslerr.New(mslerr.ParseError, "channel version %d was not offered", r.version)
	case !slices.Contains(s.request.suites, r.suite):
		return mslerr.New(mslerr.ParseError, "suite %v was not offered", r.suite)
	case r.early != earlyNone && !s.request.early:
		return mslerr.New(mslerr.ParseError, "an answer to early data that was not announced")
	case r.offer.durable > s.request.offer.durable:
		return mslerr.New(mslerr.ParseError, "durable of %d s is over the %d s that were asked for", r.offer.durable, s.request.offer.durable)
	case (r.enc == nil) != (s.exportedSecret() != nil):
		return mslerr.New(mslerr.ParseError, "the channel's secret comes from key exchange HPKE, or else from a share")
	case s.held == nil && s.header.KeyResponse == nil:
		return mslerr.New(mslerr.ParseError, "first contact without a key exchange")
	}
	return nil
}

// exportedSecret is the exporter of key exchange HPKE, nil if x comes from a share.
func (s *initiator) exportedSecret() *keyx.Exporter {
	if s.header.KeyResult == nil {
		return nil
	}
	return s.header.KeyResult.Exporter
}

func (s *initiator) deriveKeys(context.Context) error {
	var x mslcrypto.Key
	var err error
	if e := s.exportedSecret(); e != nil {
		x, err = e.Export(string(shareInfo(s.hq)), xSize)
		e.Erase()
	} else {
		i := slices.IndexFunc(s.shares, func(h share) bool { return h.kem == s.response.kem })
		if i < 0 {
			return mslerr.New(mslerr.ParseError, "KEM %d was not offered", s.response.kem)
		}
		x, err = s.shares[i].decapsulate(s.response.enc, shareInfo(s.hq))
	}
	if err != nil {
		return mslerr.Wrap(mslerr.KeyxInvalidPublicKey, err)
	}
	s.epoch, s.exporter = firstEpoch(s.hq, headerHash(s.header.Raw), s.sessionKeys(), x)
	return nil
}

// sessionKeys are those of our token in force after the pair (4.4.1).
func (s *initiator) sessionKeys() mslcrypto.SessionKeys {
	if s.header.KeyResult != nil {
		return s.header.KeyResult.Keys
	}
	return s.held.Keys
}

// confirm starts the channel and waits until the responder's first record was
// opened and holds AUTH, if it must. The link answers with a record at once.
func (s *initiator) confirm(ctx context.Context) error {
	expected := s.expected
	if s.firstUse() {
		expected = s.header.Sender
	}
	_, known := schemeOf(&s.network, expected.Scheme)
	required := s.held != nil && !s.InsecureNoAuth && (!known || signs(&s.network, expected.Scheme))
	if required && !s.response.auth {
		return fmt.Errorf("%w: %q has a signing key and did not announce it", ErrAuth, s.To)
	}
	// What outlives the attempt keeps nothing of it: s.Network is s.network but for
	// the key exchange.
	c := &control{verify: verifyAuth(ctx, s.Network, labelAuthR2I, s.epoch.th, expected), expected: s.response.auth}
	c.rekey.rekeySettings = rekeySettings{
		network: s.Network,
		kem:     s.kem(),
		peer:    expected,
		signs:   s.request.auth || s.held == nil && signs(&s.network, s.network.Self.Scheme()),
		signed:  required || s.held == nil && signs(&s.network, expected.Scheme),
	}
	if s.request.auth {
		var err error
		if c.auth, err = makeAuth(ctx, &s.network, labelAuthI2R, s.epoch.th); err != nil {
			return err
		}
	}
	var err error
	s.session, err = newSession(setup{
		shell:     s.session,
		early:     s.response.early,
		initiator: true,
		conn:      s.conn,
		epoch:     s.epoch,
		exporter:  s.exporter,
		suite:     s.response.suite,
		id:        s.response.id,
		own:       s.request.offer,
		peer:      s.response.offer,
		limits:    s.Limits,
		control:   c,
		exchange:  exchangeSettings{s.Network, s.Algorithms, expected, s.Holder, s.ServiceTokens, s.Slot},
		log:       s.Log,
		onState:   s.OnState,
		durable:   s.response.offer.durableTime(),
		attacher:  s.Initiator,
		at:        s.response.at,
		recorder:  s.recorder,
		keyLog:    s.KeyLog,
		info: Info{
			Entity:    expected,
			Suite:     s.response.suite,
			KEM:       s.kem(),
			Transport: s.conn.URL(),
			Resumed:   s.held != nil,
		},
	})
	if err != nil {
		return err
	}
	return s.session.confirmed(ctx, s.reader)
}

// kem is the KEM that x came from.
func (s *initiator) kem() uint16 {
	if s.response.enc != nil {
		return s.response.kem
	}
	kem, _, _ := framing.Opt[int64](s.header.KeyResponse.KeyData, "kem")
	return uint16(kem)
}

// keep pins who answered first, and puts the new token in the place of the old
// one: nothing of this before the keys are proved (X3, X19).
func (s *initiator) keep(ctx context.Context) error {
	if s.firstUse() {
		if err := s.Trust.Pin(ctx, s.To, s.header.Sender); err != nil {
			return fmt.Errorf("session: pinning %q: %w", s.To, err)
		}
	}
	if s.header.KeyResponse == nil {
		s.session.exchange.holds(s.held)
		return nil
	}
	h := &token.Held{Token: s.header.KeyResponse.Token, Keys: s.header.KeyResult.Keys}
	old := s.older
	if s.held != nil {
		h.Self, h.From, old = s.held.Self, s.held.From, s.held
	} else {
		h.Self = entityauth.EntityOf(s.network.Self)
		h.From = token.Origin{Issuer: s.header.Sender, Authenticated: true, Sentinel: true, CBOR: announcesCBOR(s.header)}
	}
	if err := s.session.exchange.keep(ctx, h, old); err != nil {
		return err
	}
	s.kept = h.Token
	s.session.exchange.schedule()
	return nil
}

// erase drops the private keys, and gives the slot back, whatever the outcome (4.3.5).
func (s *initiator) erase() {
	s.turn.Publish(s.kept)
	keyx.Erase(s.offers)
	for i := range s.shares {
		s.shares[i].private = nil
	}
	if s.header != nil {
		if e := s.exportedSecret(); e != nil {
			e.Erase()
		}
	}
}
