//go:build !js

package peer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/transport"
)

// serve runs a server on the URLs until the test ends, and returns the URLs
// with their ports.
func serve(t testing.TB, s *peer.Server, urls ...string) []string {
	t.Helper()
	listeners := make([]transport.Listener, len(urls))
	for i, url := range urls {
		l, err := s.Listen(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		listeners[i], urls[i] = l, l.URL()
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), listeners...) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		if err := <-served; !errors.Is(err, peer.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return urls
}
