package link

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

func durable(_ bool, c *Config) { c.Durable = time.Minute }

// met waits until both sides have opened a record: before, there is nothing to
// attach to.
func met(a, b *side) {
	for a.Standing().Received == 0 || b.Standing().Received == 0 {
		time.Sleep(time.Millisecond)
	}
}

// rejoin gives both sides, which have lost their connection, another one, as
// sessions do. They attach to conns over which the sides send ahead.
func rejoin(t testing.TB, a, b *side) {
	t.Helper()
	if !a.Detach() || !b.Detach() {
		t.Fatalf("cannot be attached: %v, %v", a.Err(), b.Err())
	}
	a.conn, b.conn = transport.Pipe()
	at := a.Standing()
	ahead := sendAhead(a)
	received := b.Standing().Received
	if err := b.Resume(b.conn, framing.NewReader(b.conn, framing.Limits{}), Resumption{
		Received: at.Received,
		Next:     at.Received,
		Skip:     min(uint64(at.Ahead), received-at.Acked),
	}); err != nil {
		t.Fatal(err)
	}
	next, err := ahead()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Resume(a.conn, framing.NewReader(a.conn, framing.Limits{}), Resumption{
		Received: received,
		Next:     max(next, received),
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRejoin(t *testing.T) {
	t.Run("large writes", func(t *testing.T) {
		testRejoin(t, func(s *side, p []byte) { s.toy.Write(p) })
	})
	t.Run("small writes", func(t *testing.T) {
		testRejoin(t, func(s *side, p []byte) {
			for piece := range slices.Chunk(p, 1000) {
				s.toy.Write(piece)
			}
		})
	})
}

func testRejoin(t *testing.T, write func(s *side, p []byte)) {
	a, b := connect(t, durable)
	p := random(8 << 20)
	for _, s := range []*side{a, b} {
		go write(s, p)
	}
	for range 20 {
		if err := b.toy.wait(b.toy.count() + 64<<10); err != nil {
			t.Fatal(err)
		}
		if err := a.toy.wait(a.toy.count() + 64<<10); err != nil {
			t.Fatal(err)
		}
		rejoin(t, a, b)
	}
	for _, s := range []*side{a, b} {
		if err := s.toy.wait(int64(len(p))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.toy.bytes(), p) {
			t.Fatal("other bytes came out")
		}
	}
}

// count is how many bytes have come, but not so many that one cannot wait for more.
func (s *toy) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.received, 7<<20)
}

// Records that are sent again carry the ACKs of then, lower than what the
// attach said: that is no attack (X17).
func TestX17AckGoesBack(t *testing.T) {
	a, p := meet(t, func(c *Config) { c.Durable = time.Minute })
	p.await("the first PING", func([]byte) bool { return true })
	p.send(aPing)
	p.await("PONG", func(b []byte) bool { n, _ := ackOf(b); return n == 1 })
	for range 3 {
		a.RequestAck()
		p.await("PING", func(b []byte) bool { return bytes.Contains(b, frame.AppendPing(nil, pingData(a.NextSeq()-1))) })
	}
	sent := a.NextSeq()
	p.conn.Close()
	if !a.Detach() {
		t.Fatal("not lost")
	}
	var conn transport.Conn
	conn, p.conn = transport.Pipe()
	p.r = framing.NewReader(p.conn, framing.Limits{})
	if err := a.Resume(conn, framing.NewReader(conn, framing.Limits{}), Resumption{Received: sent, Next: sent}); err != nil {
		t.Fatal(err)
	}
	p.send(frame.AppendAck(nil, 1), aPing)
	p.send(frame.AppendAck(nil, 0), aPing)
	p.await("PONG", func(b []byte) bool { n, ok := ackOf(b); return ok && n == 3 })
	if a.Err() != nil || a.Acked() < sent {
		t.Errorf("%v, acked %d of %d", a.Err(), a.Acked(), sent)
	}
	a.Abort(errors.New("over"))
}

// What both sides settle must fit what was sent.
func TestResumeOutOfRange(t *testing.T) {
	a, b := connect(t, durable)
	met(a, b)
	rejoin(t, a, b)
	b.Detach()
	conn, other := transport.Pipe()
	defer conn.Close()
	defer other.Close()
	r := framing.NewReader(conn, framing.Limits{})
	if err := b.Resume(conn, r, Resumption{Received: b.NextSeq() + 1}); err == nil {
		t.Error("the peer has more than was sent")
	}
	rejoin(t, a, b)
	if err := b.Resume(conn, r, Resumption{Received: b.NextSeq()}); err == nil {
		t.Error("two connections at once")
	}
}

func TestManyRecordsThatDoNotOpen(t *testing.T) {
	a, p := meet(t, func(c *Config) { c.Durable = time.Minute })
	p.send(aPing)
	p.await("PONG", func(b []byte) bool { _, ok := ackOf(b); return ok })
	a.in.failures = maxFailures - 1 // the reader waits; it reads this with the next record
	if _, err := p.conn.Write(append([]byte{0x10, 0, 0, 40}, make([]byte, 40)...)); err != nil {
		t.Fatal(err)
	}
	<-a.toyEnded()
	if frame.CodeOf(a.Err()) != frame.CodeKeys {
		t.Errorf("ended with %v", a.Err())
	}
	a.Abort(nil)
}

// Attaches that bring no progress are given more time each, up to a minute.
func TestBarrenAttaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, p := meet(t, func(c *Config) { c.Durable = time.Hour })
		p.send(aPing) // confirms
		synctest.Wait()
		var spans []time.Duration
		for range 6 {
			begun := time.Now()
			for a.Lost(); ; time.Sleep(100 * time.Millisecond) {
				if a.Lost() {
					break
				}
			}
			spans = append(spans, time.Since(begun).Round(time.Second))
			var conn transport.Conn
			conn, p.conn = transport.Pipe()
			p.r.Close()
			p.r = framing.NewReader(p.conn, framing.Limits{})
			if err := a.Resume(conn, framing.NewReader(conn, framing.Limits{}), Resumption{Received: 0}); err != nil {
				t.Fatal(err)
			}
		}
		// max(5 s, 4 round trips) and 10 s, doubled, up to 60 s each
		want := []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 100 * time.Second, 2 * time.Minute, 2 * time.Minute}
		for i, d := range spans {
			if d < want[i]-time.Second || d > want[i]+time.Second {
				t.Errorf("spans %v, want about %v", spans, want)
				break
			}
		}
		a.Abort(errors.New("over"))
	})
}

