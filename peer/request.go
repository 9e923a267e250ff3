package peer

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/url"
	"slices"

	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/transport"
)

// A Request of classic MSL. The zero value is an empty one that is encrypted,
// protected and cannot be replayed; what weakens it has a name that says so.
type Request struct {
	// Body is what is sent; what each Read returns leaves at once, as a chunk of
	// its own. If it is an io.Closer, it is closed. Nil: nothing.
	Body io.Reader

	// User has the credentials of the user for whom the request is sent. It is
	// asked when the service does not know the user yet, and again when it
	// rejects what it was given. Nil: no user.
	User userauth.Source
	// UserName is our own name of the user, under which the login is kept. The
	// users of a program that has several need different ones. Default: "user",
	// if there is a User.
	UserName string

	// ServiceTokens are put into the request, besides those that the service
	// has given us.
	ServiceTokens []ServiceToken
	// EditServiceTokens may change them in each message that is built; handshake
	// says that it is one without data. Nil changes nothing.
	EditServiceTokens func(set *ServiceTokens, handshake bool) error

	// AllowReplay does without the ID by which a service notices that it gets a
	// message twice: whoever recorded it can then have it processed again.
	AllowReplay bool
	// InsecurePlaintext lets the data go for everybody to read where there are
	// no keys yet, and InsecureUnprotected for everybody to change, too.
	InsecurePlaintext   bool
	InsecureUnprotected bool

	// WantTokens asks for a master token, and with User for a login, even where
	// the data could go without.
	WantTokens bool
	// Repeat is how much of the body is kept until the answer begins, in bytes,
	// since it may have to be sent again. Default 1 MiB; negative: nothing. A
	// longer body fails if it is refused.
	Repeat int
}

// ServiceToken is data of the application that travels with each message, and
// ServiceTokens those of one message.
type (
	ServiceToken  = classic.ServiceToken
	ServiceTokens = classic.ServiceTokens
)

// What a [ServiceToken] is bound to.
const (
	Unbound       = classic.Unbound
	ToMasterToken = classic.ToMasterToken
	ToUser        = classic.ToUser
)

// A Response is the answer to a [Request], or a message that was pushed.
type Response struct {
	// Body is the data, verified chunk by chunk; all of it only when Read has
	// returned io.EOF. It must be closed.
	Body io.ReadCloser
	// Peer is who answered: for a service under a master token, who gave us that.
	Peer Peer
	// ServiceTokens are those of the answer.
	ServiceTokens []*token.ServiceToken
	// Encrypted and Protected say how the data came.
	Encrypted, Protected bool
}

// Peer is who sent a message.
type Peer struct {
	Entity token.Entity
	User   token.User // "" for none, or if only the sender knows
}

func newResponse(in *classic.Incoming) *Response {
	h := in.Header
	r := &Response{
		Body: in, Peer: Peer{h.Sender, h.User}, ServiceTokens: in.ServiceTokens(),
		Encrypted: h.PayloadEncrypted, Protected: h.PayloadProtected,
	}
	if h.Held != nil {
		r.Peer.Entity = h.Held.From.Issuer
	}
	return r
}

// message is what the application states, in MSL's words.
func (r *Request) message() classic.Message {
	m := classic.Message{
		Body: r.Body, AllowReplay: r.AllowReplay,
		InsecurePlaintext: r.InsecurePlaintext, InsecureUnprotected: r.InsecureUnprotected,
		WantTokens: r.WantTokens, LocalUser: r.UserName, Credentials: r.User, Repeat: r.Repeat,
	}
	if r.User != nil && m.LocalUser == "" {
		m.LocalUser = "user"
	}
	if len(r.ServiceTokens) > 0 || r.EditServiceTokens != nil {
		m.ServiceTokens = func(_ context.Context, set *ServiceTokens, handshake bool) error {
			if !handshake { // they may need tokens to be bound to
				for _, t := range r.ServiceTokens {
					if err := set.Put(t); err != nil {
						return err
					}
				}
			}
			if r.EditServiceTokens == nil {
				return nil
			}
			return r.EditServiceTokens(set, handshake)
		}
	}
	return m
}

// Do sends a request to the service at a URL and returns the answer as soon as its
// header is verified: its body may be read while the request's is still on its
// way. Keys, logins, renewals and all failures that can be repaired are seen to.
// ctx governs the exchange until the answer's body is closed. Do may be called
// concurrently, and beside sessions.
//
// A refusal by the service can be matched with the codes of package mslerr; other
// errors are those of [classic.Party.Request].
func (c *Client) Do(ctx context.Context, url string, r *Request) (*Response, error) {
	p, to, err := c.to(ctx, url, r)
	if err != nil {
		return nil, err
	}
	in, err := p.Request(ctx, to, r.message())
	if err != nil {
		return nil, err
	}
	return newResponse(in), nil
}

// Send is Do without an answer: nothing tells whether the request arrives.
func (c *Client) Send(ctx context.Context, url string, r *Request) error {
	in, err := c.send(ctx, url, r)
	if err != nil {
		return err
	}
	return in.Close()
}

