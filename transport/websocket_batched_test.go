//go:build !js

package transport

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// polled is what a Conn over a socket can.
type polled interface {
	Conn
	TryWriter
	TryReader
	WaitReader
}

// overTCP gives one end of a WebSocket, without a handshake, and the bare TCP
// connection of the other.
func overTCP(t *testing.T, client bool, early []byte) (Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := newBatched(&wire{Conn: own, top: own}, early, client, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c, peer.(*net.TCPConn)
}

func overTCPPolled(t *testing.T, client bool) (polled, *net.TCPConn) {
	t.Helper()
	c, peer := overTCP(t, client, nil)
	p, ok := c.(polled)
	if !ok {
		t.Skip("no system calls of its own on this system")
	}
	return p, peer
}

// keyOf is the key that the peer of an end masks with.
func keyOf(client bool) *maskKey {
	if client {
		return nil
	}
	return &maskKey{5, 6, 7, 8}
}

func TestWebSocketPolledWhereItIsTCP(t *testing.T) {
	tcp, _ := connect(t, "tcp://127.0.0.1:0", nil, nil)
	_, can := tcp.(polled)
	wsClient, wsServer := connect(t, wsAny, nil, nil)
	wssClient, wssServer := connectWSS(t)
	single, _ := connect(t, wsAny, nil, &Options{Subprotocols: []string{SubprotocolClassic}})
	for name, c := range map[string]struct {
		conn Conn
		want bool
	}{
		"ws client": {wsClient, can}, "ws server": {wsServer, can},
		"wss client": {wssClient, false}, "wss server": {wssServer, false},
		"single": {single, false},
	} {
		_, w := c.conn.(TryWriter)
		_, r := c.conn.(TryReader)
		_, wait := c.conn.(WaitReader)
		if w != c.want || r != c.want || wait != c.want {
			t.Errorf("%s: TryWriter %v, TryReader %v, WaitReader %v", name, w, r, wait)
		}
		_, limits := tcp.(UnsentLimiter)
		if _, got := c.conn.(UnsentLimiter); got != (c.want && limits) {
			t.Errorf("%s: UnsentLimiter %v", name, got)
		}
	}
}

// libraryPeer connects a Conn with the library's WebSocket, whose frames are a
// second opinion.
func libraryPeer(t *testing.T, client bool) (Conn, *websocket.Conn) {
	t.Helper()
	if !client {
		raw, c := rawWebSocket(t, nil, SubprotocolChannel)
		raw.SetReadLimit(-1)
		return c, raw
	}
	accepted := make(chan *websocket.Conn, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{SubprotocolChannel}})
		if err != nil {
			t.Error(err)
		}
		accepted <- raw
	}))
	t.Cleanup(s.Close)
	c, err := Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := <-accepted
	raw.SetReadLimit(-1)
	t.Cleanup(func() { raw.CloseNow(); c.Close() })
	return c, raw
}

// Pieces that a TryWrite took and those that Write sent after it make the
// messages that were begun, with PONG only between them.
func TestWebSocketTryWriteThenWrite(t *testing.T) {
	for _, client := range []bool{false, true} {
		t.Run(fmt.Sprintf("client=%v", client), func(t *testing.T) {
			c, raw := libraryPeer(t, client)
			try, ok := c.(polled)
			if !ok {
				t.Skip("no TryWrite on this system")
			}
			r := rand.New(rand.NewPCG(3, 4))
			var sent bytes.Buffer
			var sizes, gotSizes []int
			done := make(chan error, 2)
			partly := make(chan struct{}) // closed when a TryWrite has not taken all
			full := sync.OnceFunc(func() { close(partly) })
			go func() {
				for range 200 {
					p := make([]byte, 1+r.IntN(MaxBatch))
					for i := range p {
						p[i] = byte(r.Uint32())
					}
					sent.Write(p)
					sizes = append(sizes, len(p))
					n, err := try.TryWrite(p)
					if n < len(p) {
						full()
						var m int
						m, err = c.Write(p[n:])
						n += m
					}
					if err != nil || n != len(p) {
						done <- fmt.Errorf("wrote %d of %d: %w", n, len(p), err)
						return
					}
				}
				done <- nil
			}()
			go func() { // answers pings
				_, err := io.Copy(io.Discard, c)
				done <- err
			}()
			go func() {
				for raw.Ping(t.Context()) == nil {
				}
			}()
			var got bytes.Buffer
			<-partly
			for i := range 200 {
				kind, p, err := raw.Read(t.Context())
				if err != nil || kind != websocket.MessageBinary {
					t.Fatalf("message %d: %v, %v", i, kind, err)
				}
				got.Write(p)
				gotSizes = append(gotSizes, len(p))
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), sent.Bytes()) {
				t.Error("bytes differ")
			}
			if !slices.Equal(sizes, gotSizes) {
				t.Errorf("messages of %v bytes, not %v", gotSizes, sizes)
			}
			raw.Close(websocket.StatusNormalClosure, "")
			if err := <-done; err != nil {
				t.Errorf("the reader ended with %v", err)
			}
		})
	}
}

