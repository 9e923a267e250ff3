package link

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// peer is the other side of a Link, played by hand: it has the keys and says
// what it likes, and nothing by itself.
type peer struct {
	t    *testing.T
	conn transport.Conn
	r    *framing.Reader
	side *side
}

// meet attaches one side and leaves the other to the test.
func meet(t *testing.T, change func(*Config)) (*side, *peer) {
	t.Helper()
	a, b := pair(t, nil, nil, func(_ bool, c *Config) {
		if change != nil {
			change(c)
		}
	})
	var far transport.Conn
	a.conn, far = transport.Pipe()
	a.attach(t)
	p := &peer{t, far, framing.NewReader(far, framing.Limits{}), b}
	t.Cleanup(func() {
		p.conn.Close()
		p.r.Close()
		<-a.Done()
	})
	return a, p
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	plain := bytes.Join(frames, nil)
	record := append(make([]byte, framing.RecordHeaderLength, len(plain)+stream.RecordOverhead), plain...)
	if _, err := p.conn.Write(p.side.cfg.Sealer.Seal(record)); err != nil {
		p.t.Error(err)
	}
}

// next gives the frames of the next record as bytes.
func (p *peer) next() ([]byte, error) {
	record, err := p.r.Record(1 << 20)
	if err != nil {
		return nil, err
	}
	defer record.Release()
	plain, err := p.side.cfg.Opener.Open(record.B)
	return bytes.Clone(plain), err
}

// await reads records until one satisfies f.
func (p *peer) await(what string, f func(record []byte) bool) []byte {
	p.t.Helper()
	for {
		b, err := p.next()
		if err != nil {
			p.t.Fatalf("waiting for %s: %v", what, err)
		}
		if f(b) {
			return b
		}
	}
}

// closeCode is the code in a record of ACK and CLOSE.
func closeCode(b []byte) (frame.Code, bool) {
	typ, rest, _ := frame.ParseType(b)
	if typ == frame.TypeAck {
		_, rest, _ = frame.ParseAck(rest)
		typ, rest, _ = frame.ParseType(rest)
	}
	if typ != frame.TypeClose {
		return 0, false
	}
	code, _, _, err := frame.ParseClose(rest)
	return code, err == nil
}

func (p *peer) awaitClose() (code frame.Code) {
	p.t.Helper()
	p.await("CLOSE", func(b []byte) (ok bool) { code, ok = closeCode(b); return ok })
	return code
}

// ackOf is the ACK that the record begins with.
func ackOf(b []byte) (uint64, bool) {
	typ, rest, _ := frame.ParseType(b)
	if typ != frame.TypeAck {
		return 0, false
	}
	n, _, err := frame.ParseAck(rest)
	return n, err == nil
}

var aPing = frame.AppendPing(nil, [8]byte{1, 2, 3})