// Pushes sends a request and gives the messages that the service pushes on the
// same connection, until that ends or the loop does. A body is good until the
// next message. An error is the last thing there is: if the service refused the
// request, or if a message comes a second time.
func (c *Client) Pushes(ctx context.Context, url string, r *Request) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		in, err := c.send(ctx, url, r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { in.Close() }()
		for {
			next, err := in.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if in = next; !yield(newResponse(in), nil) {
				return
			}
		}
	}
}

func (c *Client) send(ctx context.Context, url string, r *Request) (*classic.Incoming, error) {
	p, to, err := c.to(ctx, url, r)
	if err != nil {
		return nil, err
	}
	return p.Send(ctx, to, r.message())
}

// to is the party that sends r, and where. The body is closed if nothing is sent.
func (c *Client) to(ctx context.Context, url string, r *Request) (*classic.Party, classic.Opener, error) {
	p, err := c.party(ctx)
	if err == nil {
		var to classic.Opener
		if to, err = c.opener(url); err == nil {
			return p, to, nil
		}
	}
	r.close()
	return nil, nil, err
}

func (r *Request) close() {
	if body, ok := r.Body.(io.Closer); ok {
		body.Close()
	}
}

// opener connects to a URL, for each message anew.
func (c *Client) opener(rawURL string) (classic.Opener, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	opts := &transport.Options{Transports: c.Transports, TLS: c.TLS}
	for _, e := range c.exchangers() {
		if slices.Contains(e.Schemes(), u.Scheme) {
			return classic.OpenFunc(func(ctx context.Context) (transport.Exchange, error) {
				return e.Exchange(ctx, u, opts)
			}), nil
		}
	}
	opts.Subprotocols = []string{"msl"} // one message in each WebSocket message
	return classic.OpenFunc(func(ctx context.Context) (transport.Exchange, error) {
		conn, err := transport.Dial(ctx, rawURL, opts)
		if err != nil {
			return nil, err
		}
		return classic.Over(conn), nil
	}), nil
}

// party is the client as classic MSL sees it: one for all requests, since they
// share tokens, the renewal slot and the service's clock.
func (c *Client) party(ctx context.Context) (*classic.Party, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.classic != nil {
		return c.classic, nil
	}
	n, err := c.network()
	if err != nil {
		return nil, err
	}
	if c.Trust == nil {
		return nil, errors.New("peer: Trust is missing: nobody may answer")
	}
	expected, err := c.Trust.Expect(ctx, c.Service)
	if err != nil {
		return nil, err
	}
	c.classic = &classic.Party{
		Network: n, Holder: c.holders().Holder(c.Service), Expected: expected,
		Pin:            func(ctx context.Context, e token.Entity) error { return c.Trust.Pin(ctx, c.Service, e) },
		Reauthenticate: c.Reauthenticate,
		Slot:           &c.slot,
	}
	return c.classic, nil
}

// Do sends a request to the peer of the given fingerprint, over a connection of
// its own on which both sides' messages go; see [Client.Do]. Closing the
// answer's body waits until the request's body has been sent.
func (n *Node) Do(ctx context.Context, fingerprint, url string, r *Request) (*Response, error) {
	net, err := n.network()
	var p *classic.Party
	if err == nil {
		p, err = n.party(token.Entity{Scheme: net.Self.Scheme(), Identity: fingerprint})
	}
	if err != nil {
		r.close()
		return nil, err
	}
	conn, err := transport.Dial(ctx, url, &transport.Options{Transports: n.Transports, TLS: n.TLS})
	if err != nil {
		r.close()
		return nil, err
	}
	c := classic.NewConn(classic.Over(conn), nil, true)
	in, err := p.RequestOn(ctx, c, r.message())
	if err != nil {
		c.Close()
		return nil, err
	}
	answer := newResponse(in)
	answer.Body = closing{in, c}
	return answer, nil
}

// closing is a body whose connection ends with it.
type closing struct {
	*classic.Incoming
	conn *classic.Conn
}

func (c closing) Close() error {
	return errors.Join(c.Incoming.Close(), c.conn.Close())
}

// party is the node towards one other, for what either of them asks.
func (n *Node) party(e token.Entity) (*classic.Party, error) {
	n.init()
	network, err := n.peerNetwork()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.parties[e]
	if p == nil {
		if n.parties == nil {
			n.parties = make(map[token.Entity]*classic.Party)
		}
		p = &classic.Party{
			Network: network, Holder: n.tokens.Holder(e.Identity), Expected: e, Channel: session.Sentinel(), Slot: new(classic.Slot),
			Admit: func(ctx context.Context, h *message.Header) error { return n.admit(ctx, infoOf(h)) },
		}
		n.parties[e] = p
	}
	return p, nil
}

// peerNetwork is what the node is in classic MSL: it issues tokens to its peers,
// and they to it.
func (n *Node) peerNetwork() (*message.Network, error) {
	network, err := n.network()
	if err != nil {
		return nil, err
	}
	network.PeerToPeer = true
	network.TokenKeys, network.Issuer, network.Service = n.server.TokenKeys, n.server.Issuer, network.Self.Identity()
	return network, nil
}
