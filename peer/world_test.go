package peer_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

func identity(t testing.TB) *peer.Identity {
	t.Helper()
	id, err := peer.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// echo is a session's handler that sends back what it gets.
func echo(ctx context.Context, s *session.Session) {
	for {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			defer st.Close()
			io.Copy(st, st)
		}()
	}
}

// roundTrip sends text over a fresh stream and wants it back.
func roundTrip(t testing.TB, s *session.Session, text string) {
	t.Helper()
	st, err := s.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(st, text)
		sent <- errors.Join(err, st.CloseWrite())
	}()
	got, err := io.ReadAll(st)
	if err = errors.Join(err, <-sent); err != nil || string(got) != text {
		t.Fatalf("sent %d bytes, got %d back, %v", len(text), len(got), err)
	}
}
