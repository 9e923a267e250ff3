package mux

import (
	"bytes"
	"crypto/rand"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/session/frame"
)

// compressed is a COMPRESSED frame that says raw and holds the block of b.
func compressed(t testing.TB, raw uint64, b []byte, fin bool) []byte {
	t.Helper()
	block, err := compress.AppendLZ4Block(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	f := frame.AppendCompressedHeader(nil, 0, int(raw), len(block), fin)
	return append(f, block...)
}

// count looks at the STREAM frames of a record.
func count(t testing.TB, b []byte) (plain, packed int) {
	t.Helper()
	for len(b) > 0 {
		typ, body, err := frame.ParseType(b)
		switch {
		case err != nil:
		case frame.IsStream(typ):
			var f frame.Stream
			if f, body, err = frame.ParseStream(typ, body); err != nil {
				break
			}
			if !f.Compressed {
				plain++
				break
			}
			packed++
			if raw, _, err := frame.ParseVarint(f.Data); err != nil || uint64(len(f.Data)) >= raw {
				t.Errorf("%d bytes for %d, %v", len(f.Data), raw, err)
			}
		case typ == frame.TypeStreamOpen:
			_, body, err = frame.ParseStreamOpen(body)
		case typ == frame.TypeMaxData || typ == frame.TypeMaxStreams:
			_, body, err = frame.ParseMaxData(body)
		default: // RESET_STREAM, STOP_SENDING, MAX_STREAM_DATA
			_, _, body, err = frame.ParseStreamCode(body)
		}
		if err != nil {
			t.Fatal(err)
		}
		b = body
	}
	return plain, packed
}

func TestDecompressionBomb(t *testing.T) {
	zeros := make([]byte, 1<<20)
	huge := frame.AppendVarint(frame.AppendVarint([]byte{0x0e, 0}, 8+3), 1<<61)
	huge = append(huge, 1, 2, 3)
	for name, c := range map[string]struct {
		config Config
		frames []byte
		want   frame.Code
	}{
		"good":                      {Config{}, compressed(t, 60000, zeros[:60000], true), 0},
		"as much as maxrecord":      {Config{}, compressed(t, 64<<10, zeros[:64<<10], false), 0},
		"over maxrecord":            {Config{}, compressed(t, 64<<10+1, zeros[:64<<10+1], false), frame.CodeCompression},
		"far over everything":       {Config{}, huge, frame.CodeCompression},
		"over the stream's credit":  {Config{MaxRecord: 1 << 20}, compressed(t, 100<<10+1, zeros[:100<<10+1], false), frame.CodeFlowControl},
		"as much as credit":         {Config{MaxRecord: 1 << 20}, compressed(t, 100<<10, zeros[:100<<10], false), 0},
		"over the channel's credit": {Config{Credit: 80 << 10, MaxRecord: 1 << 20}, compressed(t, 81<<10, zeros[:81<<10], false), frame.CodeFlowControl},
		"over what is left": {
			Config{}, append(compressed(t, 60<<10, zeros[:60<<10], false), compressed(t, 60<<10, zeros[:60<<10], false)...), frame.CodeFlowControl,
		},
		"zero":              {Config{}, compressed(t, 0, zeros[:1000], false), frame.CodeCompression},
		"zero with FIN":     {Config{}, compressed(t, 0, nil, true), frame.CodeCompression},
		"less than it says": {Config{}, compressed(t, 50000, zeros[:49999], false), frame.CodeCompression},
		"more than it says": {Config{}, compressed(t, 50000, zeros[:50001], false), frame.CodeCompression},
		"no block":          {Config{}, compressed(t, 50000, nil, false), frame.CodeCompression},
		"no raw length":     {Config{}, []byte{0x0f, 0, 0}, frame.CodeProtocol},
		"long raw length":   {Config{}, []byte{0x0e, 0, 3, 0x40, 1, 'x'}, frame.CodeProtocol},
		"refused":           {Config{NoCompression: true}, compressed(t, 60000, zeros[:60000], true), frame.CodeCompression},
		"after FIN":         {Config{}, append(data(nil, 0, "x", true), compressed(t, 100, zeros[:100], false)...), frame.CodeStreamState},
	} {
		t.Run(name, func(t *testing.T) {
			noBuffers(t)
			c.config.Window, c.config.MaxWindow = 100<<10, 100<<10
			m := New(c.config)
			if err := handleFrames(m, open(nil, 0)); err != nil {
				t.Fatal(err)
			}
			s, err := m.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err = handleFrames(m, c.frames); frame.CodeOf(err) != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if err == nil && s.Info().Unread != int(m.window.received) {
				t.Errorf("%+v", s.Info())
			}
			m.Fail(err)
			s.Close()
		})
	}
}

// What a bomb says takes no memory before it is checked.
func TestDecompressionBombMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	m := New(Config{MaxRecord: 1 << 20})
	if err := handleFrames(m, open(nil, 0)); err != nil {
		t.Fatal(err)
	}
	bomb := compressed(t, 1<<20, make([]byte, 1<<20), false) // over credit
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if err := handleFrames(m, bomb); frame.CodeOf(err) != frame.CodeFlowControl {
				b.Fatal(err)
			}
		}
	})
	if n := r.AllocedBytesPerOp(); n > 4<<10 {
		t.Errorf("%d bytes for each", n)
	}
}

