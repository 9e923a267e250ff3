package link

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// deaf is a connection whose reading goroutine is never told that something has
// arrived, only that its deadline has.
type deaf struct {
	transport.Conn
	transport.TryReader
	deadline chan struct{}
	expire   func()
}

func newDeaf(t *testing.T, c transport.Conn) *deaf {
	try, ok := c.(transport.TryReader)
	if !ok {
		t.Skip("no TryRead on this system")
	}
	d := &deaf{Conn: c, TryReader: try, deadline: make(chan struct{})}
	d.expire = sync.OnceFunc(func() { close(d.deadline) })
	return d
}

func (d *deaf) WaitRead() error {
	<-d.deadline
	return os.ErrDeadlineExceeded
}

func (d *deaf) SetReadDeadline(time.Time) error { d.expire(); return nil }
func (d *deaf) SetDeadline(time.Time) error     { d.expire(); return nil }
func (d *deaf) Close() error                    { d.expire(); return d.Conn.Close() }

// deafPair is a channel whose second side has opened a record and is deaf now.
func deafPair(t *testing.T) (a, b *side) {
	ca, cb := loopback(t)
	a, b = pair(t, ca, newDeaf(t, cb), nil)
	a.attach(t)
	b.attachTo(t, framing.NewReader(cb, framing.Limits{}), nil)
	abortAtEnd(t, a, b)
	waitFor(t, func() bool { return b.Stats().RecordsReceived > 0 })
	return a, b
}

func abortAtEnd(t *testing.T, sides ...*side) {
	t.Cleanup(func() {
		for _, s := range sides {
			s.Abort(ErrClosed)
		}
		for _, s := range sides {
			<-s.Done()
		}
	})
}

func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ready(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func TestPollTakesWhatHasArrived(t *testing.T) {
	a, b := deafPair(t)
	a.toy.Write([]byte("one"))
	waitFor(t, func() bool { b.poll(); return string(b.toy.bytes()) == "one" })
	b.poll() // nothing there: it does not wait
	a.toy.Write([]byte("two"))
	waitFor(t, func() bool { b.poll(); return string(b.toy.bytes()) == "onetwo" })
}

func TestPollEndsReading(t *testing.T) {
	a, b := deafPair(t)
	if _, err := a.conn.Write([]byte{0x10, 0, 0, 17, 16: 0, 20: 0}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		b.poll()
		select {
		case <-b.Done():
			return true
		default:
			return false
		}
	})
	if err := b.Err(); !errors.Is(err, stream.ErrRecord) {
		t.Errorf("ended with %v", err)
	}
}

// The writer of bulk takes the answers to small messages itself.
func TestBulkPolls(t *testing.T) {
	a, b := deafPair(t)
	a.toy.Write([]byte("answer"))
	waitFor(t, func() bool {
		b.toy.Write([]byte("question"))
		b.toy.Write(make([]byte, 64<<10))
		return string(b.toy.bytes()) == "answer"
	})
}

// A batch ends with the record that holds a small message.
func TestBatchEndsWithSmallMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cb := transport.Pipe()
		a, b := pair(t, ca, cb, nil)
		a.attach(t)
		b.attach(t)
		defer stop(t, a, b)
		time.Sleep(time.Second)
		synctest.Wait()
		a.mu.Lock()
		a.meter.rate = 1 << 30
		a.sentAt = a.now()
		a.mu.Unlock()
		a.writeMu.Lock()
		defer func() { a.writeMu.Unlock(); a.Wake() }()
		a.toy.mu.Lock()
		a.toy.queue, a.toy.data = []byte("small"), make([]byte, 1<<20)
		a.toy.mu.Unlock()
		if !a.formBatch() {
			t.Fatal("no batch")
		}
		if n := len(a.out.pending); n > a.cfg.MaxRecord+stream.RecordOverhead {
			t.Errorf("the batch goes on for %d bytes", n)
		}
		a.toy.mu.Lock()
		defer a.toy.mu.Unlock()
		if len(a.toy.queue) > 0 {
			t.Error("the small message is not in it")
		}
	})
}
