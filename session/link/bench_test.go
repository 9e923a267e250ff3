package link

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/mslgo/msl/transport"
)

var transports = map[string]func(t testing.TB) (a, b transport.Conn){
	"pipe": func(testing.TB) (a, b transport.Conn) { return transport.Pipe() },
	"tcp":  loopback,
}

func loopback(t testing.TB) (a, b transport.Conn) {
	t.Helper()
	u, _ := url.Parse("tcp://127.0.0.1:0")
	l, err := transport.TCP{}.Listen(t.Context(), u, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, _ = url.Parse(l.URL())
	if a, err = (transport.TCP{}).Dial(t.Context(), u, nil); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func benchPair(b *testing.B, name string) (x, y *side) {
	cx, cy := transports[name](b)
	x, y = pair(b, cx, cy, nil)
	x.toy.discard, y.toy.discard = true, true
	x.attach(b)
	y.attach(b)
	b.Cleanup(func() { stop(b, x, y) })
	return x, y
}

func BenchmarkBulk(b *testing.B) {
	for _, name := range []string{"pipe", "tcp"} {
		for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dK", name, size>>10), func(b *testing.B) {
				x, y := benchPair(b, name)
				p := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				var sent int64
				for b.Loop() {
					x.toy.Write(p)
					sent += int64(size)
				}
				if err := y.toy.wait(sent); err != nil {
					b.Fatal(err)
				}
				s := x.Stats()
				b.ReportMetric(float64(s.BytesSent)/float64(s.RecordsSent), "B/record")
			})
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, name := range []string{"pipe", "tcp"} {
		b.Run(name, func(b *testing.B) {
			x, y := benchPair(b, name)
			p := make([]byte, 128)
			go func() {
				for n := int64(128); y.toy.wait(n) == nil; n += 128 {
					y.toy.Write(p)
				}
			}()
			b.ReportAllocs()
			var n int64
			for b.Loop() {
				n += 128
				x.toy.Write(p)
				if err := x.toy.wait(n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(x.Stats().RecordsSent+y.Stats().RecordsSent)/float64(b.N), "records/op")
		})
	}
}
