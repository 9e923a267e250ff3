package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/internal/faultnet"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// earlyWorld holds a token already, and takes early data.
func earlyWorld(t *testing.T) *world {
	w, _ := inbandWorld(t)
	w.responder.AcceptEarly = true
	w.firstContact(t)
	return w
}

// early begins a session with early data and accepts it beside.
func (w *world) early(t testing.TB, a, b transport.Conn) (*Session, chan accepted) {
	t.Helper()
	got := make(chan accepted, 1)
	go func() {
		s, err := Accept(context.Background(), b, w.responder)
		got <- accepted{s, err}
	}()
	client, err := DialEarly(t.Context(), a, w.initiator)
	if err != nil {
		t.Fatal(err)
	}
	return client, got
}

// say opens a stream and writes text to it, and FIN.
func say(t testing.TB, s *Session, text string) *Stream {
	t.Helper()
	st, err := s.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(st, text); err != nil {
		t.Fatal(err)
	}
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return st
}

// heard reads the next stream of s whole and answers with the same.
func heard(t testing.TB, s *Session) string {
	t.Helper()
	st, err := s.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(st)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write(b); err != nil {
		t.Fatal(err)
	}
	st.Close()
	return string(b)
}

// kinds counts the records of a direction by their first byte.
type kinds struct {
	mu sync.Mutex
	n  map[byte]int
}

func (k *kinds) count(f rewrite) rewrite {
	return func(n int, unit []byte) [][]byte {
		k.mu.Lock()
		if k.n == nil {
			k.n = make(map[byte]int)
		}
		k.n[unit[0]]++
		k.mu.Unlock()
		return f(n, unit)
	}
}

func (k *kinds) of(kind byte) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.n[kind]
}

func TestEarlyData(t *testing.T) {
	for name, refuse := range map[string]func(*world){
		"accepted":                    func(*world) {},
		"rejected":                    func(w *world) { w.responder.AcceptEarly = false },
		"rejected by a strict policy": func(w *world) { w.responder.RequireAuth = true },
		"rejected for the suite": func(w *world) {
			w.initiator.Algorithms.Suites = []streamSuite{stream.ChaCha20Poly1305, stream.AES128GCM}
			w.responder.Algorithms.Suites = []streamSuite{stream.AES128GCM}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := earlyWorld(t)
				refuse(w)
				var seen kinds
				hold := make(chan struct{})
				a, b := middle(t, seen.count(pass), func(n int, unit []byte) [][]byte {
					<-hold
					return pass(n, unit)
				})
				client, got := w.early(t, a, b)
				texts := []string{"one", string(bytes.Repeat([]byte("two"), 10_000)), "three"}
				var streams []*Stream
				for _, text := range texts {
					streams = append(streams, say(t, client, text))
				}
				synctest.Wait()
				if n := seen.of(framing.RecordEarly); n < 3 {
					t.Errorf("%d early records", n)
				}
				if client.Info().Entity != w.server.name() {
					t.Errorf("info before the answer: %+v", client.Info())
				}
				close(hold)
				server := <-got
				if server.err != nil {
					t.Fatal(server.err)
				}
				if server.session.Info().Early != (name == "accepted") {
					t.Errorf("info: %+v", server.session.Info())
				}
				for range texts {
					heard(t, server.session)
				}
				for i, text := range texts {
					if b, err := io.ReadAll(streams[i]); err != nil || string(b) != text {
						t.Errorf("stream %d: %d bytes of %d, %v", i, len(b), len(text), err)
					}
					if err := streams[i].Delivered(t.Context()); err != nil {
						t.Errorf("stream %d: %v", i, err)
					}
				}
				echo(t, client, server.session)
				if err := client.Rekey(t.Context()); err != nil {
					t.Error(err)
				}
				echo(t, client, server.session)
				end(client, server.session)
			})
		})
	}
}

