package session

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/transport"
)

// hold lets units pass up to number first, and the rest when open is closed.
func hold(first int, open <-chan struct{}) rewrite {
	return func(n int, unit []byte) [][]byte {
		if n >= first {
			<-open
		}
		return [][]byte{unit}
	}
}

// lose gives sessions that have lost their connection, and a stream of theirs.
// The client attaches when again is called, over i2r and r2i. It gets no other
// connection before open is closed.
func lose(t *testing.T, open <-chan struct{}, i2r, r2i rewrite) (client, server *Session, near, far *Stream, again func()) {
	t.Helper()
	w := newWorld(t)
	paused := make(chan struct{})
	w.initiator.pause = func(n int) time.Duration {
		if n == 0 {
			<-paused
		}
		return 0
	}
	x := newWires(t, w)
	x.wrap = func(n int) (a, b transport.Conn) {
		if n == 1 {
			return middle(t, i2r, r2i)
		}
		select {
		case <-open:
		default:
			if n > 1 {
				return nil, nil
			}
		}
		return transport.Pipe()
	}
	client, server = x.sessions()
	near, err := client.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, near, "before")
	far, err = server.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read(t, far, "before")
	if err := near.Delivered(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.cut()
	for client.State() != StateReconnecting || server.State() != StateReconnecting {
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() { end(client, server) })
	return client, server, near, far, func() { close(paused) }
}

func write(t *testing.T, s *Stream, text string) {
	t.Helper()
	if _, err := io.WriteString(s, text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *Stream, want string) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, len(want))
	if _, err := io.ReadFull(s, b); err != nil || string(b) != want {
		t.Fatalf("%q, %v, want %q", b, err, want)
	}
}

// What the initiator writes without a connection, or before the answer to its
// attach, is there before that answer has left the network.
func TestWrittenBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		release := sync.OnceFunc(func() { close(open) })
		defer release()
		_, _, near, far, again := lose(t, open, pass, hold(0, open))
		write(t, near, "meanwhile")
		again()
		read(t, far, "meanwhile")
		large := strings.Repeat("and later ", 3000) // its writer waits until it has left
		written := make(chan struct{})
		go func() { defer close(written); io.WriteString(near, large) }()
		read(t, far, large)
		select {
		case <-written:
		case <-time.After(10 * time.Second):
			t.Error("the writer still waits")
		}
		write(t, far, "answer")
		release()
		read(t, near, "answer")
	})
}

// What the responder writes without a connection comes behind its answer, without
// another word of the initiator.
func TestWrittenBeforeTheAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		release := sync.OnceFunc(func() { close(open) })
		defer release()
		_, _, near, far, again := lose(t, open, hold(1, open), pass)
		write(t, far, "meanwhile")
		again()
		read(t, near, "meanwhile")
		release()
	})
}

// REKEY is ahead of the answer, and the connection is lost before the answer is
// there: the initiator attaches again with the epoch that the responder has left.
func TestRekeyBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		release := sync.OnceFunc(func() { close(open) })
		defer release()
		client, server, near, far, again := lose(t, open, pass, func(int, []byte) [][]byte {
			<-open
			return nil
		})
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		go func() { done <- client.Rekey(ctx) }()
		again()
		for server.epochs.number() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if n := client.epochs.number(); n != 0 {
			t.Errorf("epoch %d of the client before DONE", n)
		}
		server.connection().Close()
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		write(t, near, "new keys")
		read(t, far, "new keys")
		write(t, far, "both ways")
		read(t, near, "both ways")
		if client.epochs.number() == 0 || client.epochs.number() != server.epochs.number() {
			t.Errorf("epochs %d, %d", client.epochs.number(), server.epochs.number())
		}
	})
}
