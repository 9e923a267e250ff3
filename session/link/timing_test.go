package link

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

func TestMeter(t *testing.T) {
	const mib = 1 << 20
	var m meter
	if m.batch() != minBatch || m.budget(mib, 16*mib) != mib || m.patience() != minUnacked {
		t.Errorf("unknown rate: batch %d, budget %d", m.batch(), m.budget(mib, 16*mib))
	}
	m.pong(40 * time.Millisecond)
	if m.roundTrip != 40*time.Millisecond {
		t.Errorf("round trip %v", m.roundTrip)
	}
	now := 10 * time.Second
	step := func(bytes int64, limited bool) {
		now += 50 * time.Millisecond
		m.ack(bytes, now, limited)
	}
	m.begin(now)
	step(mib, false) // 20 MiB/s
	if m.rate != 20*mib || m.batch() != 20*mib/200 || m.budget(mib, 16*mib) != 2*mib {
		t.Errorf("rate %d, batch %d, budget %d", m.rate, m.batch(), m.budget(mib, 16*mib))
	}
	for range 20 {
		step(1000, true) // the application gave no more
	}
	if m.rate != 20*mib {
		t.Errorf("rate %d after a pause", m.rate)
	}
	for range rateSamples {
		step(mib/2, false)
	}
	if m.rate != 10*mib {
		t.Errorf("rate %d after the path became slower", m.rate)
	}
	step(1<<30, false)
	if m.batch() != maxBatch || m.budget(mib, 16*mib) != 16*mib {
		t.Errorf("batch %d, budget %d", m.batch(), m.budget(mib, 16*mib))
	}
	m.pong(m.pingAt + 100*time.Second)
	if m.patience() <= minUnacked {
		t.Errorf("patience %v at a round trip of %v", m.patience(), m.roundTrip)
	}
}

func TestFirstRecordAfterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, p := meet(t, nil)
		p.await("the first PING", func([]byte) bool { return true })
		p.send(frame.AppendAck(nil, 1))
		time.Sleep(2 * idleTime)
		go a.toy.Write(random(60 << 10))
		first, _ := p.next()
		second, _ := p.next()
		if len(first) < recordAfterIdle-frame.StreamOverhead || len(first) > recordAfterIdle || len(second) <= recordAfterIdle {
			t.Errorf("records of %d and %d bytes", len(first), len(second))
		}
	})
}

// stuck is a connection that takes nothing, and cannot say so.
type stuck struct {
	conn
	closed chan struct{}
}

func (s stuck) Write([]byte) (int, error) {
	<-s.closed
	return 0, ErrSilent
}

func (s stuck) Close() error {
	close(s.closed)
	return s.conn.Close()
}

func TestWakeDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := framing.BuffersInUse()
		a, _ := pair(t, nil, nil, nil)
		near, far := transport.Pipe()
		a.conn = stuck{near, make(chan struct{})}
		began := time.Now()
		a.attach(t)
		a.toy.push(frame.Control, frame.AppendResetStream(nil, 4, 7))
		a.toy.Write([]byte("small"))
		if d := time.Since(began); d != 0 {
			t.Errorf("writing took %v", d)
		}
		<-a.Done() // by silence, although the PING for it cannot leave
		if d := time.Since(began); d != minUnacked+probeTime {
			t.Errorf("lost after %v", d)
		}
		far.Close()
		if n := framing.BuffersInUse(); n != before {
			t.Errorf("%d buffers in use", n-before)
		}
	})
}

// lowWater keeps what it was told.
type lowWater struct {
	transport.Conn
	told []int
}

func (c *lowWater) SetUnsentLowWater(n int) error {
	c.told = append(c.told, n)
	return nil
}

func TestUnsentLowWater(t *testing.T) {
	conn := &lowWater{}
	var o output
	o.attach(conn, nil)
	for _, n := range []int{16 << 10, 20 << 10, 31 << 10, 32 << 10, 40 << 10, 256 << 10, 256 << 10, 130 << 10, 128 << 10, 16 << 10} {
		o.boundUnsent(n)
	}
	if want := []int{16 << 10, 32 << 10, 256 << 10, 128 << 10, 16 << 10}; !slices.Equal(conn.told, want) {
		t.Errorf("told %d, want %d", conn.told, want)
	}
	o.detach()
	o.boundUnsent(1 << 20) // to nobody
}

// A Link tells its connection once it knows the rate.
func TestLinkSetsLowWater(t *testing.T) {
	a, b := pair(t, nil, nil, nil)
	near, far := transport.Pipe()
	conn := &lowWater{Conn: near}
	a.conn, b.conn = conn, far
	a.attach(t)
	b.attach(t)
	met(a, b)
	a.writeMu.Lock()
	told := len(conn.told)
	a.mu.Lock()
	a.meter.rate = 20 << 20
	want := a.meter.batch()
	a.mu.Unlock()
	a.writeMu.Unlock()
	if told != 0 {
		t.Error("told of an unknown rate")
	}
	if _, err := a.toy.Write([]byte("some")); err != nil {
		t.Fatal(err)
	}
	if err := b.toy.wait(4); err != nil {
		t.Fatal(err)
	}
	a.writeMu.Lock()
	if !slices.Equal(conn.told, []int{want}) {
		t.Errorf("told %d, want %d", conn.told, want)
	}
	a.writeMu.Unlock()
	stop(t, a, b)
}

// Who only receives has to know the round trip too: its windows grow by it.
func TestReceiverMeasuresRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connect(t, func(initiator bool, c *Config) { c.PeerRetain = 64 << 10 })
		time.Sleep(time.Minute)
		b.mu.Lock()
		b.meter = meter{} // as if nothing had been measured
		b.mu.Unlock()
		a.toy.Write(make([]byte, 2*firstPing))
		b.toy.push(frame.Quiet, frame.AppendMaxData(nil, 1)) // credit for what came
		synctest.Wait()
		if s := b.Stats(); s.RoundTrip == 0 || s.LeastRoundTrip == 0 {
			t.Errorf("round trip %v, at least %v", s.RoundTrip, s.LeastRoundTrip)
		}
	})
}

func TestPingIsDue(t *testing.T) {
	var m meter
	if m.due(time.Millisecond, firstPing-1) {
		t.Error("due before there was bulk")
	}
	if !m.due(time.Millisecond, firstPing) {
		t.Error("not due with the first bulk")
	}
	m.pingAt = time.Millisecond
	m.pong(3 * time.Millisecond)
	if m.roundTrip != 2*time.Millisecond || m.least != m.roundTrip {
		t.Errorf("round trip %v, at least %v", m.roundTrip, m.least)
	}
	if m.due(pingInterval, 1<<30) || !m.due(time.Millisecond+pingInterval, 1<<30) {
		t.Error("due at another time than a second later")
	}
	m.pingAt = pingInterval
	m.pong(pingInterval + time.Second)
	if m.least != 2*time.Millisecond || m.roundTrip <= m.least {
		t.Errorf("round trip %v, at least %v after one in a queue", m.roundTrip, m.least)
	}
}
