package session

import (
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/transport"
)

// A rewrite sees each object or record on its way and gives what goes on
// instead; n counts them per direction.
type rewrite func(n int, unit []byte) [][]byte

func pass(_ int, unit []byte) [][]byte { return [][]byte{unit} }

// middle is an attacker on the path: two connections with rewrites between.
func middle(t testing.TB, i2r, r2i rewrite) (a, b transport.Conn) {
	a, x := transport.Pipe()
	y, b := transport.Pipe()
	done := make(chan struct{}, 2)
	pump := func(from, to transport.Conn, f rewrite) {
		defer func() { done <- struct{}{} }()
		defer to.Close()
		r := framing.NewReader(from, framing.Limits{})
		defer r.Close()
		for n := 0; ; n++ {
			unit, err := next(r)
			if err != nil {
				return
			}
			for _, u := range f(n, unit) {
				if _, err := to.Write(u); err != nil {
					return
				}
			}
		}
	}
	go pump(x, y, i2r)
	go pump(y, x, r2i)
	t.Cleanup(func() {
		for _, c := range []transport.Conn{a, b, x, y} {
			c.Close()
		}
		<-done
		<-done
	})
	return a, b
}

// next is the next object or record, in memory of its own.
func next(r *framing.Reader) ([]byte, error) {
	first, err := r.Peek()
	if err != nil {
		return nil, err
	}
	if !framing.IsRecord(first) {
		b, _, err := r.Object()
		return b, err
	}
	rec, err := r.Record(framing.MaxRecordLength)
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	return append([]byte(nil), rec.B...), nil
}

// editHeader changes the plain header data of a header that nobody signed.
func editHeader(t testing.TB, raw []byte, edit func(framing.Object)) []byte {
	t.Helper()
	o, err := framing.JSON.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	data, err := framing.Get[[]byte](o, "headerdata")
	if err != nil {
		t.Fatal(err)
	}
	h, err := framing.JSON.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	edit(h)
	if o["headerdata"], err = framing.JSON.Append(nil, h); err != nil {
		t.Fatal(err)
	}
	if raw, err = framing.JSON.Append(nil, o); err != nil {
		t.Fatal(err)
	}
	return raw
}

// member digs an object out of another.
func member(t testing.TB, o framing.Object, name string) framing.Object {
	t.Helper()
	m, err := framing.Get[framing.Object](o, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