// Nobody can say what became of the data: its streams end, others go on.
func TestEarlyDataUnknown(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"seen before":       func(w *world) { w.responder.Network.Issuer = replayed{w.responder.Network.Issuer} },
		"store unreachable": func(w *world) { w.responder.Network.Issuer = unreachable{w.responder.Network.Issuer} },
		"not newest token":  func(w *world) { w.responder.Network.Issuer = outOfSync{w.responder.Network.Issuer} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := earlyWorld(t)
				spoil(w)
				hold := make(chan struct{})
				a, b := middle(t, pass, func(n int, unit []byte) [][]byte {
					<-hold
					return pass(n, unit)
				})
				client, got := w.early(t, a, b)
				st := say(t, client, "once")
				delivered := make(chan error, 1)
				go func() { delivered <- st.Delivered(t.Context()) }()
				synctest.Wait()
				late, err := client.OpenStream(t.Context()) // has nothing early
				if err != nil {
					t.Fatal(err)
				}
				close(hold)
				server := <-got
				if server.err != nil {
					t.Fatal(server.err)
				}
				if _, err := io.ReadAll(st); !errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("read: %v", err)
				}
				if err := <-delivered; !errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("Delivered: %v", err)
				}
				if _, err := late.Write([]byte("late")); err != nil {
					t.Fatal(err)
				}
				if err := late.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if s := heard(t, server.session); s != "late" {
					t.Errorf("the server heard %q", s)
				}
				if b, err := io.ReadAll(late); err != nil || string(b) != "late" {
					t.Errorf("%q, %v", b, err)
				}
				echo(t, client, server.session)
				end(client, server.session)
			})
		})
	}
}

type replayed struct{ token.Issuer }

func (replayed) AcceptNonReplayable(context.Context, string, token.Entity, int64, int64) error {
	return mslerr.New(mslerr.MessageReplayed, "seen")
}

type unreachable struct{ token.Issuer }

func (unreachable) AcceptNonReplayable(context.Context, string, token.Entity, int64, int64) error {
	return errors.New("no connection")
}

type outOfSync struct{ token.Issuer }

func (outOfSync) Renewable(context.Context, token.Entity, int64, int64) error {
	return mslerr.New(mslerr.MasterTokenSequenceNumberOutOfSync, "old")
}

// No answer, a refusal, a cut connection, our own Close: the data may have been
// processed, and nobody repeats it (X6).
func TestX6EarlyDataIsNotRepeated(t *testing.T) {
	for name, k := range map[string]struct {
		r2i   rewrite
		spoil func(*world)
		act   func(*Session, transport.Conn)
		want  error
	}{
		"silence":         {r2i: func(int, []byte) [][]byte { return nil }, want: io.EOF}, // the responder gives up first
		"an error header": {r2i: pass, spoil: func(w *world) { w.responder.Names = []string{"another"} }, want: mslerr.Fail},
		"a cut": {r2i: func(int, []byte) [][]byte { return nil }, act: func(_ *Session, c transport.Conn) {
			time.Sleep(time.Second)
			c.Close()
		}},
		"our Close": {r2i: func(int, []byte) [][]byte { return nil }, act: func(s *Session, _ transport.Conn) { s.Close() }, want: net.ErrClosed},
		"a first record that does not open": {r2i: func(n int, unit []byte) [][]byte {
			if n == 1 {
				unit[len(unit)-1] ^= 1
			}
			return pass(n, unit)
		}, want: ErrChannelLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := earlyWorld(t)
				if k.spoil != nil {
					k.spoil(w)
				}
				var seen kinds
				a, b := middle(t, seen.count(func(n int, unit []byte) [][]byte {
					if n == 0 {
						time.Sleep(time.Millisecond) // the data leaves before the answer comes
					}
					return pass(n, unit)
				}), k.r2i)
				client, got := w.early(t, a, b)
				st := say(t, client, "pay")
				if k.act != nil {
					synctest.Wait() // until the data has left
					k.act(client, a)
				}
				if _, err := io.ReadAll(st); !errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("read: %v", err)
				}
				<-client.Done()
				if k.want != nil && !errors.Is(client.Err(), k.want) {
					t.Errorf("ended with %v", client.Err())
				}
				if _, err := client.OpenStream(t.Context()); err == nil {
					t.Error("a stream of an ended session")
				}
				if err := client.Rekey(t.Context()); err == nil {
					t.Error("a rekey of an ended session")
				}
				a.Close()
				if s := <-got; s.session != nil {
					end(s.session)
				}
				formed := len(client.early.stop())
				if n := seen.of(framing.RecordEarly); n > formed || seen.of('{') > 1 {
					t.Errorf("%d early records, %d were formed", n, formed)
				}
			})
		})
	}
}

