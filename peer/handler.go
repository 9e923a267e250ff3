package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/transport"
)

// Handler answers requests of classic MSL. It is called in a goroutine of its own
// for each connection; when it returns, the answer ends. It need not read the
// request's body to its end; if that turns out to be damaged or cut short, the
// answer never ends well. A panic is logged, and answered with an error if nothing
// of the answer has left; else the connection is broken off. To panic with
// http.ErrAbortHandler is to do that without a word.
type Handler func(w ResponseWriter, r *ServerRequest)

// A ServerRequest is a request as the server gets it. Its sender and user are
// authenticated and admitted before the handler is called.
type ServerRequest struct {
	Peer Peer
	// Body is the data, verified chunk by chunk. What was read is to be acted
	// upon only when it has returned io.EOF.
	Body io.Reader
	// ServiceTokens that came with the request. Data of one that is not
	// Verified proves nothing.
	ServiceTokens []*token.ServiceToken
	// Encrypted and Protected say how the data came; NonReplayable, that it
	// comes for the first time.
	Encrypted, Protected, NonReplayable bool
	// Header is all that MSL says about the request. It is not to be changed.
	Header *message.Header

	ctx context.Context
}

// Context ends with the connection's server.
func (r *ServerRequest) Context() context.Context { return r.ctx }

// A ResponseWriter makes the answer to a request. What is stated about the answer
// has to be stated before the first byte of it leaves. It is used by one
// goroutine at a time.
type ResponseWriter interface {
	// Write writes data of the answer, which leaves when 64 KiB have come
	// together, with Flush, or with the handler's return.
	io.Writer
	Flush() error

	// SetServiceToken gives the requester a service token. Those of the request
	// go back as they are if nothing else is said.
	SetServiceToken(t ServiceToken)
	// EditServiceTokens changes those of the answer: deletes, leaves out.
	EditServiceTokens(edit func(*ServiceTokens) error)
	// SetUser logs the requester's user in, who gets a user ID token.
	SetUser(u token.User) error

	// NeedEncryption and NeedIntegrity require it for the answer, where the
	// server does not anyhow. If there are no keys the requester is told to get
	// some and to ask again; the error says so, and the handler returns.
	NeedEncryption() error
	NeedIntegrity() error

	// Push sends a message of its own, and may be called several times; there
	// is then no answer, and the other side has to wait for pushes. What is
	// stated about the answer holds for each.
	Push(body io.Reader) error
	// NoAnswer has nothing sent: the requester waits for no answer, as with
	// [Client.Send].
	NoAnswer() error

	// RejectEntity, RejectUser and Reject answer with an error instead: the
	// requester is to authenticate otherwise, its user is to, or what the
	// response code of err says. The handler returns then.
	RejectEntity() error
	RejectUser() error
	Reject(err error) error
}

// requests serves classic MSL on a connection.
type requests struct {
	handler             Handler
	plaintext, unsigned bool // answers may go so
	timeout             time.Duration
	log                 *slog.Logger
}

// serve answers the requests on c until it ends. first is the first one's header,
// if it was read already; conn is what c is made of, nil if that sees to its own
// timeouts. When serving ends, no more requests are waited for.
func (s *requests) serve(ctx, serving context.Context, p *classic.Party, c *classic.Conn, conn net.Conn, first *message.Header) error {
	for ; ; first = nil {
		waiting, cancel := context.WithTimeout(ctx, idle)
		stop := context.AfterFunc(serving, cancel)
		in, err := p.Accept(waiting, c, first)
		stop()
		cancel()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			_, refused := errors.AsType[*mslerr.Error](err)
			_, remote := errors.AsType[*message.ErrorHeader](err)
			if !refused && !remote {
				return err
			}
			s.log.LogAttrs(ctx, slog.LevelDebug, "msl: request refused", slog.Any("error", err))
			continue
		}
		var body io.Reader = in
		if conn != nil {
			body = &patientReader{in, conn, s.timeout}
		}
		if err := s.answer(ctx, in, body); err != nil {
			return err
		}
	}
}

