//go:build !js

package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/coder/websocket"
	"pgregory.net/rapid"
)

// appendFrame appends a frame as a peer sends it, with any first byte. key is
// nil for a server.
func appendFrame(b []byte, first byte, payload []byte, key *maskKey) []byte {
	start := len(b)
	b = appendFrameHeader(b, 0, len(payload), key)
	b[start] = first
	start = len(b)
	b = append(b, payload...)
	if key != nil {
		for i := range payload {
			b[start+i] ^= key[i%4]
		}
	}
	return b
}

func TestMask(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	src := make([]byte, 5000)
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	key := maskKey{1, 2, 3, 4}
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 100, 1023, 1024, 1025, 5000} {
		for pos := range 9 {
			dst := make([]byte, n)
			mask(dst, src[:n], key, pos)
			for i := range dst {
				if dst[i] != src[i]^key[(pos+i)%4] {
					t.Fatalf("byte %d of %d from %d on", i, n, pos)
				}
			}
			mask(dst, dst, key, pos)
			if !bytes.Equal(dst, src[:n]) {
				t.Fatalf("unmasked in place: %d bytes from %d on", n, pos)
			}
		}
	}
}

// collect is what a frameReader makes of wire, given in pieces of sizes that
// next tells.
func collect(client bool, limit int64, wire []byte, next func(left int) int) (data []byte, controls []string, err error) {
	r := &frameReader{client: client, limit: limit, control: func(opcode byte, p []byte) error {
		controls = append(controls, string(opcode)+string(p))
		if opcode == opClose {
			return io.EOF
		}
		return nil
	}}
	for len(wire) > 0 && err == nil {
		piece := bytes.Clone(wire[:next(len(wire))])
		wire = wire[len(piece):]
		var n int
		n, err = r.decode(piece)
		data = append(data, piece[:n]...)
	}
	return data, controls, err
}

func whole(left int) int { return left }

// However messages are cut into frames, and frames into pieces, their data
// comes out, and so do the control frames between.
func TestFrameReaderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		client := rapid.Bool().Draw(t, "client")
		var wire, want []byte
		var controls []string
		opcode := byte(opBinary)
		for range rapid.IntRange(1, 12).Draw(t, "frames") {
			var key *maskKey
			if !client {
				key = &maskKey{}
				binary.BigEndian.PutUint32(key[:], rapid.Uint32().Draw(t, "key"))
			}
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				p := rapid.SliceOfN(rapid.Byte(), 0, maxControl).Draw(t, "control")
				wire = appendFrame(wire, 0x80|opPing, p, key)
				controls = append(controls, string(byte(opPing))+string(p))
				continue
			}
			p := make([]byte, rapid.SampledFrom([]int{0, 1, 125, 126, 1000, 65535, 65536, 70000}).Draw(t, "size"))
			for i := range p {
				p[i] = byte(i * 7)
			}
			fin := rapid.Bool().Draw(t, "fin")
			first := opcode
			opcode = opContinuation
			if fin {
				first |= 0x80
				opcode = opBinary
			}
			wire = appendFrame(wire, first, p, key)
			want = append(want, p...)
		}
		most := rapid.SampledFrom([]int{1, 3, 100, 70000, 1 << 20}).Draw(t, "pieces")
		got, gotControls, err := collect(client, 1<<20, wire, func(left int) int { return min(left, most) })
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
		}
		if len(controls) != len(gotControls) {
			t.Fatalf("%d control frames of %d", len(gotControls), len(controls))
		}
		for i := range controls {
			if controls[i] != gotControls[i] {
				t.Fatalf("control frame %d is %q, not %q", i, gotControls[i], controls[i])
			}
		}
	})
}

