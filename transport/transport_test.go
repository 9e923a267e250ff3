//go:build !js

package transport

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect gives both ends of a connection over a listener of rawURL.
func connect(t testing.TB, rawURL string, listen, dial *Options) (client, server Conn) {
	t.Helper()
	l, err := Listen(t.Context(), rawURL, listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	type result struct {
		c   Conn
		err error
	}
	dialled := make(chan result)
	go func() {
		c, err := Dial(t.Context(), l.URL(), dial)
		dialled <- result{c, err}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	accepted := make(chan result, 1)
	go func() {
		c, err := l.Accept(ctx)
		accepted <- result{c, err}
	}()
	d := <-dialled
	if d.err != nil {
		t.Fatal(d.err)
	}
	a := <-accepted
	if a.err != nil {
		t.Fatal(a.err)
	}
	t.Cleanup(func() { d.c.Close(); a.c.Close() })
	if d.c.URL() != l.URL() || a.c.URL() != l.URL() {
		t.Errorf("URLs %q, %q; the listener's is %q", d.c.URL(), a.c.URL(), l.URL())
	}
	return d.c, a.c
}

func TestUnknownScheme(t *testing.T) {
	for _, call := range []func() error{
		func() error { _, err := Dial(t.Context(), "gopher://x:1", nil); return err },
		func() error { _, err := Listen(t.Context(), "gopher://x:1", nil); return err },
	} {
		err := call()
		var se *SchemeError
		if !errors.As(err, &se) || !slices.Equal(se.Have, []string{"tcp", "ws", "wss"}) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := Dial(t.Context(), "tcp://x:1", &Options{Transports: []Transport{}}); err == nil {
		t.Error("an empty list of transports still dials")
	}
}

type memory struct{ *PipeListener }

func (memory) Schemes() []string     { return []string{"mem"} }
func (memory) Protected(string) bool { return true }
func (m memory) Dial(ctx context.Context, _ *url.URL, _ *Options) (Conn, error) {
	return m.PipeListener.Dial(ctx)
}
func (m memory) Listen(context.Context, *url.URL, *Options) (Listener, error) {
	return m.PipeListener, nil
}

func TestTransportOfOnesOwn(t *testing.T) {
	opts := &Options{Transports: append(Defaults(), memory{NewPipeListener()})}
	l, err := Listen(t.Context(), "mem:", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go l.Accept(t.Context())
	if _, err := Dial(t.Context(), "mem:", opts); err != nil {
		t.Fatal(err)
	}
	if tr, _, err := Find("wss://x", opts); err != nil || !tr.Protected("wss") || tr.Protected("ws") {
		t.Errorf("wss: %v, %v", tr, err)
	}
}

func TestAcceptEndsWithContext(t *testing.T) {
	for _, raw := range []string{"tcp://127.0.0.1:0", "ws://127.0.0.1:0/msl"} {
		l, err := Listen(t.Context(), raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Accept(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Accept: %v", raw, err)
		}
		go func() {
			if c, err := Dial(context.Background(), l.URL(), nil); err == nil {
				c.Close()
			}
		}()
		c, err := l.Accept(t.Context()) // the listener is as good as before
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		c.Close()
		if err := l.Close(); err != nil {
			t.Errorf("%s: Close: %v", raw, err)
		}
		if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: Accept after Close: %v", raw, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: second Close: %v", raw, err)
		}
	}
}

func TestBadURLs(t *testing.T) {
	for _, raw := range []string{"tcp://127.0.0.1", "tcp://127.0.0.1:1/path", "tcp://u:secret@127.0.0.1:1", ":", "ws://127.0.0.1:0/?q", "wss://127.0.0.1:0"} {
		if l, err := Listen(t.Context(), raw, nil); err == nil {
			l.Close()
			t.Errorf("Listen(%q) works", raw)
		} else {
			t.Log(err)
		}
	}
}
