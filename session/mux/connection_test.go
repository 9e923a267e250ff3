package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// hands is a Connection that everybody has to see to himself.
type hands struct {
	vacant   bool
	recalled chan struct{} // the leader or carrier
	leads    atomic.Int32
	attended atomic.Int32
	come     func() // what a leader reads before it waits; nil: nothing
}

func share(m *Mux) *hands {
	h := &hands{vacant: true, recalled: make(chan struct{})}
	m.Share(h)
	return h
}

func (h *hands) Vacant() bool { return h.vacant }
func (h *hands) Attend()      { h.attended.Add(1) }

func (h *hands) Lead(l interface {
	Served() (served, hurry, alone bool)
}) {
	h.leads.Add(1)
	if h.come != nil {
		h.come()
	}
	for {
		if served, _, _ := l.Served(); served {
			return
		}
		<-h.recalled
	}
}

func (h *hands) Carry(c interface{ Waits() (may, must bool) }) {
	for {
		if may, _ := c.Waits(); !may {
			return
		}
		<-h.recalled
	}
}

func (h *hands) RecallLeader()  { h.recall() }
func (h *hands) RecallCarrier() { h.recall() }

func (h *hands) recall() {
	select {
	case h.recalled <- struct{}{}:
	default:
	}
}

func TestReaderLeads(t *testing.T) {
	w := manual(Config{}, Config{})
	a, b := w.open(t, nil)
	h := share(w.b)
	h.come = func() { w.settle(t) }
	for n := range 10 {
		a.Write([]byte("word"))
		p := make([]byte, 10)
		if n, err := b.Read(p); err != nil || string(p[:n]) != "word" {
			t.Fatalf("read %q, %v", p[:n], err)
		}
		if got := h.leads.Load(); got != int32(n+1) {
			t.Errorf("led %d times after %d reads", got, n+1)
		}
	}
	a.Write(make([]byte, 100))
	w.settle(t)
	if _, err := io.ReadFull(b, make([]byte, 100)); err != nil || h.leads.Load() != 10 {
		t.Errorf("%v; led %d times, for what was there", err, h.leads.Load())
	}
}

// What ends a Read or Write that waits ends one at the connection too.
func TestRecalled(t *testing.T) {
	failure := errors.New("failure")
	for _, k := range []struct {
		name  string
		end   func(*Mux, *Stream)
		read  error
		write error
	}{
		{"deadline", func(_ *Mux, s *Stream) { s.SetDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		{"past deadline", func(_ *Mux, s *Stream) { s.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		{"Close", func(_ *Mux, s *Stream) { s.Close() }, net.ErrClosed, net.ErrClosed},
		{"Reset", func(_ *Mux, s *Stream) { s.Reset(7) }, &StreamError{}, &StreamError{}},
		{"Fail", func(m *Mux, _ *Stream) { m.Fail(failure) }, failure, failure},
	} {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := manual(Config{}, Config{})
				s, _ := w.open(t, nil)
				share(w.a)
				errs := make(chan error, 1)
				check := func(want error) {
					t.Helper()
					synctest.Wait()
					k.end(w.a, s)
					err := <-errs
					if _, ok := errors.AsType[*StreamError](want); ok {
						if _, ok := errors.AsType[*StreamError](err); !ok {
							t.Errorf("ended with %v", err)
						}
					} else if !errors.Is(err, want) {
						t.Errorf("ended with %v, want %v", err, want)
					}
				}
				go func() { _, err := s.Read(make([]byte, 1)); errs <- err }()
				check(k.read)
				if k.name == "deadline" || k.name == "past deadline" {
					s.SetDeadline(time.Time{})
				} else {
					w = manual(Config{}, Config{})
					s, _ = w.open(t, nil)
					share(w.a)
				}
				go func() { _, err := s.Write(make([]byte, 1<<20)); errs <- err }()
				check(k.write)
			})
		})
	}
}

// Who waits for credit sees to it that the connection is read.
func TestWriterAttends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := manual(Config{PeerWindow: 1}, Config{Window: 1})
		s, _ := w.open(t, nil)
		h := share(w.a)
		h.recalled = nil
		w.a.Share(&idleHands{h})
		done := make(chan struct{})
		go func() { defer close(done); s.Write(make([]byte, 1<<20)) }()
		synctest.Wait()
		if h.attended.Load() == 0 {
			t.Error("nobody was asked to read")
		}
		s.Close()
		<-done
	})
}

// idleHands carry nothing.
type idleHands struct{ *hands }

func (*idleHands) Carry(interface{ Waits() (may, must bool) }) {}

// A stream that nobody will read again is nobody to wait for.
func TestServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := manual(Config{}, Config{})
		a, b := w.open(t, nil)
		if w.b.BatchEnd() {
			t.Error("served, though nobody waits")
		}
		go b.Read(make([]byte, 1))
		synctest.Wait()
		a.Write([]byte("x"))
		w.settle(t)
		if !w.b.BatchEnd() {
			t.Error("not served")
		}
		b.CloseRead()
		if w.b.BatchEnd() {
			t.Error("served, though it is closed")
		}
		w.b.Appoint()
		if w.b.fed != nil {
			t.Error("a reader is appointed twice")
		}
	})
}