// A copy of the request to a second server, whose answer is the one that is
// heard, makes nobody repeat what the first one accepted (X5).
func TestX5NoRejectionOfACopy(t *testing.T) {
	for _, first := range []string{"accepted", "rejected"} {
		t.Run(first+" first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := earlyWorld(t)
				order := []*Responder{w.responder, {Network: w.responder.Network, Names: w.responder.Names}}
				if first == "rejected" {
					order[0], order[1] = order[1], order[0]
				}
				recorded := recordEarly(t, w)
				if got := replay(t, order[0], recorded); got != earlyAnswer(first) {
					t.Errorf("the first one says %q", got)
				}
				if got := replay(t, order[1], recorded); got != earlyUnknown {
					t.Errorf("the second one says %q", got)
				}
			})
		})
	}
}

// Early data for one service is not executed by another (X4).
func TestX4EarlyDataAtAnotherService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := earlyWorld(t)
		other := &Responder{Network: w.responder.Network, Names: []string{"another service"}, AcceptEarly: true}
		recorded := recordEarly(t, w)
		if got := replay(t, other, recorded); got != "" {
			t.Errorf("another service says %q", got)
		}
		if got := replay(t, w.responder, recorded); got != earlyAccepted {
			t.Errorf("its own service says %q", got)
		}
	})
}

// recordEarly gives a request and its early data, which nobody has seen.
func recordEarly(t testing.TB, w *world) []byte {
	t.Helper()
	a, b := transport.Pipe()
	client, err := DialEarly(t.Context(), a, w.initiator)
	if err != nil {
		t.Fatal(err)
	}
	say(t, client, "pay")
	client.early.done.Wait()
	client.Close()
	recorded, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	return recorded
}

// replay gives recorded bytes to a responder and returns what it answers about
// early data; "" for none.
func replay(t testing.TB, r *Responder, recorded []byte) earlyAnswer {
	t.Helper()
	answer, executed := replayOnce(t, r, recorded)
	if executed != (answer == earlyAccepted) {
		t.Errorf("%q, and executed: %v", answer, executed)
	}
	return answer
}

// replayOnce also tells whether the application got to see the data.
func replayOnce(t testing.TB, r *Responder, recorded []byte) (answer earlyAnswer, executed bool) {
	t.Helper()
	issuer := &claims{Issuer: r.Network.Issuer}
	network := *r.Network
	network.Issuer = issuer
	mine := &Responder{Network: &network, Names: r.Names, AcceptEarly: r.AcceptEarly, Timeout: time.Second}
	a, b := transport.Pipe()
	got := make(chan accepted, 1)
	go func() {
		s, err := Accept(context.Background(), b, mine)
		got <- accepted{s, err}
	}()
	go func() {
		_, _ = a.Write(recorded)
		a.Close() // there is no more of it
	}()
	s := <-got
	if s.session != nil {
		if st, err := s.session.AcceptStream(context.Background()); err == nil {
			b, err := io.ReadAll(st)
			executed = err == nil && string(b) == "pay"
		}
		a.Close()
		end(s.session)
		return earlyAccepted, executed
	}
	a.Close()
	switch {
	case issuer.asked.Load() == 0:
		return "", false
	case issuer.given.Load() == 0:
		return earlyUnknown, false
	}
	return earlyRejected, false
}

