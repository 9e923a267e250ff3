package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/session/link"
	"github.com/mslgo/msl/session/mux"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// Stream is a stream of a session, a net.Conn.
type Stream = mux.Stream

// StreamOptions says what a stream is opened with.
type StreamOptions = mux.StreamOptions

// Priority says how a stream shares its session.
type Priority = mux.Priority

// Session is a channel and its streams. All methods may be called concurrently.
type Session struct {
	link     *link.Link
	mux      *mux.Mux
	id       channelID
	epochs   *epochs // for attach and rekey; erased with the session's end
	control  *control
	exchange *exchange
	early    *earlyData // of DialEarly; nil otherwise
	exporter mslcrypto.Key
	info     Info
	log      *slog.Logger

	presence
	reattacher *reattacher // of a durable session that we began
	channels   *registry   // of a durable session that the other side began

	idle     idleWatch
	rechecks recheckWatch
	looks    lookout
	proved   atomic.Pointer[chan error] // takes one value: what the first record proved; nil: nobody asks any more
	life     context.Context            // ends with the session
	end      context.CancelCauseFunc
	once     sync.Once
	err      error // why it ended; read after life
}

// setup is what a set-up settled.
type setup struct {
	shell     *Session       // of DialEarly; nil: there is none
	early     earlyAnswer    // with shell
	opener    *stream.Opener // of early data that is accepted; nil: of none
	initiator bool
	conn      transport.Conn
	prefix    []byte // the header that goes before the first record
	epoch     *epoch
	exporter  mslcrypto.Key
	suite     stream.Suite
	id        channelID
	own, peer offer
	limits    Limits
	control   *control
	exchange  exchangeSettings
	info      Info
	log       *slog.Logger
	onState   func(*Session, State)

	durable  time.Duration
	attacher *Initiator // who may attach again, at the addresses at; nil: the other side
	at       []string
	channels *registry  // of the responder
	answers  *Responder // whose session it is; nil: of an initiator
	recorder *observe.Recorder
	keyLog   io.Writer
}

// newShell makes what of a session does not need the keys. Until there is a
// link its frames wait, or leave as early data.
func newShell(s setup) *Session {
	n := &Session{info: s.info}
	proved := make(chan error, 1)
	n.proved.Store(&proved)
	n.life, n.end = context.WithCancelCause(context.Background())
	conn := s.conn // alone: what keeps s keeps all of the set-up
	n.presence.conn.Store(&conn)
	n.mux = mux.New(mux.Config{
		Initiator: s.initiator,
		Wake: func() {
			if !n.early.wake() {
				n.link.Wake()
			}
		},
		RequestAck: func() {
			if !n.early.wantAck() {
				n.link.RequestAck()
			}
		},
		RTT: func() time.Duration {
			if !n.isEstablished() {
				return 0
			}
			return n.link.Stats().LeastRoundTrip
		},
		Window:         uint64(s.own.window),
		MaxWindow:      uint64(max(0, s.limits.StreamWindowMax)),
		Credit:         uint64(s.own.credit),
		MaxCredit:      uint64(max(0, s.limits.WindowMax)),
		MaxStreams:     uint64(s.own.streams),
		PeerWindow:     uint64(s.peer.window),
		PeerCredit:     uint64(s.peer.credit),
		MaxRecord:      uint64(s.own.maxRecord),
		PeerMaxStreams: uint64(s.peer.streams),
		PeerMaxRecord:  uint64(s.peer.maxRecord),
		NoCompression:  s.limits.NoCompression,
		LocalAddr:      func() net.Addr { return n.connection().LocalAddr() },
		RemoteAddr:     func() net.Addr { return n.connection().RemoteAddr() },
		Recorder:       s.recorder,
	})
	n.mux.SetBandwidth(s.limits.Bandwidth)
	return n
}

