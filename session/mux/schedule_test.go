package mux

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

// sizes is how many bytes of each stream are in a record's STREAM frames, in order.
func sizes(t testing.TB, b []byte) (ids []uint64, n []int) {
	for len(b) > 0 {
		typ, body, err := frame.ParseType(b)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case frame.IsStream(typ):
			var f frame.Stream
			f, b, err = frame.ParseStream(typ, body)
			ids, n = append(ids, f.ID), append(n, len(f.Data))
		case typ == frame.TypeStreamOpen:
			_, b, err = frame.ParseStreamOpen(body)
		case typ == frame.TypeResetStream, typ == frame.TypeStopSending:
			_, _, b, err = frame.ParseStreamCode(body)
		default:
			t.Fatalf("type %x", typ)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return ids, n
}

// jain is Jain's fairness index.
func jain(x []int) float64 {
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	return sum * sum / (float64(len(x)) * squares)
}

var zeros = make([]byte, 10<<20)

// bulk lets s have n bytes waiting, as a large Write does.
func bulk(s *Stream, n int) {
	s.m.mu.Lock()
	s.send.direct = zeros[:n]
	s.m.schedule(s)
	s.m.refresh()
	s.m.mu.Unlock()
}

func bulkStreams(t testing.TB, m *Mux, n int, p Priority) (all []*Stream) {
	for range n {
		s, err := m.OpenStream(t.Context(), &StreamOptions{Priority: &p})
		if err != nil {
			t.Fatal(err)
		}
		bulk(s, 10<<20)
		all = append(all, s)
	}
	return all
}

var plenty = Config{Initiator: true, PeerWindow: 1 << 40, PeerCredit: 1 << 40, PeerMaxStreams: 1000}

func TestFairness(t *testing.T) {
	for _, room := range []int{16 << 10, 20000, 64 << 10} {
		m := New(plenty)
		bulkStreams(t, m, 256, DefaultPriority)
		got := make([]int, 256)
		total := 0
		for seq := uint64(0); total < 256*10*quantum+quantum/2; seq++ {
			b, _ := m.AppendFrames(nil, room, frame.Data, seq)
			ids, n := sizes(t, b)
			for i, id := range ids {
				got[id>>1] += n[i]
				total += n[i]
			}
		}
		if j := jain(got); j < 0.99 {
			t.Errorf("records of %d: Jain %.3f, from %d to %d", room, j, slices.Min(got), slices.Max(got))
		}
	}
}

func TestUrgencyFirst(t *testing.T) {
	m := New(plenty)
	low := bulkStreams(t, m, 1, Priority{7, true})[0]
	mid := bulkStreams(t, m, 2, Priority{3, true})
	b, _ := m.AppendFrames(nil, testRecord, frame.Data, 0)
	if ids, _ := sizes(t, b); slices.Contains(ids, 2*2) || len(ids) != 4 || ids[0] != 0 || ids[1] != 2 || ids[2] != 0 {
		t.Error(ids)
	}
	// A sparse one of the same urgency goes before bulk, an urgent one before that.
	s, _ := m.OpenStream(t.Context(), nil)
	s.Write([]byte("sparse"))
	u, _ := m.OpenStream(t.Context(), &StreamOptions{Priority: &Priority{Urgency: 0}})
	u.Write([]byte("urgent"))
	b, _ = m.AppendFrames(nil, testRecord, frame.Data, 1)
	if _, n := sizes(t, b); n[0] != 6 || n[1] != 6 || n[2] < 1000 {
		t.Error(n)
	}
	if u.Info().ID != 4 || s.Info().ID != 6 {
		t.Error(u.Info().ID, s.Info().ID)
	}
	// Changed on the way.
	low.SetPriority(Priority{0, true})
	b, _ = m.AppendFrames(nil, testRecord, frame.Data, 2)
	if ids, _ := sizes(t, b); len(ids) != 1 || ids[0] != low.Info().ID {
		t.Error(ids)
	}
	low.Reset(0)
	mid[0].Reset(0)
	b, _ = m.AppendFrames(nil, testRecord, frame.Data, 3)
	if ids, n := sizes(t, b); len(ids) != 1 || ids[0] != mid[1].Info().ID || n[0] < 60<<10 {
		t.Error(ids, n)
	}
}

func TestSequentialInOrder(t *testing.T) {
	m := New(plenty)
	all := bulkStreams(t, m, 3, Priority{3, false})
	for _, s := range all {
		s.m.mu.Lock()
		s.send.direct = s.send.direct[:100<<10]
		s.m.mu.Unlock()
	}
	var order []uint64
	for seq := range uint64(10) {
		b, _ := m.AppendFrames(nil, testRecord, frame.Data, seq)
		ids, _ := sizes(t, b)
		order = append(order, ids...)
	}
	if got := slices.Compact(order); !slices.Equal(got, []uint64{0, 2, 4}) {
		t.Error(got)
	}
	// Beside an incremental one both kinds go on.
	bulk(all[1], 10<<20)
	bulkStreams(t, m, 1, DefaultPriority)
	b, _ := m.AppendFrames(nil, testRecord, frame.Data, 20)
	if ids, n := sizes(t, b); len(ids) != 4 || ids[0] == ids[1] || jain(n) < 0.9 {
		t.Error(ids, n)
	}
}

func TestSparseDoNotStarveBulk(t *testing.T) {
	m := New(plenty)
	big := bulkStreams(t, m, 1, DefaultPriority)[0]
	var small []*Stream
	for range 100 {
		s, _ := m.OpenStream(t.Context(), nil)
		small = append(small, s)
	}
	for seq := range uint64(50) {
		for _, s := range small {
			if s.Info().Queued == 0 {
				s.Write(make([]byte, 4000))
			}
		}
		m.AppendFrames(nil, testRecord, frame.Data, seq)
	}
	if n := big.Info().Sent; n < 50*testRecord/4 {
		t.Errorf("bulk sent %d of %d", n, 50*testRecord)
	}
}

// Sparse counts what is asked and answered, not a stream of small writes.
func TestSparseCounts(t *testing.T) {
	w := manual(Config{}, Config{})
	a, b := w.open(t, nil)
	for i := range uint64(10) {
		a.Write(make([]byte, 128))
		w.settle(t)
		io.ReadFull(b, make([]byte, 128))
		b.Write(make([]byte, 1024))
		w.settle(t)
		io.ReadFull(a, make([]byte, 1024))
		if x, y := w.a.Sparse(), w.b.Sparse(); x != i+1 || y != i+1 {
			t.Fatalf("after %d questions and answers: %d and %d", i+1, x, y)
		}
	}
	before := w.a.Sparse()
	for range 100 {
		a.Write(make([]byte, 1024))
		w.settle(t)
	}
	if n := w.a.Sparse() - before; n != sparse/1024 {
		t.Errorf("%d of 100 writes without an answer count", n)
	}
}

// The end of a large write that did not fit the record is bulk; what is small by
// itself is not.
func TestTailOfBulkWaitsForTheBatch(t *testing.T) {
	w := manual(Config{}, Config{})
	a, b := w.open(t, nil)
	for _, k := range []struct {
		size int
		bulk []bool // of its frames
	}{
		{100, []bool{false}}, {testRecord + 100, []bool{true, true}}, {100, []bool{false}},
	} {
		go a.Write(make([]byte, k.size))
		for i, bulk := range k.bulk {
			var record []byte
			for len(record) == 0 {
				runtime.Gosched()
				record, _ = w.a.AppendFrames(nil, testRecord, frame.Data, 0)
				w.a.BatchSent()
			}
			buf := framing.GetBuffer(0)
			err := handle(w.b, record, buf)
			buf.Release()
			if err != nil {
				t.Fatal(err)
			}
			if got := len(w.b.bulk) > 0; got != bulk {
				t.Errorf("frame %d of %d bytes: bulk %v", i, k.size, got)
			}
			w.b.BatchEnd()
		}
		io.ReadFull(b, make([]byte, k.size))
	}
}

// Credit goes with another record once half of the window is used up, and alone
// only when three quarters are.
func TestCreditWaitsForCompany(t *testing.T) {
	const window = 64 << 10
	for read, want := range map[int]frame.Class{
		window / 4: frame.None, window / 2: frame.None, window * 3 / 4: frame.Quiet,
	} {
		w := manual(Config{PeerWindow: window}, Config{Window: window})
		a, b := w.open(t, nil)
		go a.Write(make([]byte, window))
		for b.Info().Unread < window {
			w.ab.step()
			runtime.Gosched()
		}
		io.ReadFull(b, make([]byte, read))
		if c := w.b.Waiting(); c != want {
			t.Errorf("after %d of %d bytes %v waits", read, window, c)
		}
		c, class := w.b.AppendFrames(nil, testRecord, frame.Quiet, 0)
		if read < window/2 {
			if class != frame.None {
				t.Errorf("after %d of %d bytes: % x", read, window, c)
			}
			continue
		}
		typ, rest, err := frame.ParseType(c)
		if err != nil || typ != frame.TypeMaxStreamData {
			t.Fatalf("after %d of %d bytes: % x", read, window, c)
		}
		if _, limit, _, err := frame.ParseMaxStreamData(rest); err != nil || limit != uint64(window+read) {
			t.Errorf("limit %d, %v", limit, err)
		}
		if c := w.b.Waiting(); c != frame.None {
			t.Errorf("%v waits after it left", c)
		}
	}
}

func TestClassesAndRoom(t *testing.T) {
	w := manual(Config{PeerWindow: 64 << 10}, Config{Window: 64 << 10})
	a, b := w.open(t, nil)
	go a.Write(make([]byte, 200<<10))
	for n := 0; n < 200<<10; {
		runtime.Gosched() // the writer runs, also where there is one thread
		w.ab.step()
		if b.Info().Unread > 0 {
			c, _ := b.Read(make([]byte, 64<<10))
			n += c
		}
		w.ba.step()
		if w.ab.err != nil {
			t.Fatal(w.ab.err)
		}
	}
	b.CloseRead()
	b.Write([]byte("data"))
	out, c := w.b.AppendFrames(nil, 1000, frame.Quiet, 0)
	if c > frame.Quiet {
		t.Error(c)
	}
	out, c = w.b.AppendFrames(out[:0], 1000, frame.Control, 0)
	if c != frame.Control || !bytes.Equal(out, frame.AppendStopSending(nil, 0, frame.CodeCancelled)) {
		t.Errorf("%x, %v", out, c)
	}
	if w.b.Waiting() != frame.Data {
		t.Error(w.b.Waiting())
	}
	for room := range 40 {
		s, _ := w.b.OpenStream(t.Context(), &StreamOptions{Label: "l"})
		fmt.Fprint(s, "room ", room)
		if out, _ := w.b.AppendFrames(nil, room, frame.Data, 0); len(out) > room {
			t.Errorf("%d bytes into %d", len(out), room)
		}
	}
	w.a.Fail(nil)
	w.b.Fail(nil)
}

// All bytes of a channel without credit wait; FIN and STREAM_OPEN do not.
func TestChannelCredit(t *testing.T) {
	noBuffers(t)
	m := New(Config{Initiator: true, PeerCredit: 100})
	s, _ := m.OpenStream(t.Context(), nil)
	s.Write(make([]byte, 150))
	b, _ := m.AppendFrames(nil, testRecord, frame.Data, 0)
	if _, n := sizes(t, b); len(n) != 1 || n[0] != 100 || m.Waiting() != frame.None {
		t.Error(n, m.Waiting())
	}
	o, _ := m.OpenStream(t.Context(), nil)
	o.CloseWrite()
	b, _ = m.AppendFrames(nil, testRecord, frame.Data, 1)
	if _, n := sizes(t, b); len(n) != 1 || n[0] != 0 {
		t.Error(n)
	}
	buf := framing.GetBuffer(16)
	defer buf.Release()
	if err := handle(m, frame.AppendMaxData(buf.B[:0], 1000), buf); err != nil {
		t.Fatal(err)
	}
	m.BatchEnd()
	if m.Waiting() != frame.Data {
		t.Error(m.Waiting())
	}
	b, _ = m.AppendFrames(nil, testRecord, frame.Data, 2)
	if _, n := sizes(t, b); len(n) != 1 || n[0] != 50 {
		t.Error(n)
	}
}
