package peer

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/transport"
)

// An acceptor turns connections into sessions, or serves requests of classic MSL on
// them, and owns them until they end.
type acceptor struct {
	failed     error // of the configuration; nothing else is set then
	responder  *session.Responder
	handle     func(context.Context, *session.Session)            // nil: no sessions
	classic    func(context.Context, *session.ClassicError) error // nil: no requests
	handshakes *semaphore.Weighted
	log        *slog.Logger

	life context.Context // ends when the server is closed
	end  context.CancelFunc

	serving context.Context // ends when no more requests are waited for
	drain   context.CancelFunc

	mu       sync.Mutex
	sessions map[*session.Session]struct{}
	closing  bool
	asking   sync.WaitGroup // connections with requests; Add under mu
	running  sync.WaitGroup // connections being served; Add under mu
}

const defaultHandshakes = 256

// setUpStack is how many bytes of stack a set-up needs at most, roughly.
const setUpStack = 20 << 10

func (a *acceptor) start(r *session.Responder, handle func(context.Context, *session.Session), handshakes int, log *slog.Logger) {
	if handshakes <= 0 {
		handshakes = defaultHandshakes
	}
	a.responder, a.handle, a.log = r, handle, log
	a.handshakes = semaphore.NewWeighted(int64(handshakes))
	a.life, a.end = context.WithCancel(context.Background())
	a.serving, a.drain = context.WithCancel(a.life)
	a.sessions = make(map[*session.Session]struct{})
}

// serve accepts on all listeners until ctx ends, the acceptor is closed or one
// of them fails.
func (a *acceptor) serve(ctx context.Context, listeners []transport.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(a.life, func() { cancel(ErrServerClosed) })()
	var accepting sync.WaitGroup
	for _, l := range listeners {
		accepting.Go(func() { cancel(a.accept(ctx, l)) })
	}
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	accepting.Wait()
	return context.Cause(ctx)
}

func (a *acceptor) accept(ctx context.Context, l transport.Listener) error {
	values := context.WithoutCancel(ctx)
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			return err
		}
		go a.serveAccepted(values, conn)
	}
}

// serveAccepted begins to serve a connection. The session is served by another
// goroutine: this one has the large stack that a set-up needs, and ends.
func (a *acceptor) serveAccepted(ctx context.Context, conn transport.Conn) {
	if !a.enter(conn) {
		return
	}
	s, err := a.setUp(ctx, conn)
	go func() {
		defer a.running.Done()
		if err := a.serveWhat(ctx, s, err); err != nil {
			a.log.LogAttrs(ctx, slog.LevelDebug, "msl: connection refused", slog.String("from", conn.RemoteAddr().String()), slog.Any("error", err))
		}
	}()
}

// serveConn serves one connection to its end.
func (a *acceptor) serveConn(ctx context.Context, conn transport.Conn) error {
	if !a.enter(conn) {
		return ErrServerClosed
	}
	defer a.running.Done()
	var s *session.Session
	var err error
	done := make(chan struct{})
	go func() { // for its stack, which whoever serves the session would keep
		defer close(done)
		s, err = a.setUp(ctx, conn)
	}()
	<-done
	return a.serveWhat(ctx, s, err)
}

// enter counts a connection as being served, or closes it if the server is closed.
func (a *acceptor) enter(conn transport.Conn) bool {
	a.mu.Lock()
	open := !a.closing
	if open {
		a.running.Add(1)
	}
	a.mu.Unlock()
	if !open {
		conn.Close()
	}
	return open
}

// serveWhat serves what a set-up gave to its end.
func (a *acceptor) serveWhat(ctx context.Context, s *session.Session, err error) error {
	first, classic := errors.AsType[*session.ClassicError](err)
	switch {
	case errors.Is(err, session.ErrAttached):
		return nil // it is served already
	case classic:
		return a.serveRequests(ctx, first)
	case err != nil:
		return err
	}
	if !a.add(s) {
		_ = s.Shutdown(a.life)
		return ErrServerClosed
	}
	a.serveSession(ctx, s)
	return nil
}

// untilClosed is ctx, ended by the server's end too.
func (a *acceptor) untilClosed(ctx context.Context) (context.Context, func()) {
	if ctx.Done() == nil {
		return valuesOf{a.life, ctx}, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// serveSession lets the application serve a session, with a context that ends
// with the session, as all do when the server is closed, or with ctx.
func (a *acceptor) serveSession(ctx context.Context, s *session.Session) {
	defer a.remove(s)
	defer s.Close()
	serving := context.Context(valuesOf{s.Context(), ctx})
	if ctx.Done() != nil {
		var cancel context.CancelFunc
		serving, cancel = context.WithCancel(serving)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
	}
	a.handle(serving, s)
}

// valuesOf is a context that has the values of another, too.
type valuesOf struct {
	context.Context
	values context.Context
}

func (c valuesOf) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

// setUp sets a session up, or says that there are requests.
func (a *acceptor) setUp(ctx context.Context, conn transport.Conn) (*session.Session, error) {
	if a.handle == nil {
		return nil, &session.ClassicError{Conn: conn}
	}
	ctx, release := a.untilClosed(ctx)
	defer release()
	if err := a.handshakes.Acquire(ctx, 1); err != nil {
		conn.Close()
		return nil, err
	}
	defer a.handshakes.Release(1)
	deepen(0)
	return session.Accept(ctx, conn, a.responder)
}

// deepen has the goroutine's stack grown at once to what a set-up needs. Otherwise it
// is doubled, and copied frame by frame, again and again from deep within.
//
//go:noinline
func deepen(i int) byte {
	var frame [setUpStack]byte
	return frame[i]
}

// serveRequests serves a connection that carries classic messages.
func (a *acceptor) serveRequests(ctx context.Context, first *session.ClassicError) error {
	defer first.Conn.Close()
	if a.classic == nil {
		return first
	}
	a.mu.Lock()
	if a.closing {
		a.mu.Unlock()
		return ErrServerClosed
	}
	a.asking.Add(1)
	a.mu.Unlock()
	defer a.asking.Done()
	ctx, release := a.untilClosed(ctx)
	defer release()
	defer context.AfterFunc(ctx, func() { first.Conn.Close() })()
	return a.classic(ctx, first)
}

func (a *acceptor) add(s *session.Session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return false
	}
	a.sessions[s] = struct{}{}
	return true
}

func (a *acceptor) remove(s *session.Session) {
	a.mu.Lock()
	delete(a.sessions, s)
	a.mu.Unlock()
}

// shutdown drains every session and lets requests be answered until ctx ends, then
// ends what is left.
func (a *acceptor) shutdown(ctx context.Context) error {
	if a.life == nil {
		return nil // never started
	}
	a.mu.Lock()
	a.closing = true
	open := make([]*session.Session, 0, len(a.sessions))
	for s := range a.sessions {
		open = append(open, s)
	}
	a.mu.Unlock()

	var draining sync.WaitGroup
	for _, s := range open {
		draining.Go(func() { _ = s.Shutdown(ctx) }) // its handler sees the end
	}
	a.drain()
	draining.Go(a.asking.Wait)
	drained := make(chan struct{})
	go func() {
		draining.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-ctx.Done():
	}
	err := ctx.Err()
	a.end()
	<-drained
	a.running.Wait()
	return err
}
