package link

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// shared is a toy whose readers read the connection.
type shared struct {
	*toy
	appointed atomic.Int32
}

func (s *shared) BatchEnd() bool { return true }
func (s *shared) Appoint()       { s.appointed.Add(1) }

// reader is a Leader that is served when what has come is so long, or when it
// is told so.
type reader struct {
	toy    *toy
	length int
	told   atomic.Bool
}

func (r *reader) Served() (served, hurry, alone bool) {
	return r.told.Load() || len(r.toy.bytes()) >= r.length, false, true
}

// sharedPair is a channel over TCP whose second side's readers may lead: it has
// opened a record, and its own goroutine has stepped down.
func sharedPair(t *testing.T, wrap func(transport.Conn) transport.Conn) (a, b *side, s *shared) {
	ca, cb := loopback(t)
	if _, ok := cb.(transport.TryReader); !ok {
		t.Skip("no TryRead on this system")
	}
	s = &shared{}
	a, b = pair(t, ca, wrap(cb), func(initiator bool, c *Config) {
		if !initiator {
			s.toy = c.Streams.(*toy)
			c.Streams = s
		}
	})
	a.attach(t)
	b.attachTo(t, framing.NewReader(cb, framing.Limits{}), nil)
	abortAtEnd(t, a, b)
	waitFor(t, func() bool { return s.appointed.Load() > 0 })
	return a, b, s
}

func plain(c transport.Conn) transport.Conn { return c }

// lead leads until the toy of l has so many bytes, as soon as nobody else reads.
func lead(l *side, length int) {
	for len(l.toy.bytes()) < length {
		l.Lead(&reader{toy: l.toy, length: length})
	}
}

func TestLeaderReads(t *testing.T) {
	a, b, _ := sharedPair(t, plain)
	for n := 1; n <= 100; n++ {
		go a.toy.Write([]byte("word"))
		lead(b, 4*n)
	}
	if got := b.toy.bytes(); !bytes.Equal(got, bytes.Repeat([]byte("word"), 100)) {
		t.Errorf("got %q", got)
	}
}

func TestNobodyLeads(t *testing.T) {
	a, b, _ := sharedPair(t, plain)
	for n := 1; n <= 20; n++ {
		a.toy.Write([]byte("word"))
		waitFor(t, func() bool { return len(b.toy.bytes()) == 4*n })
	}
	waitFor(t, func() bool { return b.duty.Load().holder.Load() == own }) // nobody came
}

func TestAttend(t *testing.T) {
	d := newDuty()
	d.takeOver()
	if len(d.summon) > 0 {
		t.Error("the own goroutine is summoned to what it does")
	}
	d.holder.Store(vacant)
	d.takeOver()
	d.takeOver()
	if d.holder.Load() != own || len(d.summon) != 1 {
		t.Errorf("holder %d, summoned %d times", d.holder.Load(), len(d.summon))
	}
	d.holder.Store(led)
	d.takeOver()
	if d.holder.Load() != led {
		t.Error("a leader was dismissed")
	}
}

func TestRecallLeader(t *testing.T) {
	a, b, _ := sharedPair(t, plain)
	for n := range 20 {
		r := &reader{toy: b.toy, length: 1 << 30}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !r.told.Load() {
				b.Lead(r)
			}
		}()
		waitFor(t, func() bool { return b.duty.Load().holder.Load() == led })
		r.told.Store(true)
		b.RecallLeader()
		<-done
		go a.toy.Write([]byte("word")) // the connection can be read as before
		lead(b, 4*(n+1))
	}
}

// What a poller takes for a leader, the leader is told of.
func TestPollServesLeader(t *testing.T) {
	var d *deaf
	a, b, _ := sharedPair(t, func(c transport.Conn) transport.Conn { d = newDeaf(t, c); return d })
	done := make(chan struct{})
	go func() { defer close(done); lead(b, 4) }()
	waitFor(t, func() bool { return b.duty.Load().holder.Load() == led })
	a.toy.Write([]byte("word"))
	waitFor(t, func() bool {
		b.poll()
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

func TestLeaderMeetsTheEnd(t *testing.T) {
	for name, end := range map[string]func(a, b *side){
		"of the connection": func(a, _ *side) { a.conn.Close() },
		"by itself":         func(_, b *side) { b.Abort(ErrClosed) },
		"a bad record":      func(a, _ *side) { a.conn.Write([]byte{0x10, 0, 0, 17, 16: 0, 20: 0}) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _ := sharedPair(t, plain)
			left := make(chan struct{})
			go func() {
				defer close(left)
				for b.Err() == nil {
					b.Lead(&reader{toy: b.toy, length: 1})
				}
			}()
			waitFor(t, func() bool { return b.duty.Load().holder.Load() == led })
			end(a, b)
			<-left
			<-b.Done()
			if err := b.Err(); name == "a bad record" && !errors.Is(err, stream.ErrRecord) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// Close is answered though the reader that leads has gone.
func TestCloseWhileVacant(t *testing.T) {
	a, b, _ := sharedPair(t, plain)
	go a.toy.Write([]byte("word"))
	lead(b, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Close(ctx, 0, ""); err != nil {
		t.Error(err)
	}
}

func TestLateReaders(t *testing.T) {
	var d duty
	now := time.Second
	late := func(n int) (until time.Duration) {
		for range n {
			d.note(now, false)
		}
		return d.barredTo - now
	}
	if left := late(mostLate - 1); left > 0 {
		t.Errorf("barred for %v after %d", left, mostLate-1)
	}
	for range mostLate * mostLate {
		d.note(now, true)
	}
	if left := late(mostLate - 1); left > 0 {
		t.Errorf("barred for %v, late ones are not forgiven", left)
	}
	for want := firstPenalty; want <= maxPenalty; want *= 2 {
		if left := late(mostLate); left != want {
			t.Errorf("barred for %v, want %v", left, want)
		}
		now = d.barredTo
	}
	late(mostLate)
	if d.penalty != maxPenalty {
		t.Errorf("penalty %v", d.penalty)
	}
	now = d.barredTo + 2*mostLate*maxPenalty
	if left := late(mostLate); left != firstPenalty {
		t.Errorf("barred for %v after a long time", left)
	}
}

// writer is a Carrier.
type writer struct{ stop atomic.Bool }

func (w *writer) Waits() (may, must bool) {
	may = !w.stop.Load()
	return may, may
}

// A carrier waits for a connection that is full, and is recalled; what is left is
// written by somebody else.
func TestCarry(t *testing.T) {
	a, b, _ := sharedPair(t, plain)
	// A stream's worth more than the buffers of the kernel take, to a peer that
	// handles nothing.
	a.in.mu.Lock()
	locked := true
	defer func() {
		if locked {
			a.in.mu.Unlock()
		}
	}()
	a.toy.mu.Lock()
	a.toy.discard = true
	a.toy.mu.Unlock()
	const size = 64 << 20
	b.cfg.Retain, b.cfg.RetainMax = size, size
	b.toy.mu.Lock()
	b.toy.data = make([]byte, size)
	b.toy.mu.Unlock()
	w := &writer{}
	done := make(chan struct{})
	go func() { defer close(done); b.Carry(w) }()
	waitFor(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.duty.Load().carrying
	})
	w.stop.Store(true)
	b.RecallCarrier()
	<-done
	locked = false
	a.in.mu.Unlock()
	if err := a.toy.wait(size); err != nil {
		t.Error(err)
	}
}
