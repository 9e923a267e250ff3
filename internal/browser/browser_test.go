//go:build !js

package browser

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

func TestPeerInNode(t *testing.T) {
	if testing.Short() {
		t.Skip("builds for another platform")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("MSL_NEED_NODE") != "" {
			t.Fatal("Node is missing: install Node 22 or later, or 20.10 or later")
		}
		t.Skip("Node is missing")
	}
	args, ok := webSocket(t, node)
	if !ok {
		if os.Getenv("MSL_NEED_NODE") != "" {
			t.Fatal("this Node has no WebSocket: install Node 22 or later, or 20.10 or later")
		}
		t.Skip("this Node has no WebSocket")
	}
	binary := filepath.Join(t.TempDir(), "peer.wasm")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "github.com/mslgo/msl/peer")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the tests: %v\n%s", err, out)
	}

	id, err := peer.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	server := &peer.Server{Identity: id, Service: "echo", Session: echo}
	l, err := server.Listen(t.Context(), "ws://127.0.0.1:0/msl")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	defer func() {
		if err := server.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
		if err := <-served; !errors.Is(err, peer.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	}()

	glue := filepath.Join(goroot(t), "lib", "wasm", "wasm_exec_node.js")
	run := exec.CommandContext(t.Context(), node, append(args, "--stack-size=8192", glue, binary, "-test.run", "^TestBrowser$", "-test.v")...)
	// The glue hands the whole environment over, of which there may be too much.
	run.Env = []string{"PATH=" + os.Getenv("PATH"), "MSL_TEST_URL=" + l.URL(), "MSL_TEST_FINGERPRINT=" + id.Fingerprint()}
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestBrowser") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// webSocket gives the flags with which Node has a WebSocket, if there are such.
func webSocket(t *testing.T, node string) (args []string, ok bool) {
	for _, args := range [][]string{nil, {"--experimental-websocket"}} {
		check := exec.CommandContext(t.Context(), node, append(args, "-e", "process.exit(typeof WebSocket == 'function' ? 0 : 1)")...)
		if check.Run() == nil {
			return args, true
		}
	}
	return nil, false
}

func goroot(t *testing.T) string {
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func echo(ctx context.Context, s *session.Session) {
	for {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			defer st.Close()
			_, _ = io.Copy(st, st)
		}()
	}
}