func TestViolations(t *testing.T) {
	padding := []byte{0}
	for _, tc := range []struct {
		name   string
		frames [][]byte
		code   frame.Code
	}{
		{"ACK beyond what was sent", [][]byte{frame.AppendAck(nil, 1000)}, frame.CodeProtocol},
		{"unknown frame", [][]byte{{0x17}}, frame.CodeProtocol},
		{"reserved frame", [][]byte{{0x07}}, frame.CodeProtocol},
		{"varint not in shortest form", [][]byte{{0x40, 0x03, 0}}, frame.CodeProtocol},
		{"ACK not in shortest form", [][]byte{{0x03, 0x40, 0}}, frame.CodeProtocol},
		{"frame cut short", [][]byte{aPing[:5]}, frame.CodeProtocol},
		{"skipped frame cut short", [][]byte{{0x40, 0x41, 9, 1}}, frame.CodeProtocol},
		{"KEY_UPDATE not last", [][]byte{frame.AppendKeyUpdate(nil), padding}, frame.CodeProtocol},
		{"CLOSE behind PING", [][]byte{aPing, frame.AppendClose(nil, 0, "")}, frame.CodeProtocol},
		{"control frame", [][]byte{frame.AppendRekeyAsk(nil)}, frame.CodeProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, p := meet(t, nil)
			p.send(tc.frames...)
			if code := p.awaitClose(); code != tc.code {
				t.Errorf("closed with %v, want %v", code, tc.code)
			}
			if err := a.Err(); frame.CodeOf(err) != tc.code {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestToleratedFrames(t *testing.T) {
	a, p := meet(t, nil)
	p.await("the first PING", func([]byte) bool { return true })
	p.send(frame.AppendAck(nil, 1), []byte{0, 0}, []byte{0x40, 0x41, 2, 7, 7})
	p.send(frame.AppendAck(nil, 0), aPing) // an ACK that goes back
	p.await("PONG", func(b []byte) bool {
		n, ok := ackOf(b)
		return ok && n == 2 && bytes.Contains(b, frame.AppendPong(nil, [8]byte{1, 2, 3}))
	})
	if a.Err() != nil || a.Acked() != 1 {
		t.Errorf("%v, acked %d", a.Err(), a.Acked())
	}
}

func TestKeyUpdateFlood(t *testing.T) {
	a, p := meet(t, nil)
	for range keyUpdatesPerSecond + 1 {
		p.send(frame.AppendKeyUpdate(nil))
		if err := p.side.cfg.Sealer.Update(); err != nil {
			t.Fatal(err)
		}
	}
	if code := p.awaitClose(); code != frame.CodeAbuse {
		t.Errorf("closed with %v", code)
	}
	<-a.toyEnded()
}

// toyEnded waits for OnClose.
func (s *side) toyEnded() <-chan struct{} {
	ch := make(chan struct{})
	go func() { s.toy.wait(1 << 60); close(ch) }()
	return ch
}

// Of many PINGs only the newest is answered, and what a PING flood costs does
// not grow.
func TestPingFlood(t *testing.T) {
	a, p := meet(t, nil)
	var pings []byte
	for i := range 1000 {
		pings = frame.AppendPing(pings, [8]byte{byte(i), byte(i >> 8)})
	}
	p.send(pings)
	b := p.await("PONG", func(b []byte) bool { _, ok := ackOf(b); return ok })
	if !bytes.Contains(b, frame.AppendPong(nil, [8]byte{999 & 0xff, 999 >> 8})) || len(b) > 40 {
		t.Errorf("answered by % x", b)
	}
	if a.Err() != nil {
		t.Error(a.Err())
	}
}

// A peer that takes records and never acknowledges: first a PING asks it, then
// other frames wait, ACK alone does not, until that is too much as well.
func TestPeerWithoutAck(t *testing.T) {
	a, p := meet(t, nil)
	control := frame.AppendResetStream(nil, 4, 7)
	for range 3 * othersBudget / len(control) {
		a.toy.push(frame.Control, control)
	}
	if s := a.Stats(); s.Retained < othersBudget || s.Retained > othersBudget+4<<10 {
		t.Errorf("%d bytes retained", s.Retained)
	}
	for i := uint64(1); a.Err() == nil; i++ {
		p.send(aPing)
		p.await("ACK", func(b []byte) bool {
			n, _ := ackOf(b)
			_, closed := closeCode(b)
			return n == i || closed
		})
		if i > othersAbuse/20 {
			t.Fatalf("%d records and no end, retained %d", i, a.Stats().Retained)
		}
	}
	if frame.CodeOf(a.Err()) != frame.CodeAbuse {
		t.Errorf("ended with %v", a.Err())
	}
}

func TestDataWaitsForBudget(t *testing.T) {
	a, p := meet(t, func(c *Config) { c.Retain, c.RetainMax = 64<<10, 64<<10 })
	go a.toy.Write(random(1 << 20))
	for size := 0; size < 64<<10; {
		b, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		size += len(b)
	}
	for s := a.Stats(); s.Retained < 64<<10; s = a.Stats() {
	}
	if s := a.Stats(); s.Retained > 64<<10+DefaultMaxRecord+othersBudget {
		t.Errorf("%d bytes retained", s.Retained)
	}
	seq := a.NextSeq()
	p.send(frame.AppendAck(nil, seq))
	p.await("more data", func(b []byte) bool { return len(b) > 1000 })
	if a.Acked() != seq {
		t.Errorf("acked %d, want %d", a.Acked(), seq)
	}
}

func TestAckTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, p := meet(t, func(c *Config) { c.PeerRetain = 64 << 10 })
		p.await("the first PING", func([]byte) bool { return true })
		data := frame.AppendStreamHeader(nil, 0, -1, false)
		ack := func(want uint64, after time.Duration) {
			t.Helper()
			began := time.Now()
			p.await("ACK", func(b []byte) bool { n, ok := ackOf(b); return ok && n == want })
			if d := time.Since(began); d != after {
				t.Errorf("ACK %d after %v, want %v", want, d, after)
			}
		}
		p.send(data, make([]byte, 100))
		ack(1, ackDelay)
		p.send(data, make([]byte, 20<<10))
		ack(2, 0)
		p.send(frame.AppendMaxData(nil, 1)) // asks for none
		time.Sleep(time.Second)
		if s := a.Stats(); s.RecordsSent != 3 {
			t.Errorf("%d records sent", s.RecordsSent)
		}
		p.send(data, make([]byte, 100))
		time.Sleep(4 * time.Millisecond)
		a.toy.Write([]byte("takes the ACK along"))
		ack(4, 0)
		p.send(data, make([]byte, 100))
		ack(5, ackDelay)

		// What waits for company goes with an ACK alone.
		a.toy.mu.Lock()
		a.toy.lazy, a.toy.class, a.toy.control = true, frame.Quiet, [][]byte{frame.AppendMaxData(nil, 7)}
		a.toy.mu.Unlock()
		time.Sleep(time.Second)
		p.send(data, make([]byte, 100))
		p.await("ACK and MAX_DATA", func(b []byte) bool {
			return bytes.Equal(b, frame.AppendMaxData(frame.AppendAck(nil, 6), 7))
		})
	})
}

func TestLiveness(t *testing.T) {
	t.Run("at rest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, p := meet(t, nil)
			first := p.await("the first PING", func([]byte) bool { return true })
			p.send(frame.AppendAck(nil, 1), frame.AppendPong(nil, [8]byte(first[1:])))
			began := time.Now()
			p.await("PING", func(b []byte) bool { return bytes.Contains(b, frame.AppendPing(nil, pingData(1))) })
			d := time.Since(began)
			if d < idleInitiator*9/10 || d > idleInitiator*11/10 {
				t.Errorf("PING after %v", d)
			}
			<-a.Done()
			if got := time.Since(began) - d; got != probeTime {
				t.Errorf("lost after %v more", got)
			}
			if !errors.Is(a.Err(), ErrSilent) || !errors.Is(a.Err(), os.ErrDeadlineExceeded) {
				t.Errorf("ended with %v", a.Err())
			}
		})
	})
	t.Run("under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, p := meet(t, nil)
			first := p.await("the first PING", func([]byte) bool { return true })
			p.send(frame.AppendAck(nil, 1), frame.AppendPong(nil, [8]byte(first[1:])))
			time.Sleep(10 * time.Second)
			a.toy.Write([]byte("is never acknowledged"))
			began := time.Now()
			<-a.Done()
			if d := time.Since(began); d != minUnacked+probeTime {
				t.Errorf("lost after %v", d)
			}
		})
	})
	t.Run("silence broken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, _ := connect(t, nil)
			time.Sleep(10 * time.Minute)
			if a.Err() != nil {
				t.Errorf("a healthy channel at rest ended: %v", a.Err())
			}
			if n := a.Stats().RecordsSent; n > 100 {
				t.Errorf("%d records sent at rest", n)
			}
		})
	})
}

