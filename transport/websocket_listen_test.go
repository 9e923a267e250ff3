//go:build !js

package transport

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWebSocketSubprotocols(t *testing.T) {
	for _, c := range []struct {
		name          string
		offer, accept []string
		form          Form
		fails         bool
	}{
		{name: "default", form: Batched},
		{name: "server prefers the channel", offer: []string{"msl", "msl.channel.1"}, form: Batched},
		{name: "classic", offer: []string{"msl"}, form: Single},
		{name: "none", offer: []string{}, form: Single},
		{name: "unknown is none", offer: []string{"chat"}, form: Single},
		{name: "only classic accepted", offer: []string{"msl.channel.1", "msl"}, accept: []string{"msl"}, form: Single},
		{name: "none refused", offer: []string{}, accept: []string{"msl.channel.1"}, fails: true},
		{name: "unknown refused", offer: []string{"chat"}, accept: []string{"msl.channel.1"}, fails: true},
		{name: "case", offer: []string{"MSL.channel.1"}, form: Batched},
	} {
		t.Run(c.name, func(t *testing.T) {
			listen, dial := &Options{Subprotocols: c.accept}, &Options{Subprotocols: c.offer}
			if c.fails {
				l, err := Listen(t.Context(), wsAny, listen)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if _, err := Dial(t.Context(), l.URL(), dial); err == nil || !strings.Contains(err.Error(), "400") {
					t.Fatalf("Dial: %v", err)
				}
				return
			}
			a, b := connect(t, wsAny, listen, dial)
			if a.Form() != c.form || b.Form() != c.form {
				t.Errorf("forms %v, %v", a.Form(), b.Form())
			}
			_, am := a.(MessageConn)
			_, bm := b.(MessageConn)
			if want := c.form == Single; am != want || bm != want {
				t.Errorf("MessageConn: %v, %v", am, bm)
			}
		})
	}
}

func TestWebSocketOrigins(t *testing.T) {
	for _, c := range []struct {
		name, origin string
		origins      []string
		ok           bool
	}{
		{"no browser", "", nil, true},
		{"own host", "http://SELF", nil, true},
		{"foreign", "https://evil.example", nil, false},
		{"pattern", "https://a.example.org", []string{"*.example.org"}, true},
		{"other pattern", "https://example.com", []string{"*.example.org"}, false},
		{"null", "null", []string{"*.example.org"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := Listen(t.Context(), wsAny, &Options{Origins: c.origins})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			host := strings.TrimSuffix(strings.TrimPrefix(l.URL(), "ws://"), "/msl")
			h := http.Header{}
			if c.origin != "" {
				h.Set("Origin", strings.Replace(c.origin, "SELF", host, 1))
			}
			go func() {
				if b, err := l.Accept(t.Context()); err == nil {
					b.Close()
				}
			}()
			a, err := Dial(t.Context(), l.URL(), &Options{Header: h})
			if err == nil {
				a.Close()
			}
			if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "403") {
				t.Errorf("Dial: %v", err)
			}
		})
	}
	if _, err := Listen(t.Context(), wsAny, &Options{Origins: []string{"["}}); err == nil {
		t.Error("a bad origin pattern is taken")
	}
}

func TestWebSocketHTTPErrors(t *testing.T) {
	l, err := Listen(t.Context(), wsAny, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	base := strings.TrimSuffix(strings.Replace(l.URL(), "ws:", "http:", 1), "/msl")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]int{"/msl": http.StatusUpgradeRequired, "/": http.StatusNotFound, "/msl/x": http.StatusNotFound} {
		resp, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	req, _ := http.NewRequest("GET", base+"/msl", nil)
	req.Header.Set("Fill", strings.Repeat("x", 64<<10))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("large header: %d", resp.StatusCode)
	}
}

func TestWebSocketConnOutlivesListener(t *testing.T) {
	l, err := Listen(t.Context(), wsAny, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dialled := make(chan Conn)
	go func() { c, _ := Dial(ctx, l.URL(), nil); dialled <- c }()
	b, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := <-dialled
	cancel()
	l.Close()
	go b.Write([]byte("still here"))
	got := make([]byte, 10)
	if _, err := io.ReadFull(a, got); string(got) != "still here" {
		t.Errorf("got %q, %v", got, err)
	}
	a.Close()
	b.Close()
	if _, err := Dial(t.Context(), l.URL(), nil); err == nil {
		t.Error("the listener still listens")
	}
}

// A connection that no Accept takes is closed with the listener.
func TestWebSocketCloseWithWaiting(t *testing.T) {
	l, err := Listen(t.Context(), wsAny, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Dial(t.Context(), l.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	l.Close()
	if _, err := a.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives on")
	}
}

func TestWebSocketWaitingIsBounded(t *testing.T) {
	l, err := Listen(t.Context(), wsAny, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range maxWaiting + 1 {
		c, err := Dial(t.Context(), l.URL(), nil)
		if err == nil {
			defer c.Close()
		}
		if full := i == maxWaiting; full != (err != nil) || full && !strings.Contains(err.Error(), "503") {
			t.Fatalf("dial %d: %v", i, err)
		}
	}
}

func TestWebSocketHandlerBesideServer(t *testing.T) {
	served := make(chan struct{})
	h := &WebSocketHandler{URL: "ws://name/", Serve: func(c Conn) {
		go io.Copy(c, c) // outlives Serve
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		close(served)
	}))
	defer s.Close()
	a, err := Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Write([]byte("echo"))
	got := make([]byte, 4)
	if _, err := io.ReadFull(a, got); string(got) != "echo" {
		t.Fatalf("got %q, %v", got, err)
	}
	select {
	case <-served:
		t.Error("the handler returned before the connection was closed")
	default:
	}
	a.Close()
	<-served
}
