//go:build !js

package peer_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
)

// classicServer answers requests and sessions on one port.
func classicServer(t testing.TB, change func(*peer.Server)) (*peer.Client, string) {
	t.Helper()
	s := &peer.Server{
		Identity: identity(t), Service: "test", Session: echo,
		Handler: func(w peer.ResponseWriter, r *peer.ServerRequest) { io.Copy(w, r.Body) },
	}
	if change != nil {
		change(s)
	}
	url := serve(t, s, "tcp://127.0.0.1:0")[0]
	return &peer.Client{Identity: identity(t), Service: "test", Trust: peer.Pinned(s.Identity.Fingerprint())}, url
}

func do(t testing.TB, c *peer.Client, url string, r *peer.Request) (string, *peer.Response) {
	t.Helper()
	answer, err := c.Do(t.Context(), url, r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(got), answer
}

func TestDo(t *testing.T) {
	c, url := classicServer(t, nil)
	large := strings.Repeat("0123456789", 100_000)
	for _, body := range []string{"hello", "", large} {
		got, answer := do(t, c, url, &peer.Request{Body: strings.NewReader(body)})
		if got != body {
			t.Errorf("sent %d bytes, got %d", len(body), len(got))
		}
		if !answer.Encrypted || !answer.Protected || answer.Peer.Entity.Identity == "" {
			t.Errorf("answer %+v", answer)
		}
	}
	if got, _ := do(t, c, url, &peer.Request{}); got != "" {
		t.Errorf("answer %q to nothing", got)
	}
	// The tokens that requests brought are good for a session, and the other way round.
	s, err := c.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	roundTrip(t, s, "a session")
	if !s.Info().Resumed {
		t.Error("the session did not use the token")
	}
	do(t, c, url, &peer.Request{Body: strings.NewReader("beside a session")})
}

// Answer and request go at the same time.
func TestDoIsDuplex(t *testing.T) {
	c, url := classicServer(t, func(s *peer.Server) {
		s.Handler = func(w peer.ResponseWriter, r *peer.ServerRequest) {
			buf := make([]byte, 100)
			for {
				n, err := r.Body.Read(buf)
				w.Write(buf[:n])
				if w.Flush() != nil || err != nil {
					return
				}
			}
		}
	})
	body, w := io.Pipe()
	answers := make(chan *peer.Response, 1)
	go func() {
		answer, err := c.Do(t.Context(), url, &peer.Request{Body: body})
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}()
	var answer *peer.Response
	for _, line := range []string{"one", "two", "three"} {
		io.WriteString(w, line)
		if answer == nil {
			if answer = <-answers; answer == nil {
				return
			}
			defer answer.Body.Close()
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != line {
			t.Fatalf("%q came back as %q, %v", line, got, err)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v behind the end", rest, err)
	}
}

// A server that is refused or rejects says so, and nothing is retried for ever.
func TestDoRejected(t *testing.T) {
	c, url := classicServer(t, func(s *peer.Server) {
		s.Handler = func(w peer.ResponseWriter, r *peer.ServerRequest) {
			w.Reject(mslerr.New(mslerr.EntityNotFound, "not today"))
		}
	})
	_, err := c.Do(t.Context(), url, &peer.Request{Body: strings.NewReader("hello")})
	if !errors.Is(err, mslerr.Fail) || !errors.Is(err, mslerr.EntityNotFound) {
		t.Errorf("error %v", err)
	}

	c, url = classicServer(t, func(s *peer.Server) {
		s.Admit = func(context.Context, peer.Info) error { return errors.New("go away") }
	})
	if _, err = c.Do(t.Context(), url, &peer.Request{}); !errors.Is(err, mslerr.EntityDataReauth) {
		t.Errorf("error %v", err)
	}

	other := &peer.Client{Identity: identity(t), Service: "test", Trust: peer.Pinned(identity(t).Fingerprint())}
	if _, err = other.Do(t.Context(), url, &peer.Request{}); !errors.Is(err, mslerr.MessageSenderMismatch) {
		t.Errorf("another service: %v", err)
	}
}

func TestPushes(t *testing.T) {
	c, url := classicServer(t, func(s *peer.Server) {
		s.Handler = func(w peer.ResponseWriter, r *peer.ServerRequest) {
			io.Copy(io.Discard, r.Body)
			for _, text := range []string{"one", "two", "three"} {
				if err := w.Push(strings.NewReader(text)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var got []string
	for push, err := range c.Pushes(t.Context(), url, &peer.Request{Body: strings.NewReader("go on")}) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(push.Body)
		if err != nil || !push.Encrypted {
			t.Errorf("pushed %q, %v", text, err)
		}
		if got = append(got, string(text)); len(got) == 3 {
			break
		}
	}
	if strings.Join(got, " ") != "one two three" {
		t.Errorf("pushed %q", got)
	}
}

func TestNodesDo(t *testing.T) {
	a, b := identity(t), identity(t)
	bob := &peer.Node{
		Identity: b, Trust: peer.Pinned(a.Fingerprint()), Session: echo,
		Handler: func(w peer.ResponseWriter, r *peer.ServerRequest) {
			if r.Peer.Entity.Identity != a.Fingerprint() {
				t.Errorf("asked by %v", r.Peer)
			}
			io.Copy(w, r.Body)
		},
	}
	l, err := bob.Listen(t.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- bob.Serve(context.Background(), l) }()
	defer func() { bob.Close(); <-served }()
	alice := &peer.Node{Identity: a}
	for _, body := range []string{"hello", strings.Repeat("again ", 50_000), ""} {
		answer, err := alice.Do(t.Context(), b.Fingerprint(), l.URL(), &peer.Request{Body: strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		if err != nil || string(got) != body {
			t.Errorf("sent %d bytes, got %d, %v", len(body), len(got), err)
		}
		if err := answer.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	eve := &peer.Node{Identity: identity(t)}
	if _, err := eve.Do(t.Context(), b.Fingerprint(), l.URL(), &peer.Request{}); !errors.Is(err, mslerr.EntityDataReauth) {
		t.Errorf("a stranger: %v", err)
	}
}

// A Network names peers as it likes, and is enough for a node that answers
// requests only.
func TestNodesOfANetwork(t *testing.T) {
	psk := pskScheme(make([]byte, 16), make([]byte, 32), "left", "right")
	network := func(self string) *message.Network {
		return &message.Network{
			Self: entityauth.NewPSKData(self), EntityAuth: entityauth.Schemes{psk},
			KeyExchange: keyx.Schemes{keyx.HPKE{}}, Compression: []compress.Algorithm{compress.GZIP},
		}
	}
	serving := func(session func(context.Context, *session.Session)) string {
		node := &peer.Node{
			Network: network("right"), Session: session,
			Admit: func(_ context.Context, info peer.Info) error {
				if want := (token.Entity{Scheme: "PSK", Identity: "left"}); info.Entity != want {
					t.Errorf("asked by %v", info.Entity)
				}
				return nil
			},
			Handler: func(w peer.ResponseWriter, r *peer.ServerRequest) { io.Copy(w, r.Body) },
		}
		l, err := node.Listen(t.Context(), "tcp://127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- node.Serve(context.Background(), l) }()
		t.Cleanup(func() { node.Close(); <-served })
		return l.URL()
	}
	left := &peer.Node{Network: network("left")}
	both := serving(echo)
	for url, left := range map[string]*peer.Node{both: left, serving(nil): {Network: network("left")}} {
		answer, err := left.Do(t.Context(), "right", url, &peer.Request{Body: strings.NewReader("hello")})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(answer.Body); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		answer.Body.Close()
	}
	s, err := left.Dial(t.Context(), "right", both)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	roundTrip(t, s, "hello")
	if _, err := left.Dial(t.Context(), "nobody", both); err == nil {
		t.Error("somebody else answered")
	}
	if _, err := (&peer.Node{Network: &message.Network{}}).Dial(t.Context(), "right", both); err == nil {
		t.Error("dialled as nobody")
	}
	if err := (&peer.Node{Network: &message.Network{}, Handler: func(peer.ResponseWriter, *peer.ServerRequest) {}}).ListenAndServe(t.Context(), "tcp://127.0.0.1:0"); err == nil {
		t.Error("served as nobody")
	}
}
