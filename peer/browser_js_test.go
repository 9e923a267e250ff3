package peer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

func TestMain(m *testing.M) {
	// The goroutines that are ignored serve JavaScript's events.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}

// What a page does with a server elsewhere, over the page's own WebSocket. The
// server is that of internal/browser, which starts this test:
//
//	MSL_TEST_URL          ws://host:port/path
//	MSL_TEST_FINGERPRINT  the server's
func TestBrowser(t *testing.T) {
	url, fingerprint := os.Getenv("MSL_TEST_URL"), os.Getenv("MSL_TEST_FINGERPRINT")
	if url == "" {
		t.Skip("there is no server: internal/browser starts one")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id, err := peer.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	client := &peer.Client{Identity: id, Service: "echo", Trust: peer.Pinned(fingerprint)}
	for _, resumed := range []bool{false, true} {
		s, err := client.Dial(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		if info := s.Info(); info.Resumed != resumed || info.Entity.Identity != fingerprint || info.Transport != url {
			t.Errorf("info: %+v, want resumed %v", info, resumed)
		}
		browserEcho(ctx, t, s, 1<<20)
		browserDeadline(ctx, t, s)
		browserEcho(ctx, t, s, 100)
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := (&peer.Client{Identity: id, Service: "echo", Trust: peer.Pinned(id.Fingerprint() + "x")}).Dial(ctx, url); !errors.Is(err, session.ErrUntrusted) {
		t.Errorf("another server than the pinned one: %v", err)
	}
}

// browserEcho sends n bytes and wants them back.
func browserEcho(ctx context.Context, t *testing.T, s *session.Session, n int) {
	t.Helper()
	st, err := s.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	data := make([]byte, n)
	rand.Read(data)
	sent := make(chan error, 1)
	go func() {
		_, err := st.Write(data)
		sent <- errors.Join(err, st.CloseWrite())
	}()
	got, err := io.ReadAll(st)
	if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("sent %d bytes, got %d back, %v", n, len(got), err)
	}
}

// browserDeadline lets a deadline of a stream pass, which ends one call only.
func browserDeadline(ctx context.Context, t *testing.T, s *session.Session) {
	t.Helper()
	st, err := s.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read after the deadline: %v", err)
	}
	if err := st.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(st, "still here"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len("still here"))
	if _, err := io.ReadFull(st, b); err != nil || string(b) != "still here" {
		t.Fatalf("%q, %v", b, err)
	}
}
