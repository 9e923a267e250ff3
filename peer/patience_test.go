//go:build !js

package peer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/transport"
)

// pipes connects to a server without a network.
type pipes struct {
	transport.Transport
	s      *peer.Server
	served sync.WaitGroup
}

func (*pipes) Schemes() []string { return []string{"pipe"} }

func (p *pipes) Dial(context.Context, *url.URL, *transport.Options) (transport.Conn, error) {
	a, b := transport.Pipe()
	p.served.Go(func() { _ = p.s.ServeConn(context.Background(), b) })
	return a, nil
}

// piped is a server and a client of it.
func piped(t *testing.T, s *peer.Server) *peer.Client {
	t.Helper()
	s.Identity, s.Service = identity(t), "test"
	p := &pipes{s: s}
	t.Cleanup(func() {
		s.Close()
		p.served.Wait()
	})
	return &peer.Client{
		Identity: identity(t), Service: "test", Trust: peer.Pinned(s.Identity.Fingerprint()),
		Transports: []transport.Transport{p},
	}
}

// Who sends no more is waited for as long as Timeout says.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		failure := make(chan error, 1)
		c := piped(t, &peer.Server{
			Timeout: 5 * time.Second,
			Handler: func(_ peer.ResponseWriter, r *peer.ServerRequest) {
				_, err := io.Copy(io.Discard, r.Body)
				failure <- err
			},
		})
		body, w := io.Pipe()
		go func() {
			for range 3 {
				io.WriteString(w, "data")
				time.Sleep(4 * time.Second) // of the bubble
			}
		}()
		_, err := c.Do(t.Context(), "pipe://server", &peer.Request{Body: body})
		if err == nil {
			t.Error("an answer came")
		}
		if err := <-failure; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the body ends with %v", err)
		}
		if waited := time.Since(began); waited < 13*time.Second || waited > 14*time.Second {
			t.Errorf("it ended after %v", waited)
		}
	})
}

func TestHandlerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := piped(t, &peer.Server{
			Log: slog.New(slog.NewTextHandler(&log, nil)),
			Handler: func(w peer.ResponseWriter, r *peer.ServerRequest) {
				what, _ := io.ReadAll(r.Body)
				switch string(what) {
				case "before":
					io.WriteString(w, "not yet sent")
					panic("a mistake")
				case "amid":
					io.WriteString(w, "sent")
					w.Flush()
					panic("a mistake")
				case "tokens":
					w.EditServiceTokens(func(*peer.ServiceTokens) error { panic("a mistake") })
				case "abort":
					panic(http.ErrAbortHandler)
				}
				w.Write(what)
			},
		})
		ask := func(what string) (string, error) {
			log.Reset()
			answer, err := c.Do(t.Context(), "pipe://server", &peer.Request{Body: strings.NewReader(what)})
			if err != nil {
				return "", err
			}
			defer answer.Body.Close()
			got, err := io.ReadAll(answer.Body)
			return string(got), err
		}
		if _, err := ask("before"); !errors.Is(err, mslerr.InternalException.Response()) {
			t.Errorf("before anything was sent: %v", err)
		}
		if !strings.Contains(log.String(), "a mistake") || !strings.Contains(log.String(), "patience_test.go") {
			t.Errorf("log %q", log.String())
		}
		if got, err := ask("amid"); err == nil {
			t.Errorf("answer %q looks complete", got)
		}
		if got, err := ask("tokens"); err == nil {
			t.Errorf("answer %q although its tokens were not made", got)
		}
		if got, err := ask("abort"); err == nil || log.Len() > 0 {
			t.Errorf("answer %q, log %q", got, log.String())
		}
		if got, err := ask("all is well"); got != "all is well" || err != nil {
			t.Errorf("afterwards: %q, %v", got, err)
		}
	})
}