// fill writes until nothing more is taken, and returns what was and what was
// left of the last write, whose message has begun.
func fill(t *testing.T, c TryWriter) (taken, left int) {
	t.Helper()
	p := make([]byte, 100_000)
	for {
		n, err := c.TryWrite(p)
		if err != nil {
			t.Fatal(err)
		}
		taken += n
		if n < len(p) {
			return taken, len(p) - n
		}
	}
}

// frames reads what the peer of an end gets: data and control frames in the
// order in which they came.
type frames struct {
	reader   frameReader
	conn     io.Reader
	data     int
	controls []string // opcode, payload and the data before it
}

func framesOf(client bool, conn io.Reader) *frames {
	f := &frames{conn: conn}
	f.reader = frameReader{client: !client, limit: maxSingle, control: func(opcode byte, p []byte) error {
		f.controls = append(f.controls, fmt.Sprintf("%x %q", opcode, p))
		return nil
	}}
	return f
}

// until reads until ok says so, or the end.
func (f *frames) until(ok func() bool) error {
	b := make([]byte, 64<<10)
	for !ok() {
		n, err := f.conn.Read(b)
		if err != nil {
			return err
		}
		n, err = f.reader.decode(b[:n])
		f.data += n
		if err != nil {
			return err
		}
	}
	return nil
}

