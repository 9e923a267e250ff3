package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// Accept answers a set-up on conn, which it takes over unless it returns a
// [ClassicError]. A connection that goes on with a living session, in place of
// one that it lost, gives [ErrAttached]. The end of ctx ends the set-up only. It returns when the
// initiator's first record was opened: before that nothing proves that the
// set-up is not a replay, so no application sees it.
//
// It waits at most Responder.Timeout for the header, and as long again for that
// record; such an error is an os.ErrDeadlineExceeded. Refusals are sent to the
// initiator with their response code and nothing else, and returned.
func Accept(ctx context.Context, conn transport.Conn, r *Responder) (*Session, error) {
	s := responder{Responder: r, conn: conn, recorder: r.Observe.Session(observe.Responder)}
	defer s.erase()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.timer = time.AfterFunc(r.timeout(), func() { cancel(errSlowHeader) })
	defer s.timer.Stop()
	s.cancel = cancel
	err := guard(ctx, conn, s.setUp)
	if s.taken {
		err = ErrAttached // the end of ctx came too late for us to close anything but conn
	}
	var classic *ClassicError
	recordSetUp(s.recorder, s.session, err)
	if err == nil || err == ErrAttached || errors.As(err, &classic) {
		return s.session, err
	}
	abandon(s.conn, s.reader, s.epoch, s.session, err)
	if r.Log != nil {
		r.Log.InfoContext(ctx, "msl session: set-up failed", "err", err)
	}
	return nil, err
}

var (
	errSlowHeader      error = timeoutError("session: the header did not come in time")
	errSlowConfirm     error = timeoutError("session: the set-up was not confirmed in time")
	errAnswered              = errors.New("session: nothing was set up")
	errUnsupported           = errors.New("no common version, suite or KEM")
	errTooManyUnproved       = errors.New("session: too many unconfirmed set-ups")
)

// responder is the state of one attempt.
type responder struct {
	*Responder
	conn     transport.Conn
	reader   *framing.Reader
	recorder *observe.Recorder
	cancel   context.CancelCauseFunc
	timer    *time.Timer // of the header, then of the confirmation

	header  *message.Header
	hq      digest
	request *request
	suite   stream.Suite
	kem     uint16
	begun   bool // counted as unconfirmed
	taken   bool // conn and reader are those of a session that was there before

	earlyAnswer earlyAnswer

	spec     message.HeaderSpec
	x        mslcrypto.Key
	response *response
	sent     *message.Sealed

	epoch    *epoch
	exporter mslcrypto.Key
	session  *Session
}

