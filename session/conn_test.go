package session

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

// over is both ends of a session over a transport, closed with the test. It
// begins while the responder is still accepting: some transports give a
// connection when its first bytes are there.
func (w *world) over(t *testing.T, url string) (client, server *Session) {
	t.Helper()
	if url == "" {
		return w.sessions(t)
	}
	listen, dial := sockets(t)
	l, err := transport.Listen(t.Context(), url, listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := make(chan accepted, 1)
	go func() {
		conn, err := l.Accept(t.Context())
		if err != nil {
			c <- accepted{nil, err}
			return
		}
		s, err := Accept(t.Context(), conn, w.responder)
		c <- accepted{s, err}
	}()
	conn, err := transport.Dial(t.Context(), l.URL(), dial)
	if err != nil {
		t.Fatal(err)
	}
	client, err = Dial(t.Context(), conn, w.initiator)
	got := <-c
	if err := errors.Join(err, got.err); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(client, got.session) })
	return client, got.session
}

func TestConn(t *testing.T) {
	transports(func(name, url string) {
		t.Run(name, func(t *testing.T) {
			client, server := newWorld(t).over(t, url)
			l := server.Listener()
			defer l.Close()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				if c1, err = client.DialContext(t.Context(), "", ""); err != nil {
					return nil, nil, nil, err
				}
				if c2, err = l.Accept(); err != nil {
					return nil, nil, nil, err
				}
				return c1, c2, func() {
					c1.Close()
					c2.Close()
				}, nil
			})
		})
	})
}

