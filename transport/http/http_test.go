//go:build !js

package http_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/transport"
	mslhttp "github.com/mslgo/msl/transport/http"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A web is a web server and a client of it.
type web struct {
	client  *mslhttp.Transport
	url     *url.URL
	options *transport.Options
	dialled atomic.Int32 // connections that the server got
}

// protocols are the versions of HTTP under test.
var protocols = []string{"HTTP/1.1", "HTTP/1.1 TLS", "HTTP/2"}

func newWeb(t testing.TB, protocol string, h http.Handler) *web {
	t.Helper()
	w := &web{client: new(mslhttp.Transport), options: new(transport.Options)}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.dialled.Add(1)
		}
	}
	if protocol == "HTTP/1.1" {
		s.Start()
	} else {
		s.EnableHTTP2 = protocol == "HTTP/2"
		s.StartTLS()
		w.options.TLS = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		s.CloseClientConnections()
		s.Close()
	})
	var err error
	if w.url, err = url.Parse(s.URL + "/msl?x=y"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *web) exchange(t testing.TB, ctx context.Context) transport.Exchange {
	t.Helper()
	e, err := w.client.Exchange(ctx, w.url, w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// eachProtocol runs a test with a handler that calls serve, for each version.
func eachProtocol(t *testing.T, h *mslhttp.Handler, test func(t *testing.T, w *web)) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			major := 1
			if protocol == "HTTP/2" {
				major = 2
			}
			test(t, newWeb(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != major {
					t.Errorf("protocol %s", r.Proto)
				}
				h.ServeHTTP(w, r)
			})))
		})
	}
}

func write(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); n != len(text) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

func want(t testing.TB, r io.Reader, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v, want %q", got[:n], err, text)
	}
}

func wantEOF(t testing.TB, r io.Reader) {
	t.Helper()
	for range 2 {
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("behind the end: %d, %v", n, err)
		}
	}
}

// echo answers as it is asked.
func echo(_ context.Context, e transport.Exchange) error {
	_, err := io.Copy(struct{ io.Writer }{e}, e)
	return err
}

// Both bodies flow at the same time: each part of the answer is read before the
// next part of the request is written, and connections are used again.
func TestStreamsBothWays(t *testing.T) {
	eachProtocol(t, &mslhttp.Handler{Serve: echo}, func(t *testing.T, w *web) {
		for range 5 {
			e := w.exchange(t, t.Context())
			for _, text := range []string{"first", "second", strings.Repeat("long ", 100_000)} {
				written := make(chan struct{})
				go func() {
					defer close(written)
					write(t, e, text)
				}()
				want(t, e, text)
				<-written
			}
			if err := e.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Write([]byte("x")); err == nil {
				t.Error("Write behind CloseWrite")
			}
			wantEOF(t, e)
			for range 2 {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}
			if _, err := e.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && err != io.EOF {
				t.Error(err)
			}
		}
		if n := w.dialled.Load(); n != 1 {
			t.Errorf("%d connections for exchanges one after the other", n)
		}
	})
}

