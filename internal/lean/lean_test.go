package lean

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLean lists everything the packages that programs import would link.
func TestLean(t *testing.T) {
	heavy := []string{
		"go.etcd.io/bbolt", "github.com/quic-go/", "github.com/nats-io/",
		"charm.land/", "github.com/charmbracelet/", "github.com/alecthomas/kong", "github.com/schollz/progressbar",
		"github.com/mslgo/msl/store/file", "github.com/mslgo/msl/store/nats",
		"github.com/prometheus/", "go.opentelemetry.io/", "google.golang.org/grpc",
	}
	for _, pkg := range []string{"peer", "session", "transport", "store"} {
		t.Run(pkg, func(t *testing.T) {
			out, err := exec.Command("go", "list", "-deps", "github.com/mslgo/msl/"+pkg).Output()
			if err != nil {
				t.Fatalf("go list -deps: %v", err)
			}
			deps := strings.Fields(string(out))
			if len(deps) < 10 {
				t.Fatalf("go list -deps named only %d packages", len(deps))
			}
			for _, dep := range deps {
				for _, h := range heavy {
					if strings.HasPrefix(dep, h) {
						t.Errorf("%s links %s", pkg, dep)
					}
				}
			}
		})
	}
}
