//go:build !js

package peer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/internal/faultnet"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/store/file"
	"github.com/mslgo/msl/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClientAndServer(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo}
	for _, url := range serve(t, server, "tcp://127.0.0.1:0", "ws://127.0.0.1:0/msl") {
		t.Run(url[:2], func(t *testing.T) {
			client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(server.Identity.Fingerprint())}
			for _, resumed := range []bool{false, true, true} {
				s, err := client.Dial(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				roundTrip(t, s, strings.Repeat("hello ", 100_000))
				info := s.Info()
				if info.Resumed != resumed || info.Entity.Identity != server.Identity.Fingerprint() || info.Transport != url {
					t.Errorf("info: %+v, want resumed %v", info, resumed)
				}
				begun := time.Now()
				if err := s.Close(); err != nil { // after 6 s: nobody was quicker
					t.Errorf("Close, after %v: %v", time.Since(begun), err)
				}
			}
		})
	}
}

func TestDialTriesTheNextAddress(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo}
	url := serve(t, server, "tcp://127.0.0.1:0")[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "tcp://" + l.Addr().String()
	l.Close()
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(server.Identity.Fingerprint())}
	s, err := client.Dial(t.Context(), dead, url)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := client.Dial(t.Context(), dead); err == nil || !strings.Contains(err.Error(), dead) {
		t.Errorf("the error names no address: %v", err)
	}
	if _, err := client.Dial(t.Context()); err == nil {
		t.Error("dialled nothing")
	}
}

func TestMisconfiguredIsSaid(t *testing.T) {
	id := identity(t)
	for name, dial := range map[string]func() error{
		"identity": func() error {
			_, err := (&peer.Client{Service: "x", Trust: peer.Pinned("a")}).Dial(t.Context(), "tcp://127.0.0.1:1")
			return err
		},
		"Trust": func() error {
			return (func() error {
				c, _ := transport.Pipe()
				_, err := (&peer.Client{Identity: id, Service: "x"}).NewSession(t.Context(), c)
				return err
			})()
		},
		"Session": func() error {
			return (&peer.Server{Identity: id, Service: "x"}).ListenAndServe(t.Context(), "tcp://127.0.0.1:0")
		},
	} {
		if err := dial(); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(name)) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestCaptureShowsNoPlaintext watches the wire: one request header, one response
// header, then records, of which nothing can be read.
func TestCaptureShowsNoPlaintext(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo}
	url := serve(t, server, "tcp://127.0.0.1:0")[0]
	proxy := &faultnet.Proxy{Target: strings.TrimPrefix(url, "tcp://"), Capture: true}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	dir := t.TempDir()
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.PinOnFirstUse(filepath.Join(dir, "known_peers"))}
	const secret = "attack at dawn, and bring the good biscuits"
	for contact, want := range []struct{ has, hasNot string }{
		{`"entityauthdata"`, `"mastertoken"`}, // first contact is JSON
		{"mastertoken", "entityauthdata"},     // resumed, in CBOR
	} {
		s, err := client.Dial(t.Context(), "tcp://"+proxy.Addr())
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, s, secret)
		s.Close()
		capture := proxy.Links()[contact].Capture()
		for direction, bytes := range map[string][]byte{"up": capture.Up, "down": capture.Down} {
			headers, records := units(t, bytes)
			if len(headers) != 1 || records == 0 {
				t.Errorf("contact %d, %s: %d headers, %d records", contact, direction, len(headers), records)
			}
			for _, plain := range []string{secret, secret[:12], "biscuits"} {
				if strings.Contains(string(bytes), plain) {
					t.Errorf("contact %d, %s: %q is readable", contact, direction, plain)
				}
			}
			if direction == "up" && (!strings.Contains(string(headers[0]), want.has) || strings.Contains(string(headers[0]), want.hasNot)) {
				t.Errorf("contact %d: the request has not %s, or has %s", contact, want.has, want.hasNot)
			}
		}
	}
}

