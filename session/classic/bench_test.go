package classic

import (
	"io"
	"strings"
	"testing"

	"github.com/mslgo/msl/protocol/entityauth"
)

// BenchmarkRequest is one request and its answer under a master token, in memory.
func BenchmarkRequest(b *testing.B) {
	w := newWorld(b, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	w.client.Sent, w.client.Received = nil, nil
	b.ReportAllocs()
	for b.Loop() {
		in, err := w.client.Request(b.Context(), w.opener(), Message{Body: strings.NewReader("hello")})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			b.Fatal(err)
		}
		in.Close()
	}
}
