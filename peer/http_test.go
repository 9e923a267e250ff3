//go:build !js

package peer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	mslhttp "github.com/mslgo/msl/transport/http"
)

// webServer puts a server into a web server of its own.
func webServer(t testing.TB, http2 bool, change func(*peer.Server)) (*peer.Client, string) {
	t.Helper()
	s := &peer.Server{
		Identity: identity(t), Service: "test", Session: echo,
		Handler: func(w peer.ResponseWriter, r *peer.ServerRequest) {
			for buf := make([]byte, 100_000); ; {
				n, err := r.Body.Read(buf)
				w.Write(buf[:n])
				if w.Flush() != nil || err != nil {
					return
				}
			}
		},
	}
	if change != nil {
		change(s)
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && (r.ProtoMajor == 2) != http2 {
			t.Errorf("protocol %s", r.Proto)
		}
		s.ServeHTTP(w, r)
	}))
	exchanger := new(mslhttp.Transport)
	c := &peer.Client{Identity: identity(t), Service: "test", Trust: peer.Pinned(s.Identity.Fingerprint())}
	c.Exchangers = append(c.Exchangers, exchanger)
	if web.EnableHTTP2 = http2; http2 {
		web.StartTLS()
		c.TLS = &tls.Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	} else {
		web.Start()
	}
	t.Cleanup(func() {
		exchanger.CloseIdleConnections()
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, web.URL
}

func eachHTTP(t *testing.T, test func(t *testing.T, http2 bool)) {
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, false) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, true) })
}

// The first request takes two POSTs, since keys are needed; those that follow one.
func TestDoOverHTTP(t *testing.T) {
	eachHTTP(t, func(t *testing.T, http2 bool) {
		c, url := webServer(t, http2, nil)
		for _, body := range []string{"hello", "", strings.Repeat("0123456789", 100_000)} {
			got, answer := do(t, c, url, &peer.Request{Body: strings.NewReader(body)})
			if got != body || !answer.Encrypted || !answer.Protected {
				t.Errorf("sent %d bytes, got %d, %+v", len(body), len(got), answer)
			}
		}
		ws := "ws" + strings.TrimPrefix(url, "http")
		s, err := c.Dial(t.Context(), ws)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if !s.Info().Resumed {
			t.Error("the session at the same URL did not use the token")
		}
		roundTrip(t, s, "a session")
	})
}

// Answer and request go at the same time, also over HTTP.
func TestDoOverHTTPIsDuplex(t *testing.T) {
	eachHTTP(t, func(t *testing.T, http2 bool) {
		c, url := webServer(t, http2, nil)
		body, w := io.Pipe()
		go io.WriteString(w, "first")
		answer, err := c.Do(t.Context(), url, &peer.Request{Body: body})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		for _, text := range []string{"first", "second", "third"} {
			if text != "first" {
				io.WriteString(w, text)
			}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != text {
				t.Fatalf("%q, %v", got, err)
			}
		}
		w.Close()
		if rest, err := io.ReadAll(answer.Body); len(rest) > 0 || err != nil {
			t.Fatalf("%q, %v", rest, err)
		}
	})
}

// A refusal is repaired by further POSTs with the data that was kept.
func TestRepairOverHTTP(t *testing.T) {
	eachHTTP(t, func(t *testing.T, http2 bool) {
		c, url := webServer(t, http2, func(s *peer.Server) {
			s.UserAuth = userauth.Schemes{userauth.EmailPassword{
				Check: func(_ context.Context, email, password string) (token.User, error) {
					if password != "right" {
						return "", errors.New("wrong")
					}
					return token.User(email), nil
				},
			}}
		})
		var asked atomic.Int32
		got, answer := do(t, c, url, &peer.Request{
			Body: strings.NewReader("hello"),
			User: userauth.Func(func(_ context.Context, rejected error) (userauth.Data, error) {
				if asked.Add(1) == 1 {
					return userauth.NewEmailPasswordData("alice@example.org", "wrong"), nil
				}
				if !errors.Is(rejected, mslerr.EmailPasswordIncorrect) {
					t.Errorf("rejected: %v", rejected)
				}
				return userauth.NewEmailPasswordData("alice@example.org", "right"), nil
			}),
		})
		if got != "hello" || answer == nil {
			t.Errorf("%q", got)
		}
	})
}

func TestDialOverHTTP(t *testing.T) {
	c := &peer.Client{Identity: identity(t), Service: "test", Trust: peer.Pinned("x")}
	if _, err := c.Dial(t.Context(), "http://127.0.0.1:1/"); !errors.Is(err, mslhttp.ErrNoChannel) {
		t.Error(err)
	}
}
