//go:build !js

package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/internal/faultnet"
	"github.com/mslgo/msl/transport"
	"github.com/mslgo/msl/transport/quic"
)

var losses = flag.Int("cuts", 20, "how many connections each durability test loses")

// everywhere has all transports.
var everywhere = &transport.Options{Transports: append(transport.Defaults(), quic.Transport{})}

// service accepts on listeners for a world's responder until the test ends.
type service struct {
	world    *world
	sessions chan *Session
	attaches atomic.Int64
	refused  atomic.Int64

	listeners []transport.Listener
	running   sync.WaitGroup
	cancel    context.CancelFunc
}

func (w *world) serve(t testing.TB, urls ...string) *service {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{world: w, sessions: make(chan *Session, 100), cancel: cancel}
	for _, u := range urls {
		l, err := transport.Listen(ctx, u, everywhere)
		if err != nil {
			t.Fatal(err)
		}
		s.listeners = append(s.listeners, l)
		s.running.Go(func() {
			for {
				conn, err := l.Accept(ctx)
				if err != nil {
					return
				}
				s.running.Go(func() { s.accept(ctx, conn) })
			}
		})
	}
	t.Cleanup(s.stop)
	return s
}

func (s *service) accept(ctx context.Context, conn transport.Conn) {
	session, err := Accept(ctx, conn, s.world.responder)
	switch err {
	case nil:
		s.sessions <- session
	case ErrAttached:
		s.attaches.Add(1)
	default:
		s.refused.Add(1)
	}
}

func (s *service) stop() {
	s.cancel()
	for _, l := range s.listeners {
		l.Close()
	}
	s.running.Wait()
}

// host is where the i-th listener listens.
func (s *service) host(i int) string {
	u, _ := url.Parse(s.listeners[i].URL())
	return u.Host
}

// dialAny begins a session whatever the network does to the set-up.
func (w *world) dialAny(t testing.TB, connect func(context.Context) (transport.Conn, error), sessions <-chan *Session) (client, server *Session) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		client, err := Connect(ctx, connect, w.initiator)
		cancel()
		if err != nil {
			continue
		}
		for {
			select {
			case server := <-sessions:
				if server.id == client.id {
					return client, server
				}
				end(server) // of a set-up that the client gave up
				continue
			case <-time.After(3 * time.Second):
				end(client)
			}
			break
		}
	}
	t.Fatal("no session")
	return nil, nil
}

