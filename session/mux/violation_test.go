package mux

import (
	"errors"
	"io"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

func data(b []byte, id uint64, payload string, fin bool) []byte {
	return append(frame.AppendStreamHeader(b, id, len(payload), fin), payload...)
}

func open(b []byte, id uint64) []byte { return frame.AppendStreamOpen(b, &frame.StreamOpen{ID: id}) }

// What a peer must not do, as seen by a responder with one own stream (ID 1)
// and the peer's streams 0 and 2, of which 2 has ended both ways.
func TestViolations(t *testing.T) {
	big := string(make([]byte, 40<<10))
	for name, c := range map[string]struct {
		frames []byte
		want   frame.Code
	}{
		"stream overrun":                  {data(data(nil, 0, big, false), 0, big, false), frame.CodeFlowControl},
		"channel overrun":                 {data(data(data(data(nil, 0, big, false), 1, big, false), 4, big, false), 6, big, false), frame.CodeFlowControl},
		"reused stream":                   {open(nil, 0), frame.CodeStreamState},
		"skipped stream":                  {open(nil, 12), frame.CodeStreamState},
		"own stream opened by peer":       {open(nil, 3), frame.CodeStreamState},
		"too many streams":                {open(open(open(nil, 8), 10), 12), frame.CodeStreamLimit},
		"data for unopened":               {data(nil, 8, "x", false), frame.CodeStreamState},
		"data for unopened of ours":       {data(nil, 3, "x", false), frame.CodeStreamState},
		"data after FIN":                  {data(data(nil, 0, "x", true), 0, "y", false), frame.CodeStreamState},
		"FIN after FIN":                   {data(data(nil, 0, "x", true), 0, "", true), frame.CodeStreamState},
		"data after reset":                {data(frame.AppendResetStream(nil, 0, 256), 0, "y", false), frame.CodeStreamState},
		"reset after FIN":                 {frame.AppendResetStream(data(nil, 0, "", true), 0, 256), frame.CodeStreamState},
		"reset after reset":               {frame.AppendResetStream(frame.AppendResetStream(nil, 0, 1), 0, 1), frame.CodeStreamState},
		"reset of unopened":               {frame.AppendResetStream(nil, 8, 1), frame.CodeStreamState},
		"data for ended":                  {data(nil, 2, "y", false), frame.CodeStreamState},
		"reset of ended":                  {frame.AppendResetStream(nil, 2, 1), frame.CodeStreamState},
		"stop of unopened":                {frame.AppendStopSending(nil, 8, 1), frame.CodeStreamState},
		"credit for unopened":             {frame.AppendMaxStreamData(nil, 3, 1), frame.CodeStreamState},
		"stop of ended is ignored":        {frame.AppendStopSending(nil, 2, 1), 0},
		"credit for ended is ignored":     {frame.AppendMaxStreamData(nil, 2, 1<<40), 0},
		"lower credit is ignored":         {frame.AppendMaxStreams(frame.AppendMaxData(frame.AppendMaxStreamData(nil, 1, 1), 1), 1), 0},
		"compressed":                      {[]byte{0x0e, 0, 2, 1, 'x'}, frame.CodeCompression},
		"empty":                           {[]byte{0x0a, 0, 0}, frame.CodeProtocol},
		"second GOAWAY":                   {frame.AppendGoaway(frame.AppendGoaway(nil, 9), 9), frame.CodeProtocol},
		"unknown type":                    {[]byte{0x23}, frame.CodeProtocol},
		"unknown type that may be":        {[]byte{0x40, 0x40, 1, 'x'}, 0},
		"data after stop is still FLOW":   {data(data(nil, 4, big, false), 4, big, false), frame.CodeFlowControl},
		"data after stop is dropped":      {data(data(nil, 4, "x", false), 4, "y", true), 0},
		"data after stop's FIN":           {data(data(nil, 4, "x", true), 4, "y", true), frame.CodeStreamState},
		"STREAM without LEN to the end":   {append(frame.AppendStreamHeader(nil, 0, -1, false), "x"...), 0},
		"STREAM_OPEN cut":                 {[]byte{6, 8, 0}, frame.CodeProtocol},
		"STREAM_OPEN flags":               {[]byte{6, 8, 0x10, 0, 0}, frame.CodeProtocol},
		"first data with its STREAM_OPEN": {data(open(nil, 8), 8, "x", true), 0},
	} {
		t.Run(name, func(t *testing.T) {
			noBuffers(t)
			m := New(Config{Window: 64 << 10, MaxWindow: 64 << 10, Credit: 128 << 10, MaxCredit: 128 << 10, MaxStreams: 5})
			own, err := m.OpenStream(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			own.Write([]byte("own"))
			if err := handleFrames(m, open(data(open(open(open(nil, 0), 2), 4), 2, "", true), 6)); err != nil {
				t.Fatal(err)
			}
			streams := []*Stream{own}
			for range 4 {
				s, err := m.AcceptStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
			streams[2].Close()
			streams[3].CloseRead()
			for m.Waiting() != frame.None {
				m.AppendFrames(nil, testRecord, frame.Data, 0)
			}
			err = handleFrames(m, c.frames)
			if _, ok := errors.AsType[*frame.Error](err); frame.CodeOf(err) != c.want || ok != (err != nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			m.Fail(err)
			if s, err := m.AcceptStream(t.Context()); err == nil {
				streams = append(streams, s) // a whole one
			}
			for _, s := range streams {
				s.Close()
			}
		})
	}
}

// Streams that are opened and reset at once count until they are accepted.
func TestRapidReset(t *testing.T) {
	m := New(Config{MaxStreams: 16})
	for i := range uint64(16) {
		if err := handleFrames(m, frame.AppendStopSending(frame.AppendResetStream(open(nil, i<<1), i<<1, 256), i<<1, 256)); err != nil {
			t.Fatal(err)
		}
		for m.Waiting() != frame.None { // our RESET_STREAM, the answer
			m.AppendFrames(nil, testRecord, frame.Data, 0)
		}
	}
	if m.Streams() != 0 || m.limit != 16 {
		t.Errorf("%d streams, limit %d", m.Streams(), m.limit)
	}
	if err := handleFrames(m, open(nil, 32)); frame.CodeOf(err) != frame.CodeStreamLimit {
		t.Error(err)
	}
	s, _ := m.AcceptStream(t.Context())
	if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Error(err)
	}
	if m.limit != 17 {
		t.Errorf("limit %d", m.limit)
	}
	if err := handleFrames(m, open(nil, 32)); err != nil {
		t.Error(err)
	}
}

// A stream of one-byte frames costs memory by its bytes, not by its frames.
func TestSmallFramesShareMemory(t *testing.T) {
	noBuffers(t)
	m := New(Config{})
	if err := handleFrames(m, open(nil, 0)); err != nil {
		t.Fatal(err)
	}
	before := framing.BuffersInUse()
	for range 100 {
		b := data(nil, 0, "x", false)
		for range 99 {
			b = data(b, 0, "x", false)
		}
		if err := handleFrames(m, b); err != nil {
			t.Fatal(err)
		}
	}
	if n := framing.BuffersInUse() - before; n > 3 {
		t.Errorf("%d Buffers for 10000 bytes", n)
	}
	s, _ := m.AcceptStream(t.Context())
	if n, err := io.ReadFull(s, make([]byte, 10000)); n != 10000 || err != nil {
		t.Error(n, err)
	}
}

func FuzzHandleFrame(f *testing.F) {
	f.Add(data(open(nil, 0), 0, "hello", true))
	f.Add(append(open(nil, 0), compressed(f, 5000, make([]byte, 5000), true)...))
	f.Add(frame.AppendStopSending(frame.AppendResetStream(open(nil, 0), 0, 1), 0, 1))
	f.Add(frame.AppendGoaway(frame.AppendMaxStreamData(frame.AppendMaxData(frame.AppendMaxStreams(nil, 1<<40), 1<<50), 1, 1<<50), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := framing.BuffersInUse()
		m := New(Config{MaxStreams: 4})
		own, _ := m.OpenStream(t.Context(), nil)
		own.Write([]byte("own"))
		m.AppendFrames(nil, testRecord, frame.Data, 0)
		err := handleFrames(m, b)
		for m.Waiting() != frame.None {
			if out, _ := m.AppendFrames(nil, testRecord, frame.Data, 1); len(out) == 0 {
				t.Fatal("something waits, but nothing comes")
			}
		}
		m.mu.Lock()
		all := []*Stream{own}
		for _, s := range m.streams {
			all = append(all, s)
		}
		all = append(all, m.accept...)
		m.mu.Unlock()
		for _, s := range all {
			s.Close()
		}
		m.Fail(err)
		if n := framing.BuffersInUse() - before; n != 0 {
			t.Fatalf("%d Buffers in use", n)
		}
	})
}