// setUp is the responder's half of a set-up (channel set-up 4.2), the cheapest
// checks first.
func (s *responder) setUp(ctx context.Context) error {
	if err := s.validate(); err != nil {
		return err
	}
	if err := s.readHeader(ctx); err != nil { // 4.2.1, 4.2.2
		return s.refuse(ctx, err)
	}
	if s.header.Channel == nil {
		return &ClassicError{Header: s.header, Reader: s.reader, Conn: s.conn}
	}
	s.recorder.Step("request opened")
	for _, step := range []func(context.Context) error{
		s.parseRequest, // 4.2.1
		s.checkEntity,  // 4.2.3
		s.checkName,    // 4.2.4
		s.checkOrigin,  // 4.2.5
		s.checkToken,   // 4.2.6
		s.attachIfAsked,
		s.checkReplay, // 4.2.3: rate limits
		s.admit,
		done(s.recorder, "admitted"),
		s.choose,   // 4.2.7
		s.claim,    // 4.2.8
		s.exchange, // 4.2.9
	} {
		if err := step(ctx); err == ErrAttached {
			return err
		} else if err != nil {
			return s.refuse(ctx, err)
		}
	}
	for _, step := range []func(context.Context) error{
		s.answer, // 4.2.10
		done(s.recorder, "keys derived"),
		s.start, // 4.2.11
		done(s.recorder, "response sent"),
		s.confirm, // 4.2.12
		done(s.recorder, "confirmed"),
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *responder) readHeader(ctx context.Context) error {
	s.reader = framing.NewReader(s.conn, framing.Limits{Object: maxHeader})
	raw, _, err := s.reader.Object()
	if err != nil {
		return parseFailure(err)
	}
	if s.header, err = s.Network.Open(ctx, raw, message.OpenOptions{}); err != nil {
		return err
	}
	if s.header.Channel != nil && s.conn.Form() == transport.Single {
		s.header.Channel = nil // answered classically, with the sentinel
	}
	s.hq = headerHash(raw)
	return nil
}

func (s *responder) parseRequest(context.Context) (err error) {
	if s.request, err = parseRequest(s.header.Channel); err != nil {
		return err
	}
	h := s.header
	switch {
	case h.MasterToken == nil && (!h.Renewable || len(h.KeyRequests) == 0):
		return mslerr.New(mslerr.HandshakeDataMissing, "first contact that asks for no keys")
	case h.NonReplayable != s.request.early || s.request.early && h.MasterToken == nil:
		// Early data has an ID and nothing else has; without a token there is
		// nothing that the ID would be one of (X13).
		return mslerr.New(mslerr.ParseError, "early data without a non-replayable ID under a token, or the ID without early data")
	}
	return s.checkAttach()
}

// speaks says whether the request is of a version that we speak.
func (s *responder) speaks() bool { return slices.Contains(s.request.versions, version) }

// checkEntity wants an entity with its class. A token that does not name the
// scheme makes no channel: the same name under a weaker one is somebody else (X1).
func (s *responder) checkEntity(ctx context.Context) error {
	if s.header.Sender.Scheme == "" {
		return &mslerr.Error{Code: mslerr.MasterTokenUntrusted, Response: mslerr.EntityReauth, Detail: "the token does not name its entity's scheme"}
	}
	if s.Network.Reject == nil {
		return nil
	}
	if err := s.Network.Reject(ctx, s.header); err != nil {
		return mslerr.Wrap(s.header.EntityRejected().Code, err)
	}
	return nil
}

func (s *responder) checkName(context.Context) error {
	if s.speaks() && !slices.Contains(s.Names, s.request.to) {
		return &mslerr.Error{Code: mslerr.MessageRecipientMismatch, Response: mslerr.Fail, Detail: "addressed to another service"}
	}
	return nil
}

// checkOrigin compares what the initiator believes of its token with what it
// says: whom it names and who issued it (X3, X16).
func (s *responder) checkOrigin(context.Context) error {
	if !s.speaks() || s.header.MasterToken == nil {
		return nil
	}
	self := s.Network.Self.Identity()
	switch {
	case s.request.from != s.header.Sender.Identity:
		return &mslerr.Error{Code: mslerr.MessageMasterTokenBasedVerificationFailed, Response: mslerr.EntityReauth, Detail: "the token names another entity than its holder believes"}
	case s.request.issuer != self && !slices.Contains(s.Issuers, s.request.issuer):
		return &mslerr.Error{Code: mslerr.MasterTokenUntrusted, Response: mslerr.EntityReauth, Detail: "the token is not from the issuer its holder believes"}
	}
	if s.RequireAuth && s.request.attach == nil && !s.request.auth && signs(s.Network, s.header.Sender.Scheme) {
		return &mslerr.Error{Code: mslerr.MasterTokenUntrusted, Response: mslerr.EntityReauth, Err: fmt.Errorf("%w: not announced", ErrAuth)}
	}
	return nil
}

func (s *responder) checkToken(ctx context.Context) error {
	return s.Network.CheckMasterToken(ctx, s.header)
}

// attachIfAsked ends the set-up of a request that is an attach.
func (s *responder) attachIfAsked(ctx context.Context) error {
	if !s.speaks() || s.request.attach == nil {
		return nil
	}
	return s.attach(ctx)
}

// checkReplay lets a repeated first contact cost no key exchange, and bounds
// the set-ups that are not confirmed.
func (s *responder) checkReplay(context.Context) error {
	if s.header.MasterToken == nil && !s.first(s.header.Sender, s.header.MessageID) {
		return &mslerr.Error{Code: mslerr.MessageReplayed, Response: mslerr.Fail, Detail: "first contact repeated"}
	}
	if !s.begin() {
		return &mslerr.Error{Code: mslerr.InternalException, Response: mslerr.TransientFailure, Err: errTooManyUnproved}
	}
	s.begun = true
	return nil
}

func (s *responder) admit(ctx context.Context) error {
	if s.Admit == nil {
		return nil
	}
	if err := s.Admit(ctx, s.info()); err != nil {
		return mslerr.Wrap(s.header.EntityRejected().Code, err)
	}
	return nil
}

// info is who asks, and what is known of the session so far.
func (s *responder) info() Info {
	return Info{
		Entity:    s.header.Sender,
		User:      s.header.User,
		Suite:     s.suite,
		KEM:       s.kem,
		Transport: s.conn.URL(),
		Resumed:   s.header.MasterToken != nil,
	}
}

// choose settles version, suite and where x comes from.
func (s *responder) choose(ctx context.Context) error {
	if !s.speaks() {
		return s.unsupported(ctx)
	}
	var ok bool
	if s.suite, ok = choose(s.Algorithms.suites(), s.request.suites); !ok {
		return s.unsupported(ctx)
	}
	return nil
}

// unsupported answers that nothing was set up: no common version, suite or KEM.
// No token is issued with it.
func (s *responder) unsupported(ctx context.Context) error {
	return s.answerError(ctx, &response{versions: []int64{version}, err: setupUnsupported}, errUnsupported)
}

// exchange issues a token if one is due, and makes the channel's secret: by key
// exchange HPKE if that was answered, else by a share.
func (s *responder) exchange(ctx context.Context) (err error) {
	network := *s.Network
	network.KeyExchange = s.keyExchange()
	if s.spec, err = network.Respond(ctx, s.header, message.RespondOptions{}); err != nil {
		return err
	}
	s.response = &response{version: version, suite: s.suite}
	if a := s.spec.KeyResponse; a != nil && a.Answer.Exporter != nil {
		kem, _, _ := framing.Opt[int64](a.Answer.KeyData, "kem")
		s.kem = uint16(kem)
		s.x, err = a.Answer.Exporter.Export(string(shareInfo(s.hq)), xSize)
		a.Answer.Exporter.Erase()
		return err
	}
	i := slices.IndexFunc(s.request.shares, func(p publicShare) bool { return slices.Contains(s.Algorithms.kems(), p.kem) })
	if i < 0 {
		return s.unsupported(ctx)
	}
	p := s.request.shares[i]
	s.kem = p.kem
	s.response.kem = p.kem
	s.response.enc, s.x, err = encapsulate(p.kem, p.public, shareInfo(s.hq))
	if err != nil {
		return mslerr.Wrap(mslerr.KeyxInvalidPublicKey, err)
	}
	return nil
}

// keyExchange is what may be answered: HPKE with the KEMs that are allowed, and
// without a share nothing else, since only that gives x.
func (s *responder) keyExchange() keyx.Schemes {
	var list keyx.Schemes
	for _, k := range s.Network.KeyExchange {
		if isHPKE(k) {
			k = keyx.HPKE{KEMs: s.Algorithms.kems()}
		} else if len(s.request.shares) == 0 {
			continue
		}
		list = append(list, k)
	}
	return list
}

// answer makes the response header.
func (s *responder) answer(ctx context.Context) error {
	o, err := s.Limits.offer()
	if err != nil {
		return err
	}
	o.durable = min(o.durable, s.request.offer.durable)
	if !s.channels.room(s.Retained) {
		o.durable = 0
	}
	s.response.offer = o
	s.response.at = s.At
	s.response.early = s.earlyAnswer
	rand.Read(s.response.id[:])
	s.response.auth = s.header.MasterToken != nil && signs(s.Network, s.Network.Self.Scheme())
	s.spec.Channel = s.response.object()
	if s.sent, err = s.Network.Seal(ctx, s.spec); err != nil {
		return err
	}
	s.epoch, s.exporter = firstEpoch(s.hq, headerHash(s.sent.Raw), s.sessionKeys(), s.x)
	if k := s.spec.KeyResponse; k != nil { // they live on in the token
		k.Answer.Keys.Encryption.Erase()
		k.Answer.Keys.Signature.Erase()
	}
	return nil
}

// sessionKeys are those of the initiator's token in force after the pair (4.4.1).
func (s *responder) sessionKeys() mslcrypto.SessionKeys {
	if s.spec.KeyResponse != nil {
		return s.spec.KeyResponse.Answer.Keys
	}
	return s.header.MasterToken.SessionKeys()
}

// start writes the answer with the first record behind it, which is the key
// confirmation, and begins to read.
func (s *responder) start(ctx context.Context) error {
	resumed := s.header.MasterToken != nil
	initiator := s.header.Sender
	c := &control{
		verify:   verifyAuth(ctx, s.Network, labelAuthI2R, s.epoch.th, initiator),
		expected: resumed && s.request.auth,
	}
	initiatorSigns := signs(s.Network, initiator.Scheme)
	c.rekey.rekeySettings = rekeySettings{
		network: s.Network,
		kem:     s.kem,
		peer:    initiator,
		signs:   signs(s.Network, s.Network.Self.Scheme()),
		signed:  initiatorSigns && (!resumed || s.RequireAuth),
	}
	if s.response.auth {
		var err error
		if c.auth, err = makeAuth(ctx, s.Network, labelAuthR2I, s.epoch.th); err != nil {
			return err
		}
	}
	opener, err := s.earlyOpener()
	if err != nil {
		return err
	}
	s.session, err = newSession(setup{
		opener:   opener,
		conn:     s.conn,
		prefix:   s.sent.Raw,
		epoch:    s.epoch,
		exporter: s.exporter,
		suite:    s.suite,
		id:       s.response.id,
		own:      s.response.offer,
		peer:     s.request.offer,
		limits:   s.Limits,
		control:  c,
		exchange: exchangeSettings{s.Network, s.Algorithms, initiator, nil, s.ServiceTokens, nil},
		log:      s.Log,
		onState:  s.OnState,
		durable:  s.response.offer.durableTime(),
		channels: &s.channels,
		answers:  s.Responder,
		recorder: s.recorder,
		keyLog:   s.KeyLog,
		info:     s.info(),
	})
	return err
}

// confirm waits for the initiator's first record. What issuing the token
// discards is discarded now and not before (W-02).
func (s *responder) confirm(ctx context.Context) error {
	if s.timer.Stop() { // or it is about to end ctx
		cancel := s.cancel // alone: a timer that was stopped may be kept for long
		s.timer = time.AfterFunc(s.timeout(), func() { cancel(errSlowConfirm) })
		defer s.timer.Stop()
	}
	if err := s.session.confirmed(ctx, s.reader); err != nil {
		return err
	}
	t := s.header.MasterToken
	if k := s.spec.KeyResponse; k != nil {
		t = k.Token
	}
	user := s.spec.Tokens.UserID
	if user == nil {
		user = s.header.Tokens.UserID
	}
	s.session.exchange.issues(s.header.User, t, user)
	return s.Network.Issuer.Confirm(ctx, s.header.Sender, t.Serial, t.Sequence)
}

// refuse sends what err calls for, an error header with its response code and
// nothing else (4.8.6), or the answer that was made instead, and closes.
func (s *responder) refuse(ctx context.Context, err error) error {
	sealed := s.sent
	if !errors.Is(err, errAnswered) {
		var p *mslerr.Error
		var remote *message.ErrorHeader
		if !errors.As(err, &p) || errors.As(err, &remote) {
			return err // of the connection, or an error itself: there is nobody to tell
		}
		var failure error
		sealed, failure = s.Network.SealError(ctx, message.ErrorSpec{Err: err, Request: s.header, Terse: true})
		if failure != nil {
			return errors.Join(err, failure)
		}
	}
	if _, failure := s.conn.Write(sealed.Raw); failure == nil {
		s.linger()
	}
	return err
}

// linger closes the sending side and discards what arrives for a while, since
// closing at once may destroy what was sent.
func (s *responder) linger() {
	c, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || c.CloseWrite() != nil {
		return
	}
	t := time.AfterFunc(time.Second, func() { s.conn.Close() })
	defer t.Stop()
	_, _ = io.Copy(io.Discard, s.conn)
}

// parseFailure gives what is wrong with received bytes MSL's code; a failure of
// the connection has none.
func parseFailure(err error) error {
	var syntax *framing.SyntaxError
	var limit *framing.LimitError
	if errors.As(err, &syntax) || errors.As(err, &limit) {
		return mslerr.Wrap(mslerr.ParseError, err)
	}
	return err
}

// erase ends what belongs to the attempt alone, whatever its outcome.
func (s *responder) erase() {
	s.x.Erase()
	if s.begun {
		s.end()
	}
}