// swarm runs streams both ways at once and compares what arrives with what left.
func swarm(ctx context.Context, seed uint64, client, server *Session, streams, most int) error {
	r := rand.New(rand.NewPCG(seed, 1))
	errs := make(chan error, 2*streams)
	for i := range streams {
		from, to := client, server
		if i%2 == 1 {
			from, to = server, client
		}
		size := 1 + r.IntN(most)
		go func() { errs <- send(ctx, from, seed<<16|uint64(i), size) }()
		go func() { errs <- receive(ctx, to) }()
	}
	var all []error
	for range 2 * streams {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// send writes a size, as many random bytes and their hash.
func send(ctx context.Context, s *Session, seed uint64, size int) error {
	st, err := s.OpenStream(ctx)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer st.Close()
	data := make([]byte, size)
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(data)
	sum := sha256.Sum256(data)
	head := binary.BigEndian.AppendUint64(nil, uint64(size))
	r := rand.New(rand.NewPCG(seed, 2))
	for p := append(append(head, data...), sum[:]...); len(p) > 0; {
		n := min(len(p), 1+r.IntN(20<<10))
		if _, err := st.Write(p[:n]); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		p = p[n:]
	}
	return st.CloseWrite()
}

func receive(ctx context.Context, s *Session) error {
	st, err := s.AcceptStream(ctx)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	defer st.Close()
	stop := context.AfterFunc(ctx, func() { st.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := io.ReadAll(st)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if len(b) < 40 || binary.BigEndian.Uint64(b) != uint64(len(b)-40) {
		return fmt.Errorf("%d bytes came", len(b))
	}
	if sha256.Sum256(b[8:len(b)-32]) != [32]byte(b[len(b)-32:]) {
		return errors.New("other bytes came")
	}
	return nil
}

// cutting is a connection that is lost after so many bytes of a direction, for
// transports that no proxy can cut.
type cutting struct {
	transport.Conn
	up, down atomic.Int64
}

func cut(conn transport.Conn, up, down faultnet.Path) transport.Conn {
	c := &cutting{Conn: conn}
	c.up.Store(cmp.Or(up.CutAfter, math.MaxInt64))
	c.down.Store(cmp.Or(down.CutAfter, math.MaxInt64))
	return c
}

func (c *cutting) Write(p []byte) (int, error) { return c.pass(&c.up, p, c.Conn.Write) }
func (c *cutting) Read(p []byte) (int, error)  { return c.pass(&c.down, p, c.Conn.Read) }

func (c *cutting) pass(left *atomic.Int64, p []byte, pass func([]byte) (int, error)) (int, error) {
	n, err := pass(p[:min(int64(len(p)), max(left.Load(), 0))])
	if left.Add(-int64(n)) > 0 || err != nil {
		return n, err
	}
	c.Conn.SetDeadline(time.Unix(1, 0)) // what has not left is lost
	c.Conn.Close()
	return n, io.ErrUnexpectedEOF
}

// Over any schedule of losses each stream's bytes arrive exactly once, in order.
func TestDurability(t *testing.T) {
	for _, tc := range []struct {
		name string
		urls []string
		most int64
		set  func(*world)
	}{
		{"tcp", []string{"tcp://127.0.0.1:0"}, 48 << 10, nil},
		{"small pieces", []string{"tcp://127.0.0.1:0"}, 6 << 10, nil},
		{"alternating", []string{"tcp://127.0.0.1:0", "ws://127.0.0.1:0/msl", "quic://127.0.0.1:0"}, 48 << 10, nil},
		{"rekeying", []string{"tcp://127.0.0.1:0"}, 24 << 10, func(w *world) { w.initiator.Limits.Rekey = 150 * time.Millisecond }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := framing.BuffersInUse()
			w := newWorld(t)
			w.quickly()
			if tc.set != nil {
				tc.set(w)
			}
			s := w.serve(t, tc.urls...)
			var dials atomic.Int64
			var dialled []string
			var proxies []*faultnet.Proxy
			cuts := faultnet.RandomCuts(6, tc.most)
			for i, u := range tc.urls {
				if strings.HasPrefix(u, "quic:") {
					dialled = append(dialled, s.listeners[i].URL())
					continue
				}
				p := &faultnet.Proxy{Target: s.host(i), Paths: faultnet.RandomCuts(uint64(i)+7, tc.most)}
				if err := p.Start(); err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				v, _ := url.Parse(u)
				v.Host = p.Addr()
				dialled, proxies = append(dialled, v.String()), append(proxies, p)
			}
			connect := func(ctx context.Context) (transport.Conn, error) {
				n := int(dials.Add(1))
				to := dialled[n%len(dialled)]
				conn, err := transport.Dial(ctx, to, everywhere)
				if err == nil && strings.HasPrefix(to, "quic:") {
					up, down := cuts(n)
					conn = cut(conn, up, down)
				}
				return conn, err
			}
			client, server := w.dialAny(t, connect, s.sessions)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(*losses)*100*time.Millisecond)
			defer cancel()
			rounds := 0
			for ; client.Info().Reconnects < *losses; rounds++ {
				if err := swarm(ctx, uint64(rounds), client, server, 16, 100<<10); err != nil {
					t.Fatalf("round %d, %d reconnects: %v\nclient %v %v, server %v %v", rounds, client.Info().Reconnects, err, client.State(), client.Err(), server.State(), server.Err())
				}
			}
			t.Logf("%d rounds, epoch %d, %d dials, %d reconnects, %d attaches, %d refused", rounds, client.epochs.number(), dials.Load(), client.Info().Reconnects, s.attaches.Load(), s.refused.Load())
			for range 2 { // closing meets losses as well
				go client.Close()
			}
			<-client.Done()
			<-client.link.Done()
			<-server.Done()
			if err := server.Err(); !errors.Is(err, &Error{Code: 0}) {
				t.Errorf("server ended with %v", err)
			}
			<-server.link.Done()
			client.wait()
			for _, p := range proxies {
				p.Close()
			}
			s.stop()
			if n := framing.BuffersInUse() - before; n != 0 {
				t.Errorf("%d buffers in use", n)
			}
		})
	}
}
