//go:build !js

package peer_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/internal/faultnet"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

// links connects to a server over links that can be cut and held.
type links struct {
	transport.Transport
	serveConn func(context.Context, transport.Conn)
	served    sync.WaitGroup

	mu  sync.Mutex // guards what follows
	all []*faultnet.Link
}

func (*links) Schemes() []string     { return []string{"pipe"} }
func (*links) Protected(string) bool { return false }

func (l *links) Dial(context.Context, *url.URL, *transport.Options) (transport.Conn, error) {
	near, from := transport.Pipe()
	to, far := transport.Pipe()
	l.served.Go(func() { l.serveConn(context.Background(), far) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, faultnet.NewLink(from, to, faultnet.Path{}, faultnet.Path{}, false))
	return near, nil
}

func (l *links) last() *faultnet.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[len(l.all)-1]
}

// settings are those that the roles have in common.
type settings struct {
	admit    func(context.Context, peer.Info) error
	recheck  time.Duration
	retained int64
	moves    int
	session  func(context.Context, *session.Session)
}

// answering tests, in a bubble, both roles that answer. dial opens a session
// with it, over links.
func answering(t *testing.T, s settings, test func(t *testing.T, dial func() *session.Session, l *links, states <-chan session.State)) {
	roles := map[string]func(t *testing.T, l *links, onState func(*session.Session, session.State)) func(context.Context, string) (*session.Session, error){
		"server": func(t *testing.T, l *links, onState func(*session.Session, session.State)) func(context.Context, string) (*session.Session, error) {
			server := &peer.Server{Identity: identity(t), Service: "test", Session: s.session,
				Admit: s.admit, Recheck: s.recheck, Retained: s.retained, Moves: s.moves}
			l.serveConn = func(ctx context.Context, c transport.Conn) { _ = server.ServeConn(ctx, c) }
			t.Cleanup(func() { server.Close() })
			client := &peer.Client{Identity: identity(t), Service: "test", Trust: peer.Pinned(server.Identity.Fingerprint()),
				Transports: []transport.Transport{l}, OnState: onState}
			return func(ctx context.Context, url string) (*session.Session, error) { return client.Dial(ctx, url) }
		},
		"node": func(t *testing.T, l *links, onState func(*session.Session, session.State)) func(context.Context, string) (*session.Session, error) {
			node := &peer.Node{Identity: identity(t), Session: s.session,
				Admit: s.admit, Recheck: s.recheck, Retained: s.retained, Moves: s.moves}
			l.serveConn = func(ctx context.Context, c transport.Conn) { _ = node.ServeConn(ctx, c) }
			t.Cleanup(func() { node.Close() })
			other := &peer.Node{Identity: identity(t), Transports: []transport.Transport{l}, OnState: onState}
			return func(ctx context.Context, url string) (*session.Session, error) {
				return other.Dial(ctx, node.Identity.Fingerprint(), url)
			}
		},
	}
	for name, role := range roles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &links{}
				t.Cleanup(func() {
					l.served.Wait()
					for _, link := range l.all {
						link.Hold(false)
						link.Cut()
						link.Wait()
					}
				})
				states := make(chan session.State, 100)
				dial := role(t, l, func(_ *session.Session, s session.State) { states <- s })
				test(t, func() *session.Session {
					t.Helper()
					s, err := dial(t.Context(), "pipe://server")
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { s.Close() })
					return s
				}, l, states)
			})
		})
	}
}

func anybody(context.Context, peer.Info) error { return nil }

// Who is no longer admitted is sent away when it is asked again.
func TestRecheck(t *testing.T) {
	var banned atomic.Bool
	answering(t, settings{
		recheck: time.Minute,
		session: echo,
		admit: func(context.Context, peer.Info) error {
			if banned.Load() {
				return errors.New("no longer")
			}
			return nil
		},
	}, func(t *testing.T, dial func() *session.Session, _ *links, _ <-chan session.State) {
		banned.Store(false)
		s := dial()
		time.Sleep(10 * time.Minute)
		roundTrip(t, s, "hello")
		banned.Store(true)
		begun := time.Now()
		<-s.Done()
		if err := s.Err(); !errors.Is(err, &session.Error{Code: frame.CodeRevoked}) || time.Since(begun) > time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

// One connection more is taken in 10 seconds, and the next waits.
func TestMoves(t *testing.T) {
	answering(t, settings{moves: 1, admit: anybody, session: echo}, func(t *testing.T, dial func() *session.Session, l *links, states <-chan session.State) {
		s := dial()
		begun := time.Now()
		var took [2]time.Duration
		for i := range took {
			l.last().Cut()
			for <-states != session.StateConnected {
			}
			took[i] = time.Since(begun)
			roundTrip(t, s, "hello")
		}
		if took[0] > 5*time.Second || took[1] < 10*time.Second {
			t.Errorf("connected again after %v", took)
		}
	})
}

// While bytes are retained, new sessions end with their connections.
func TestRetained(t *testing.T) {
	var say chan struct{}
	answering(t, settings{retained: 1, admit: anybody, session: func(ctx context.Context, s *session.Session) {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			return
		}
		defer st.Close()
		io.WriteString(st, "hello")
		<-say
		io.WriteString(st, "nobody acknowledges this")
		<-s.Done()
	}}, func(t *testing.T, dial func() *session.Session, l *links, states <-chan session.State) {
		say = make(chan struct{}) // of this bubble
		first := dial()
		st, err := first.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		st.Write([]byte("x"))
		if _, err := io.ReadFull(st, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		l.last().Cut()
		if lost, back := <-states, <-states; lost != session.StateReconnecting || back != session.StateConnected {
			t.Fatalf("the first session: %v, %v", lost, back)
		}
		time.Sleep(time.Second) // all is acknowledged
		l.last().Hold(true)
		say <- struct{}{}
		synctest.Wait()
		second := dial()
		l.last().Cut()
		<-second.Done()
		if err := second.Err(); !errors.Is(err, session.ErrChannelLost) || second.Info().Reconnects != 0 {
			t.Errorf("the second session: %v", err)
		}
	})
}
