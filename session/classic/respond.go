package classic

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
)

// An Incoming is a message that was received: a request, an answer, or a push. Its
// sender is authenticated; its data is verified chunk by chunk as it is read, and
// whole only when Read has returned io.EOF.
type Incoming struct {
	// Header is nil where no answer was waited for.
	Header *message.Header

	party  *Party
	conn   *Conn
	data   *stream.ChunkReader
	under  *token.Held  // what the message it belongs to was sent under
	finish func() error // ends what it belongs to; nil: nothing
	count  int          // messages that it took

	mu   sync.Mutex // of reading
	rest io.Reader  // data that was set aside; nil: none
	err  error      // that reading ended with
}

// Read reads the data.
func (m *Incoming) Read(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n int
	var err error
	switch {
	case m.rest != nil:
		n, err = m.rest.Read(p)
	case m.data == nil:
		err = io.EOF
	default:
		n, err = m.data.Read(p)
	}
	if err != nil {
		m.err = err
	}
	return n, err
}

// ServiceTokens are those that the message brings or shows: in a request the
// sender's, in an answer ours.
func (m *Incoming) ServiceTokens() []*token.ServiceToken {
	if m.party.Network.PeerToPeer && m.finish != nil {
		return m.Header.Peer.Service
	}
	return m.Header.Tokens.Service
}

// Err is what Read ended with: io.EOF if all data was read, nil if it is not
// known yet.
func (m *Incoming) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close ends what the message belongs to. Of a request in a trusted services
// network, what has not been sent of its data is not sent any more; in a peer to
// peer network it is waited for.
func (m *Incoming) Close() error {
	if m.finish == nil {
		return nil
	}
	finish := m.finish
	m.finish = nil
	return finish()
}

