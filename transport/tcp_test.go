//go:build !js

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

func TestTCPNettest(t *testing.T) {
	nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
		a, b = connect(t, "tcp://127.0.0.1:0", nil, nil)
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func TestTCPDialEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, "tcp://127.0.0.1:1", nil); err == nil || ctx.Err() == nil {
		t.Fatalf("Dial: %v", err)
	}
}

func TestTCPConnOutlivesDialContextAndListener(t *testing.T) {
	l, err := Listen(t.Context(), "tcp://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a, err := Dial(ctx, l.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	l.Close()
	a.Write([]byte("hello"))
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	b.Close()
}

func TestTCPTryWrite(t *testing.T) {
	a, b := connect(t, "tcp://127.0.0.1:0", nil, nil)
	w, ok := a.(TryWriter)
	if !ok {
		t.Skip("no TryWrite on this system")
	}
	p := make([]byte, 64<<10)
	sent := 0
	for {
		n, err := w.TryWrite(p)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break // full, and it did not wait
		}
		sent += n
	}
	go func() { a.Write([]byte("!")); a.Close() }()
	got, err := io.ReadAll(b)
	if len(got) != sent+1 || err != nil {
		t.Errorf("sent %d, received %d, %v", sent, len(got), err)
	}
	for range 100 { // until the reset has come
		if _, err = w.TryWrite(p); err != nil {
			break
		}
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("TryWrite after Close: %v", err)
	}
}

// A write deadline leaves a TryWriter as it was.
func TestWriteDeadline(t *testing.T) {
	ends := map[string]func() (from, to Conn){
		"tcp": func() (Conn, Conn) { return connect(t, "tcp://127.0.0.1:0", nil, nil) },
		"ws":  func() (Conn, Conn) { return connect(t, wsAny, nil, nil) },
		"ws down": func() (Conn, Conn) {
			client, server := connect(t, wsAny, nil, nil)
			return server, client
		},
	}
	for name, connect := range ends {
		t.Run(name, func(t *testing.T) {
			a, b := connect()
			w, ok := a.(TryWriter)
			if !ok {
				t.Skip("no TryWrite on this system")
			}
			p := make([]byte, 64<<10)
			rand.NewChaCha8([32]byte{}).Read(p)
			var sent []byte
			next := func() []byte { return p[len(sent)%len(p):] } // what was not taken comes first
			for {
				n, err := w.TryWrite(next())
				if err != nil {
					t.Fatal(err)
				}
				if sent = append(sent, next()[:n]...); n == 0 {
					break
				}
			}
			for range 2 {
				var err error
				for err == nil { // the system may have found more room
					a.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
					var n int
					n, err = a.Write(next())
					sent = append(sent, next()[:n]...)
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
			}
			a.SetWriteDeadline(time.Time{})
			got := make(chan []byte)
			go func() {
				all := make([]byte, 0, 16<<20)
				for n := -1; n != 0; {
					n, _ = b.Read(all[len(all):cap(all)])
					all = all[:len(all)+n]
				}
				got <- all
			}()
			for range 10 {
				n, err := a.Write(next())
				if err != nil {
					t.Fatalf("%d bytes, %v", n, err)
				}
				sent = append(sent, next()[:n]...)
			}
			a.Close()
			if all := <-got; !bytes.Equal(all, sent) {
				t.Errorf("sent %d, received %d", len(sent), len(all))
			}
		})
	}
}

// The deadline of a wait leaves the connection as it was.
func TestWaitReadDeadline(t *testing.T) {
	for _, url := range []string{"tcp://127.0.0.1:0", wsAny} {
		a, b := connect(t, url, nil, nil)
		w, ok := b.(WaitReader)
		if !ok {
			t.Skip("no WaitRead on this system")
		}
		for range 3 {
			b.SetReadDeadline(time.Unix(1, 0))
			if err := w.WaitRead(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			b.SetReadDeadline(time.Time{})
			a.Write([]byte("word"))
			if _, err := io.ReadFull(b, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTCPWaitRead(t *testing.T) {
	a, b := connect(t, "tcp://127.0.0.1:0", nil, nil)
	w, ok := a.(WaitReader)
	if !ok {
		t.Skip("no WaitRead on this system")
	}
	done := make(chan error)
	wait := func() { done <- w.WaitRead() }
	b.Write([]byte("ab"))
	go wait()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go wait() // there already: the poller will not tell again
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	io.ReadFull(a, make([]byte, 2))
	go wait()
	b.Write([]byte("c"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.Read(make([]byte, 1))

	go wait()
	a.SetReadDeadline(time.Now().Add(-time.Second))
	var ne net.Error
	if err := <-done; !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("after the deadline: %v", err)
	}
	a.SetReadDeadline(time.Time{})
	go wait()
	a.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

func TestTCPTryRead(t *testing.T) {
	a, b := connect(t, "tcp://127.0.0.1:0", nil, nil)
	r, ok := a.(interface {
		TryReader
		WaitReader
	})
	if !ok {
		t.Skip("no TryRead on this system")
	}
	p := make([]byte, 8)
	if n, err := r.TryRead(p); n != 0 || err != nil {
		t.Fatalf("nothing was sent: %d bytes, %v", n, err)
	}
	b.Write([]byte("abc"))
	if err := r.WaitRead(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.TryRead(p); string(p[:n]) != "abc" || err != nil {
		t.Fatalf("%q, %v", p[:n], err)
	}

	// It does not wait for another goroutine's WaitRead, nor take its end away.
	done := make(chan error)
	go func() { done <- r.WaitRead() }()
	if n, err := r.TryRead(p); n != 0 || err != nil {
		t.Fatalf("beside WaitRead: %d bytes, %v", n, err)
	}
	b.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.TryRead(p); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
	}
	a.Close()
	if _, err := r.TryRead(p); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

func TestTCPWaitReadSeesEndAndReset(t *testing.T) {
	for _, reset := range []bool{false, true} {
		a, b := connect(t, "tcp://127.0.0.1:0", nil, nil)
		w, ok := a.(WaitReader)
		if !ok {
			t.Skip("no WaitRead on this system")
		}
		if reset {
			b.(*tcpConn).SetLinger(0)
		}
		b.Close()
		err := w.WaitRead()
		if err == nil {
			_, err = a.Read(make([]byte, 1))
		}
		if reset == (err == io.EOF) || err == nil {
			t.Errorf("reset %v: %v", reset, err)
		}
	}
}

func TestTCPSocketCallsAllocateNothing(t *testing.T) {
	a, b := connect(t, "tcp://127.0.0.1:0", nil, nil)
	w, ok := a.(TryWriter)
	if !ok {
		t.Skip("no TryWrite on this system")
	}
	p := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		w.TryWrite(p)
		b.(WaitReader).WaitRead()
		io.ReadFull(b, p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