// CLOSE is said again with the next connection.
func TestCloseIsSentAgain(t *testing.T) {
	a, b := connect(t, durable)
	met(a, b)
	a.Detach()
	b.Detach()
	closed := make(chan error, 1)
	go func() { closed <- a.Close(context.Background(), frame.Application(3), "bye") }()
	<-a.toyEnded()
	rejoin(t, a, b)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	var e *CloseError
	<-b.Done()
	if !errors.As(b.Err(), &e) || !e.Remote || e.Code != frame.Application(3) {
		t.Errorf("%v", b.Err())
	}
}

// hasty tells whether a deadline was set that Close need not outlive.
type hasty struct {
	transport.Conn
	past   atomic.Bool // a deadline
	closed chan bool   // takes past
}

func (c *hasty) SetDeadline(d time.Time) error {
	c.past.Store(!d.IsZero() && !d.After(time.Now()))
	return c.Conn.SetDeadline(d)
}

func (c *hasty) Close() error {
	select {
	case c.closed <- c.past.Load():
	default:
	}
	return c.Conn.Close()
}

// A transport may wait in Close until the peer has all that was written. That of
// a lost connection would hold up the next one.
func TestLostConnectionIsNotFlushed(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(a *side, p *peer)
		lost bool
	}{
		{"fenced", func(a *side, _ *peer) { a.Detach() }, true},
		{"aborted", func(a *side, _ *peer) { a.Abort(errors.New("over")) }, true},
		{"tampered record", func(_ *side, p *peer) {
			p.conn.Write(append([]byte{framing.RecordEven, 0, 0, 20}, make([]byte, 20)...))
		}, true},
		{"closed by both", func(a *side, p *peer) {
			go a.Close(context.Background(), frame.CodeNoError, "")
			p.awaitClose()
			p.send(frame.AppendAck(nil, p.side.cfg.Opener.Seq()), frame.AppendClose(nil, 0, ""))
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := pair(t, nil, nil, durable)
			near, far := transport.Pipe()
			conn := &hasty{Conn: near, closed: make(chan bool, 1)}
			a.conn = conn
			a.attach(t)
			p := &peer{t, far, framing.NewReader(far, framing.Limits{}), b}
			p.await("the first PING", func([]byte) bool { return true })
			tc.end(a, p)
			if past := <-conn.closed; past != tc.lost {
				t.Errorf("closed with a deadline in the past: %v", past)
			}
			a.Abort(errors.New("over"))
			p.conn.Close()
			p.r.Close()
			<-a.Done()
		})
	}
}
