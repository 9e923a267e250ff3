package link

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

// sendAhead sends ahead from where s stands. The function that is returned ends
// that and gives what became of it.
func sendAhead(s *side) func() (next uint64, err error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	var next uint64
	var err error
	at := s.Standing()
	go func() {
		defer close(done)
		next, err = s.SendAhead(ctx, s.conn, at)
	}()
	return func() (uint64, error) {
		stop()
		<-done
		return next, err
	}
}

// again makes a side lose its connection, and gives it a peer on another one, to
// which it may send ahead.
func (p *peer) again(s *side) {
	p.t.Helper()
	p.conn.Close()
	p.r.Close()
	if !s.Detach() {
		p.t.Fatalf("not lost: %v", s.Err())
	}
	s.conn, p.conn = transport.Pipe()
	p.r = framing.NewReader(p.conn, framing.Limits{})
}

// data is what a record of STREAM frames and nothing else holds.
func data(t *testing.T, b []byte) (all []byte) {
	t.Helper()
	for len(b) > 0 {
		typ, rest, _ := frame.ParseType(b)
		if !frame.IsStream(typ) {
			t.Fatalf("frame %#x in a record that was formed without a connection", typ)
		}
		f, rest, err := frame.ParseStream(typ, rest)
		if err != nil {
			t.Fatal(err)
		}
		all, b = append(all, f.Data...), rest
	}
	return all
}

// raw is the next record as it is.
func (p *peer) raw() []byte {
	p.t.Helper()
	record, err := p.r.Record(1 << 20)
	if err != nil {
		p.t.Fatal(err)
	}
	defer record.Release()
	return bytes.Clone(record.B)
}

