package mux

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(goleak.IgnoreAnyFunction("runtime.handleEvent")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// source is what link sees of a Mux.
type source interface {
	Waiting() frame.Class
	AppendFrames(dst []byte, room int, most frame.Class, seq uint64) ([]byte, frame.Class)
	HandleFrame(typ uint64, b []byte, buf *framing.Buffer) (rest []byte, err error)
	BatchEnd() bool
	BatchSent()
	Acked(n uint64)
}

var _ source = (*Mux)(nil)

const testRecord = 64 << 10

// handle gives a record's frames to m.
func handle(m *Mux, b []byte, buf *framing.Buffer) error {
	for len(b) > 0 {
		typ, body, err := frame.ParseType(b)
		if err != nil {
			return err
		}
		if b, err = m.HandleFrame(typ, body, buf); err != nil {
			return err
		}
	}
	return nil
}

// handleFrames gives m frames that lie in a Buffer of their own.
func handleFrames(m *Mux, b []byte) error {
	buf := framing.GetBuffer(len(b))
	defer buf.Release()
	err := handle(m, append(buf.B[:0], b...), buf)
	m.BatchEnd()
	return err
}

// A direction carries the records of one Mux to the other.
type direction struct {
	from, to *Mux
	mu       sync.Mutex // who holds it writes
	seq      uint64
	limit    frame.Class // most
	room     int
	records  func(b []byte) // sees each
	err      error
}

// step carries one record, if there is one.
func (d *direction) step() bool {
	buf := framing.GetBuffer(testRecord)
	defer buf.Release()
	b, class := d.from.AppendFrames(buf.B[:0], d.room, d.limit, d.seq)
	d.from.BatchSent()
	if (class == frame.None) != (len(b) == 0) || len(b) > d.room {
		panic(fmt.Sprintf("%d bytes of class %v", len(b), class))
	}
	if len(b) == 0 {
		return false
	}
	d.seq++
	if d.records != nil {
		d.records(b)
	}
	if err := handle(d.to, b, buf); err != nil {
		d.err = err
		d.to.Fail(err)
		d.from.Fail(err)
		return false
	}
	d.to.BatchEnd()
	d.from.Acked(d.seq)
	return true
}

// A wire joins two Muxes. With run each direction has a goroutine, as a
// connection would; without, step moves records.
type wire struct {
	a, b   *Mux
	ab, ba *direction
	stop   chan struct{}
	wg     sync.WaitGroup
}

func newWire(t testing.TB, ca, cb Config) *wire {
	w := &wire{stop: make(chan struct{})}
	wake := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	configs := [2]*Config{&ca, &cb}
	ca.Initiator = true
	for i, c := range configs {
		c.Wake = func() {
			select {
			case wake[i] <- struct{}{}:
			default:
			}
		}
	}
	w.a, w.b = New(ca), New(cb)
	w.ab = &direction{from: w.a, to: w.b, limit: frame.Data, room: testRecord}
	w.ba = &direction{from: w.b, to: w.a, limit: frame.Data, room: testRecord}
	for i, d := range []*direction{w.ab, w.ba} {
		w.wg.Go(func() {
			for {
				select {
				case <-w.stop:
					return
				case <-wake[i]:
				}
				d.mu.Lock()
				for d.step() {
				}
				d.mu.Unlock()
			}
		})
	}
	t.Cleanup(w.close)
	return w
}

func (w *wire) close() {
	select {
	case <-w.stop:
		return
	default:
	}
	w.a.Fail(nil)
	w.b.Fail(nil)
	close(w.stop)
	w.wg.Wait()
}

// manual is a wire without goroutines.
func manual(ca, cb Config) *wire {
	ca.Initiator = true
	w := &wire{a: New(ca), b: New(cb)}
	w.ab = &direction{from: w.a, to: w.b, limit: frame.Data, room: testRecord}
	w.ba = &direction{from: w.b, to: w.a, limit: frame.Data, room: testRecord}
	return w
}

// settle moves records until nothing waits.
func (w *wire) settle(t testing.TB) {
	t.Helper()
	for w.ab.step() || w.ba.step() {
	}
	if w.ab.err != nil || w.ba.err != nil {
		t.Fatal(w.ab.err, w.ba.err)
	}
}

// open opens a stream at a and accepts it at b.
func (w *wire) open(t testing.TB, o *StreamOptions) (a, b *Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := w.a.OpenStream(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if w.stop == nil {
		w.a.openAll()
		w.settle(t)
	}
	b, err = w.b.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// noBuffers fails the test if Buffers are in use at its end that were not now.
func noBuffers(t testing.TB) {
	before := framing.BuffersInUse()
	t.Cleanup(func() {
		if n := framing.BuffersInUse() - before; n != 0 {
			t.Errorf("%d Buffers still in use", n)
		}
	})
}