// answer calls the handler.
func (s *requests) answer(ctx context.Context, in *classic.Incoming, body io.Reader) error {
	h := in.Header
	w := &responseWriter{ctx: ctx, in: in, message: classic.Message{InsecurePlaintext: s.plaintext, InsecureUnprotected: s.unsigned}}
	if err := in.CanAnswer(w.message); err != nil {
		return in.Reject(ctx, err)
	}
	w.message.ServiceTokens = w.editServiceTokens
	if err := s.call(ctx, w, &ServerRequest{
		Peer: Peer{h.Sender, h.User}, Body: body, ServiceTokens: in.ServiceTokens(),
		Encrypted: h.PayloadEncrypted, Protected: h.PayloadProtected, NonReplayable: h.NonReplayable,
		Header: h, ctx: ctx,
	}); err != nil {
		return w.breakOff(err)
	}
	return w.finish()
}

var errPanicked = errors.New("peer: the handler panicked")

// call calls the handler; its panic is an error.
func (s *requests) call(ctx context.Context, w ResponseWriter, r *ServerRequest) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err = errPanicked; v == http.ErrAbortHandler {
			err = http.ErrAbortHandler
			return
		}
		s.log.LogAttrs(ctx, slog.LevelError, "msl: the handler panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	}()
	s.handler(w, r)
	return nil
}

type responseWriter struct {
	ctx     context.Context
	in      *classic.Incoming
	message classic.Message
	edits   []func(*ServiceTokens) error

	held  bytes.Buffer   // not yet sent
	pipe  *io.PipeWriter // to the answer on its way; nil: not begun
	sent  chan error     // takes what became of it
	other bool           // an error or a push has taken the answer's place
}

// flushSize is how much comes together before it leaves.
const flushSize = 64 << 10

var errAnswered = errors.New("peer: the request has been answered otherwise")

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.other {
		return 0, errAnswered
	}
	n, _ := w.held.Write(p)
	if w.held.Len() >= flushSize {
		return n, w.Flush()
	}
	return n, nil
}

func (w *responseWriter) Flush() error {
	if w.other {
		return errAnswered
	}
	if w.pipe == nil {
		var body *io.PipeReader
		body, w.pipe = io.Pipe()
		w.message.Body = body
		w.sent = make(chan error, 1)
		go func() {
			err := w.in.Respond(w.ctx, w.message)
			body.CloseWithError(err)
			w.sent <- err
		}()
	}
	_, err := w.held.WriteTo(w.pipe)
	return err
}

// finish ends the answer. One to a request that was damaged or cut short is
// broken off, so that it does not look complete (W-08).
func (w *responseWriter) finish() error {
	failure := w.in.Err()
	if failure == io.EOF {
		failure = nil
	}
	switch {
	case w.other:
		return failure
	case failure != nil && w.pipe == nil:
		return w.in.Reject(w.ctx, failure)
	case w.pipe == nil:
		if w.held.Len() > 0 {
			w.message.Body = &w.held
		}
		return ignoreRefusal(w.in.Respond(w.ctx, w.message))
	}
	err := failure
	if err == nil {
		err = w.Flush()
	}
	w.pipe.CloseWithError(err) // nil is the end
	return ignoreRefusal(<-w.sent)
}

// breakOff ends an answer that is not to look complete: with an error header if
// nothing of it has left, and with the connection otherwise.
func (w *responseWriter) breakOff(err error) error {
	switch {
	case w.pipe != nil:
		w.pipe.CloseWithError(err)
		return errors.Join(err, <-w.sent)
	case !w.other && err == errPanicked:
		return w.Reject(err)
	}
	return err
}

// ignoreRefusal: after an error header the connection goes on.
func ignoreRefusal(err error) error {
	if e, ok := errors.AsType[*mslerr.Error](err); ok && !e.Remote {
		return nil
	}
	return err
}