func TestCloseOrders(t *testing.T) {
	t.Run("by one side", func(t *testing.T) {
		a, b := connect(t, nil)
		if err := a.Close(t.Context(), frame.Application(5), "enough"); err != nil {
			t.Error(err)
		}
		<-b.Done()
		want := &CloseError{frame.Application(5), "enough", true}
		var got *CloseError
		if !errors.As(b.Err(), &got) || *got != *want || !strings.Contains(got.Error(), "enough") {
			t.Errorf("peer ended with %v", b.Err())
		}
		if !errors.Is(a.Err(), &CloseError{Code: frame.Application(5)}) {
			t.Errorf("ended with %v", a.Err())
		}
	})
	t.Run("by both at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := connect(t, nil)
			errs := make(chan error)
			go func() { errs <- a.Close(context.Background(), 0, "") }()
			go func() { errs <- b.Close(context.Background(), 0, "") }()
			began := time.Now()
			<-errs
			<-errs
			if d := time.Since(began); d > answerTime {
				t.Errorf("took %v", d)
			}
		})
	})
	t.Run("beside bulk", func(t *testing.T) {
		a, b := connect(t, nil)
		go a.toy.Write(random(64 << 20))
		if err := b.toy.wait(1 << 20); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(t.Context(), frame.CodeShutdown, ""); err != nil {
			t.Error(err)
		}
		<-a.Done()
		if !errors.Is(a.Err(), &CloseError{Code: frame.CodeShutdown}) {
			t.Errorf("peer ended with %v", a.Err())
		}
	})
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, _ := meet(t, nil)
			began := time.Now()
			if err := a.Close(t.Context(), 0, ""); err != ErrUnacknowledged {
				t.Errorf("closed with %v", err)
			}
			if d := time.Since(began); d != minUnacked {
				t.Errorf("took %v", d)
			}
		})
	})
	t.Run("last ACK missing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, p := meet(t, nil)
			p.send(frame.AppendClose(nil, frame.CodeIdle, ""))
			began := time.Now()
			if code := p.awaitClose(); code != frame.CodeNoError {
				t.Errorf("answered with %v", code)
			}
			<-a.Done()
			if d := time.Since(began); d != answerTime {
				t.Errorf("took %v", d)
			}
		})
	})
	t.Run("the context ends", func(t *testing.T) {
		a, _ := meet(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Close(ctx, 0, ""); err != context.Canceled {
			t.Errorf("closed with %v", err)
		}
		a.Abort(errors.New("no more"))
		<-a.Done()
	})
	t.Run("frames after CLOSE are dropped", func(t *testing.T) {
		a, p := meet(t, nil)
		a.CloseWithError(frame.Violation(frame.CodeAbuse, "test"))
		if code := p.awaitClose(); code != frame.CodeAbuse {
			t.Errorf("code %v", code)
		}
		p.send([]byte{0x17})
		p.send(frame.AppendAck(nil, a.NextSeq()), frame.AppendClose(nil, 0, ""))
		p.await("the last ACK", func(b []byte) bool { n, _ := ackOf(b); return n == 2 })
		<-a.Done()
		if !a.clean {
			t.Error("no clean end")
		}
	})
}

