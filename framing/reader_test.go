package framing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// noLeak asserts at the test's end that all buffers were given back.
func noLeak(t testing.TB) {
	before := BuffersInUse()
	t.Cleanup(func() {
		if n := BuffersInUse(); n != before {
			t.Errorf("%d buffers were not released", n-before)
		}
	})
}

func record(kind byte, body []byte) []byte {
	return append(AppendRecordHeader(nil, kind, len(body)), body...)
}

func TestReader(t *testing.T) {
	noLeak(t)
	in := `{"a":1}{"b":"}"}` + " \r\n\t" + `{"c":{}}` + string(record(RecordEven, []byte("body"))) + string(record(RecordOdd, nil)) + `{"d":1}` + "\n" + string(record(RecordEarly, []byte("x")))
	for name, src := range map[string]io.Reader{
		"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)),
		"data with error": iotest.DataErrReader(strings.NewReader(in)),
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(src, Limits{})
			defer r.Close()
			for _, want := range []string{`{"a":1}`, `{"b":"}"}`, `{"c":{}}`} {
				if b, err := r.Peek(); b != '{' || err != nil {
					t.Fatal(b, err)
				}
				got, f, err := r.Object()
				if string(got) != want || f != JSON || err != nil {
					t.Fatal(string(got), f, err)
				}
			}
			rec, err := r.Record(4)
			if err != nil || rec.Kind() != RecordEven || string(rec.Body()) != "body" || !bytes.Equal(rec.Header(), []byte{RecordEven, 0, 0, 4}) {
				t.Fatal(rec, err)
			}
			rec2, err := r.Record(0)
			if err != nil || rec2.Kind() != RecordOdd || len(rec2.Body()) != 0 {
				t.Fatal(rec2, err)
			}
			if got, _, err := r.Object(); string(got) != `{"d":1}` || err != nil {
				t.Fatal(string(got), err)
			}
			if b, err := r.Peek(); b != RecordEarly || err != nil {
				t.Fatal(b, err)
			}
			if n, err := r.SkipRecord(10); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if string(rec.Body()) != "body" {
				t.Error("a held record changed")
			}
			rec.Release()
			rec2.Release()
			for range 2 {
				if _, err := r.Peek(); err != io.EOF {
					t.Fatal(err)
				}
				if _, _, err := r.Object(); err != io.EOF {
					t.Fatal(err)
				}
				if _, err := r.Record(1); err != io.EOF {
					t.Fatal(err)
				}
				if _, err := r.SkipRecord(1); err != io.EOF {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestReaderErrors(t *testing.T) {
	rec := func(r *Reader) error {
		rec, err := r.Record(100)
		if err == nil {
			rec.Release()
		}
		return err
	}
	skip := func(r *Reader) error { _, err := r.SkipRecord(100); return err }
	object := func(r *Reader) error { _, _, err := r.Object(); return err }
	syntax := func(err error) bool { var e *SyntaxError; return errors.As(err, &e) }
	limit := func(name string, n int) func(error) bool {
		return func(err error) bool {
			var e *LimitError
			return errors.As(err, &e) && e.Limit == name && e.Max == n && strings.Contains(err.Error(), fmt.Sprint(n))
		}
	}
	cut := func(err error) bool { return err == io.ErrUnexpectedEOF }
	whole := string(record(RecordEven, make([]byte, 50)))
	for _, c := range []struct {
		name, in string
		read     func(*Reader) error
		want     func(error) bool
	}{
		{"object cut", `{"a":`, object, cut},
		{"object cut at first", `{`, object, cut},
		{"white space first", ` {}`, object, syntax},
		{"byte order mark", "\xef\xbb\xbf{}", object, syntax},
		{"not an object", `[]`, object, syntax},
		{"record for object", whole, object, syntax},
		{"object too large", `{"a":"` + strings.Repeat("x", 200) + `"}`, object, limit("object size", 150)},
		{"endless object", `{"a":"` + strings.Repeat("x", 200), object, limit("object size", 150)},
		{"object too deep", strings.Repeat(`{"a":`, 9), object, limit("depth of an object", 8)},
		{"object for record", `{}`, rec, syntax},
		{"no record", "\x13\x00\x00\x00", rec, syntax},
		{"record too large", string(AppendRecordHeader(nil, RecordEven, 101)), rec, limit("record length", 100)},
		{"header cut", whole[:3], rec, cut},
		{"body missing", whole[:4], rec, cut},
		{"body cut", whole[:53], rec, cut},
		{"skip: object", `{}`, skip, syntax},
		{"skip: too large", string(AppendRecordHeader(nil, RecordEven, 101)), skip, limit("record length", 100)},
		{"skip: header cut", whole[:2], skip, cut},
		{"skip: body missing", whole[:4], skip, cut},
		{"skip: body cut", whole[:53], skip, cut},
	} {
		for name, src := range map[string]io.Reader{
			"whole": strings.NewReader(c.in), "bytes": iotest.OneByteReader(strings.NewReader(c.in)),
			"data with error": iotest.DataErrReader(strings.NewReader(c.in)),
		} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				noLeak(t)
				r := NewReader(src, Limits{Object: 150, Depth: 8})
				defer r.Close()
				if err := c.read(r); !c.want(err) {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	noLeak(t)
	r := NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(`{"a":1}`))), Limits{})
	defer r.Close()
	if _, _, err := r.Object(); err != iotest.ErrTimeout {
		t.Error(err)
	}
	r = NewReader(iotest.ErrReader(os.ErrDeadlineExceeded), Limits{})
	defer r.Close()
	if _, err := r.Peek(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	r = NewReader(emptyReader{}, Limits{})
	defer r.Close()
	if _, err := r.Peek(); err != io.ErrNoProgress {
		t.Error(err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// waiting notes how many buffers are in use whenever the Reader waits.
type waiting struct {
	io.Reader
	waits int
	inUse int64
	err   error
}

func (w *waiting) WaitRead() error {
	w.waits++
	w.inUse = max(w.inUse, BuffersInUse())
	return w.err
}

func TestReaderHoldsNoBufferWhileIdle(t *testing.T) {
	noLeak(t)
	before := BuffersInUse()
	src := &waiting{Reader: iotest.OneByteReader(strings.NewReader(`{"a":1}{"b":2}` + string(record(RecordEven, []byte("abc")))))}
	r := NewReader(src, Limits{})
	defer r.Close()
	for range 2 {
		if _, _, err := r.Object(); err != nil {
			t.Fatal(err)
		}
	}
	rec, err := r.Record(3)
	if err != nil {
		t.Fatal(err)
	}
	rec.Release()
	if src.waits == 0 || src.inUse != before {
		t.Errorf("%d waits with up to %d buffers", src.waits, src.inUse-before)
	}
	src.err = io.ErrClosedPipe
	if _, err := r.Peek(); err != io.ErrClosedPipe {
		t.Error(err)
	}
}

// counted counts Reads and the room each is given, and returns at most step bytes.
type counted struct {
	io.Reader
	reads, step int
}

func (c *counted) Read(p []byte) (int, error) {
	c.reads++
	return c.Reader.Read(p[:min(len(p), c.step)])
}

// Bulk costs few Reads, records of one Read share a buffer, and a quiet
// connection is back to small buffers.
func TestReaderBatches(t *testing.T) {
	noLeak(t)
	const n, size = 512, 16<<10 + 16
	rec := record(RecordEven, make([]byte, size))
	src := &counted{Reader: bytes.NewReader(bytes.Repeat(rec, n)), step: 1 << 20}
	r := NewReader(src, Limits{})
	defer r.Close()
	buffers := 0
	var last *Buffer
	for i := range n {
		had := r.HasRecord()
		reads := src.reads
		rec, err := r.Record(size)
		if err != nil {
			t.Fatal(err)
		}
		if had != (src.reads == reads) {
			t.Fatalf("record %d: at hand %v, but %d Reads", i, had, src.reads-reads)
		}
		if rec.Buffer != last {
			buffers, last = buffers+1, rec.Buffer
		}
		rec.Release()
	}
	if src.reads > n/12 || buffers > src.reads {
		t.Errorf("%d Reads, %d buffers for %d records", src.reads, buffers, n)
	}
	if r.class != largest {
		t.Errorf("class %d after bulk", r.class)
	}
	src.Reader, src.step = bytes.NewReader(bytes.Repeat([]byte("{}"), 100)), 2
	for range 100 {
		if _, _, err := r.Object(); err != nil {
			t.Fatal(err)
		}
	}
	if r.class != leastRead {
		t.Errorf("class %d when quiet", r.class)
	}
}

// Whatever the fragmentation and however long records are held, what comes out
// is what went in.
func TestReaderProperty(t *testing.T) {
	noLeak(t)
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		sizes := rapid.SampledFrom([]int{10, 1000, 20 << 10, 70 << 10, 300 << 10})
		kinds := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 40).Draw(t, "kinds")
		var in []byte
		var units [][]byte
		for _, k := range kinds {
			size := rng.IntN(sizes.Draw(t, "size"))
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(rng.Uint32())
			}
			var u []byte
			switch k {
			case 0:
				u, _ = Formats()[rng.IntN(len(Formats()))].Append(nil, Object{"x": body})
			default:
				u = record([]byte{RecordEven, RecordOdd, RecordEarly}[rng.IntN(3)], body)
			}
			in = append(in, u...)
			units = append(units, u)
			if k == 0 && rng.IntN(2) == 0 {
				in = append(in, "\n "...)
			}
		}
		r := NewReader(&fragments{in: in, rng: rng, most: sizes.Draw(t, "fragment")}, Limits{})
		defer r.Close()
		type holding struct {
			rec  Record
			want []byte
		}
		var held []holding
		for i, u := range units {
			b, err := r.Peek()
			if err != nil || b != u[0] {
				t.Fatal(i, b, err)
			}
			if !IsRecord(u[0]) {
				got, f, err := r.Object()
				if err != nil || !bytes.Equal(got, u) || f.Identifier() != u[0] {
					t.Fatal(i, len(got), len(u), err)
				}
				continue
			}
			if kinds[i] == 4 {
				if n, err := r.SkipRecord(len(u)); err != nil || n != len(u)-4 {
					t.Fatal(i, n, err)
				}
				continue
			}
			rec, err := r.Record(len(u) - 4)
			if err != nil || !bytes.Equal(rec.B, u) {
				t.Fatal(i, len(rec.B), len(u), err)
			}
			// Opened in place, held, and released in any order.
			for j := range rec.B {
				rec.B[j] ^= 0xFF
			}
			held = append(held, holding{rec, u})
			for len(held) > 0 && rng.IntN(3) > 0 {
				j := rng.IntN(len(held))
				for k, c := range held[j].rec.B {
					if c != ^held[j].want[k] {
						t.Fatal("a held record changed")
					}
				}
				held[j].rec.Release()
				held = slices.Delete(held, j, j+1)
			}
		}
		if _, err := r.Peek(); err != io.EOF {
			t.Fatal(err)
		}
		for _, h := range held {
			h.rec.Release()
		}
	})
}

// fragments hands out up to most bytes with each Read.
type fragments struct {
	in   []byte
	rng  *rand.Rand
	most int
}

func (f *fragments) Read(p []byte) (int, error) {
	if len(f.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.in[:min(len(f.in), 1+f.rng.IntN(f.most))])
	f.in = f.in[n:]
	if len(f.in) == 0 && f.rng.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// FuzzReader reads the same stream whole and byte by byte.
func FuzzReader(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n{}\x10\x00\x00\x01x\x12\x00\x00\x00{}"))
	f.Add([]byte("\x11\x00\x01\x00"))
	f.Add([]byte(" {}"))
	f.Add([]byte("\xd9\xd9\xf7\xa0\x10\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		noLeak(t)
		read := func(src io.Reader) (out []string) {
			r := NewReader(src, Limits{Object: 4096, Depth: 8})
			defer r.Close()
			for {
				b, err := r.Peek()
				if err == nil && IsRecord(b) {
					var rec Record
					if rec, err = r.Record(1024); err == nil {
						out = append(out, string(rec.B))
						rec.Release()
					}
				} else if err == nil {
					var o []byte
					if o, _, err = r.Object(); err == nil {
						out = append(out, string(o))
					}
				}
				if err != nil {
					return append(out, err.Error())
				}
			}
		}
		whole := read(bytes.NewReader(in))
		if bytewise := read(iotest.OneByteReader(bytes.NewReader(in))); !slices.Equal(whole, bytewise) {
			t.Fatalf("%q whole, %q byte by byte", whole, bytewise)
		}
	})
}

func TestBuffer(t *testing.T) {
	noLeak(t)
	before := BuffersInUse()
	for _, size := range []int{0, 1, 4 << 10, 4<<10 + 1, 64<<10 + 20, 256<<10 + 320, 1 << 20} {
		b := GetBuffer(size)
		if len(b.B) < size {
			t.Errorf("%d bytes for %d", len(b.B), size)
		}
		full := len(b.B)
		b.Retain()
		b.B = b.B[:0]
		b.Release()
		if BuffersInUse() != before+1 {
			t.Error(BuffersInUse() - before)
		}
		b.Release()
		if again := GetBuffer(size); len(again.B) != full {
			t.Errorf("%d bytes the second time, %d the first", len(again.B), full)
		} else {
			again.Release()
		}
	}
}

func TestBufferReleasedTwice(t *testing.T) {
	for name, misuse := range map[string]func(*Buffer){"Release": (*Buffer).Release, "Retain": (*Buffer).Retain} {
		b := &Buffer{memory: make([]byte, 1), class: -1} // never pooled: others must not get it
		b.refs.Store(1)
		buffersInUse.Add(1)
		b.Release()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a released buffer", name)
				}
			}()
			misuse(b)
		}()
	}
}

func TestRecordHeader(t *testing.T) {
	b := AppendRecordHeader([]byte{9}, RecordOdd, 0x010203)
	if !bytes.Equal(b, []byte{9, 0x11, 1, 2, 3}) || recordLength(b[1:]) != 0x010203 {
		t.Error(b)
	}
	defer func() {
		if recover() == nil {
			t.Error("a length beyond the header's")
		}
	}()
	PutRecordHeader(b, RecordEven, MaxRecordLength+1)
}

func BenchmarkReaderRecords(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			rec := record(RecordEven, make([]byte, size+16))
			r := NewReader(&endless{data: bytes.Repeat(rec, 16)}, Limits{})
			defer r.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				rec, err := r.Record(size + 16)
				if err != nil {
					b.Fatal(err)
				}
				rec.Release()
			}
		})
	}
}

// endless repeats data, without end.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.data[e.at:])
	e.at = (e.at + n) % len(e.data)
	return n, nil
}

func BenchmarkReaderObjects(b *testing.B) {
	o, err := JSON.Append(nil, chunk())
	if err != nil {
		b.Fatal(err)
	}
	r := NewReader(&endless{data: o}, Limits{})
	defer r.Close()
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Object(); err != nil {
			b.Fatal(err)
		}
	}
}