// Text and noise in turns, written in pieces of any size into records of any
// size: the same bytes come out, and those of text in fewer.
func TestCompressedRoundTrip(t *testing.T) {
	noBuffers(t)
	noise := make([]byte, 300<<10)
	rand.Read(noise)
	text := []byte(strings.Repeat("compressed secrets leak by length; ", 10<<10))
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		w := newWire(outer, Config{PeerMaxRecord: 20000}, Config{MaxRecord: 20000})
		defer w.close()
		w.ab.room = rapid.IntRange(5000, testRecord).Draw(t, "room")
		a, err := w.a.OpenStream(t.Context(), &StreamOptions{Compress: true})
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		var pieces []int
		for range rapid.IntRange(1, 12).Draw(t, "runs") {
			from := rapid.SampledFrom([][]byte{noise, text}).Draw(t, "from")
			n := rapid.SampledFrom([]int{1, 70, 1000, smallWrite, 30000, 200000}).Draw(t, "n")
			want = append(want, from[:n]...)
			pieces = append(pieces, rapid.IntRange(1, n).Draw(t, "piece"))
		}
		go func() {
			for i, rest := 0, want; len(rest) > 0; i++ {
				n := min(len(rest), max(pieces[i%len(pieces)], len(want)/100))
				if _, err := a.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			a.CloseWrite()
		}()
		b, err := w.b.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.SetReadDeadline(time.Now().Add(20 * time.Second))
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(want), err)
		}
		if i := a.Info(); i.Sent != uint64(len(want)) || b.Info().Received != i.Sent {
			t.Fatalf("%d sent, %d received, %d bytes", i.Sent, b.Info().Received, len(want))
		}
		a.Close()
		b.Close()
	})
}

func TestCompressOnlyWhereSmaller(t *testing.T) {
	noBuffers(t)
	c := Config{Window: 4 << 20, Credit: 8 << 20, PeerWindow: 4 << 20, PeerCredit: 8 << 20}
	w := manual(c, c)
	a, b := w.open(t, &StreamOptions{Compress: true})
	var size, plain, packed int
	w.ab.records = func(r []byte) {
		p, c := count(t, r)
		size, plain, packed = size+len(r), plain+p, packed+c
	}
	send := func(s *Stream, p []byte) {
		t.Helper()
		size, plain, packed = 0, 0, 0
		done := make(chan error)
		go func() { _, err := s.Write(p); done <- err }()
		for {
			w.settle(t)
			select {
			case err := <-done:
				w.settle(t)
				if err != nil {
					t.Fatal(err)
				}
				return
			case <-time.After(time.Millisecond):
			}
		}
	}
	take := func(s *Stream, want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
			t.Fatal("wrong bytes", err)
		}
		w.settle(t)
	}
	text := bytes.Repeat([]byte("all work and no play "), 10<<10)
	noise := make([]byte, 1<<20)
	rand.Read(noise)

	send(a, text)
	take(b, text)
	if packed == 0 || plain > 1 || size > len(text)/50 {
		t.Errorf("text: %d plain, %d compressed, %d bytes", plain, packed, size)
	}
	send(a, noise)
	take(b, noise)
	if packed != 0 || size < len(noise) || size > len(noise)+30*plain {
		t.Errorf("noise: %d plain, %d compressed, %d bytes", plain, packed, size)
	}
	send(a, noise[:10]) // too little
	take(b, noise[:10])
	if plain != 1 || packed != 0 {
		t.Errorf("10 bytes: %d plain, %d compressed", plain, packed)
	}
	for i := 0; packed == 0; i++ { // tried again now and then
		if i > retryEvery {
			t.Fatal("text is not compressed behind noise")
		}
		send(a, text[:1000])
		take(b, text[:1000])
	}
	a.SetCompress(false)
	send(a, text[:1000])
	take(b, text[:1000])
	if plain != 1 || packed != 0 {
		t.Errorf("switched off: %d plain, %d compressed", plain, packed)
	}

	// The FIN goes with the last bytes; the other direction is for b to decide.
	a.SetCompress(true)
	a.Write(text[:5000])
	a.CloseWrite()
	plain, packed = 0, 0
	w.settle(t)
	if plain != 0 || packed != 1 {
		t.Errorf("FIN: %d plain, %d compressed", plain, packed)
	}
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, text[:5000]) {
		t.Error(len(got), err)
	}
	w.ba.records, w.ab.records = w.ab.records, nil
	plain, packed = 0, 0
	b.Write(text[:5000])
	w.settle(t)
	if plain != 1 || packed != 0 {
		t.Errorf("b asked for nothing: %d plain, %d compressed", plain, packed)
	}
	b.SetCompress(true)
	b.Write(text[:5000])
	w.settle(t)
	if packed != 1 {
		t.Errorf("b asked: %d compressed", packed)
	}
	b.Close()
	take(a, append(text[:5000:5000], text[:5000]...))
	a.Close()
}