// claims counts what an Issuer is asked.
type claims struct {
	token.Issuer
	asked, given atomic.Int64
}

func (c *claims) AcceptNonReplayable(ctx context.Context, service string, e token.Entity, serial, id int64) error {
	c.asked.Add(1)
	err := c.Issuer.AcceptNonReplayable(ctx, service, e, serial, id)
	if err == nil {
		c.given.Add(1)
	}
	return err
}

// Replays to several servers of the service, at once.
func TestEarlyDataAtMostOnce(t *testing.T) {
	w := earlyWorld(t)
	recorded := recordEarly(t, w)
	var executed, unknown atomic.Int64
	var wg sync.WaitGroup
	next := make(chan *Responder)
	for range 8 {
		wg.Go(func() {
			for r := range next {
				answer, did := replayOnce(t, r, recorded)
				if did {
					executed.Add(1)
				}
				if answer == earlyUnknown {
					unknown.Add(1)
				}
			}
		})
	}
	servers := make([]*Responder, 4)
	for i := range servers {
		servers[i] = &Responder{Network: w.responder.Network, Names: w.responder.Names, AcceptEarly: true}
	}
	for i := range *earlyReplays {
		next <- servers[i%len(servers)]
	}
	close(next)
	wg.Wait()
	if executed.Load() != 1 || unknown.Load() != int64(*earlyReplays)-1 {
		t.Errorf("executed %d times, %d unknown", executed.Load(), unknown.Load())
	}
}

// The answer to early data arrives after one round trip of the path.
func TestEarlyDataTakesOneRoundTrip(t *testing.T) {
	for _, early := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := earlyWorld(t)
			const way = 50 * time.Millisecond
			a, x := transport.Pipe()
			y, b := transport.Pipe()
			l := faultnet.NewLink(x, y, faultnet.Path{Latency: way}, faultnet.Path{Latency: way}, false)
			got := make(chan accepted, 1)
			go func() {
				s, err := Accept(context.Background(), b, w.responder)
				got <- accepted{s, err}
				if err == nil {
					heard(t, s)
				}
			}()
			begun := time.Now()
			dial := Dial
			if early {
				dial = DialEarly
			}
			client, err := dial(t.Context(), a, w.initiator)
			if err != nil {
				t.Fatal(err)
			}
			st := say(t, client, "hello")
			if b, err := io.ReadAll(st); err != nil || string(b) != "hello" {
				t.Errorf("%q, %v", b, err)
			}
			trips := 2
			if early {
				trips = 1
			}
			if d := time.Since(begun); d != time.Duration(trips)*2*way {
				t.Errorf("early %v: answered after %v", early, d)
			}
			end(client, (<-got).session)
			l.Cut()
			l.Wait()
		})
	}
}

// Who cuts the tail of early data off makes the next record fail.
func TestCutTailOfEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := earlyWorld(t)
		early := 0
		hold := make(chan struct{})
		a, b := middle(t, func(n int, unit []byte) [][]byte {
			if unit[0] == framing.RecordEarly {
				if early++; early > 1 {
					return nil
				}
			}
			return pass(n, unit)
		}, func(n int, unit []byte) [][]byte {
			<-hold
			return pass(n, unit)
		})
		client, got := w.early(t, a, b)
		say(t, client, "one")
		synctest.Wait()
		say(t, client, "two")
		synctest.Wait()
		close(hold)
		server := <-got
		if server.err != nil {
			t.Fatal(server.err)
		}
		<-server.session.Done()
		if !errors.Is(server.session.Err(), ErrChannelLost) || !errors.Is(server.session.Err(), stream.ErrRecord) {
			t.Errorf("ended with %v", server.session.Err())
		}
		end(client, server.session)
	})
}