func TestWebSocketPongWaitsForTheMessage(t *testing.T) {
	for _, client := range []bool{false, true} {
		c, peer := overTCPPolled(t, client)
		taken, left := fill(t, c)
		var ping []byte
		for _, p := range []string{"one", "two"} {
			ping = appendFrame(ping, 0x80|opPing, []byte(p), keyOf(client))
		}
		if _, err := peer.Write(ping); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitRead(); err != nil { // a frame without data ends it
			t.Fatal(err)
		}
		if n, err := c.TryRead(make([]byte, 100)); n != 0 || err != nil {
			t.Fatalf("TryRead of a ping: %d, %v", n, err)
		}
		f := framesOf(client, peer)
		if err := f.until(func() bool { return f.data == taken }); err != nil || len(f.controls) > 0 {
			t.Fatalf("inside the message: %q, %v", f.controls, err)
		}
		// The rest, and a message more.
		if n, err := c.TryWrite(make([]byte, left+10)); n != left+10 || err != nil {
			t.Fatal(n, err)
		}
		if err := f.until(func() bool { return f.data == taken+left+10 }); err != nil {
			t.Fatal(err)
		}
		if len(f.controls) != 1 || f.controls[0] != `a "two"` {
			t.Errorf("client %v: %q, not one PONG for the last ping", client, f.controls)
		}
		// With nothing under way the reader answers itself.
		peer.Write(ping)
		for len(f.controls) < 2 {
			if err := c.WaitRead(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.TryRead(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			if err := f.until(func() bool { return len(f.controls) > 1 }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A message that is not whole when the connection is closed does not look like
// one that is, and CLOSE does not stand in it.
func TestWebSocketCloseInsideAMessage(t *testing.T) {
	for _, client := range []bool{false, true} {
		c, peer := overTCPPolled(t, client)
		taken, _ := fill(t, c)
		c.Close()
		f := framesOf(client, peer)
		if err := f.until(func() bool { return false }); err != io.EOF || f.data != taken || len(f.controls) > 0 || f.reader.left == 0 {
			t.Errorf("client %v: %d of %d bytes, %q, %v", client, f.data, taken, f.controls, err)
		}
	}
}

func TestWebSocketCloseIsSentOnce(t *testing.T) {
	for _, client := range []bool{false, true} {
		c, peer := overTCP(t, client, nil)
		c.Close()
		c.Close()
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		f := framesOf(client, peer)
		if err := f.until(func() bool { return false }); err != io.EOF || len(f.controls) != 1 || f.controls[0] != `8 "\x03\xe8"` {
			t.Errorf("client %v: %q, %v", client, f.controls, err)
		}
	}
}

// What the peer sends before its end is read, then why it ended; it is told the
// same code.
func TestWebSocketPeerEnds(t *testing.T) {
	const data = "12345"
	for name, end := range map[string]struct {
		first   byte
		payload string
		err     func(error) bool
		told    []string
	}{
		"normally":       {0x88, "\x03\xe8bye", func(err error) bool { return err == io.EOF }, []string{`8 "\x03\xe8"`}},
		"without a code": {0x88, "", func(err error) bool { return err == io.EOF }, []string{`8 ""`}},
		"with an error": {0x88, "\x0f\xa0no", func(err error) bool {
			return websocket.CloseStatus(err) == 4000 && strings.Contains(err.Error(), "no")
		}, []string{`8 "\x0f\xa0"`}},
		"badly": {0x88, "\x03", func(err error) bool { return err != io.EOF }, []string{`8 "\x03\xea"`}},
		"text":  {0x81, "hello", func(err error) bool { return strings.Contains(err.Error(), "text") }, []string{`8 "\x03\xeb"`}},
		"inside a message": {0x82, "", func(err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF
		}, nil},
	} {
		for _, client := range []bool{false, true} {
			for _, try := range []bool{false, true} {
				c, peer := overTCP(t, client, nil)
				wire := appendFrame(nil, 0x82, []byte(data), keyOf(client))
				if name == "inside a message" {
					wire = wire[:len(wire)-1]
				} else {
					wire = appendFrame(wire, end.first, []byte(end.payload), keyOf(client))
				}
				peer.Write(wire)
				peer.CloseWrite()
				read := c.Read
				if p, ok := c.(polled); ok && try {
					read = func(b []byte) (int, error) {
						for {
							if n, err := p.TryRead(b); n > 0 || err != nil {
								return n, err
							}
							if err := p.WaitRead(); err != nil {
								return 0, err
							}
						}
					}
				}
				var got []byte
				var err error
				for err == nil {
					var n int
					b := make([]byte, 100)
					n, err = read(b)
					got = append(got, b[:n]...)
				}
				want := data
				if name == "inside a message" {
					want = data[:4]
				}
				if string(got) != want || !end.err(err) {
					t.Errorf("%s: got %q, %v", name, got, err)
				}
				if _, again := read(make([]byte, 1)); again != err {
					t.Errorf("%s: then %v", name, again)
				}
				f := framesOf(client, peer)
				if err := f.until(func() bool { return false }); err != io.EOF || !slices.Equal(f.controls, end.told) {
					t.Errorf("%s: the peer is told %q, %v", name, f.controls, err)
				}
			}
		}
	}
}

func TestWebSocketWaitRead(t *testing.T) {
	for _, client := range []bool{false, true} {
		c, peer := overTCPPolled(t, client)
		frame := appendFrame(nil, 0x82, []byte("abc"), keyOf(client))
		done := make(chan error)
		wait := func() { done <- c.WaitRead() }
		go wait()
		if n, err := c.TryRead(make([]byte, 8)); n != 0 || err != nil {
			t.Fatalf("beside WaitRead: %d, %v", n, err)
		}
		peer.Write(frame)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 8)
		if n, err := c.TryRead(p); string(p[:n]) != "abc" || err != nil {
			t.Fatalf("%q, %v", p[:n], err)
		}
		go wait()
		c.SetReadDeadline(time.Now().Add(-time.Second))
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("after the deadline: %v", err)
		}

		c, _ = overTCPPolled(t, client)
		go wait()
		c.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
		if _, err := c.TryRead(p); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("TryRead after Close: %v", err)
		}
		if _, err := c.TryWrite(p); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("TryWrite after Close: %v", err)
		}
	}
}

// What was read along with the handshake comes first.
func TestWebSocketEarly(t *testing.T) {
	for _, client := range []bool{false, true} {
		for cut := range 12 {
			wire := appendFrame(nil, 0x82, []byte("abc"), keyOf(client))
			wire = appendFrame(wire, 0x82, []byte("defg"), keyOf(client))
			c, peer := overTCP(t, client, wire[:cut])
			if p, ok := c.(polled); ok && cut > 0 {
				if err := p.WaitRead(); err != nil {
					t.Fatal(err)
				}
			}
			go peer.Write(wire[cut:])
			got := make([]byte, 7)
			if _, err := io.ReadFull(c, got); string(got) != "abcdefg" || err != nil {
				t.Fatalf("client %v, cut at %d: %q, %v", client, cut, got, err)
			}
		}
	}
}

// A client that does not wait for the handshake's answer, and a server that
// sends at once, in the segment of its answer.
func TestWebSocketBytesBehindTheHandshake(t *testing.T) {
	l, err := Listen(t.Context(), wsAny, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(l.URL(), "ws://"), "/msl"))
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	request := "GET /msl HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: msl.channel.1\r\n\r\n"
	tcp.Write(appendFrame([]byte(request), 0x82, []byte("early"), keyOf(false)))
	server, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got := make([]byte, 5)
	if _, err := io.ReadFull(server, got); string(got) != "early" || err != nil {
		t.Errorf("the server got %q, %v", got, err)
	}

	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	go func() {
		tcp, err := nl.Accept()
		if err != nil {
			return
		}
		defer tcp.Close()
		r, err := http.ReadRequest(bufio.NewReader(tcp))
		if err != nil {
			t.Error(err)
			return
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Protocol: msl.channel.1\r\nSec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
		wire := appendFrame([]byte(answer), 0x82, []byte("early"), nil)
		tcp.Write(wire[:len(wire)-2])
		r.Body.Close()
		tcp.Write(wire[len(wire)-2:])
		io.Copy(io.Discard, tcp)
	}()
	client, err := Dial(t.Context(), "ws://"+nl.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.ReadFull(client, got); string(got) != "early" || err != nil {
		t.Errorf("the client got %q, %v", got, err)
	}
}

// Messages in parts, and control frames between the parts.
func TestWebSocketPartsOfMessages(t *testing.T) {
	for _, client := range []bool{false, true} {
		c, raw := libraryPeer(t, client)
		var want bytes.Buffer
		done := make(chan error, 1)
		go func() {
			r := rand.New(rand.NewPCG(5, 6))
			for range 20 {
				w, err := raw.Writer(t.Context(), websocket.MessageBinary)
				if err != nil {
					done <- err
					return
				}
				for range r.IntN(4) {
					p := binary.BigEndian.AppendUint64(make([]byte, r.IntN(100_000)), r.Uint64())
					want.Write(p)
					w.Write(p)
				}
				w.Close()
			}
			done <- nil
			raw.CloseRead(t.Context())
			for range 5 {
				if err := raw.Ping(t.Context()); err != nil {
					t.Errorf("ping: %v", err)
				}
			}
			raw.Close(websocket.StatusGoingAway, "")
		}()
		got, err := io.ReadAll(c)
		if err := errors.Join(err, <-done); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("client %v: %d bytes of %d, %v", client, len(got), want.Len(), err)
		}
	}
}

func TestWebSocketSocketCallsAllocateNothing(t *testing.T) {
	a, b := connect(t, wsAny, nil, nil)
	if _, ok := a.(polled); !ok {
		t.Skip("no system calls of its own on this system")
	}
	p := make([]byte, 100)
	for _, c := range []struct{ from, to Conn }{{a, b}, {b, a}} {
		if n := testing.AllocsPerRun(100, func() {
			c.from.(TryWriter).TryWrite(p)
			c.to.(WaitReader).WaitRead()
			io.ReadFull(c.to, p)
		}); n >= 1 { // a pool may be emptied
			t.Errorf("%v allocations", n)
		}
	}
}
