package mux

import (
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/mslgo/msl/session/frame"
)

// inline joins a to b so that the caller of Write carries the records itself.
func inline(b *testing.B) (w *wire, from, to *Stream) {
	c := Config{Window: 4 << 20, Credit: 16 << 20, PeerWindow: 4 << 20, PeerCredit: 16 << 20}
	w = manual(c, c)
	from, to = w.open(b, nil)
	w.a.config.Wake = func() {
		for w.ab.step() {
		}
	}
	w.b.config.Wake = func() {
		for w.ba.step() {
		}
	}
	return w, from, to
}

func BenchmarkWriteRead(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, from, to := inline(b)
			p, q := make([]byte, size), make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := from.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(to, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBulkStreams(b *testing.B) {
	for _, streams := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			w := newWire(b, Config{PeerMaxStreams: 300}, Config{MaxStreams: 300})
			const size = 16 << 10
			b.SetBytes(size)
			b.ReportAllocs()
			done := make(chan struct{})
			for i := range streams {
				from, to := w.open(b, nil)
				n := b.N / streams
				if i == 0 {
					n += b.N % streams
				}
				go func() {
					p := make([]byte, size)
					for range n {
						if _, err := from.Write(p); err != nil {
							b.Error(err)
						}
					}
					from.Close()
				}()
				go func() {
					io.Copy(io.Discard, to)
					to.Close()
					done <- struct{}{}
				}()
			}
			for range streams {
				<-done
			}
		})
	}
}

func BenchmarkOpenClose(b *testing.B) {
	w := newWire(b, Config{}, Config{})
	b.ReportAllocs()
	for b.Loop() {
		s, err := w.a.OpenStream(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		s.Write([]byte("x"))
		s.Close()
		t, err := w.b.AcceptStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		t.Close()
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	for size, most := range map[int]float64{1 << 10: 0.1, 64 << 10: 0} {
		r := testing.Benchmark(func(b *testing.B) {
			_, from, to := inline(b)
			p, q := make([]byte, size), make([]byte, size)
			b.ReportAllocs()
			for b.Loop() {
				from.Write(p)
				io.ReadFull(to, q)
			}
		})
		if n := float64(r.MemAllocs) / float64(r.N); n > most+0.01 {
			t.Errorf("%.2f allocations per %d bytes", n, size)
		}
	}
}

func TestIdleStreamMemory(t *testing.T) {
	const n = 10000
	w := manual(Config{PeerMaxStreams: n}, Config{MaxStreams: n})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	var keep []*Stream
	for range n {
		a, err := w.a.OpenStream(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		a.Write([]byte("used once"))
		w.ab.step()
		b, err := w.b.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Read(make([]byte, 100))
		keep = append(keep, a, b)
	}
	per := int64(heap()-before) / (2 * n)
	t.Logf("%d bytes per stream and end", per)
	if per > 1024 {
		t.Errorf("%d bytes per idle stream, want at most 1 KiB", per)
	}
	runtime.KeepAlive(keep)
	if w.a.Waiting() > frame.Quiet {
		t.Error(w.a.Waiting())
	}
}