// underWay reads the records that were under way, of which some may have come.
func (p *peer) underWay(at Standing) {
	p.t.Helper()
	for n := at.Acked; n < at.Sent; n++ {
		if n < p.side.cfg.Opener.Seq() {
			p.raw()
		} else if _, err := p.next(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// begun is a durable side, met by hand, whose first records are acknowledged.
func begun(t *testing.T, change func(*Config)) (*side, *peer) {
	t.Helper()
	a, p := meet(t, func(c *Config) {
		c.Durable = time.Minute
		if change != nil {
			change(c)
		}
	})
	p.await("the first PING", func([]byte) bool { return true })
	p.send(frame.AppendAck(nil, 1), aPing)
	p.await("PONG", func(b []byte) bool { n, _ := ackOf(b); return n == 1 })
	t.Cleanup(func() { a.Abort(errors.New("over")) })
	return a, p
}

// What is written without a connection leaves with the next one, before the
// other side has said a word, and again with the one after that.
func TestFormedWhileLost(t *testing.T) {
	a, p := begun(t, nil)
	p.again(a)
	a.RequestAck()
	a.mu.Lock() // PING may have come just before the loss
	a.acks.sent, a.acks.due, a.pongWanted = 0, true, true
	a.mu.Unlock()
	before := a.Standing()
	a.toy.Write([]byte("written "))
	a.toy.Write([]byte("meanwhile"))
	if a.NextSeq() != before.Sent {
		t.Error("records were formed before there was a connection")
	}
	ahead := sendAhead(a)
	records := [][]byte{}
	next := func() string {
		t.Helper()
		b, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, b)
		return string(data(t, b))
	}
	p.underWay(before)
	if got := next(); got != "written meanwhile" {
		t.Errorf("%q came", got)
	}
	a.toy.Write([]byte(" and later"))
	if got := next(); got != " and later" {
		t.Errorf("%q came", got)
	}
	if n, err := ahead(); err != nil || n != before.Sent+2 {
		t.Errorf("sent up to %d, %v", n, err)
	}

	// No answer: another connection.
	p.again(a)
	at := a.Standing()
	if at.Ahead != before.Ahead+2 {
		t.Errorf("%d records ahead", at.Ahead)
	}
	ahead = sendAhead(a)
	got := p.raw()
	for range at.Ahead - 1 {
		got = p.raw()
	}
	a.toy.Write([]byte(", and last"))
	if b, err := p.next(); err != nil || string(data(t, b)) != ", and last" {
		t.Errorf("%q, %v", b, err)
	}
	if want := a.kept.at(at.Sent - 1); !bytes.Equal(got, want.buf.B[want.off:want.off+want.n]) {
		t.Error("other bytes were sent again")
	}
	n, err := ahead()
	if err != nil {
		t.Fatal(err)
	}
	received := p.side.cfg.Opener.Seq()
	if received != n || n != a.NextSeq() {
		t.Errorf("%d received, %d sent, %d formed", received, n, a.NextSeq())
	}
	if err := a.Resume(a.conn, framing.NewReader(a.conn, framing.Limits{}), Resumption{Received: received, Next: max(n, received)}); err != nil {
		t.Fatal(err)
	}
	p.await("PING", func(b []byte) bool { return bytes.Equal(b, frame.AppendPing(nil, pingData(received))) })
	p.send(frame.AppendAck(nil, a.NextSeq()), frame.AppendPong(nil, pingData(received)))
	p.send(aPing)
	p.await("PONG", func(b []byte) bool { _, ok := ackOf(b); return ok })
	if a.Stats().RoundTrip == 0 {
		t.Error("the round trip of the new connection is not known")
	}
}

// Bulk that waits is not formed beyond what may be sent ahead, nor beyond what
// may be retained; and records without data leave room for a PING.
func TestAheadIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		write  func(*toy)
		most   int64
	}{
		{"ahead", nil, func(s *toy) { s.start(make([]byte, 1<<20)) }, maxAhead},
		{"retained data", func(c *Config) { c.Retain, c.RetainMax, c.MaxRecord = 64<<10, 64<<10, 16<<10 },
			func(s *toy) { s.start(make([]byte, 1<<20)) }, 80 << 10},
		{"retained others", nil, func(s *toy) {
			for range 40 {
				s.push(frame.Control, bytes.Repeat(frame.AppendMaxData(nil, 1<<40), 400))
			}
		}, othersPing + smallestBuffer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, p := begun(t, tc.change)
				for range 3 {
					p.again(a)
					tc.write(a.toy)
					ahead := sendAhead(a)
					read := make(chan struct{})
					go func() {
						defer close(read)
						for {
							record, err := p.r.Record(1 << 20)
							if err != nil {
								return
							}
							record.Release()
						}
					}()
					synctest.Wait()
					if got := a.Stats().Retained; got > tc.most || got < tc.most/2 {
						t.Errorf("%d bytes formed, at most %d", got, tc.most)
					}
					if n, err := ahead(); err != nil || n != a.NextSeq() {
						t.Errorf("%d of %d sent, %v", n, a.NextSeq(), err)
					}
					p.conn.Close()
					<-read
				}
			})
		})
	}
}

// More than may be sent ahead was under way: what waits comes behind all of it.
func TestNothingNewAheadOfRetained(t *testing.T) {
	a, p := begun(t, nil)
	a.toy.start(make([]byte, 400<<10))
	p.await("bulk", func([]byte) bool { return a.Stats().Retained > 2*maxAhead })
	p.again(a)
	before := a.Standing()
	a.toy.Write([]byte("more"))
	ahead := sendAhead(a)
	for range before.Ahead {
		p.raw()
	}
	if n, err := ahead(); err != nil || n != before.Acked+uint64(before.Ahead) || a.NextSeq() != before.Sent {
		t.Errorf("sent up to %d, %v; %d formed", n, err, a.NextSeq()-before.Sent)
	}
}

