package session

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/session/link"
	"github.com/mslgo/msl/transport"
)

const (
	maxAnswerTime = time.Minute // for an attach
	goodTime      = time.Second // a connection that lived as long was a good one
	firstPause    = 100 * time.Millisecond
	lastPause     = 5 * time.Second
)

// errNoToken says that there is no master token to attach under.
var errNoToken = errors.New("session: the master token has expired or is gone, and the channel cannot be attached without one")

// A reattacher gives an initiator's session new connections.
type reattacher struct {
	session *Session
	network *message.Network
	to      string
	at      []string
	connect func(ctx context.Context, at []string, attempt int) (transport.Conn, error)
	pause   func(attempt int) time.Duration

	life context.Context // ends with the session
	end  context.CancelFunc
	runs sync.WaitGroup

	mu      sync.Mutex // held while the session has no connection; guards all below
	n       uint64     // of the newest attach
	attempt int        // since the last good connection
	silent  uint       // attempts in a row without an answer
	since   time.Time  // when the present connection came
}

func newReattacher(s *Session, i *Initiator, at []string) *reattacher {
	r := &reattacher{session: s, to: i.To, at: at, connect: i.Connect, pause: i.pause, since: time.Now()}
	r.network = i.Network
	if r.pause == nil {
		r.pause = pause
	}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// pause is how long to wait before an attempt: nothing much at first, then
// longer and longer, and not all clients of a server at once.
func pause(attempt int) time.Duration {
	if attempt == 0 {
		return rand.N(firstPause / 2)
	}
	d := min(firstPause<<min(attempt-1, 10), lastPause)
	return d/2 + rand.N(d)
}

// lost is called when the session has lost its connection.
func (r *reattacher) lost() { r.runs.Go(r.run) }

// run attaches until the session has a connection, or is over.
func (r *reattacher) run() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.since) >= goodTime {
		r.attempt = 0
	}
	for r.session.link.Lost() {
		timer := time.NewTimer(r.pause(r.attempt))
		select {
		case <-timer.C:
		case <-r.life.Done():
			timer.Stop()
			return
		}
		err := r.attach()
		r.attempt++
		if err == nil {
			r.since = time.Now()
			return
		}
		r.session.looks.recorder.AttachFailed(err)
		if log := r.session.log; log != nil {
			log.Info("msl session: not yet attached", "to", r.to, "attempt", r.attempt, "err", err)
		}
	}
}

// attach makes one attempt (channel set-up 4.6).
func (r *reattacher) attach() error {
	at := r.session.link.Standing()
	ctx, cancel := context.WithTimeout(r.life, min(at.Patience<<r.silent, max(at.Patience, maxAnswerTime)))
	defer cancel()
	conn, err := r.connect(ctx, r.at, r.attempt)
	if err != nil {
		return err
	}
	a := attachment{reattacher: r, conn: conn, standing: at, reader: framing.NewReader(conn, framing.Limits{Object: maxHeader})}
	err = guard(ctx, conn, a.run)
	if a.answered {
		r.silent = 0
	} else {
		r.silent = min(r.silent+1, 8)
	}
	if err != nil && !a.taken {
		conn.Close()
		<-a.wrote
		a.reader.Close()
	}
	return err
}

// An attachment is one attempt on one connection.
type attachment struct {
	*reattacher
	conn     transport.Conn
	reader   *framing.Reader
	standing link.Standing
	answered bool
	taken    bool          // conn and reader are the link's
	sent     chan error    // what became of the writing
	next     uint64        // number of the first record that was not sent; read after sent
	wrote    chan struct{} // closed when nobody writes any more

	held  *token.Held
	epoch uint32
	id    int64 // of the message
	hq    digest
}

