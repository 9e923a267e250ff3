//go:build unix

package peer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

// serverProcess makes the test binary a server that takes what it is sent,
// until it is killed.
const serverProcess = "MSL_TEST_SERVER_PROCESS"

func init() {
	if os.Getenv(serverProcess) == "" {
		return
	}
	id, err := peer.NewIdentity()
	if err != nil {
		panic(err)
	}
	server := &peer.Server{Identity: id, Service: "sink", Session: func(ctx context.Context, s *session.Session) {
		for {
			st, err := s.AcceptStream(ctx)
			if err != nil {
				return
			}
			go io.Copy(io.Discard, st)
		}
	}}
	l, err := server.Listen(context.Background(), "tcp://127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(id.Fingerprint(), l.URL())
	panic(server.Serve(context.Background(), l))
}

// TestKilledServer kills the server's process: streams that were not
// acknowledged to their end fail in every way, and none ends as if it were whole.
func TestKilledServer(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverProcess+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	fingerprint, url, _ := strings.Cut(strings.TrimSpace(line), " ")
	client := &peer.Client{Identity: identity(t), Service: "sink", Trust: peer.Pinned(fingerprint),
		Limits: session.Limits{Durable: time.Second}}
	s, err := client.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var streams []*session.Stream
	for range 4 {
		st, err := s.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := st.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		if err := st.Delivered(t.Context()); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, st)
	}
	// What is written to a process that stands still is acknowledged by nobody.
	cmd.Process.Signal(syscall.SIGSTOP)
	for _, st := range streams {
		if _, err := st.Write(make([]byte, 10<<10)); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Process.Kill()
	for i, st := range streams {
		n, err := st.Read(make([]byte, 1))
		if n != 0 || err == nil || err == io.EOF || !errors.Is(err, session.ErrChannelLost) {
			t.Errorf("stream %d: Read: %d, %v", i, n, err)
		}
		if _, err := st.Write([]byte("more")); !errors.Is(err, session.ErrChannelLost) {
			t.Errorf("stream %d: Write: %v", i, err)
		}
		if err := st.Delivered(t.Context()); !errors.Is(err, session.ErrChannelLost) {
			t.Errorf("stream %d: Delivered: %v", i, err)
		}
	}
	<-s.Done() // a moment after its streams
	if !errors.Is(s.Err(), session.ErrChannelLost) {
		t.Errorf("the session ended with %v", s.Err())
	}
}