// CLOSE does not wait for the answer either, and is formed once.
func TestCloseAhead(t *testing.T) {
	a, p := begun(t, nil)
	p.again(a)
	before := a.Standing()
	ahead := sendAhead(a)
	p.underWay(before)
	closed := make(chan error, 1)
	go func() { closed <- a.Close(context.Background(), frame.Application(3), "bye") }()
	<-a.toyEnded()
	record := p.raw()
	if _, err := ahead(); err != nil {
		t.Fatal(err)
	}
	p.again(a)
	at := a.Standing()
	ahead = sendAhead(a)
	var again []byte
	for range at.Ahead {
		again = p.raw()
	}
	if !bytes.Equal(again, record) || a.NextSeq() != at.Sent {
		t.Error("CLOSE is not the same record")
	}
	plain, err := p.side.cfg.Opener.Open(again)
	if code, ok := closeCode(plain); err != nil || !ok || code != frame.Application(3) {
		t.Errorf("code %v, %v", code, err)
	}
	n, err := ahead()
	if err != nil {
		t.Fatal(err)
	}
	received := p.side.cfg.Opener.Seq()
	if err := a.Resume(a.conn, framing.NewReader(a.conn, framing.Limits{}), Resumption{Received: received, Next: max(n, received)}); err != nil {
		t.Fatal(err)
	}
	p.send(frame.AppendAck(nil, received), frame.AppendClose(nil, frame.CodeNoError, ""))
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A change of keys is a record like any other.
func TestKeyUpdateAhead(t *testing.T) {
	a, p := begun(t, func(c *Config) { c.UpdateRecords = 4 })
	p.again(a)
	before := a.Standing()
	ahead := sendAhead(a)
	p.underWay(before)
	updates := 0
	for i := range 10 {
		a.toy.Write([]byte{byte(i)})
		b, err := p.next()
		if err == nil && bytes.Equal(b, frame.AppendKeyUpdate(nil)) {
			updates++
			p.side.cfg.Opener.Update()
			b, err = p.next()
		}
		if err != nil || !bytes.Equal(data(t, b), []byte{byte(i)}) {
			t.Fatalf("record %d: %x, %v", i, b, err)
		}
	}
	if _, err := ahead(); err != nil || updates < 2 {
		t.Errorf("%d updates, %v", updates, err)
	}
}

// Records that were formed without a connection begin to wait for their ACK with
// the next one, and an attach that brings them for the first time is not in vain.
func TestAheadBeginsToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, p := begun(t, nil)
		p.send(frame.AppendAck(nil, a.NextSeq()), aPing)
		synctest.Wait()
		for i := range 2 {
			p.again(a)
			if i == 0 {
				a.toy.Write([]byte("written meanwhile"))
			}
			ahead := sendAhead(a)
			time.Sleep(20 * time.Second) // no timer minds
			if a.Err() != nil || a.Lost() == false {
				t.Fatalf("not lost: %v", a.Err())
			}
			n, err := ahead()
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Resume(a.conn, framing.NewReader(a.conn, framing.Limits{}), Resumption{Received: a.Acked(), Next: n}); err != nil {
				t.Fatal(err)
			}
			// 5 s until PING is sent, and 10 s until it is in vain; then twice as long.
			alive := (15*time.Second - time.Millisecond) << i
			time.Sleep(alive)
			if a.Lost() {
				t.Errorf("attach %d: lost before its time", i)
			}
			time.Sleep(time.Second)
			if !a.Lost() {
				t.Errorf("attach %d: not lost in time", i)
			}
		}
	})
}

// The end of the channel while it sends ahead gives everything back.
func TestAheadExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := framing.BuffersInUse()
		a, p := begun(t, nil)
		p.again(a)
		lost := time.Now()
		ahead := sendAhead(a)
		a.toy.Write(make([]byte, 3000))
		synctest.Wait()
		if a.Stats().Retained < 3000 {
			t.Error("nothing was formed")
		}
		<-a.Done()
		if took := time.Since(lost); took != time.Minute {
			t.Errorf("lost after %v", took)
		}
		a.toy.Write(make([]byte, 3000))
		if _, err := ahead(); err != nil {
			t.Error(err)
		}
		p.conn.Close()
		p.r.Close()
		a.conn.Close()
		if n := framing.BuffersInUse(); n != before {
			t.Errorf("%d buffers in use", n-before)
		}
	})
}

// The record with AUTH is the first of all, however late, and may be long.
func TestFirstRecordIsNotCutShort(t *testing.T) {
	a, _ := pair(t, nil, nil, durable)
	for _, s := range []state{running, lost} {
		a.state, a.bytesOut = s, 0
		if p, ok := a.plan(2*idleTime, frame.Data); !ok || p.first {
			t.Errorf("%v: a record is formed: %v, a short one: %v", s, ok, p.first)
		}
		a.bytesOut = 1
		if p, ok := a.plan(2*idleTime, frame.Data); !ok || !p.first {
			t.Errorf("%v: a record is formed: %v, a short one: %v", s, ok, p.first)
		}
	}
}
