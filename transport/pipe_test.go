package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
	"pgregory.net/rapid"
)

func TestPipeNettest(t *testing.T) {
	nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
		a, b = Pipe()
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func TestPipeDeadlinesInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		defer a.Close()
		defer b.Close()
		start := time.Now()
		a.SetReadDeadline(start.Add(time.Hour))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour {
			t.Fatalf("Read: %v after %v", err, time.Since(start))
		}
		if err := a.(WaitReader).WaitRead(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("WaitRead: %v", err)
		}
		a.SetWriteDeadline(start.Add(2 * time.Hour))
		n, err := a.Write(make([]byte, pipeSize+1))
		if n != pipeSize || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Write: %d, %v", n, err)
		}
		a.SetDeadline(time.Time{}) // recoverable
		go b.Write([]byte("x"))
		if n, err := a.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Fatalf("Read: %d, %v", n, err)
		}
	})
}

func TestPipeEnd(t *testing.T) {
	a, b := Pipe()
	a.Write([]byte("last"))
	a.Close()
	got, err := io.ReadAll(b)
	if string(got) != "last" || err != nil {
		t.Errorf("ReadAll: %q, %v", got, err)
	}
	if err := b.(WaitReader).WaitRead(); err != nil {
		t.Errorf("WaitRead at the end: %v", err)
	}
	for name, call := range map[string]func([]byte) (int, error){
		"write to closed peer": b.Write, "try": b.(TryWriter).TryWrite, "write": a.Write, "read": a.Read,
	} {
		if _, err := call([]byte("x")); err != io.ErrClosedPipe {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What goes in comes out, whatever the sizes: the ring wraps and grows.
func TestPipeBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := Pipe()
		defer a.Close()
		defer b.Close()
		var sent, got []byte
		next := byte(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p := make([]byte, rapid.IntRange(0, 100_000).Draw(t, "write"))
			for i := range p {
				next += 7
				p[i] = next
			}
			n, err := a.(TryWriter).TryWrite(p)
			if err != nil {
				t.Fatal(err)
			}
			next -= byte(7 * (len(p) - n))
			sent = append(sent, p[:n]...)
			if len(sent)-len(got) > pipeSize {
				t.Fatalf("pipe holds %d bytes", len(sent)-len(got))
			}
			if len(sent) > len(got) {
				r := make([]byte, rapid.IntRange(0, 150_000).Draw(t, "read"))
				n, err = b.Read(r)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r[:n]...)
			}
		}
		a.Close()
		rest, _ := io.ReadAll(b)
		if got = append(got, rest...); !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes sent, %d received", len(sent), len(got))
		}
	})
}

func TestPipeListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPipeListener()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Accept: %v", err)
		}
		if _, err := l.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Dial: %v", err)
		}
		go func() {
			c, err := l.Dial(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			c.Write([]byte("hello"))
			c.Close()
		}()
		c, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(c); string(got) != "hello" {
			t.Errorf("got %q", got)
		}
		c.Close()
		l.Close()
		if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		if _, err := l.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial after Close: %v", err)
		}
	})
}
