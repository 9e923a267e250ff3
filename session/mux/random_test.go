package mux

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/session/frame"
)

// fill puts the bytes at offset of the stream with this seed into b.
func fill(b []byte, seed, offset uint64) {
	for i := range b {
		x := (offset + uint64(i)) * 0x9e3779b97f4a7c15
		b[i] = byte(x>>56) ^ byte(seed)
	}
}

var (
	noWait = time.Unix(1, 0)
	never  = time.Time{}
)

// Random calls and random record borders on several streams, in one goroutine:
// each stream's bytes come once and in order, and credit is never overrun.
func TestRandomOperations(t *testing.T) {
	noBuffers(t)
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Window: 64 << 10, MaxWindow: 128 << 10, Credit: 100 << 10, MaxCredit: 200 << 10, MaxStreams: 16,
			PeerWindow: 64 << 10, PeerCredit: 100 << 10, PeerMaxStreams: 16,
			RTT: func() time.Duration { return time.Millisecond },
		}
		w := manual(c, c)
		type half struct {
			out, in    *Stream
			seed       uint64
			sent, read uint64
			closed     bool
			stopped    bool
		}
		var halves []*half
		scratch := make([]byte, 150<<10)
		final := false
		read := func(h *half, n int) (int, error) {
			h.in.SetReadDeadline(never)
			if h.in.Info().Unread == 0 && !final {
				h.in.SetReadDeadline(noWait)
			}
			n, err := h.in.Read(scratch[:n])
			want := make([]byte, n)
			fill(want, h.seed, h.read)
			if !bytes.Equal(scratch[:n], want) {
				t.Fatalf("stream %d: wrong bytes at %d", h.seed, h.read)
			}
			h.read += uint64(n)
			return n, err
		}
		step := func(d *direction) {
			d.room = rapid.IntRange(frame.MaxStreamOpen, testRecord).Draw(t, "room")
			d.limit = frame.Class(rapid.IntRange(int(frame.Quiet), int(frame.Data)).Draw(t, "class"))
			d.step()
			if d.err != nil {
				t.Fatal(d.err)
			}
		}
		pick := func() *half { return halves[rapid.IntRange(0, len(halves)-1).Draw(t, "half")] }
		for i := range rapid.IntRange(1, 5).Draw(t, "streams") {
			p := Priority{uint8(rapid.IntRange(0, 7).Draw(t, "urgency")), rapid.Bool().Draw(t, "incremental")}
			a, err := w.a.OpenStream(t.Context(), &StreamOptions{Priority: &p})
			if err != nil {
				t.Fatal(err)
			}
			w.a.openAll()
			for w.ab.limit, w.ab.room = frame.Data, testRecord; w.ab.step(); {
			}
			b, err := w.b.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			halves = append(halves, &half{out: a, in: b, seed: uint64(2 * i)}, &half{out: b, in: a, seed: uint64(2*i + 1)})
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				h := pick()
				if h.closed || h.stopped {
					t.Skip()
				}
				n := rapid.SampledFrom([]int{1, 100, smallWrite, smallWrite + 1, 60000, 150000}).Draw(t, "n")
				fill(scratch[:n], h.seed, h.sent)
				h.out.SetWriteDeadline(time.Now().Add(100 * time.Microsecond))
				done := make(chan struct{})
				var c int
				var err error
				go func() {
					c, err = h.out.Write(scratch[:n])
					close(done)
				}()
				for open := true; open; {
					select {
					case <-done:
						open = false
					default:
						w.ab.limit, w.ba.limit = frame.Data, frame.Data
						w.ab.step()
						w.ba.step()
						runtime.Gosched() // where there is one thread
					}
				}
				if c < n != errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(c, n, err)
				}
				h.sent += uint64(c)
			},
			"read": func(t *rapid.T) { read(pick(), rapid.SampledFrom([]int{1, 1000, 100000}).Draw(t, "n")) },
			"close": func(t *rapid.T) {
				if h := pick(); rapid.IntRange(0, 9).Draw(t, "really") == 0 && !h.stopped {
					h.out.CloseWrite()
					h.closed = true
				}
			},
			"stop": func(t *rapid.T) {
				if h := pick(); rapid.IntRange(0, 19).Draw(t, "really") == 0 && !h.closed {
					h.in.CloseRead()
					h.stopped = true
				}
			},
			"a to b": func(t *rapid.T) { step(w.ab) },
			"b to a": func(t *rapid.T) { step(w.ba) },
		})
		w.ab.limit, w.ba.limit, w.ab.room, w.ba.room = frame.Data, frame.Data, testRecord, testRecord
		for _, h := range halves {
			h.out.CloseWrite()
			h.closed = true
		}
		for again := true; again; {
			again = false
			for w.ab.step() || w.ba.step() {
				again = true
			}
			if w.ab.err != nil || w.ba.err != nil {
				t.Fatal(w.ab.err, w.ba.err)
			}
			for _, h := range halves {
				for !h.stopped && h.in.Info().Unread > 0 {
					read(h, 100000)
					again = true
				}
			}
		}
		final = true
		for _, h := range halves {
			if h.stopped {
				continue
			}
			if _, err := read(h, 1); err != io.EOF || h.read != h.sent {
				t.Fatalf("stream %d: read %d of %d, %v", h.seed, h.read, h.sent, err)
			}
		}
		for _, m := range []*Mux{w.a, w.b} {
			if m.Streams() != 0 || m.window.freed != m.window.received || m.sched.any() || m.starved.head != nil {
				t.Fatalf("%d streams, %d received, %d freed", m.Streams(), m.window.received, m.window.freed)
			}
			m.Fail(nil)
		}
	})
}

