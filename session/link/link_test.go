package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

// A record that comes while another is being formed, whose ACK does not cover it,
// is still owed one.
func TestAckOfWhatCameMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := connect(t, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		a.writeMu.Lock()
		defer a.writeMu.Unlock()
		come := func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.acks.received++
			a.acks.asked, a.acks.due = true, true
		}
		form := func(meanwhile func()) bool {
			p, ok := a.plan(a.now(), frame.None)
			if !ok {
				t.Fatal("nothing to send")
			}
			o := &a.out
			room := o.space(100, frame.Control) - stream.RecordOverhead
			record, class := a.fill(o.buf.B[o.end:o.end+framing.RecordHeaderLength:o.end+room+stream.RecordOverhead], room, &p)
			meanwhile()
			a.seal(record, class, &p, a.now())
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.acks.due && a.acks.asked
		}
		a.mu.Lock()
		received := a.acks.received
		a.mu.Unlock()
		come()
		if !form(come) {
			t.Error("nothing is owed for the second record")
		}
		if form(func() {}) {
			t.Error("something is owed, though all is acknowledged")
		}
		a.mu.Lock()
		a.acks.received, a.acks.sent = received, received // they never were
		a.out.pending = nil
		a.mu.Unlock()
	})
}

func TestBothWays(t *testing.T) {
	for _, durable := range []time.Duration{time.Minute, 0} {
		t.Run(fmt.Sprint("durable ", durable), func(t *testing.T) {
			a, b := connect(t, func(_ bool, c *Config) { c.Durable = durable })
			p := random(3 << 20)
			go a.toy.Write(p)
			go b.toy.Write(p)
			for _, s := range []*side{a, b} {
				if err := s.toy.wait(int64(len(p))); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(s.toy.bytes(), p) {
					t.Fatal("other bytes came out")
				}
			}
		})
	}
}

func TestHeaderGoesFirst(t *testing.T) {
	a, b := pair(t, nil, nil, nil)
	a.conn, b.conn = transport.Pipe()
	header := []byte(`{"headerdata":""}`)
	a.attachTo(t, framing.NewReader(a.conn, framing.Limits{}), header)
	r := framing.NewReader(b.conn, framing.Limits{})
	got, _, err := r.Object()
	if err != nil || !bytes.Equal(got, header) {
		t.Fatalf("%q, %v", got, err)
	}
	b.attachTo(t, r, nil)
	go a.toy.Write(header)
	if err := b.toy.wait(int64(len(header))); err != nil {
		t.Fatal(err)
	}
	stop(t, a, b)
}

func TestFirstRecordConfirms(t *testing.T) {
	opened := make(chan bool, 4)
	connect(t, func(initiator bool, c *Config) { c.OnOpened = func() { opened <- initiator } })
	if a, b := <-opened, <-opened; a == b {
		t.Error("one side was told twice")
	}
}

func TestRequestAck(t *testing.T) {
	a, b := connect(t, nil)
	a.toy.Write(random(100))
	if err := b.toy.wait(100); err != nil {
		t.Fatal(err)
	}
	seq := a.NextSeq()
	a.RequestAck()
	for a.Acked() < seq {
		time.Sleep(time.Millisecond)
	}
	if s := a.Stats(); s.RoundTrip <= 0 || s.RecordsSent < seq || s.BytesSent == 0 || s.Budget != DefaultRetain {
		t.Errorf("%+v", s)
	}
}

// chopped reads and writes in pieces of random size.
type chopped struct {
	transport.Conn
	try transport.TryWriter
	rnd *rand.Rand
}

func chop(c transport.Conn, seed uint64) chopped {
	return chopped{c, c.(transport.TryWriter), rand.New(rand.NewPCG(seed, 1))}
}

func (c chopped) Read(p []byte) (int, error) {
	return c.Conn.Read(p[:min(len(p), 1+rand.IntN(2000))])
}

func (c chopped) TryWrite(p []byte) (int, error) { return c.try.TryWrite(p[:c.rnd.IntN(len(p)+1)]) }

func TestRandomFrames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := pair(t, nil, nil, func(_ bool, c *Config) {
			c.UpdateRecords = 50
			c.MaxRecord, c.OwnMaxRecord = 16<<10, 16<<10
		})
		pa, pb := transport.Pipe()
		a.conn, b.conn = chop(pa, 1), chop(pb, 2)
		a.attach(t)
		b.attach(t)
		defer stop(t, a, b)
		var want []byte
		var frames int
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				p := random(rapid.IntRange(1, 40<<10).Draw(rt, "size"))
				want = append(want, p...)
				a.toy.Write(p)
			case 1:
				frames++
				a.toy.push(frame.Control, frame.AppendResetStream(nil, 4, 7))
			case 2:
				frames++
				b.toy.push(frame.Quiet, frame.AppendMaxData(nil, 1<<20))
			case 3:
				b.RequestAck()
			}
		}
		if err := b.toy.wait(int64(len(want))); err != nil {
			rt.Fatal(err)
		}
		b.toy.mu.Lock()
		defer b.toy.mu.Unlock()
		if !bytes.Equal(b.toy.got.Bytes(), want) {
			rt.Fatal("other bytes came out")
		}
	})
}