// An MSL reader stops at the end of the message, before that of the body: the
// connection is still used again.
func TestConnectionIsUsedAgain(t *testing.T) {
	eachProtocol(t, &mslhttp.Handler{Serve: echo}, func(t *testing.T, w *web) {
		for range 5 {
			e := w.exchange(t, t.Context())
			write(t, e, "message")
			e.CloseWrite()
			want(t, e, "message")
			e.Close()
		}
		if n := w.dialled.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Several messages in one answer arrive as they are sent.
func TestPushes(t *testing.T) {
	next := make(chan struct{})
	h := &mslhttp.Handler{Serve: func(_ context.Context, e transport.Exchange) error {
		if _, err := io.ReadAll(e); err != nil {
			return err
		}
		for range 3 {
			<-next
			if _, err := io.WriteString(e, "push"); err != nil {
				return err
			}
			if err := e.CloseWrite(); err != nil {
				return err
			}
		}
		return nil
	}}
	eachProtocol(t, h, func(t *testing.T, w *web) {
		e := w.exchange(t, t.Context())
		write(t, e, "request")
		e.CloseWrite()
		for range 3 {
			next <- struct{}{}
			want(t, e, "push")
		}
		wantEOF(t, e)
	})
}

// A client whose requests must be complete before an answer can be read, as in a
// browser, gets it all the same.
func TestNotDuplex(t *testing.T) {
	w := newWeb(t, "HTTP/1.1", &mslhttp.Handler{Serve: echo})
	plain := new(http.Transport)
	defer plain.CloseIdleConnections()
	w.client.RoundTripper = roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return plain.RoundTrip(r)
	})
	e := w.exchange(t, t.Context())
	write(t, e, "request")
	e.CloseWrite()
	want(t, e, "request")
	wantEOF(t, e)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestLimits(t *testing.T) {
	const limit = 100_000
	served := make(chan error, 1)
	h := &mslhttp.Handler{MaxBody: limit, Serve: func(_ context.Context, e transport.Exchange) error {
		data, err := io.ReadAll(e)
		served <- err
		if err != nil {
			return err
		}
		_, err = e.Write(data)
		return err
	}}
	eachProtocol(t, h, func(t *testing.T, w *web) {
		for _, v := range []struct {
			size           int
			client         int64
			request, reply bool // refused
		}{
			{limit, limit, false, false},
			{limit, 0, false, false},
			{limit, -1, false, false},
			{limit, limit - 1, false, true},
			{limit + 1, limit, true, false},
		} {
			w.client.MaxBody = v.client
			e := w.exchange(t, t.Context())
			data := make([]byte, v.size)
			written := make(chan struct{})
			go func() {
				defer close(written)
				e.Write(data) // fails where the server does not read all
				e.CloseWrite()
			}()
			got, err := io.ReadAll(e)
			l, refused := errors.AsType[*mslhttp.LimitError](<-served)
			if refused != v.request || refused && l.Limit != limit {
				t.Errorf("%+v: request: %v", v, l)
			}
			l, refused = errors.AsType[*mslhttp.LimitError](err)
			if refused != v.reply || refused && (l.Limit != v.client || int64(len(got)) != v.client) {
				t.Errorf("%+v: answer: %d bytes, %v", v, len(got), err)
			}
			if !v.request && !v.reply && len(got) != v.size {
				t.Errorf("%+v: %d bytes, %v", v, len(got), err)
			}
			if s, ok := errors.AsType[*mslhttp.StatusError](err); v.request && (!ok || !strings.Contains(s.Status, "400")) {
				t.Errorf("%+v: %v", v, err)
			}
			e.Close()
			<-written
		}
	})
}

// The end of a context, and Close, end a Read and a Write that wait; the server
// learns of it.
func TestCancellation(t *testing.T) {
	gone := make(chan struct{}, 10)
	h := &mslhttp.Handler{Serve: func(ctx context.Context, e transport.Exchange) error {
		io.CopyN(io.Discard, e, 5)
		<-ctx.Done()
		gone <- struct{}{}
		return ctx.Err()
	}}
	for _, how := range []string{"context", "Close"} {
		for _, what := range []string{"Read", "Write"} {
			t.Run(how+" "+what, func(t *testing.T) {
				// Of HTTP/1.1 a server that does not read notices nothing.
				w := newWeb(t, "HTTP/2", h)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				e := w.exchange(t, ctx)
				write(t, e, "begin")
				ended := make(chan error, 1)
				go func() {
					var err error
					if what == "Read" {
						_, err = e.Read(make([]byte, 1))
					} else {
						for p := make([]byte, 1<<20); err == nil; _, err = e.Write(p) {
						}
					}
					ended <- err
				}()
				expected := net.ErrClosed
				if how == "context" {
					cancel()
					expected = context.Canceled
				} else {
					e.Close()
				}
				if err := <-ended; !errors.Is(err, expected) {
					t.Errorf("error %v, want %v", err, expected)
				}
				<-gone
			})
		}
	}
}

// A client that keeps the server waiting for longer than it may is given up.
func TestTimeouts(t *testing.T) {
	served := make(chan error, 1)
	for _, what := range []string{"Read", "Write"} {
		t.Run(what, func(t *testing.T) {
			h := &mslhttp.Handler{Timeout: 50 * time.Millisecond, Serve: func(_ context.Context, e transport.Exchange) error {
				want(t, e, "begin")
				var err error
				for p := make([]byte, 1<<20); err == nil; {
					if what == "Read" {
						_, err = e.Read(p)
					} else {
						_, err = e.Write(p)
					}
				}
				served <- err
				return err
			}}
			eachProtocol(t, h, func(t *testing.T, w *web) {
				e := w.exchange(t, t.Context())
				write(t, e, "begin")
				err := <-served
				if n, ok := errors.AsType[net.Error](err); !ok || !n.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// A timeout is that of one Read or Write: time that passes elsewhere does not count.
func TestTimeoutsAreNotLeftBehind(t *testing.T) {
	const timeout = 250 * time.Millisecond
	var busy atomic.Int64 // how long the application is, in between
	pause := func() { <-time.After(time.Duration(busy.Load())) }
	h := &mslhttp.Handler{Timeout: timeout, Serve: func(_ context.Context, e transport.Exchange) error {
		want(t, e, "question")
		pause()
		write(t, e, "first")
		pause()
		wantEOF(t, e)
		pause()
		write(t, e, "second")
		return nil
	}}
	eachProtocol(t, h, func(t *testing.T, w *web) {
		for _, d := range []time.Duration{timeout * 3 / 2, 0} {
			busy.Store(int64(d))
			e := w.exchange(t, t.Context())
			write(t, e, "question")
			e.CloseWrite()
			want(t, e, "firstsecond")
			wantEOF(t, e)
			e.Close()
		}
		if n := w.dialled.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Serve may return while others still use the exchange: they are ended first.
func TestServeReturnsEarly(t *testing.T) {
	ended := make(chan error, 2)
	h := &mslhttp.Handler{Serve: func(_ context.Context, e transport.Exchange) error {
		want(t, e, "begin")
		write(t, e, "answer")
		var started sync.WaitGroup
		started.Add(2)
		go func() {
			started.Done()
			_, err := e.Read(make([]byte, 1))
			ended <- err
		}()
		go func() {
			started.Done()
			var err error
			for p := make([]byte, 1<<16); err == nil; _, err = e.Write(p) {
			}
			ended <- err
		}()
		started.Wait()
		return nil
	}}
	eachProtocol(t, h, func(t *testing.T, w *web) {
		e := w.exchange(t, t.Context())
		write(t, e, "begin")
		want(t, e, "answer")
		for range 2 {
			if err := <-ended; err == nil {
				t.Error("no error")
			}
		}
	})
}

// A server may answer without reading the request: the answer is seen, and who
// writes is not kept waiting.
func TestAnswerBeforeRequest(t *testing.T) {
	h := &mslhttp.Handler{Serve: func(_ context.Context, e transport.Exchange) error {
		_, err := io.WriteString(e, "no")
		return err
	}}
	eachProtocol(t, h, func(t *testing.T, w *web) {
		e := w.exchange(t, t.Context())
		write(t, e, "begin")
		written := make(chan error, 1)
		go func() {
			var err error
			for p := make([]byte, 1<<20); err == nil; _, err = e.Write(p) {
			}
			written <- err
		}()
		want(t, e, "no")
		wantEOF(t, e)
		if err := <-written; err == nil {
			t.Error("no error")
		}
	})
}

func TestNoAnswer(t *testing.T) {
	for name, v := range map[string]struct {
		handler http.HandlerFunc
		status  string
	}{
		"redirect":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302 Found"},
		"not found":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "404 Not Found"},
		"unavailable": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "503 Service Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, "HTTP/1.1", v.handler)
			e := w.exchange(t, t.Context())
			e.CloseWrite()
			_, err := io.ReadAll(e)
			if s, ok := errors.AsType[*mslhttp.StatusError](err); !ok || s.Status != v.status {
				t.Errorf("error %v", err)
			}
		})
	}

	// The status of an answer means nothing.
	w := newWeb(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "answer")
	}))
	e := w.exchange(t, t.Context())
	e.CloseWrite()
	want(t, e, "answer")
	wantEOF(t, e)
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	client := new(mslhttp.Transport)
	e, err := client.Exchange(t.Context(), &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, writing := e.Write(make([]byte, 100))
	_, reading := e.Read(make([]byte, 1))
	for _, err := range []error{writing, reading} {
		if _, ok := errors.AsType[*net.OpError](err); !ok {
			t.Errorf("error %v", err)
		}
	}
}

func TestRequest(t *testing.T) {
	h := &mslhttp.Handler{Serve: echo}
	w := newWeb(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.String() != "/msl?x=y" || r.Header.Get("X-Test") != "1" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		h.ServeHTTP(w, r)
	}))
	w.options.Header = http.Header{"X-Test": {"1"}}
	e := w.exchange(t, t.Context())
	write(t, e, "x")
	want(t, e, "x")

	for _, bad := range []string{"http:///path", "http://user:secret@host/", "http://host/#part"} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := w.client.Exchange(t.Context(), u, nil); err == nil {
			e.Close()
			t.Errorf("%s is accepted", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}

	get := httptest.NewRecorder()
	h.ServeHTTP(get, httptest.NewRequest("GET", "/", nil))
	if get.Code != http.StatusMethodNotAllowed || get.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", get.Code, get.Header())
	}
	post := httptest.NewRecorder() // knows neither duplex nor deadlines
	h.ServeHTTP(post, httptest.NewRequest("POST", "/", strings.NewReader("hello")))
	if post.Body.String() != "hello" {
		t.Errorf("POST: %q", post.Body)
	}
}

// Whoever wants a session over HTTP is told what to do.
func TestNoChannel(t *testing.T) {
	opts := &transport.Options{Transports: append(transport.Defaults(), new(mslhttp.Transport))}
	for _, u := range []string{"http://127.0.0.1:1/msl", "https://127.0.0.1:1/msl"} {
		if _, err := transport.Dial(t.Context(), u, opts); !errors.Is(err, mslhttp.ErrNoChannel) {
			t.Errorf("Dial: %v", err)
		}
		if _, err := transport.Listen(t.Context(), u, opts); !errors.Is(err, mslhttp.ErrNoChannel) {
			t.Errorf("Listen: %v", err)
		}
	}
	tr := new(mslhttp.Transport)
	if !slices.Equal(tr.Schemes(), []string{"http", "https"}) || tr.Protected("http") || !tr.Protected("https") {
		t.Error("schemes")
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, protocol := range protocols {
		b.Run(protocol, func(b *testing.B) {
			w := newWeb(b, protocol, &mslhttp.Handler{Serve: echo})
			b.ReportAllocs()
			for b.Loop() {
				e, err := w.client.Exchange(b.Context(), w.url, w.options)
				if err != nil {
					b.Fatal(err)
				}
				write(b, e, "message")
				e.CloseWrite()
				want(b, e, "message")
				e.Close()
			}
		})
	}
}