func TestFrameReaderRefuses(t *testing.T) {
	key := &maskKey{9, 8, 7, 6}
	long := make([]byte, maxControl+1)
	for name, c := range map[string]struct {
		client bool
		wire   []byte
		code   websocket.StatusCode
	}{
		"masked by a server":       {true, appendFrame(nil, 0x82, []byte("x"), key), websocket.StatusProtocolError},
		"not masked by a client":   {false, appendFrame(nil, 0x82, []byte("x"), nil), websocket.StatusProtocolError},
		"compressed":               {true, appendFrame(nil, 0xc2, []byte("x"), nil), websocket.StatusProtocolError},
		"reserved bit":             {true, appendFrame(nil, 0x92, []byte("x"), nil), websocket.StatusProtocolError},
		"text":                     {true, appendFrame(nil, 0x81, []byte("x"), nil), websocket.StatusUnsupportedData},
		"unknown data frame":       {true, appendFrame(nil, 0x83, []byte("x"), nil), websocket.StatusProtocolError},
		"unknown control frame":    {true, appendFrame(nil, 0x8b, nil, nil), websocket.StatusProtocolError},
		"continuation of nothing":  {true, appendFrame(nil, 0x80, []byte("x"), nil), websocket.StatusProtocolError},
		"message inside a message": {true, appendFrame(appendFrame(nil, 0x02, []byte("x"), nil), 0x82, nil, nil), websocket.StatusProtocolError},
		"ping in parts":            {true, appendFrame(nil, opPing, nil, nil), websocket.StatusProtocolError},
		"long ping":                {true, appendFrame(nil, 0x80|opPing, long, nil), websocket.StatusProtocolError},
		"too large":                {true, appendFrame(nil, 0x82, make([]byte, 1001), nil), websocket.StatusMessageTooBig},
		"too large with the next":  {true, appendFrame(appendFrame(nil, 0x02, make([]byte, 600), nil), 0x80, make([]byte, 401), nil), websocket.StatusMessageTooBig},
		"endless":                  {true, append([]byte{0x82, 127}, bytes.Repeat([]byte{0xff}, 8)...), websocket.StatusMessageTooBig},
	} {
		_, _, err := collect(c.client, 1000, c.wire, whole)
		if limit, ok := errors.AsType[*LimitError](err); ok {
			if c.code != websocket.StatusMessageTooBig || limit.Limit != 1000 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if bad, ok := errors.AsType[*frameError](err); !ok || bad.code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseReason(t *testing.T) {
	for p, want := range map[string]websocket.StatusCode{
		"":             websocket.StatusNoStatusRcvd,
		"\x03\xe8":     websocket.StatusNormalClosure,
		"\x03\xe9bye":  websocket.StatusGoingAway,
		"\x0f\xa0":     4000,
		"\x03":         0,
		"\x03\xed":     0, // 1005 is never sent
		"\x03\xee":     0,
		"\x07\xd0":     0,
		"\x00\x01":     0,
		"\xff\xffmany": 0,
	} {
		e, ok := closeReason([]byte(p))
		if ok != (want != 0) || ok && (e.Code != want || len(p) > 2 && e.Reason != p[2:]) {
			t.Errorf("%q: %v, %v", p, e, ok)
		}
	}
}

// What comes out does not depend on the pieces in which the bytes come.
func FuzzFrameReader(f *testing.F) {
	key := &maskKey{1, 2, 3, 4}
	f.Add(true, appendFrame(appendFrame(nil, 0x82, []byte("hello"), nil), 0x89, []byte("p"), nil), uint64(1))
	f.Add(false, appendFrame(appendFrame(nil, 0x02, make([]byte, 300), key), 0x80, make([]byte, 70000), key), uint64(2))
	f.Add(false, appendFrame(nil, 0x88, []byte{3, 232}, key), uint64(3))
	f.Add(true, append([]byte{0x82, 127}, bytes.Repeat([]byte{0xff}, 8)...), uint64(4))
	f.Fuzz(func(t *testing.T, client bool, wire []byte, seed uint64) {
		const limit = 1 << 10
		data, controls, err := collect(client, limit, wire, whole)
		r := rand.New(rand.NewPCG(seed, 0))
		data2, controls2, err2 := collect(client, limit, wire, func(left int) int { return min(left, 1+r.IntN(20)) })
		if !bytes.Equal(data, data2) || len(controls) != len(controls2) {
			t.Fatalf("%d bytes and %d control frames, in pieces %d and %d", len(data), len(controls), len(data2), len(controls2))
		}
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("%v, in pieces %v", err, err2)
		}
		if len(data) > len(wire) {
			t.Fatal("more came out than went in")
		}
	})
}
