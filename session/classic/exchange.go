package classic

import (
	"context"
	"errors"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/stream"
)

// maxMessages is how many messages one request may cost, handshakes and retries
// and their answers included (spec 09 checklist 10).
const maxMessages = 12

// An exchange is one request of the application, or one answer, with all the
// messages that it takes (spec 09 sections 8 and 11).
type exchange struct {
	*Party
	network *message.Network // of this exchange: its own data may change
	m       *Message
	mode    mode

	incoming *Incoming // what is answered; nil: it is a request
	serving  bool      // it is answered by the stack: what comes next is a request

	state state
	count int // messages sent and received
	err   error

	open Opener // trusted services: gives a connection for each message
	conn *Conn  // of the message
	stop func() bool

	out  outgoing
	turn *Turn // the slot, if it is held
	body *body
	pump *pump

	answer  *message.Header
	data    *stream.ChunkReader // the answer's
	refusal *message.ErrorHeader

	credentials userauth.Data        // given by the application
	withoutUser bool                 // the stored user ID token is not to be used
	superseded  []*token.MasterToken // to be forgotten when an answer has come
}

// run takes the exchange to its end.
func (x *exchange) run(ctx context.Context) error {
	if x.open == nil {
		x.stop = x.conn.guard(ctx)
	}
	for !x.state.final() {
		e, err := x.act(ctx)
		if err != nil {
			e, x.err = gaveUp, err
		}
		x.state = x.state.after(e)
	}
	x.release(nil)
	x.body.answered()
	if x.state == done {
		return nil
	}
	x.abandon()
	if ctx.Err() != nil {
		x.err = errors.Join(context.Cause(ctx), x.err)
	}
	return x.failure()
}

// act does what the state asks for.
func (x *exchange) act(ctx context.Context) (event, error) {
	switch x.state {
	case starting:
		return chosen, x.choose(ctx)
	case building:
		if x.count+2 > maxMessages && !x.out.last {
			return gaveUp, &framing.LimitError{Limit: "messages of one request", Max: maxMessages}
		}
		if x.incoming == nil || x.network.PeerToPeer { // a server is never renewable
			if err := x.acquire(ctx); err != nil {
				return gaveUp, err
			}
		}
		return built, x.build(ctx)
	case sending:
		return x.send(ctx)
	case awaiting:
		return x.await(ctx)
	case recovering:
		if err := x.interrupt(); err != nil {
			return gaveUp, err
		}
		err := x.recover(ctx)
		x.release(nil) // after the cleanup (section 7, steps 5 and 6)
		return chosen, err
	case continuing:
		return chosen, x.continueFrom(ctx, x.answer)
	case replying:
		if err := x.pump.wait(); err != nil { // one message at a time
			return gaveUp, err
		}
		err := x.continueFrom(ctx, x.answer)
		x.out.waived, x.out.last = true, !x.answer.Handshake
		return chosen, err
	}
	panic("classic: nothing to do in a final state")
}

// send writes the message. Its body goes on leaving while the answer is awaited.
func (x *exchange) send(ctx context.Context) (event, error) {
	if x.open != nil {
		if err := x.connect(ctx); err != nil {
			return gaveUp, err
		}
	}
	x.count += 2
	o := &x.out
	// A reply of the stack's own has no chunks on a shared stream, and one
	// elsewhere (spec 04 section 7.4).
	data := !o.spec.Handshake && (!o.waived || !x.conn.shared)
	if err := x.conn.write(o.sealed.Raw, !data); err != nil {
		return gaveUp, err
	}
	x.pump = nil
	if data {
		var b *body
		if !o.waived {
			b = x.body
		}
		w := stream.NewChunkWriter(x.conn.stream, o.sealed, stream.ChunkWriterConfig{
			Size: x.Limits.chunk(), Compression: o.sealed.Capabilities.Algorithm(),
		})
		x.pump = start(ctx, b, w, x.conn.stream)
		x.conn.sending = x.pump
	}
	if x.awaited() {
		return sent, nil
	}
	x.release(nil)
	return sentLast, x.pump.wait()
}

// connect gives the message a connection of its own.
func (x *exchange) connect(ctx context.Context) error {
	x.disconnect()
	s, err := x.open.Open(ctx)
	if err != nil {
		return err
	}
	x.conn = NewConn(s, nil, false)
	x.stop = x.conn.guard(ctx)
	return nil
}

// disconnect closes the present connection, if there is one, and ends the body's
// way over it.
func (x *exchange) disconnect() {
	if x.conn == nil {
		return
	}
	x.stop()
	x.conn.Close()
	x.pump.stop()
	x.conn, x.pump = nil, nil
}

// await reads the answer and says what it is (CLASSIFY).
func (x *exchange) await(ctx context.Context) (event, error) {
	if x.incoming != nil && !x.serving { // the application may still be reading it
		if err := x.incoming.setAside(x.out.spec.Handshake, x.pump); err != nil {
			return gaveUp, err
		}
	}
	h, e, err := x.receive(ctx)
	if err != nil {
		return gaveUp, x.because(err)
	}
	if e != nil {
		x.refusal = e
		return refused, nil
	}
	x.answer = h
	if x.out.spec.Handshake {
		x.conn.body(h, x.Limits, x.network, true)
		return shaken, nil
	}
	reply := x.mode == renewing // of the other side's stack
	x.data = x.conn.body(h, x.Limits, x.network, reply)
	if !x.network.PeerToPeer || reply || x.serving {
		return answered, nil
	}
	if h.Handshake, err = x.data.Handshake(); err != nil {
		return gaveUp, err
	}
	if h.Handshake || len(h.KeyRequests) > 0 || h.Renewable && h.MasterToken != nil && h.Credentials != nil {
		return asked, nil
	}
	return answered, nil
}

// because prefers to the failure to read an answer that of the application's own
// reader, which caused it.
func (x *exchange) because(err error) error {
	if x.pump == nil {
		return err
	}
	select {
	case <-x.pump.done:
		if b, ok := errors.AsType[bodyError](x.pump.err); ok {
			return b.error
		}
	default:
	}
	return err
}

// interrupt ends the sending of a message that was refused. On a shared stream it
// has to be sent in full before another can begin.
func (x *exchange) interrupt() error {
	if x.open != nil {
		x.disconnect()
		return nil
	}
	return x.pump.wait()
}

// continueFrom begins the next message as the answer to h (sections 8, 10, 11):
// after a handshake, the data; peer to peer also what h asks for.
func (x *exchange) continueFrom(ctx context.Context, h *message.Header) error {
	spec, err := x.network.Respond(ctx, h, message.RespondOptions{
		Holder: x.Holder, LocalUser: x.m.LocalUser, User: x.m.User,
	})
	if err != nil {
		return err
	}
	x.out = outgoing{spec: spec}
	return x.use(ctx, spec.Under)
}

// abandon gives up the connection, the body and what is secret.
func (x *exchange) abandon() {
	x.body.close()
	if x.open != nil {
		x.disconnect()
		return
	}
	x.stop()
	if x.pump != nil {
		select {
		case <-x.pump.done:
			if x.pump.err == nil {
				return
			}
		default:
		}
		x.conn.Close() // in the middle of a message: nothing can follow
		x.pump.stop()
	}
}