// setAside keeps what is left of the data for the application, because the next
// header is to be read from the same connection. Unless the message that is sent
// is a handshake, its data p is waited for first: who answers has then, as a
// rule, read what it answers.
func (m *Incoming) setAside(handshake bool, p *pump) error {
	if !handshake {
		if err := p.wait(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil || m.rest != nil {
		return nil
	}
	limit := m.party.Limits.repeat()
	rest, err := io.ReadAll(io.LimitReader(m.data, int64(limit)+1))
	if err != nil {
		return err
	}
	if len(rest) > limit {
		return &framing.LimitError{Limit: "data set aside while tokens are exchanged", Max: limit}
	}
	m.rest = bytes.NewReader(rest)
	return nil
}

// Next waits for the message that follows on the same connection: a push (spec 09
// section 16), under the token that m was sent under or a later one. The error is
// io.EOF if there is none, a *[message.ErrorHeader] if the message before was
// refused, and mslerr.MessageReplayed for a push whose ID was seen before (W-03).
// What is left of m is read over, and the result is to be closed in its place.
func (m *Incoming) Next(ctx context.Context) (*Incoming, error) {
	stop := m.conn.guard(ctx)
	defer stop()
	p, n := m.party, m.party.network()
	raw, err := m.conn.readHeader()
	if err != nil {
		return nil, err
	}
	m.conn.refuse() // until it is accepted
	h, err := n.Receive(ctx, raw, message.OpenOptions{Remote: p.expected(), Holder: inUse{p.Holder, m.under}})
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok && p.Received != nil {
		p.Received(nil, e)
	}
	if err != nil {
		return nil, err
	}
	if p.Received != nil {
		p.Received(h, nil)
	}
	if err := p.checkRemote(ctx, h); err != nil {
		return nil, err
	}
	if !p.isNewPush(h) {
		return nil, mslerr.WithMessageID(mslerr.New(mslerr.MessageReplayed, "a push that came before"), h.MessageID)
	}
	if p.Holder != nil {
		if err := p.keepTokens(ctx, h, ""); err != nil {
			return nil, err
		}
	}
	p.learn(h, false)
	next := &Incoming{Header: h, party: p, conn: m.conn, under: m.under, finish: m.finish}
	next.data = m.conn.body(h, p.Limits, n, false)
	m.finish = nil
	return next, nil
}

func (p *Party) isNewPush(h *message.Header) bool {
	id := messageID{-1, h.MessageID}
	if h.MasterToken != nil {
		id.serial = h.MasterToken.Serial
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pushes.Add(id)
}

// Accept waits for a request on c: receive of spec 09 section 9.1. The header h was
// opened before; nil: it is still to be read. Handshakes are answered and not
// returned. A message that is refused is answered with an error header; the
// error is then the *mslerr.Error, and c may be used on. An error header is
// returned as it is and never answered. The error is io.EOF if the connection
// ends before a message begins.
func (p *Party) Accept(ctx context.Context, c *Conn, h *message.Header) (*Incoming, error) {
	stop := c.guard(ctx)
	defer stop()
	count := 0
	for {
		in, err := p.accept(ctx, c, h)
		if err != nil {
			return nil, err
		}
		handshake, err := in.data.Handshake()
		if err != nil {
			return nil, in.refuse(ctx, err)
		}
		if !handshake {
			in.count = count
			return in, nil
		}
		in.Header.Handshake = true
		if in, err = p.shake(ctx, in, count); err != nil || in != nil {
			return in, err
		}
		h = nil
	}
}

// accept is procedure V for a message that was not asked for.
func (p *Party) accept(ctx context.Context, c *Conn, h *message.Header) (*Incoming, error) {
	n := p.network()
	in := &Incoming{party: p, conn: c}
	err := func() (err error) {
		if h == nil {
			raw, err := c.readHeader()
			if err != nil {
				return err
			}
			c.refuse() // until it is accepted
			if h, err = n.Open(ctx, raw, message.OpenOptions{Remote: p.expected(), Holder: p.Holder}); err != nil {
				return err
			}
		}
		c.refuse()
		in.Header = h
		if err := p.checkRequest(h); err != nil {
			return err
		}
		if err := n.Check(ctx, h); err != nil {
			return err
		}
		if err := n.Authenticate(ctx, h); err != nil || p.Admit == nil {
			return err
		}
		if err := p.Admit(ctx, h); err != nil {
			return mslerr.Wrap(h.EntityRejected().Code, err)
		}
		return nil
	}()
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok {
		if p.Received != nil {
			p.Received(nil, e)
		}
		return nil, e
	}
	if err != nil {
		return nil, in.refuse(ctx, err)
	}
	if p.Received != nil {
		p.Received(h, nil)
	}
	if p.Holder != nil {
		if err := p.keepTokens(ctx, h, ""); err != nil {
			return nil, in.refuse(ctx, err)
		}
	}
	p.learn(h, false)
	in.data = c.body(h, p.Limits, n, false)
	return in, nil
}

// checkRequest refuses who is not expected, and first contacts that are repeated
// to have tokens issued again (W-02).
func (p *Party) checkRequest(h *message.Header) error {
	want := p.expected()
	if want.Identity != "" && h.Sender.Identity != want.Identity || want.Scheme != "" && h.Sender.Scheme != "" && h.Sender.Scheme != want.Scheme {
		return mslerr.WithMessageID(mslerr.New(mslerr.MessageSenderMismatch, "not the expected entity"), h.MessageID)
	}
	if h.MasterToken != nil || !h.Renewable || len(h.KeyRequests) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.contacts.Add(contact{h.Sender, h.MessageID}) {
		return mslerr.WithMessageID(&mslerr.Error{Code: mslerr.MessageReplayed, Response: mslerr.Fail, Detail: "first contact repeated"}, h.MessageID)
	}
	return nil
}

// shake answers a handshake: without data, and whatever the application requires.
// Peer to peer, what comes next is the answer to that, and the result; it may
// be a handshake again.
func (p *Party) shake(ctx context.Context, in *Incoming, count int) (*Incoming, error) {
	mode := never
	if p.Network.PeerToPeer {
		mode, count = always, count+1
	}
	x, err := p.answerTo(ctx, in, mode, &Message{}, message.RespondOptions{})
	if err != nil {
		return nil, in.refuse(ctx, err)
	}
	x.serving, x.count, x.out.waived = true, count, true
	x.out.last = !p.Network.PeerToPeer
	if err := x.run(ctx); err != nil {
		return nil, err
	}
	x.stop()
	if !p.Network.PeerToPeer {
		return nil, nil
	}
	next := &Incoming{Header: x.answer, party: p, conn: in.conn, data: x.data, count: x.count}
	handshake, err := next.data.Handshake()
	if err != nil {
		return nil, next.refuse(ctx, err)
	}
	if !handshake {
		return next, nil
	}
	next.Header.Handshake = true
	return p.shake(ctx, next, x.count)
}

// Respond answers a request with m and returns when all is sent (spec 09 sections
// 9.2 and 11). If the answer cannot have the protection that m wants, the other
// side is told to get keys, and the error is that: KEYX_REQUIRED. So must be what
// else fails before the answer's header has left; what fails later ends the
// connection. It is called once.
func (m *Incoming) Respond(ctx context.Context, answer Message) error {
	mode := never
	if m.party.Network.PeerToPeer {
		mode = renewing
	}
	return m.respond(ctx, mode, &answer, 3, message.RespondOptions{})
}

// Push sends m without having been asked: with a random ID, and no new tokens (9.3).
// It may be called several times, and not together with Respond. Whether the
// receiver's tokens are still good is looked at each time (W-25).
func (m *Incoming) Push(ctx context.Context, push Message) error {
	if m.party.Network.PeerToPeer {
		return errPush
	}
	if err := m.party.network().CheckMasterToken(ctx, m.Header); err != nil {
		return m.refuse(ctx, err)
	}
	return m.respond(ctx, never, &push, 0, message.RespondOptions{Push: true})
}

var errPush = errors.New("classic: pushes are for trusted services networks")

func (m *Incoming) respond(ctx context.Context, mode mode, answer *Message, count int, o message.RespondOptions) error {
	x, err := m.party.answerTo(ctx, m, mode, answer, o)
	if err == nil && !x.network.PeerToPeer {
		if err = x.checkProtection(); err != nil {
			x.body.close()
		}
	}
	if err != nil {
		return m.refuse(ctx, err)
	}
	x.count = max(count, m.count)
	x.out.last = !x.network.PeerToPeer
	if err := x.run(ctx); err != nil {
		if x.count == max(count, m.count) && ctx.Err() == nil { // nothing has left
			return m.refuse(ctx, err)
		}
		m.conn.Close()
		return err
	}
	x.stop()
	x.body.close()
	return nil
}

// checkProtection is 9.2 step 2: an answer is never downgraded.
func (x *exchange) checkProtection() error {
	p, err := x.network.Protection(&x.out.spec)
	if err != nil {
		return err
	}
	return x.m.within(p)
}

func (m *Message) within(p message.Protection) error {
	switch {
	case m.protected() && !p.PayloadProtected:
		return mslerr.New(mslerr.ResponseRequiresIntegrityProtection, "no keys")
	case m.encrypted() && !p.PayloadEncrypted:
		return mslerr.New(mslerr.ResponseRequiresEncryption, "no keys")
	}
	return nil
}

// CanAnswer says whether an answer can have the protection, and the user, that
// answer wants; the error is the one that Respond would send and return. To ask
// before a request is acted upon spares acting twice, since the other side will
// get keys and send it again.
func (m *Incoming) CanAnswer(answer Message) error {
	h, n := m.Header, m.party.network()
	if n.PeerToPeer {
		return nil // we can get keys ourselves
	}
	if h.MasterToken != nil || h.Renewable && len(h.KeyRequests) > 0 {
		return nil
	}
	if answer.User != "" {
		return mslerr.New(mslerr.ResponseRequiresMasterToken, "a user ID token needs a master token")
	}
	p, err := n.Protection(&message.HeaderSpec{})
	if err != nil {
		return err
	}
	return answer.within(p)
}

// Reject answers with an error header (error of spec 09 section 1), as with
// Header.EntityRejected and Header.UserRejected. It returns nil if that was sent.
func (m *Incoming) Reject(ctx context.Context, why error) error {
	if err := m.refuse(ctx, why); !errors.Is(err, why) || errors.Is(err, errNotTold) {
		return err
	}
	return nil
}

// errNotTold says that an error header could not be sent.
var errNotTold = errors.New("classic: the other side could not be told")

// refuse sends the error header that err calls for (spec 08 section 2) and
// returns err. Failures of the connection, and error headers, call for none.
func (m *Incoming) refuse(ctx context.Context, err error) error {
	failure, ok := errors.AsType[*mslerr.Error](err)
	if _, remote := errors.AsType[*message.ErrorHeader](err); remote || !ok || failure.Remote {
		return err
	}
	spec := message.ErrorSpec{Err: err, Request: m.Header}
	if m.Header != nil {
		spec.Err = mslerr.WithMessageID(err, m.Header.MessageID)
	}
	sealed, e := m.party.network().SealError(ctx, spec)
	if e == nil {
		e = m.conn.write(sealed.Raw, true)
	}
	if e != nil {
		return errors.Join(errNotTold, err, e)
	}
	return err
}
