package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
)

// step is one request of the recorded client's application.
type step struct {
	Step           string
	Request        []byte
	Response       []byte
	ServerIdentity *string      `json:"server_identity"`
	StateAfter     *clientState `json:"client_state_after"`
	ClientError    string       `json:"client_error"`
	Connections    []connection
}

// clientState is what the client's store held.
type clientState struct {
	Sequence      *int64   `json:"mastertoken_sequencenumber"`
	Serial        *int64   `json:"mastertoken_serialnumber"`
	UserIDToken   bool     `json:"has_useridtoken"`
	ServiceTokens []string `json:"servicetokens"`
}

// localUser is the client's name of its only user.
const localUser = "user"

// request runs our client in the recorded one's place: it sends its own messages,
// with the recorded IDs, and gets the recorded answers. It needs no keys but those
// of keys.json.
func (p *replay) request(steps []step) error {
	own := func() []recorded { return p.current.toServer }
	p.current = &p.connections[0]
	self := p.clientSelf()
	if self == nil {
		return errUnopened("the client's first message cannot be opened")
	}
	server, err := p.serverSelf()
	if err != nil {
		return err
	}
	issuer := ""
	if p.equals {
		issuer = p.clientKeys()
	}
	party := &classic.Party{
		Network: p.network(self, issuer, own),
		Holder:  store.NewMemory().Holder("server"), Expected: expected(server),
	}
	party.Received = func(*message.Header, *message.ErrorHeader) { p.opened++ }
	party.Network.RequestID = func() int64 {
		if m := p.next(own()); m != nil && m.sight != nil {
			return m.id()
		}
		return message.RandomID()
	}
	first := 0
	for _, s := range steps {
		connections := p.connections[first : first+len(s.Connections)]
		first += len(s.Connections)
		if err := p.step(party, &s, connections); err != nil {
			return fmt.Errorf("%s: %w", s.Step, err)
		}
	}
	return nil
}

// step makes one request over its connections.
func (p *replay) step(party *classic.Party, s *step, connections []recordedConnection) error {
	all := recordedConnection{name: s.Step}
	for _, c := range connections {
		all.toServer = append(all.toServer, c.toServer...)
		all.toClient = append(all.toClient, c.toClient...)
	}
	p.current, p.wire = &all, new(written)
	before := p.opened
	next := 0
	open := func(context.Context) (transport.Exchange, error) {
		if next == len(connections) {
			return nil, errors.New("one connection more than was recorded")
		}
		next++
		return &recording{Reader: bytes.NewReader(connections[next-1].raw.ToClient), to: p.wire, ended: make(chan struct{})}, nil
	}
	m := p.messageOf(s)
	var in *classic.Incoming
	var err error
	if p.equals {
		var e transport.Exchange
		if e, err = open(p.t.Context()); err != nil {
			return err
		}
		in, err = party.RequestOn(p.t.Context(), classic.NewConn(e, nil, true), m)
	} else {
		in, err = party.Request(p.t.Context(), classic.OpenFunc(open), m)
	}
	if err := p.outcome(s, in, err); err != nil {
		return err
	}
	if next < len(connections) {
		return fmt.Errorf("%d connections, want %d", next, len(connections))
	}
	if n := p.opened - before; n != len(all.toClient) {
		return fmt.Errorf("%d answers were opened, want %d", n, len(all.toClient))
	}
	p.compare(all.toServer, all.toClient)
	return p.state(party, s.StateAfter)
}

