//go:build !js

package transport

import (
	"fmt"
	"io"
	"testing"
)

func BenchmarkWrite(b *testing.B) {
	for _, kind := range []struct {
		name    string
		connect func(b *testing.B) (Conn, Conn)
	}{
		{"tcp", func(b *testing.B) (Conn, Conn) { return connect(b, "tcp://127.0.0.1:0", nil, nil) }},
		{"ws-up", func(b *testing.B) (Conn, Conn) { return connect(b, wsAny, nil, nil) }},
		{"ws-down", func(b *testing.B) (Conn, Conn) { c, s := connect(b, wsAny, nil, nil); return s, c }},
		{"wss-up", func(b *testing.B) (Conn, Conn) { return connectWSS(b) }},
		{"wss-down", func(b *testing.B) (Conn, Conn) { c, s := connectWSS(b); return s, c }},
		{"pipe", func(*testing.B) (Conn, Conn) { return Pipe() }},
	} {
		for _, size := range []int{64 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", kind.name, size>>10), func(b *testing.B) {
				from, to := kind.connect(b)
				done := make(chan int64)
				go func() {
					n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{to}, make([]byte, 256<<10))
					done <- n
				}()
				p := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				n := int64(0)
				for b.Loop() {
					if _, err := from.Write(p); err != nil {
						b.Fatal(err)
					}
					n += int64(size)
				}
				b.StopTimer()
				from.Close()
				if got := <-done; got != n {
					b.Fatalf("%d of %d bytes arrived", got, n)
				}
				to.Close()
			})
		}
	}
}