// mangled gives f the records of every Write. It is no TryWriter.
type mangled struct {
	conn
	f func(records [][]byte) [][]byte
}

type conn = transport.Conn

func (m mangled) Write(p []byte) (int, error) {
	var records [][]byte
	for b := p; len(b) > 0; {
		n := framing.RecordHeaderLength + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
		records = append(records, bytes.Clone(b[:n]))
		b = b[n:]
	}
	for _, r := range m.f(records) {
		if _, err := m.conn.Write(r); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Tampered, dropped, repeated, swapped and reflected records, and another
// first byte: the connection ends, and what came out is a beginning of what went in.
func TestAttackOnRecords(t *testing.T) {
	attacks := map[string]func(records [][]byte) [][]byte{
		"flipped bit":   func(r [][]byte) [][]byte { r[0][len(r[0])/2] ^= 4; return r },
		"flipped tag":   func(r [][]byte) [][]byte { r[0][len(r[0])-1] ^= 1; return r },
		"first byte":    func(r [][]byte) [][]byte { r[0][0] ^= 1; return r },
		"no record":     func(r [][]byte) [][]byte { r[0][0] = '?'; return r },
		"early":         func(r [][]byte) [][]byte { r[0][0] = framing.RecordEarly; return r },
		"too long":      func(r [][]byte) [][]byte { r[0][1] = 0xff; return r },
		"too short":     func(r [][]byte) [][]byte { return append([][]byte{{0x10, 0, 0, 0}}, r...) },
		"dropped":       func(r [][]byte) [][]byte { return r[1:] },
		"repeated":      func(r [][]byte) [][]byte { return append(r[:1:1], r...) },
		"swapped":       func(r [][]byte) [][]byte { r[0], r[1] = r[1], r[0]; return r },
		"cut in record": func(r [][]byte) [][]byte { return append(r[:3:3], r[3][:30]) },
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, nil, nil, func(_ bool, c *Config) { c.MaxRecord, c.OwnMaxRecord = 16<<10, 16<<10 })
			pa, pb := transport.Pipe()
			var held [][]byte // until there are two full records
			attacked := false
			a.conn = mangled{pa, func(r [][]byte) [][]byte {
				if attacked {
					return r
				}
				if held = append(held, r...); len(held) < 4 {
					return nil
				}
				attacked = true
				r = attack(held)
				if name == "cut in record" {
					pa.Write(bytes.Join(r, nil))
					pa.Close()
				}
				return r
			}}
			b.conn = pb
			a.attach(t)
			b.attach(t)
			p := random(200 << 10)
			go a.toy.Write(p)
			<-b.Done()
			var lost *LostError
			if err := b.Err(); !errors.As(err, &lost) {
				t.Fatalf("ended with %v", err)
			}
			want := stream.ErrRecord
			if name == "cut in record" {
				want = io.ErrUnexpectedEOF
			}
			if !errors.Is(lost, want) {
				t.Errorf("ended with %v, want %v", lost, want)
			}
			if got := b.toy.bytes(); !bytes.HasPrefix(p, got) {
				t.Error("wrong data came out")
			}
			<-a.Done()
		})
	}
}

func TestConnectionEnds(t *testing.T) {
	a, b := pair(t, nil, nil, nil)
	a.conn, b.conn = transport.Pipe()
	a.attach(t)
	a.conn.Close()
	<-a.Done()
	var lost *LostError
	if !errors.As(a.Err(), &lost) || !errors.As(a.toy.wait(1), &lost) {
		t.Errorf("ended with %v; streams with %v", a.Err(), a.toy.wait(1))
	}
	b.Close(t.Context(), 0, "")
	if b.Err() != ErrClosed {
		t.Errorf("never attached: %v", b.Err())
	}
	if b.Attach(b.conn, nil) == nil {
		t.Error("attached after the end")
	}
}

// Two bulk senders beyond their budgets, over a connection that takes little:
// nobody may wait for the other (channel set-up 4.12.1).
func TestTwoBulkSenders(t *testing.T) {
	a, b := connect(t, func(_ bool, c *Config) {
		c.Retain, c.RetainMax, c.PeerRetain = 64<<10, 64<<10, 64<<10
	})
	p := random(4 << 20)
	for _, s := range []*side{a, b} {
		go s.toy.Write(p)
	}
	for _, s := range []*side{a, b} {
		if err := s.toy.wait(int64(len(p))); err != nil {
			t.Fatal(err)
		}
		if s := s.Stats(); s.Retained > 64<<10+othersBudget+2*DefaultMaxRecord {
			t.Errorf("%d bytes retained", s.Retained)
		}
	}
}

func TestKeyUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connect(t, func(_ bool, c *Config) { c.UpdateRecords = 5 })
		for i := range 40 {
			a.toy.Write([]byte{byte(i)})
			b.toy.Write([]byte{byte(i)})
			time.Sleep(100 * time.Millisecond)
		}
		if len(a.toy.bytes()) != 40 || len(b.toy.bytes()) != 40 || a.Err() != nil {
			t.Errorf("%d and %d bytes, %v", len(a.toy.bytes()), len(b.toy.bytes()), a.Err())
		}
	})
}

// switcher is a Control source that changes both keys once.
type switcher struct {
	empty
	link   *Link
	queued *atomic.Bool // REKEY_SWITCH waits
	got    *atomic.Int32
	secret []byte
}

func (s switcher) Waiting() frame.Class {
	if s.queued.Load() {
		return frame.Control
	}
	return frame.None
}

func (s switcher) AppendFrames(dst []byte, _ int, most frame.Class, _ uint64) ([]byte, frame.Class) {
	if most < frame.Control || !s.queued.Swap(false) {
		return dst, frame.None
	}
	s.link.SwitchSend(s.secret)
	return frame.AppendRekeySwitch(dst, 1), frame.Control
}

func (s switcher) HandleFrame(typ uint64, b []byte, _ *framing.Buffer) ([]byte, error) {
	_, rest, err := frame.ParseRekeySwitch(b)
	if err != nil || typ != frame.TypeRekeySwitch {
		return nil, frame.Violation(frame.CodeControl, "unexpected frame")
	}
	s.got.Add(1)
	return rest, s.link.SwitchReceive(s.secret)
}

func TestSwitchOfKeys(t *testing.T) {
	var controls []*switcher
	a, b := pair(t, nil, nil, func(_ bool, c *Config) {
		s := &switcher{queued: new(atomic.Bool), got: new(atomic.Int32), secret: bytes.Repeat([]byte{9}, stream.SecretLength)}
		controls = append(controls, s)
		c.Control = s
	})
	a.conn, b.conn = transport.Pipe()
	for i, s := range []*side{a, b} {
		controls[i].link = s.Link
		s.attach(t)
	}
	p := random(300 << 10)
	for i := range 3 {
		go a.toy.Write(p)
		controls[0].queued.Store(true)
		a.Wake()
		if err := b.toy.wait(int64((i + 1) * len(p))); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(b.toy.bytes(), bytes.Repeat(p, 3)) || controls[1].got.Load() != 3 {
		t.Errorf("%d switches, %v", controls[1].got.Load(), b.Err())
	}
	stop(t, a, b)
}

func TestFramesBehindSwitch(t *testing.T) {
	s := &switcher{queued: new(atomic.Bool), got: new(atomic.Int32), secret: make([]byte, stream.SecretLength)}
	a, p := meet(t, func(c *Config) { c.Control = s })
	s.link = a.Link
	p.send(frame.AppendRekeySwitch(nil, 1), []byte{0})
	if code := p.awaitClose(); code != frame.CodeKeys {
		t.Errorf("closed with %v", code)
	}
}

// At rest after bulk, a channel holds no more than a small buffer each way.
func TestMemoryAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := framing.BuffersInUse()
		a, b := connect(t, func(_ bool, c *Config) { c.Durable = time.Minute })
		go a.toy.Write(random(4 << 20))
		if err := b.toy.wait(4 << 20); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if n := framing.BuffersInUse() - before; n > 2 {
			t.Errorf("%d buffers in use", n)
		}
		for _, s := range []*side{a, b} {
			s.writeMu.Lock()
			if buf := s.out.buf; buf != nil {
				t.Errorf("the writer has a buffer of %d bytes at rest", len(buf.B))
			}
			s.writeMu.Unlock()
			s.mu.Lock()
			for n := s.kept.acked; n < s.kept.next(); n++ {
				if buf := s.kept.at(n).buf; len(buf.B) > framing.SmallBuffer {
					t.Errorf("record %d lies in %d bytes at rest", n, len(buf.B))
				}
			}
			s.mu.Unlock()
		}
	})
}

// Whoever writes small pieces without pause has them packed together.
func TestSmallWritesArePacked(t *testing.T) {
	a, b := connect(t, nil)
	const writes = 20000
	p := random(100)
	for range writes {
		a.toy.Write(p)
	}
	if err := b.toy.wait(writes * 100); err != nil {
		t.Fatal(err)
	}
	if n := a.Stats().RecordsSent; n > writes/4 {
		t.Errorf("%d records for %d writes", n, writes)
	}
}