// A peer that does not read must not stop this side from reading.
func TestPeerDoesNotRead(t *testing.T) {
	a, p := meet(t, func(c *Config) { c.Retain, c.RetainMax = 4<<20, 4<<20 })
	go a.toy.Write(random(8 << 20)) // more than the pipe holds
	data := frame.AppendStreamHeader(nil, 0, -1, false)
	var sent int64
	for sent < 4<<20 {
		p.send(data, make([]byte, 60<<10))
		sent += 60 << 10
	}
	if err := a.toy.wait(sent); err != nil {
		t.Fatal(err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0})
	f.Add(frame.AppendAck(aPing, 0))
	f.Add(append(frame.AppendAck(nil, 0), frame.AppendClose(nil, 7, "reason")...))
	f.Add(append(frame.AppendStreamHeader(nil, 0, 2, true), "hi\x18"...))
	f.Add([]byte{0x40, 0x41, 2, 7, 7, 0x18})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, _ := pair(t, nil, nil, nil)
		a.state = running
		buf := framing.GetBuffer(len(b))
		defer buf.Release()
		n := copy(buf.B, b)
		asks, err := a.handleFrames(buf.B[:n], buf)
		if err != nil && frame.CodeOf(err) == frame.CodeInternal {
			t.Errorf("%v is no violation", err)
		}
		if err == nil && !asks && a.pongWanted {
			t.Error("a PING that does not ask for an ACK")
		}
		a.Abort(ErrClosed)
	})
}
