package peer_test

import (
	"context"
	"testing"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

// Early data of a client reaches a server that takes it, and is sent again to
// one that does not.
func TestDialEarly(t *testing.T) {
	for _, takes := range []bool{true, false} {
		id := identity(t)
		early := make(chan bool, 2)
		s := &peer.Server{Identity: id, Service: "echo", AcceptEarly: takes, Session: func(ctx context.Context, s *session.Session) {
			early <- s.Info().Early
			echo(ctx, s)
		}}
		urls := serve(t, s, "tcp://127.0.0.1:0")
		client := &peer.Client{Identity: identity(t), Service: "echo", Trust: peer.Pinned(id.Fingerprint())}
		for n := range 2 {
			sess, err := client.DialEarly(t.Context(), urls...)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, sess, "early")
			if got := <-early; got != (takes && n == 1) {
				t.Errorf("session %d: early data accepted: %v", n, got)
			}
			if err := sess.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
