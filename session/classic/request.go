package classic

import (
	"context"

	"github.com/mslgo/msl/protocol/message"
)

// Request sends a message and returns the answer when its header has been
// verified: the answer's data can be read while that of the request is still on
// its way, if the transport is duplex (spec 09 sections 1, 8 and 15). It shakes
// hands, renews tokens and recovers from errors as is necessary; the answer
// must be closed, and ctx governs it until then.
//
// A rejection by the other side that cannot be repaired is a
// *[message.ErrorHeader]. Other errors are those of the connection, *mslerr.Error
// for what is wrong with the answer, a *framing.LimitError after 12 messages or
// if more data was sent than is kept to be sent again.
//
// Every attempt has a stream of its own: this is for trusted services. It may be
// called concurrently.
func (p *Party) Request(ctx context.Context, to Opener, m Message) (*Incoming, error) {
	return p.newExchange(always, &m).start(ctx, to, nil)
}

// RequestOn is Request over a connection that two equals share. No other
// exchange may be on it until the answer is closed.
func (p *Party) RequestOn(ctx context.Context, c *Conn, m Message) (*Incoming, error) {
	return p.newExchange(always, &m).start(ctx, nil, c)
}

// Send sends a message to which no answer is read, except to a handshake that
// has to come first. Whether it arrives is not known. On what it returns, which
// has no header and must be closed, [Incoming.Next] waits for pushes.
func (p *Party) Send(ctx context.Context, to Opener, m Message) (*Incoming, error) {
	m.WantTokens = false
	return p.newExchange(never, &m).start(ctx, to, nil)
}

// SendOn is Send over a connection that two equals share.
func (p *Party) SendOn(ctx context.Context, c *Conn, m Message) (*Incoming, error) {
	m.WantTokens = false
	return p.newExchange(never, &m).start(ctx, nil, c)
}

func (p *Party) newExchange(mode mode, m *Message) *exchange {
	return &exchange{Party: p, network: p.network(), m: m, mode: mode, body: newBody(m.Body, p.Limits, m.Repeat)}
}

// start runs a request.
func (x *exchange) start(ctx context.Context, to Opener, c *Conn) (*Incoming, error) {
	x.open, x.conn = to, c
	if err := x.run(ctx); err != nil {
		return nil, err
	}
	in := &Incoming{party: x.Party, conn: x.conn, under: x.out.spec.Under, finish: x.finish}
	if x.mode != never {
		in.Header, in.data = x.answer, x.data
	}
	return in, nil
}

// finish ends a request whose answer is not read any further.
func (x *exchange) finish() error {
	if x.open != nil {
		x.body.close()
		x.disconnect()
		return nil
	}
	err := x.pump.wait() // the next message can only follow a whole one
	x.body.close()
	x.stop()
	return err
}

// answerTo begins an answer to in.
func (p *Party) answerTo(ctx context.Context, in *Incoming, mode mode, m *Message, o message.RespondOptions) (*exchange, error) {
	x := p.newExchange(mode, m)
	x.conn, x.incoming, x.state = in.conn, in, building
	o.Holder, o.LocalUser, o.User = p.Holder, m.LocalUser, m.User
	spec, err := x.network.Respond(ctx, in.Header, o)
	if err != nil {
		x.body.close()
		return nil, err
	}
	if spec.KeyResponse != nil {
		spec.Channel = p.Channel
	}
	x.out = outgoing{spec: spec}
	return x, nil
}