// units cuts what went one way into headers and records.
func units(t *testing.T, b []byte) (headers [][]byte, records int) {
	t.Helper()
	r := framing.NewReader(bytes.NewReader(b), framing.Limits{})
	for {
		kind, err := r.Peek()
		if err == io.EOF {
			return headers, records
		}
		if err != nil {
			t.Fatal(err)
		}
		if !framing.IsRecord(kind) {
			if records > 0 {
				t.Error("a header behind records")
			}
			raw, _, err := r.Object()
			if err != nil {
				t.Fatal(err)
			}
			headers = append(headers, raw)
			continue
		}
		record, err := r.Record(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		record.Release()
		records++
	}
}

// TestRestartedClientResumes lets nothing survive but the home directory.
func TestRestartedClientResumes(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo}
	url := serve(t, server, "tcp://127.0.0.1:0")[0]
	home := t.TempDir()
	for _, resumed := range []bool{false, true, true} {
		id, err := peer.OpenIdentity(home)
		if err != nil {
			t.Fatal(err)
		}
		key, err := file.LoadKey(filepath.Join(home, "tokens.key"))
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := file.Open(filepath.Join(home, "tokens.db"), key)
		if err != nil {
			t.Fatal(err)
		}
		client := &peer.Client{Identity: id, Service: "echo", Trust: peer.PinOnFirstUse(filepath.Join(home, "known_peers")), Tokens: tokens}
		s, err := client.Dial(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if s.Info().Resumed != resumed {
			t.Errorf("resumed: %v, want %v", s.Info().Resumed, resumed)
		}
		roundTrip(t, s, "hello")
		s.Close()
	}
}

func TestChangedServerIsRefused(t *testing.T) {
	pins := filepath.Join(t.TempDir(), "known_peers")
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.PinOnFirstUse(pins)}
	first := serve(t, &peer.Server{Identity: identity(t), Service: "echo", Session: echo}, "tcp://127.0.0.1:0")[0]
	s, err := client.Dial(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	pinned, _ := os.ReadFile(pins)
	other := serve(t, &peer.Server{Identity: identity(t), Service: "echo", Session: echo}, "tcp://127.0.0.1:0")[0]
	if _, err := client.Dial(t.Context(), other); !errors.Is(err, session.ErrUntrusted) {
		t.Errorf("another server answered: %v", err)
	}
	if now, _ := os.ReadFile(pins); !bytes.Equal(now, pinned) {
		t.Errorf("the pins changed to %q", now)
	}
}

func TestAdmitRefuses(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo,
		Admit: func(_ context.Context, info peer.Info) error {
			return fmt.Errorf("%s is not on the list", info.Entity.Identity)
		}}
	url := serve(t, server, "tcp://127.0.0.1:0")[0]
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(server.Identity.Fingerprint())}
	_, err := client.Dial(t.Context(), url)
	if !errors.Is(err, mslerr.EntityDataReauth) || strings.Contains(err.Error(), "list") {
		t.Errorf("refused with %v", err)
	}
}

func TestSharedTokenKeysContinueElsewhere(t *testing.T) {
	id, keys := identity(t), peer.NewTokenKeys()
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(id.Fingerprint())}
	for i, resumed := range []bool{false, true, true} {
		server := &peer.Server{Identity: id, Service: "echo", TokenKeys: keys, Session: echo}
		s, err := client.Dial(t.Context(), serve(t, server, "tcp://127.0.0.1:0")[0])
		if err != nil {
			t.Fatal(err)
		}
		if s.Info().Resumed != resumed {
			t.Errorf("server %d: resumed %v", i, s.Info().Resumed)
		}
		roundTrip(t, s, "hello")
		s.Close()
	}
}

func TestLostTokenKeysCostAnotherKeyExchange(t *testing.T) {
	id := identity(t)
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(id.Fingerprint())}
	for range 2 { // each server has keys of its own
		server := &peer.Server{Identity: id, Service: "echo", Session: echo}
		s, err := client.Dial(t.Context(), serve(t, server, "tcp://127.0.0.1:0")[0])
		if err != nil {
			t.Fatal(err)
		}
		if s.Info().Resumed {
			t.Error("resumed with a token of other keys")
		}
		roundTrip(t, s, "hello")
		s.Close()
	}
}

func TestNodesPinEachOther(t *testing.T) {
	alice, bob, eve := identity(t), identity(t), identity(t)
	node := &peer.Node{Identity: bob, Trust: peer.Pinned(alice.Fingerprint()), Session: echo}
	l, err := node.Listen(t.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- node.Serve(context.Background(), l) }()
	defer func() { node.Close(); <-served }()

	a := &peer.Node{Identity: alice}
	for _, resumed := range []bool{false, true} {
		s, err := a.Dial(t.Context(), bob.Fingerprint(), l.URL())
		if err != nil {
			t.Fatal(err)
		}
		if s.Info().Resumed != resumed || s.Info().Entity.Identity != bob.Fingerprint() {
			t.Errorf("info %+v", s.Info())
		}
		roundTrip(t, s, "hello")
		s.Close()
	}
	if _, err := (&peer.Node{Identity: eve}).Dial(t.Context(), bob.Fingerprint(), l.URL()); !errors.Is(err, mslerr.EntityDataReauth) {
		t.Errorf("a stranger got %v", err)
	}
	if _, err := a.Dial(t.Context(), eve.Fingerprint(), l.URL()); err == nil {
		t.Error("somebody else answered, and was accepted")
	}
}