// Compressed data is dropped like other data where nobody reads.
func TestCompressedAfterStop(t *testing.T) {
	noBuffers(t)
	w := manual(Config{}, Config{})
	a, b := w.open(t, &StreamOptions{Compress: true})
	b.CloseRead()
	a.Write(make([]byte, 8000))
	w.settle(t)
	if m := w.b; m.window.freed != 8000 || m.window.received != 8000 {
		t.Errorf("%d freed of %d", m.window.freed, m.window.received)
	}
	a.Close()
	b.Close()
	w.settle(t)
}

// Blocks keep to the peer's maxrecord, which early data must guess.
func TestCompressedEarly(t *testing.T) {
	const guess, said = 16 << 10, 40 << 10
	m := New(Config{Initiator: true, PeerMaxRecord: guess})
	peer := New(Config{MaxRecord: said})
	s, err := m.OpenStream(t.Context(), &StreamOptions{Compress: true})
	if err != nil {
		t.Fatal(err)
	}
	write := func(record func() []byte) (longest uint64) {
		for range 7 {
			s.Write(make([]byte, smallWrite))
		}
		b := record()
		if err := handleFrames(peer, b); err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			typ, body, _ := frame.ParseType(b)
			if !frame.IsStream(typ) {
				_, b, _ = frame.ParseStreamOpen(body)
				continue
			}
			var f frame.Stream
			f, b, _ = frame.ParseStream(typ, body)
			if raw, _, _ := frame.ParseVarint(f.Data); f.Compressed {
				longest = max(longest, raw)
			}
		}
		return longest
	}
	if n := write(func() []byte { return m.AppendEarly(nil, testRecord, 0) }); n != guess {
		t.Errorf("%d bytes in a block of early data", n)
	}
	m.Grant(256<<10, 4<<20, 16, said)
	if n := write(func() []byte { b, _ := m.AppendFrames(nil, testRecord, frame.Data, 1); return b }); n != said {
		t.Errorf("%d bytes in a block, %d may be", n, said)
	}
	r, err := peer.AcceptStream(t.Context())
	if err != nil || r.Info().Unread != 14*smallWrite {
		t.Error(err)
	}
	m.Fail(nil)
	peer.Fail(nil)
	r.Close()
}

func TestCompressedAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop things at random under the race detector")
	}
	r := testing.Benchmark(benchmarkCompressed)
	if n := float64(r.MemAllocs) / float64(r.N); n > 0.1 {
		t.Errorf("%.2f allocations per write", n)
	}
}

func BenchmarkCompressed(b *testing.B) { benchmarkCompressed(b) }

func benchmarkCompressed(b *testing.B) {
	before := framing.BuffersInUse()
	_, from, to := inline(b)
	from.SetCompress(true)
	p := bytes.Repeat([]byte("a line of some log, number 1234567\n"), 64<<10/35)
	q := make([]byte, len(p))
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		from.Write(p)
		io.ReadFull(to, q)
	}
	if n := framing.BuffersInUse() - before; n != 0 {
		b.Errorf("%d Buffers in use", n)
	}
}
