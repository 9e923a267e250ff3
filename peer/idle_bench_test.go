package peer

import (
	"context"
	"io"
	"runtime"
	"testing"

	"github.com/mslgo/msl/session"
)

// held is what the program has in memory that cannot be given back.
func held() (heap, stack uint64) {
	runtime.GC()
	runtime.GC() // pools keep what they have for one more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.StackInuse
}

// reportHeld reports what each call of hold leaves in memory, both ends together.
func reportHeld(b *testing.B, hold func()) {
	b.Helper()
	hold()
	heap, stack := held()
	goroutines := runtime.NumGoroutine()
	for b.Loop() {
		hold()
	}
	h, s := held()
	per := func(before, after uint64) float64 { return (float64(after) - float64(before)) / float64(b.N) }
	b.ReportMetric(per(heap, h), "heap-B/op")
	b.ReportMetric(per(stack, s), "stack-B/op")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(b.N), "goroutines/op")
}

// echoing is a client of a server that returns what it gets.
func echoing(b *testing.B) (c *Client, url string) {
	b.Helper()
	id, err := NewIdentity()
	if err != nil {
		b.Fatal(err)
	}
	limits := session.Limits{Streams: 1 << 16}
	server := &Server{Identity: id, Service: "idle", Limits: limits, Session: func(ctx context.Context, s *session.Session) {
		for {
			st, err := s.AcceptStream(ctx)
			if err != nil {
				return
			}
			go func() {
				defer st.Close()
				var one [1]byte
				for {
					if _, err := st.Read(one[:]); err != nil {
						return
					}
					if _, err := st.Write(one[:]); err != nil {
						return
					}
				}
			}()
		}
	}}
	l, err := server.Listen(b.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(b.Context()), l) }()
	b.Cleanup(func() {
		server.Close()
		<-served
	})
	own, err := NewIdentity()
	if err != nil {
		b.Fatal(err)
	}
	return &Client{Identity: own, Service: "idle", Trust: Pinned(id.Fingerprint()), Limits: limits}, l.URL()
}

func dialIdle(b *testing.B, c *Client, url string) *session.Session {
	s, err := c.Dial(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// trip is a stream on which a byte went there and back.
func trip(b *testing.B, s *session.Session) *session.Stream {
	st, err := s.OpenStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	one := []byte{1}
	if _, err = st.Write(one); err == nil {
		_, err = io.ReadFull(st, one)
	}
	if err != nil {
		b.Fatal(err)
	}
	return st
}

// What an idle session costs, with one stream and the two goroutines of the
// server's application: run it with -benchtime 1000x.
func BenchmarkIdleSession(b *testing.B) {
	c, url := echoing(b)
	reportHeld(b, func() { trip(b, dialIdle(b, c, url)) })
}

// What an idle stream costs, with the goroutine of its handler: -benchtime 10000x.
func BenchmarkIdleStream(b *testing.B) {
	c, url := echoing(b)
	s := dialIdle(b, c, url)
	reportHeld(b, func() { trip(b, s) })
}