func TestNodeWithoutTrustAdmitsNobody(t *testing.T) {
	node := &peer.Node{Identity: identity(t), Session: echo}
	defer node.Close()
	ours, theirs := transport.Pipe()
	served := make(chan error, 1)
	go func() { served <- node.ServeConn(t.Context(), theirs) }()
	if _, err := (&peer.Node{Identity: identity(t)}).NewSession(t.Context(), node.Identity.Fingerprint(), ours); err == nil {
		t.Error("admitted")
	}
	if err := <-served; err == nil {
		t.Error("ServeConn returned nil")
	}
}

func TestServeHTTPBesideOtherPages(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo}
	defer server.Close()
	mux := http.NewServeMux()
	mux.Handle("/msl", server)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a page") })
	web := httptest.NewServer(mux)
	defer web.Close()
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(server.Identity.Fingerprint())}
	s, err := client.Dial(t.Context(), "ws"+strings.TrimPrefix(web.URL, "http")+"/msl")
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, s, "hello")
	s.Close()
}

func TestShutdownLetsStreamsFinish(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	server := &peer.Server{Identity: identity(t), Service: "slow", Session: func(ctx context.Context, s *session.Session) {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			return
		}
		close(begun)
		<-finish
		io.WriteString(st, "done")
		st.Close()
		<-s.Done()
	}}
	url := serve(t, server, "tcp://127.0.0.1:0")[0]
	client := &peer.Client{Identity: identity(t), Service: "slow", Trust: peer.Pinned(server.Identity.Fingerprint())}
	s, err := client.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st, err := s.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st.CloseWrite()
	<-begun
	down := make(chan error, 1)
	go func() { down <- server.Shutdown(t.Context()) }()
	close(finish)
	if got, err := io.ReadAll(st); err != nil || string(got) != "done" {
		t.Errorf("read %q, %v", got, err)
	}
	st.Close()
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := s.OpenStream(t.Context()); err == nil {
		t.Error("a stream was opened after the shutdown")
	}
}

func TestManyStreamsOverOneSession(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo}
	url := serve(t, server, "tcp://127.0.0.1:0")[0]
	client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(server.Identity.Fingerprint())}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := client.Dial(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan error)
	const streams = 64
	for i := range streams {
		go func() {
			random := rand.NewChaCha8([32]byte{byte(i)})
			size := 1 << (i % 21)
			st, err := s.OpenStream(ctx)
			if err != nil {
				done <- err
				return
			}
			defer st.Close()
			sent := sha256.New()
			go func() {
				io.CopyN(io.MultiWriter(st, sent), random, int64(size))
				st.CloseWrite()
			}()
			got := sha256.New()
			n, err := io.Copy(got, st)
			if err == nil && (n != int64(size) || !bytes.Equal(got.Sum(nil), sent.Sum(nil))) {
				err = fmt.Errorf("stream %d: %d of %d bytes, or others", i, n, size)
			}
			done <- err
		}()
	}
	for range streams {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// A client's session goes on over another connection, at whatever server
// address answers.
func TestSessionOutlivesItsConnection(t *testing.T) {
	server := &peer.Server{Identity: identity(t), Service: "echo", Session: echo}
	urls := serve(t, server, "tcp://127.0.0.1:0", "ws://127.0.0.1:0/msl")
	proxy := &faultnet.Proxy{Target: strings.TrimPrefix(urls[0], "tcp://")}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	states := make(chan session.State, 10)
	client := &peer.Client{
		Identity: identity(t),
		Service:  "echo",
		Trust:    peer.PinOnFirstUse(filepath.Join(t.TempDir(), "known_peers")),
		OnState:  func(_ *session.Session, s session.State) { states <- s },
	}
	s, err := client.Dial(t.Context(), "tcp://"+proxy.Addr(), urls[1])
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st, err := s.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		text := fmt.Sprint("message ", i)
		if _, err := io.WriteString(st, text); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(text))
		if _, err := io.ReadFull(st, b); err != nil || string(b) != text {
			t.Fatalf("%q, %v", b, err)
		}
		if i == 2 {
			break
		}
		if i == 1 {
			proxy.Close() // the other address is left
		} else {
			proxy.Cut()
		}
		for _, want := range []session.State{session.StateReconnecting, session.StateConnected} {
			if got := <-states; got != want {
				t.Fatalf("state %v, want %v", got, want)
			}
		}
	}
	if i := s.Info(); i.Reconnects != 2 || i.Transport != urls[1] {
		t.Errorf("%d reconnects, connected to %s", i.Reconnects, i.Transport)
	}
}
