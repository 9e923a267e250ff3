package session

import (
	"context"
	"errors"
	"testing"

	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/transport"
)

func (w *world) benchmark(b *testing.B, resumed bool) {
	b.Helper()
	b.ReportAllocs()
	connect := func() {
		x, y := transport.Pipe()
		client, server, err1, err2 := w.connect(context.Background(), x, y)
		if err := errors.Join(err1, err2); err != nil {
			b.Fatal(err)
		}
		end(client, server)
	}
	connect()
	for b.Loop() {
		if !resumed {
			w.holder.held = []*token.Held{}
		}
		connect()
	}
}

// Both sides of a set-up over a pipe, with its end.
func BenchmarkSetUp(b *testing.B) {
	for _, k := range []struct {
		name string
		kem  uint16
	}{{"MLKEM768-X25519", keyx.KEMMLKEM768X25519}, {"X25519", keyx.KEMX25519}} {
		for _, resumed := range []bool{false, true} {
			name := k.name + "/first-contact"
			if resumed {
				name = k.name + "/resumed"
			}
			b.Run(name, func(b *testing.B) {
				w := newWorld(b)
				w.initiator.Algorithms.KEMs = []uint16{k.kem}
				w.benchmark(b, resumed)
			})
		}
	}
}

func BenchmarkKeySchedule(b *testing.B) {
	b.ReportAllocs()
	hq, hp := vectorHashes()
	k := vectorKeys()
	for b.Loop() {
		e, _ := firstEpoch(hq, hp, k, span(0x80, 32))
		e.erase()
	}
}
