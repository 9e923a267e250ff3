package mux

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A counted stream has endless data at one side and a reader at the other.
type counted struct {
	stream *Stream
	got    atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.got.Add(int64(len(p)))
	return len(p), nil
}

func (w *wire) count(t *testing.T, o *StreamOptions) *counted {
	a, b := w.open(t, o)
	c := &counted{stream: a}
	w.wg.Go(func() { _, _ = io.Copy(c, b) })
	return c
}

// pump writes from now on, in large or small pieces.
func (c *counted) pump(w *wire, piece int) {
	w.wg.Go(func() {
		for {
			if _, err := c.stream.Write(zeros[:piece]); err != nil {
				return
			}
		}
	})
}

// wantRate measures for some seconds.
func wantRate(t *testing.T, rate int64, seconds int64, streams ...*counted) {
	t.Helper()
	total := func() (n int64) {
		for _, c := range streams {
			n += c.got.Load()
		}
		return n
	}
	time.Sleep(time.Second) // past what a full bucket lets through
	synctest.Wait()
	before := total()
	time.Sleep(time.Duration(seconds) * time.Second)
	synctest.Wait()
	if got, want := total()-before, rate*seconds; got < want*9/10 || got > want*11/10 {
		t.Errorf("%d bytes in %d s at %d a second", got, seconds, rate)
	}
}

func TestBandwidthOfStream(t *testing.T) {
	for _, piece := range []int{1000, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(t, Config{}, Config{})
			defer w.close()
			slow := w.count(t, &StreamOptions{Bandwidth: 100_000})
			slow.pump(w, piece)
			wantRate(t, 100_000, 3, slow)

			// Nobody else is hindered.
			free := w.count(t, nil)
			begun := time.Now()
			if _, err := free.stream.Write(zeros); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if d := time.Since(begun); d > 10*time.Millisecond || free.got.Load() != int64(len(zeros)) {
				t.Errorf("a stream without a limit took %v for %d bytes", d, free.got.Load())
			}

			for _, rate := range []int64{5_000_000, 2_000, 300_000} {
				slow.stream.SetBandwidth(rate)
				wantRate(t, rate, 10, slow)
			}
		})
	}
}

func TestBandwidthEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{}, Config{})
		defer w.close()
		slow := w.count(t, &StreamOptions{Bandwidth: 1000})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = slow.stream.Write(zeros[:1<<20])
			_ = slow.stream.CloseWrite()
		}()
		time.Sleep(time.Second)
		begun := time.Now()
		slow.stream.SetBandwidth(0)
		<-done
		synctest.Wait()
		if d := time.Since(begun); d > 0 || slow.got.Load() != 1<<20 {
			t.Errorf("%d bytes, %v after the limit was lifted", slow.got.Load(), d)
		}
	})
}

// What is little goes at once, and FIN needs nothing.
func TestBandwidthBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{}, Config{})
		defer w.close()
		slow := w.count(t, &StreamOptions{Bandwidth: 1000})
		_, _ = slow.stream.Write(zeros[:leastRoom])
		_ = slow.stream.CloseWrite()
		synctest.Wait()
		if n := slow.got.Load(); n != leastRoom || w.a.Streams() != 1 {
			t.Errorf("%d bytes at once", n)
		}
	})
}

func TestBandwidthOfMux(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, Config{}, Config{})
		defer w.close()
		w.a.SetBandwidth(400_000)
		var all []*counted
		for range 4 {
			all = append(all, w.count(t, nil))
		}
		for _, c := range all {
			c.pump(w, 50_000)
		}
		wantRate(t, 400_000, 5, all...)
		for _, c := range all {
			if n := c.got.Load(); n < 500_000 || n > 700_000 {
				t.Errorf("%d bytes of one of four", n)
			}
		}
		w.a.SetBandwidth(2_000_000)
		wantRate(t, 2_000_000, 5, all...)
		// One of them with less gives the others the rest.
		all[0].stream.SetBandwidth(50_000)
		before := all[0].got.Load()
		wantRate(t, 2_000_000, 5, all...)
		if n := all[0].got.Load() - before; n < 270_000 || n > 400_000 {
			t.Errorf("%d bytes in 6 s at 50000 a second", n)
		}
	})
}