// No more than the bound leaves before the answer; the rest goes behind it.
func TestEarlyDataIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := earlyWorld(t)
		var seen atomic.Int64
		hold := make(chan struct{})
		a, b := middle(t, func(n int, unit []byte) [][]byte {
			if unit[0] == framing.RecordEarly {
				seen.Add(int64(len(unit) - stream.RecordOverhead))
			}
			return pass(n, unit)
		}, func(n int, unit []byte) [][]byte {
			<-hold
			return pass(n, unit)
		})
		client, got := w.early(t, a, b)
		data := bytes.Repeat([]byte("0123456789"), 30_000)
		var wg sync.WaitGroup
		bulk, err := client.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if _, err := bulk.Write(data); err != nil {
				t.Error(err)
			}
			if err := bulk.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		opened := 1
		for ; opened < 100; opened++ {
			if _, err := client.OpenStream(ctx); err != nil {
				break
			}
		}
		if opened != 16 {
			t.Errorf("%d streams before the answer", opened)
		}
		synctest.Wait()
		if n := seen.Load(); n > 64<<10 || n < 63<<10 {
			t.Errorf("%d bytes of early data", n)
		}
		close(hold)
		server := <-got
		if server.err != nil {
			t.Fatal(server.err)
		}
		for {
			st, err := server.session.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if st.Info().ID != 0 {
				continue
			}
			if b, err := io.ReadAll(st); err != nil || !bytes.Equal(b, data) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			break
		}
		wg.Wait()
		end(client, server.session)
	})
}

// Without a token it is Dial.
func TestDialEarlyAtFirstContact(t *testing.T) {
	w, _ := inbandWorld(t)
	a, b := transport.Pipe()
	client, got := w.early(t, a, b)
	server := <-got
	if client.early != nil || client.Info().Resumed || server.err != nil {
		t.Errorf("%+v, %v", client.Info(), server.err)
	}
	echo(t, client, server.session)
	end(client, server.session)
}

// What may not be early.
func TestEarlyFrames(t *testing.T) {
	open := func(n int) (b []byte) {
		for i := range n {
			b = frame.AppendStreamOpen(b, &frame.StreamOpen{ID: uint64(2 * i)})
		}
		return b
	}
	for name, k := range map[string]struct {
		frames []byte
		code   Code
	}{
		"PING":               {frame.AppendPing(nil, [8]byte{}), frame.CodeProtocol},
		"RESET_STREAM":       {frame.AppendResetStream(open(1), 0, 0), frame.CodeProtocol},
		"AUTH":               {frame.AppendAuth(nil, nil, nil), frame.CodeProtocol},
		"CONTROL":            {frame.AppendControl(nil, frame.ControlPart{Data: []byte("x")}), frame.CodeProtocol},
		"CLOSE":              {frame.AppendClose(nil, 0, ""), frame.CodeProtocol},
		"seventeen streams":  {open(17), frame.CodeStreamLimit},
		"sixteen, then PING": {frame.AppendPing(open(16), [8]byte{}), frame.CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := earlyWorld(t)
				hold := make(chan struct{})
				a, b := middle(t, pass, func(n int, unit []byte) [][]byte {
					<-hold
					return pass(n, unit)
				})
				client, got := w.early(t, a, b)
				e := client.early
				e.mu.Lock()
				record := e.sealer.Seal(append(make([]byte, framing.RecordHeaderLength, 2048), k.frames...))
				e.records = append(e.records, k.frames)
				_, err := a.Write(record)
				e.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
				close(hold)
				server := <-got
				if s := server.session; s != nil {
					server.err = nil
					<-s.Done()
					server.err = s.Err()
				}
				if !errors.Is(server.err, &Error{Code: k.code}) {
					t.Errorf("ended with %v, want %v", server.err, k.code)
				}
				end(client, server.session)
			})
		})
	}
}