func (w *responseWriter) SetServiceToken(t ServiceToken) {
	w.EditServiceTokens(func(set *ServiceTokens) error { return set.Put(t) })
}

func (w *responseWriter) EditServiceTokens(edit func(*ServiceTokens) error) {
	w.edits = append(w.edits, edit)
}

// editServiceTokens runs in the goroutine that answers, where nobody else would
// catch a panic.
func (w *responseWriter) editServiceTokens(_ context.Context, set *ServiceTokens, handshake bool) (err error) {
	if handshake {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("peer: editing service tokens: panic: %v", v)
		}
	}()
	for _, edit := range w.edits {
		if err := edit(set); err != nil {
			return err
		}
	}
	return nil
}

func (w *responseWriter) SetUser(u token.User) error {
	w.message.User = u
	return w.check()
}

func (w *responseWriter) NeedEncryption() error {
	w.message.InsecurePlaintext, w.message.InsecureUnprotected = false, false
	return w.check()
}

func (w *responseWriter) NeedIntegrity() error {
	w.message.InsecureUnprotected = false
	return w.check()
}

// check sends the error that calls for keys, if there are none.
func (w *responseWriter) check() error {
	err := w.in.CanAnswer(w.message)
	if err == nil {
		return nil
	}
	return errors.Join(err, w.Reject(err))
}

func (w *responseWriter) Push(body io.Reader) error {
	if w.pipe != nil {
		return errAnswered
	}
	w.other = true
	m := w.message
	m.Body = body
	return w.in.Push(w.ctx, m)
}

func (w *responseWriter) NoAnswer() error {
	if w.pipe != nil {
		return errAnswered
	}
	w.other = true
	return nil
}

func (w *responseWriter) RejectEntity() error { return w.Reject(w.in.Header.EntityRejected()) }
func (w *responseWriter) RejectUser() error   { return w.Reject(w.in.Header.UserRejected()) }

func (w *responseWriter) Reject(err error) error {
	if w.other || w.pipe != nil {
		return errAnswered
	}
	w.other = true
	return w.in.Reject(w.ctx, mslerr.Wrap(mslerr.InternalException, err))
}

// ServeExchange serves the requests of classic MSL that come over an exchange, as
// from a web server, until it ends. It is closed then.
func (s *Server) ServeExchange(ctx context.Context, e transport.Exchange) error {
	defer e.Close()
	if err := s.init(); err != nil {
		return err
	}
	if s.Handler == nil {
		return errors.New("peer: Handler is missing: nobody would answer requests")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	return s.requests.serve(ctx, s.serving, s.classic, classic.NewConn(e, nil, false), nil, nil)
}

// serveClassic goes on with a connection that began with a classic message.
func (s *Server) serveClassic(ctx context.Context, first *session.ClassicError) error {
	e := &patientExchange{classic.Over(first.Conn), first.Conn, s.Timeout}
	c := classic.NewConn(e, first.Reader, s.node != nil)
	p, h := s.classic, first.Header
	if s.node != nil {
		var err error
		if p, h, err = s.node.answering(ctx, first.Header); err != nil {
			return err
		}
	}
	return s.requests.serve(ctx, s.serving, p, c, first.Conn, h)
}

// answering is the node towards who asks, and their header opened again, as peers
// do. Who is not admitted gets a party that is not kept, and refuses.
func (n *Node) answering(ctx context.Context, h *message.Header) (*classic.Party, *message.Header, error) {
	var p *classic.Party
	var err error
	if refused := n.admit(ctx, infoOf(h)); refused == nil {
		p, err = n.party(h.Sender)
	} else {
		p = &classic.Party{Admit: func(context.Context, *message.Header) error { return refused }}
		p.Network, err = n.peerNetwork()
	}
	if err != nil {
		return nil, nil, err
	}
	h, err = p.Network.Open(ctx, h.Raw, message.OpenOptions{Remote: h.Sender})
	return p, h, err
}