func (a *attachment) run(ctx context.Context) error {
	a.sent, a.wrote = make(chan error, 1), make(chan struct{})
	request, err := a.request(ctx)
	if err != nil {
		close(a.wrote)
		return err
	}
	// Who sends ahead reads at the same time: the other side may not read on
	// before it has written its answer.
	unanswered, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(a.wrote)
		_, err := a.conn.Write(request)
		if err == nil {
			a.next, err = a.session.link.SendAhead(unanswered, a.conn, a.standing)
		}
		a.sent <- err
	}()
	answer, err := a.answer(ctx)
	if err != nil {
		return err
	}
	a.answered = true
	switch answer.err {
	case "":
	case attachClosed:
		return a.closed(answer)
	default:
		return errUnknownChannel
	}
	if !a.proved(answer.proof, func(e *epoch) []byte { return e.attachAnswer(a.hq, a.session.id, a.n, answer.received) }) {
		return fmt.Errorf("%w: the answer to an attach is not proved", ErrUntrusted)
	}
	stop()
	// This ends, as the other side reads whatever it writes.
	if err := <-a.sent; err != nil {
		return err
	}
	err = a.session.move(a.conn, a.reader, link.Resumption{
		Received: answer.received,
		Next:     max(a.next, answer.received),
	})
	a.taken = err == nil
	return err
}

// request makes the header.
func (a *attachment) request(ctx context.Context) ([]byte, error) {
	s := a.session
	var err error
	if a.held, err = s.exchange.newest(ctx); err != nil {
		return nil, err
	}
	if a.held == nil || a.held.Token.Expired(now(a.network)) {
		return nil, errNoToken
	}
	a.n++
	a.id = message.RandomID()
	a.epoch = s.epochs.number()
	at := &attachRequest{
		id:       s.id,
		epoch:    a.epoch,
		n:        a.n,
		received: a.standing.Received,
		first:    a.standing.Acked,
		count:    uint64(a.standing.Ahead),
	}
	s.epochs.use(a.epoch, func(e *epoch) { at.proof = e.attachProof(at.id, at.n, at.received, at.first, a.id) })
	channel := request{versions: []int64{version}, to: a.to, from: a.held.Self.Identity, issuer: a.held.From.Issuer.Identity, attach: at}
	spec := message.HeaderSpec{
		MessageID:    &a.id,
		Under:        a.held,
		Capabilities: a.network.Capabilities(),
		Tokens:       message.Tokens{UserID: s.exchange.userID(a.held)},
		Channel:      channel.object(),
	}
	if a.held.From.CBOR {
		spec.Format, _ = framing.ByName("CBOR")
	}
	sealed, err := a.network.Seal(ctx, spec)
	if err != nil {
		return nil, err
	}
	a.hq = headerHash(sealed.Raw)
	return sealed.Raw, nil
}

// answer reads and opens what the responder says.
func (a *attachment) answer(ctx context.Context) (*attachResponse, error) {
	raw, _, err := a.reader.Object()
	if err != nil {
		return nil, fmt.Errorf("session: no answer to the attach: %w", parseFailure(err))
	}
	h, err := a.network.Open(ctx, raw, message.OpenOptions{
		RequestID: &a.id,
		Parties:   keyx.Parties{Identity: a.held.Self.Identity, Token: a.held.Token},
		Holder:    holding{nil, a.held},
	})
	if err != nil {
		return nil, err
	}
	if h.Held == nil || h.Channel == nil {
		return nil, mslerr.New(mslerr.ParseError, "an answer that is none to an attach")
	}
	r, err := parseResponse(h.Channel)
	if err != nil {
		return nil, err
	}
	if r.attach == nil {
		return nil, mslerr.New(mslerr.ParseError, "an answer that is none to an attach")
	}
	return r.attach, nil
}

// proved compares a proof with ours.
func (a *attachment) proved(proof []byte, own func(*epoch) []byte) (ok bool) {
	a.session.epochs.use(a.epoch, func(e *epoch) { ok = hmac.Equal(proof, own(e)) })
	return ok
}

// closed ends the session as the other side says it was closed, if that is
// proved; else it says nothing (X18).
func (a *attachment) closed(answer *attachResponse) error {
	if !a.proved(answer.proof, func(e *epoch) []byte { return e.attachClosed(a.hq, a.session.id, a.n, answer.code) }) {
		return errUnknownChannel
	}
	a.session.link.Ended(&link.CloseError{Code: frame.Code(answer.code), Remote: true})
	return errClosedChannel
}