// A reader that has read stays away until another, which waits, has read too:
// whoever reads the connection, somebody does.
func TestReadersStayAway(t *testing.T) {
	const streams, rounds = 4, 50
	transports(func(name, url string) {
		t.Run(name, func(t *testing.T) {
			client, server := newWorld(t).over(t, url)
			type turn struct {
				from, to *Stream
				read     chan error
			}
			var turns [streams]turn
			for i := range turns {
				from, err := client.OpenStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				from.Write([]byte{byte(i)})
				to, err := server.AcceptStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				turns[i] = turn{from, to, make(chan error)}
				away := turns[i].read
				go func() {
					for range rounds {
						_, err := io.ReadFull(to, make([]byte, 1))
						away <- err
					}
				}()
			}
			for n := range rounds {
				for i := range turns {
					turns[(n+i)%streams].from.Write([]byte{byte(n)})
				}
				for i := range turns {
					if err := <-turns[(n*n+i)%streams].read; err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	})
}

// HTTP, which knows nothing of sessions.
func TestHTTPOverSession(t *testing.T) {
	w := newWorld(t)
	client, server := w.sessions(t)
	l := server.Listener()
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	transport := &http.Transport{DialContext: client.DialContext}
	c := http.Client{Transport: transport}
	for range 3 {
		resp, err := c.Post("http://anywhere/", "text/plain", strings.NewReader("over streams"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != "over streams" {
			t.Fatalf("%q, %v", b, err)
		}
	}
	transport.CloseIdleConnections()
	s.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if client.Err() != nil {
		t.Errorf("closing the listener ended the session: %v", client.Err())
	}
}

func TestCloseWithError(t *testing.T) {
	w := newWorld(t)
	client, server := w.sessions(t)
	st, err := client.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWithError(7, "enough"); err != nil {
		t.Error(err)
	}
	<-server.Done()
	var e *Error
	if !errors.As(server.Err(), &e) || !e.Remote || e.Code != frame.Application(7) || e.Reason != "enough" {
		t.Errorf("server: %v", server.Err())
	}
	if !errors.As(client.Err(), &e) || e.Remote || e.Code != frame.Application(7) {
		t.Errorf("client: %v", client.Err())
	}
	if _, err := server.AcceptStream(t.Context()); !errors.As(err, &e) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("AcceptStream: %v", err)
	}
	if _, err := st.Read(make([]byte, 1)); !errors.As(err, &e) {
		t.Errorf("Read: %v", err)
	}
}

func TestCloseIsClean(t *testing.T) {
	w := newWorld(t)
	client, server := w.sessions(t)
	if err := errors.Join(client.Close(), client.Close(), server.Close()); err != nil {
		t.Error(err)
	}
	if client.Err() != net.ErrClosed {
		t.Errorf("client: %v", client.Err())
	}
	if !errors.Is(server.Err(), net.ErrClosed) || !errors.Is(server.Err(), &Error{Code: frame.CodeNoError}) {
		t.Errorf("server: %v", server.Err())
	}
	if _, err := client.OpenStream(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("OpenStream: %v", err)
	}
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	client, server := w.sessions(t)
	st, err := client.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(st, "last words"); err != nil {
		t.Fatal(err)
	}
	other, err := server.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(t.Context()) }()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(other); err != nil || string(b) != "last words" {
		t.Errorf("%q, %v", b, err)
	}
	other.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-client.Done()
	if !errors.Is(client.Err(), &Error{Code: frame.CodeNoError}) {
		t.Errorf("client: %v", client.Err())
	}

	client, server = w.sessions(t)
	if _, err := client.OpenStreamWith(t.Context(), StreamOptions{Label: "stays"}); err != nil {
		t.Fatal(err)
	}
	if st, err := server.AcceptStream(t.Context()); err != nil || st.Info().Label != "stays" {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	<-client.Done()
	if !errors.Is(client.Err(), &Error{Code: frame.CodeShutdown}) {
		t.Errorf("client: %v", client.Err())
	}
}

// What a side that shuts down refuses belongs into another session.
func TestGoingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		client, server := w.sessions(t)
		say(t, client, "first")
		st, err := server.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- server.Shutdown(t.Context()) }()
		synctest.Wait()
		for name, s := range map[string]*Session{"client": client, "server": server} {
			if _, err := s.OpenStream(t.Context()); !errors.Is(err, ErrGoingAway) {
				t.Errorf("%s: %v", name, err)
			}
		}
		another, other := w.sessions(t)
		echo(t, another, other)
		if b, err := io.ReadAll(st); err != nil || string(b) != "first" {
			t.Errorf("%q, %v", b, err)
		}
		st.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLostConnection(t *testing.T) {
	w := newWorld(t)
	a, b := transport.Pipe()
	client, server, err1, err2 := w.connect(t.Context(), a, b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	a.Close()
	<-client.Done()
	<-server.Done()
	for _, s := range []*Session{client, server} {
		if !errors.Is(s.Err(), ErrChannelLost) || errors.Is(s.Err(), net.ErrClosed) && s == server {
			t.Errorf("%v", s.Err())
		}
		end(s)
	}
}

func TestClassicMessage(t *testing.T) {
	w := newWorld(t)
	a, b := transport.Pipe()
	defer a.Close()
	i := &initiator{Initiator: w.initiator, conn: a}
	for _, step := range []func(context.Context) error{i.begin, i.expect, i.makeRequest} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	defer i.reader.Close()
	spec := messageSpec(i)
	sealed, err := i.network.Seal(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(append(sealed.Raw, '{')); err != nil {
		t.Fatal(err)
	}
	_, err = Accept(t.Context(), b, w.responder)
	var c *ClassicError
	if !errors.As(err, &c) || c.Header.Sender != w.client.name() || c.Conn != b {
		t.Fatalf("error %v", err)
	}
	if next, err := c.Reader.Peek(); err != nil || next != '{' {
		t.Errorf("what follows the header: %q, %v", next, err)
	}
	c.Reader.Close()
	if _, err := b.Write([]byte("x")); err != nil {
		t.Errorf("the connection is not the caller's: %v", err)
	}
	b.Close()

	// Something that is no header at all.
	a, b = transport.Pipe()
	if _, err := a.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if _, err := Accept(t.Context(), b, w.responder); !errors.Is(err, mslerr.ParseError) {
		t.Errorf("no header: %v", err)
	}
}

func TestConfigs(t *testing.T) {
	good := newWorld(t)
	for name, spoil := range map[string]func(*world){
		"no network":       func(w *world) { w.initiator.Network = nil },
		"no name":          func(w *world) { w.initiator.To = "" },
		"long name":        func(w *world) { w.initiator.To = strings.Repeat("x", 256) },
		"no trust":         func(w *world) { w.initiator.Trust = nil },
		"no suite":         func(w *world) { w.initiator.Algorithms.Suites = []streamSuite{} },
		"unknown suite":    func(w *world) { w.initiator.Algorithms.Suites = []streamSuite{9} },
		"unknown KEM":      func(w *world) { w.initiator.Algorithms.KEMs = []uint16{9} },
		"small record":     func(w *world) { w.initiator.Limits.Record = 5 },
		"few streams":      func(w *world) { w.initiator.Limits.Streams = 1 },
		"durable too long": func(w *world) { w.initiator.Limits.Durable = 48 * time.Hour },
	} {
		w := newWorld(t)
		spoil(w)
		a, b := transport.Pipe()
		if _, err := Dial(t.Context(), a, w.initiator); err == nil || !strings.HasPrefix(err.Error(), "session: ") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: something was sent, or the connection is open: %v", name, err)
		}
		b.Close()
	}
	if err := good.initiator.validate(); err != nil {
		t.Error(err)
	}
}

func TestLimitsReachTheOtherSide(t *testing.T) {
	w := newWorld(t)
	w.responder.Limits = Limits{Streams: 16, Durable: -1}
	client, server := w.sessions(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	opened := 0
	for ctx.Err() == nil && opened < 100 {
		if _, err := client.OpenStream(ctx); err == nil {
			opened++
		}
	}
	if opened != 16 {
		t.Errorf("%d streams could be opened", opened)
	}
	_ = server
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.initiator.Limits.Idle = -1
		a, b := transport.Pipe()
		client, server, err1, err2 := w.connect(t.Context(), a, b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		defer end(client, server)
		st, err := client.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		other, err := server.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour) // an open stream keeps it, silent as it is
		if err := errors.Join(client.Err(), server.Err()); err != nil {
			t.Fatal(err)
		}
		st.Close()
		other.Close()
		time.Sleep(29 * time.Minute)
		if err := errors.Join(client.Err(), server.Err()); err != nil {
			t.Fatal(err)
		}
		echo(t, client, server)
		begun := time.Now()
		<-client.Done()
		if idle := time.Since(begun); idle < 30*time.Minute || idle > 61*time.Minute {
			t.Errorf("closed after %v", idle)
		}
		if !errors.Is(client.Err(), &Error{Code: frame.CodeIdle}) || !errors.Is(server.Err(), &Error{Code: frame.CodeIdle}) {
			t.Errorf("client: %v, server: %v", client.Err(), server.Err())
		}
	})
}
