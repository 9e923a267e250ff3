package session

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/keyx"
)

var update = flag.Bool("update", false, "write the golden transcripts anew")

// TestTranscripts compares set-ups with fixed randomness and clocks, byte for
// byte up to the first record of each side, to those in testdata: what changes
// there changes the wire.
func TestTranscripts(t *testing.T) {
	clock := func() time.Time { return time.Unix(1767225600, 0) }
	for _, kem := range []uint16{keyx.KEMX25519, keyx.KEMMLKEM768X25519} {
		for seed, way := range []string{"first contact", "resumed"} {
			name := fmt.Sprintf("%s, KEM %d", way, kem)
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				w.initiator.Algorithms = Algorithms{Suites: []streamSuite{1, 2, 3}, KEMs: []uint16{kem}}
				w.initiator.Connect = nowhere // so that the channel is durable
				w.initiator.Network.Clock, w.responder.Network.Clock = clock, clock
				cryptotest.SetGlobalRandom(t, uint64(seed))
				if way == "resumed" {
					w.firstContact(t)
				}
				var units [2][2][]byte
				record := func(direction int) rewrite {
					return func(n int, unit []byte) [][]byte {
						if n < 2 {
							units[direction][n] = bytes.Clone(unit)
						}
						return pass(n, unit)
					}
				}
				a, b := middle(t, record(0), record(1))
				if err := errors.Join(w.attempt(t, a, b)); err != nil {
					t.Fatal(err)
				}
				var s strings.Builder
				for _, u := range [][]byte{units[0][0], units[1][0], units[1][1], units[0][1]} {
					if framing.IsRecord(u[0]) {
						fmt.Fprintln(&s, hex.EncodeToString(u))
					} else {
						fmt.Fprintln(&s, string(u))
					}
				}
				file := filepath.Join("testdata", "transcripts", strings.ReplaceAll(strings.ReplaceAll(name, ", ", "-"), " ", "_")+".txt")
				if *update {
					if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if s.String() != string(want) {
					t.Errorf("%s differs:\n%s", file, s.String())
				}
			})
		}
	}
}