// Many goroutines on many streams, both ways, streams opened and closed all the time.
func TestConcurrentStreams(t *testing.T) {
	noBuffers(t)
	w := newWire(t, Config{RTT: func() time.Duration { return time.Millisecond }}, Config{})
	var wg sync.WaitGroup
	wg.Go(func() { // echo
		for {
			s, err := w.b.AcceptStream(t.Context())
			if err != nil {
				return
			}
			wg.Go(func() {
				defer s.Close()
				if _, err := io.Copy(s, s); err != nil {
					t.Error(err)
				}
			})
		}
	})
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			for j := range 8 {
				seed := uint64(i*100 + j)
				size := 1 + rand.IntN(400<<10)
				want := make([]byte, size)
				fill(want, seed, 0)
				s, err := w.a.OpenStream(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				clients.Go(func() {
					for rest := want; len(rest) > 0; {
						n := min(len(rest), 1+rand.IntN(40<<10))
						if _, err := s.Write(rest[:n]); err != nil {
							t.Error(err)
						}
						rest = rest[n:]
					}
					s.CloseWrite()
				})
				got, err := io.ReadAll(s)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d of %d bytes, %v", len(got), size, err)
				}
				s.Close()
			}
		})
	}
	clients.Wait()
	w.close()
	wg.Wait()
}

// The window of a stream that is read at once grows to what the round trip needs.
func TestWindowGrows(t *testing.T) {
	w := newWindow(256<<10, 16<<20)
	var now time.Duration = 1
	for range 400 {
		n := 64 << 10
		if uint64(n) > w.left() {
			t.Fatal("limit")
		}
		w.receive(n)
		now += time.Millisecond // 64 MB/s
		if w.free(n) == needNow {
			w.raise(now, 50*time.Millisecond)
		}
	}
	if w.size < 8<<20 || w.size > 16<<20 {
		t.Errorf("window %d", w.size)
	}
	slow := newWindow(256<<10, 16<<20)
	for range 400 {
		slow.receive(64 << 10)
		now += time.Second
		if slow.free(64<<10) == needNow {
			slow.raise(now, 50*time.Millisecond)
		}
	}
	if slow.size != 256<<10 {
		t.Errorf("window of a slow reader %d", slow.size)
	}
}