// newSession starts the channel on its connection: the responder's first record
// leaves, behind prefix. Nothing is read, and the session belongs to nobody, until
// confirmed is called, which must be.
func newSession(s setup) (*Session, error) {
	n := s.shell
	var streams link.Source
	var first uint64 // number of the first record
	if n == nil {
		n = newShell(s)
		streams = n.mux
	} else {
		streams, first = n.settleEarly(s.early, s.peer)
	}
	out, in := s.epoch.r2i, s.epoch.i2r
	if s.initiator {
		out, in = in, out
	}
	sealer, err := stream.NewSealer(s.suite, out, first)
	if err != nil {
		return s.shell, err
	}
	opener, err := stream.NewOpener(s.suite, in, 0)
	if err != nil {
		return s.shell, err
	}
	logKeys(s.keyLog, s.id, s.epoch)
	s.epoch.eraseRecordKeys()
	n.id = s.id
	n.epochs = &epochs{newest: s.epoch, begun: epochBegun(s.recorder, s.keyLog, s.id)}
	n.control = s.control
	n.exporter = s.exporter
	n.info = s.info
	n.log = s.log
	n.info.Early = s.opener != nil
	if tell := s.onState; tell != nil {
		n.presence.tell = func(to State) { tell(n, to) }
	}
	c := s.control
	n.exchange = newExchange(n, s.exchange, &c.inband)
	n.exchange.user = s.info.User
	config := link.Config{
		Initiator:    s.initiator,
		Sealer:       sealer,
		Opener:       opener,
		Early:        s.opener,
		Control:      c,
		Streams:      streams,
		MaxRecord:    int(s.peer.maxRecord),
		OwnMaxRecord: int(s.own.maxRecord),
		Retain:       s.own.retain,
		RetainMax:    s.limits.RetainMax,
		PeerRetain:   s.peer.retain,
		Durable:      s.durable,
		Logger:       s.log,
		Recorder:     s.recorder,
		OnOpened: func() {
			if err := n.control.firstRecord(); err != nil {
				n.link.CloseWithError(err) // tells onClose
				return
			}
			n.prove(nil)
		},
		OnEarly: func() { n.prove(nil) }, // the claim makes it unique
		OnLost:  n.onLost,
		OnClose: n.onClose,
		OnDone:  n.onDone,
	}
	if s.durable > 0 && s.channels != nil {
		config.Account = &s.channels.retained
	}
	n.link = link.New(config)
	c.rekey.init(s.initiator, n.link, n.epochs, s.limits.rekey())
	if s.durable > 0 {
		if s.attacher != nil {
			n.reattacher = newReattacher(n, s.attacher, s.at)
		} else {
			n.channels = s.channels
			n.channels.add(n, s.info.Entity, s.durable) // before anybody can attach
		}
	}
	n.watchIdle(s.limits.idle())
	n.watchPermission(s.answers)
	n.watchTraffic(s.recorder)
	if n.early != nil {
		n.early.end(n.link)
	}
	return n, n.link.Attach(s.conn, s.prefix)
}

// proveByAttach confirms a set-up by a proof of its keys (channel set-up 4.6.7),
// unless its first record has more to prove.
func (s *Session) proveByAttach() {
	if !s.control.expected {
		s.prove(nil)
	}
}

// prove tells what the first record proved; only the first word counts.
func (s *Session) prove(err error) {
	proved := s.proved.Load()
	if proved == nil {
		return
	}
	select {
	case *proved <- err:
	default:
	}
}