func (p *replay) outcome(s *step, in *classic.Incoming, err error) error {
	if s.ClientError != "" {
		e, ok := errors.AsType[*message.ErrorHeader](err)
		if !ok {
			return fmt.Errorf("%w, want %s", err, s.ClientError)
		}
		got := fmt.Sprintf("error header %s internal=%d %q", e.Response.String(), e.InternalCode, e.Text)
		if got != s.ClientError {
			return fmt.Errorf("%s, want %s", got, s.ClientError)
		}
		return nil
	}
	if err != nil {
		return err
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if !bytes.Equal(data, s.Response) {
		return fmt.Errorf("answer %.40q, want %.40q", data, s.Response)
	}
	if s.ServerIdentity != nil && in.Header.Sender.Identity != *s.ServerIdentity {
		return fmt.Errorf("server %q, want %q", in.Header.Sender.Identity, *s.ServerIdentity)
	}
	return in.Close()
}

// state compares the client's store.
func (p *replay) state(party *classic.Party, want *clientState) error {
	if want == nil {
		return nil
	}
	ctx, h := p.t.Context(), party.Holder
	held, err := h.Newest(ctx)
	if err != nil {
		return err
	}
	var mt *token.MasterToken
	if held != nil {
		mt = held.Token
	}
	if (mt != nil) != (want.Serial != nil) {
		return fmt.Errorf("a master token is held: %v", mt != nil)
	}
	if mt != nil && (mt.Serial != *want.Serial || mt.Sequence != *want.Sequence) {
		return fmt.Errorf("master token %d, %d, want %d, %d", mt.Serial, mt.Sequence, *want.Serial, *want.Sequence)
	}
	u, err := h.UserIDToken(ctx, localUser)
	if err != nil {
		return err
	}
	if (u != nil) != want.UserIDToken {
		return fmt.Errorf("a user ID token is held: %v", u != nil)
	}
	tokens, err := h.ServiceTokens(ctx, mt, u)
	if err != nil {
		return err
	}
	names := list(tokens, func(s *token.ServiceToken) any { return s.Name + bindingName(s) })
	var got []string
	for _, n := range names {
		got = append(got, n.(string))
	}
	slices.Sort(got)
	if !slices.Equal(got, slices.Sorted(slices.Values(want.ServiceTokens))) {
		return fmt.Errorf("service tokens %q, want %q", got, want.ServiceTokens)
	}
	return nil
}

func bindingName(s *token.ServiceToken) string {
	switch {
	case s.UserIDTokenSerial != -1:
		return " (user bound)"
	case s.MasterTokenSerial != -1:
		return " (master token bound)"
	}
	return " (unbound)"
}

// messageOf is the message as the recorded application must have stated it.
func (p *replay) messageOf(s *step) classic.Message {
	m := classic.Message{Body: newBody(s.Request), AllowReplay: true, ServiceTokens: p.serviceTokens(p.current.toServer)}
	for _, q := range p.current.toServer {
		if q.sight == nil || q.header == nil {
			continue
		}
		h := q.header
		if h.NonReplayable {
			m.AllowReplay = false
		}
		if q.body && len(q.data) > 0 {
			m.InsecurePlaintext = m.InsecurePlaintext || !h.PayloadEncrypted
			m.InsecureUnprotected = m.InsecureUnprotected || !h.PayloadProtected
		}
		if h.Credentials != nil || h.Tokens.UserID != nil {
			m.LocalUser, m.Credentials = localUser, userauth.Func(p.credentials)
		}
	}
	return m
}

// credentials gives what was sent in the message to come.
func (p *replay) credentials(_ context.Context, rejected error) (userauth.Data, error) {
	if m := p.next(p.current.toServer); m != nil && m.sight != nil && m.header != nil && m.header.Credentials != nil {
		return m.header.Credentials, nil
	}
	if rejected == nil {
		rejected = errors.New("no credentials were sent")
	}
	return nil, rejected
}

// clientSelf is the client's entity authentication data.
func (p *replay) clientSelf() entityauth.Data {
	for _, c := range p.connections {
		for _, m := range c.toServer {
			if m.sight != nil && m.header != nil && m.header.EntityAuth != nil {
				return m.header.EntityAuth
			}
		}
	}
	return nil
}

// expected is who must be on the other side. Tokens of other implementations do not
// say by which scheme their entity authenticated, so it is not compared.
func expected(d entityauth.Data) token.Entity {
	if d == nil {
		return token.Entity{}
	}
	return token.Entity{Identity: d.Identity()}
}

// clientKeys names the token keys of a client in a peer to peer network.
func (p *replay) clientKeys() string {
	for _, c := range p.connections {
		for _, m := range c.toServer {
			if m.issuer != "" {
				return m.issuer
			}
		}
	}
	return "msl.peer"
}

func newBody(data []byte) io.Reader {
	if len(data) == 0 {
		return nil
	}
	return bytes.NewReader(data)
}
