package session

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

// Streams are compressed where the application asks for it, each way by itself,
// and a side that refuses it ends the session.
func TestCompressedStream(t *testing.T) {
	w := newWorld(t)
	before := framing.BuffersInUse()
	client, server := w.sessions(t)
	text := bytes.Repeat([]byte("say it again, "), 30000)
	a, err := client.OpenStreamWith(t.Context(), StreamOptions{Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		a.Write(text)
		a.CloseWrite()
	}()
	b, err := server.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.SetCompress(true)
	go func() {
		io.Copy(b, b)
		b.Close()
	}()
	a.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d of %d bytes, %v", len(got), len(text), err)
	}
	a.Close()
	for side, s := range map[string]*Session{"client": client, "server": server} {
		if n := s.link.Stats().BytesSent; n > int64(len(text)/5) {
			t.Errorf("%s sent %d bytes for %d", side, n, len(text))
		}
	}
	end(client, server)
	if n := framing.BuffersInUse() - before; n != 0 {
		t.Errorf("%d Buffers in use", n)
	}

	w.responder.Limits.NoCompression = true
	client, server = w.sessions(t)
	defer end(client, server)
	if a, err = client.OpenStreamWith(t.Context(), StreamOptions{Compress: true}); err != nil {
		t.Fatal(err)
	}
	a.Write(text[:8000])
	closedWith(t, client, frame.CodeCompression)
}