// confirmed waits for the first record of the other side, and lets r, which
// reads from the connection, be read from then on.
func (s *Session) confirmed(ctx context.Context, r *framing.Reader) error {
	proved := *s.proved.Load()
	defer s.proved.Store(nil)
	s.link.Begin(r)
	select {
	case err := <-proved:
		return setUpError(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// setUpError names the failure that a caller of Dial may want to know.
func setUpError(err error) error {
	if closed, ok := errors.AsType[*Error](err); ok && closed.Code == frame.CodeAuth {
		return fmt.Errorf("%w: %w", ErrAuth, err)
	}
	return err
}

// onClose is called by the link when no more records flow.
func (s *Session) onClose(err error) {
	err = sessionError(err)
	s.once.Do(func() {
		s.err = err
		s.forgetEarly(err)
		s.mux.Fail(s.err)
		s.idle.stop()
		s.rechecks.stop()
		s.control.rekey.stop()
		s.exchange.stop()
		s.looks.end(s.err)
		s.exporter.Erase()
		s.end(s.err)
		s.presence.set(finalState(err))
	})
	s.prove(err)
}

// sessionError says in this package's words why a link ended.
func sessionError(err error) error {
	var closed *link.CloseError
	var violation *frame.Error
	switch {
	case errors.As(err, &closed):
		if closed.Code == frame.CodeNoError && !closed.Remote {
			return net.ErrClosed
		}
		return &Error{Code: closed.Code, Remote: closed.Remote, Reason: closed.Reason}
	case errors.As(err, &violation):
		return &Error{Code: violation.Code, Reason: violation.Reason}
	}
	return &lostError{err}
}

// OpenStream opens a stream. It waits only while the other side allows no more
// of them; the other side learns of it with the first write, or after 1 ms.
// Errors: [ErrGoingAway] after a Shutdown by either side, then a new session is
// needed, which another dial gives; ctx's; the session's.
func (s *Session) OpenStream(ctx context.Context) (*Stream, error) {
	s.idle.used.Store(true)
	return s.mux.OpenStream(ctx, nil)
}

// OpenStreamWith opens a stream with a label, metadata and priority that the
// other side sees, or one whose data is compressed.
func (s *Session) OpenStreamWith(ctx context.Context, o StreamOptions) (*Stream, error) {
	s.idle.used.Store(true)
	return s.mux.OpenStream(ctx, &o)
}

// SetBandwidth limits what leaves on all streams together from now on to
// bytesPerSecond bytes of data a second, in bursts of up to 50 ms; 0 or less: no
// limit. Streams share it by their priorities; one of them is limited by
// [Stream.SetBandwidth].
func (s *Session) SetBandwidth(bytesPerSecond int64) { s.mux.SetBandwidth(bytesPerSecond) }

// AcceptStream returns the next stream that the other side opened.
func (s *Session) AcceptStream(ctx context.Context) (*Stream, error) {
	st, err := s.mux.AcceptStream(ctx)
	s.idle.used.Store(true)
	return st, err
}

// Shutdown ends the session in good order: no more streams are opened by either
// side, those that are open finish until ctx ends, and the rest with SHUTDOWN.
// The error is ctx's if some had to, or that of the session's end.
func (s *Session) Shutdown(ctx context.Context) error {
	err := s.mux.Shutdown(ctx)
	code := frame.CodeNoError
	if err != nil {
		code = frame.CodeShutdown
	}
	return errors.Join(err, s.close(code, ""))
}

// CloseWithError ends the session at once, with a code of the application and a
// reason of up to 256 bytes for people. What was written and has not left is
// lost. It waits until the other side confirms it, for a few seconds at most.
func (s *Session) CloseWithError(code uint64, reason string) error {
	return s.close(frame.Application(code), reason)
}

// Close is CloseWithError without an error: the other side's streams end with
// one that is net.ErrClosed. It returns nil if the session has ended already.
func (s *Session) Close() error { return s.close(frame.CodeNoError, "") }

func (s *Session) close(code Code, reason string) error {
	if !s.isEstablished() {
		s.early.cancel(net.ErrClosed)
		_ = s.established(context.Background())
	}
	select {
	case <-s.Done():
		if s.link != nil {
			<-s.link.Done()
			s.wait()
		}
		return nil
	default:
	}
	err := s.link.Close(context.Background(), code, reason)
	if err == nil {
		s.wait()
	}
	return err
}

// wait waits for the goroutines of a session that is over.
func (s *Session) wait() {
	if s.reattacher != nil {
		s.reattacher.runs.Wait()
	}
}

// Rekey gives the channel new keys, which depend on a KEM share made after the
// call, and returns when both sides use them. Sessions do so every Limits.Rekey by
// themselves. At a responder it asks for them, and waits for what the initiator
// does. The end of ctx ends the waiting only.
func (s *Session) Rekey(ctx context.Context) error {
	if err := s.established(ctx); err != nil {
		return err
	}
	err := s.control.rekey.run(ctx, s.Done())
	if err == errSessionEnded {
		err = s.err
	}
	return err
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.life.Done() }

// Context ends with the session. Its cause is what Err returns.
func (s *Session) Context() context.Context { return s.life }

// Err is nil while the session lives; then net.ErrClosed after our own Close,
// an [*Error] if it was closed otherwise by either side, or an error that is
// [ErrChannelLost].
func (s *Session) Err() error {
	select {
	case <-s.Done():
		return s.err
	default:
		return nil
	}
}

// Info says who is at the other side and how the session is doing. Before the
// answer to DialEarly it says who is expected.
func (s *Session) Info() Info {
	if !s.isEstablished() {
		return s.early.info
	}
	i := s.info
	i.User = s.exchange.who()
	i.RoundTrip = s.link.Stats().RoundTrip
	i.Transport = s.connection().URL()
	s.presence.mu.Lock()
	i.Reconnects = s.presence.reconnects
	s.presence.mu.Unlock()
	return i
}
