//go:build !js

package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/coder/websocket"
)

const wsAny = "ws://127.0.0.1:0/msl"

// certificates gives TLS options for both sides of wss.
func certificates(t testing.TB) (listen, dial *Options) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &Options{TLS: &tls.Config{Certificates: s.TLS.Certificates}},
		&Options{TLS: &tls.Config{RootCAs: roots}}
}

func connectWSS(t testing.TB) (client, server Conn) {
	listen, dial := certificates(t)
	return connect(t, "wss://127.0.0.1:0/msl", listen, dial)
}

func TestWebSocketBytes(t *testing.T) {
	single := &Options{Subprotocols: []string{SubprotocolClassic}}
	for name, make2 := range map[string]func() (Conn, Conn){
		"ws":     func() (Conn, Conn) { return connect(t, wsAny, nil, nil) },
		"wss":    func() (Conn, Conn) { return connectWSS(t) },
		"single": func() (Conn, Conn) { return connect(t, wsAny, nil, single) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := make2()
			for _, c := range []struct{ from, to Conn }{{a, b}, {b, a}} {
				var sent bytes.Buffer
				r := rand.New(rand.NewPCG(1, 2))
				var writes [][]byte
				for _, n := range []int{1, 0, 100, 4085, 4086, 4096, 5000, 64 << 10, 65530, MaxBatch, MaxBatch + maxRecord} {
					p := make([]byte, n)
					for i := range p {
						p[i] = byte(r.Uint32())
					}
					sent.Write(p)
					writes = append(writes, p)
				}
				go func() {
					for _, p := range writes {
						orig := bytes.Clone(p)
						if n, err := c.from.Write(p); n != len(p) || err != nil {
							t.Errorf("Write of %d: %d, %v", len(p), n, err)
						}
						if !bytes.Equal(p, orig) {
							t.Error("Write changed its argument")
						}
					}
				}()
				got := make([]byte, sent.Len())
				if _, err := io.ReadFull(c.to, got); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, sent.Bytes()) {
					t.Fatal("bytes differ")
				}
			}
			a.Close()
			if _, err := b.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the peer's Close: %v", err)
			}
			if _, err := b.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("write after the peer's Close: %v", err)
			}
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read after Close: %v", err)
			}
		})
	}
}

// rawWebSocket is a peer without this package's rules.
func rawWebSocket(t *testing.T, opts *Options, sub string) (raw *websocket.Conn, server Conn) {
	t.Helper()
	l, err := Listen(t.Context(), wsAny, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	dialled := make(chan *websocket.Conn)
	go func() {
		c, _, err := websocket.Dial(t.Context(), l.URL(), &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{sub}})
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	server, err = l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw = <-dialled
	t.Cleanup(func() { raw.CloseNow(); server.Close() })
	return raw, server
}

func TestWebSocketRefusesText(t *testing.T) {
	raw, b := rawWebSocket(t, nil, SubprotocolChannel)
	raw.Write(t.Context(), websocket.MessageText, []byte("hello"))
	if _, err := b.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "text") {
		t.Errorf("Read: %v", err)
	}
	if _, _, err := raw.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusUnsupportedData {
		t.Errorf("the peer sees %v", err)
	}
}

func TestWebSocketLimit(t *testing.T) {
	for sub, limit := range map[string]int64{SubprotocolChannel: MaxBatch + maxRecord, SubprotocolClassic: maxSingle} {
		raw, b := rawWebSocket(t, nil, sub)
		p := make([]byte, limit+1)
		go func() {
			raw.Write(t.Context(), websocket.MessageBinary, p[:limit])
			raw.Write(t.Context(), websocket.MessageBinary, p)
		}()
		n, err := io.Copy(io.Discard, b)
		var le *LimitError
		if !errors.As(err, &le) || le.Limit != limit || n < limit || n > 2*limit+1 {
			t.Errorf("%s: %d bytes, %v", sub, n, err)
		}
	}
}

func TestWebSocketOffersNoCompression(t *testing.T) {
	var extensions atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		extensions.Store(r.Header.Get("Sec-WebSocket-Extensions"))
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer s.Close()
	_, err := Dial(t.Context(), "ws"+strings.TrimPrefix(s.URL, "http"), nil)
	if err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("a redirect: %v", err)
	}
	if extensions.Load() != "" {
		t.Errorf("extensions %q", extensions.Load())
	}
}

// A message that is cut off is an error, wherever it is cut.
func TestWebSocketCutMessage(t *testing.T) {
	client, server := connect(t, wsAny, nil, &Options{Subprotocols: []string{SubprotocolClassic}})
	var frame bytes.Buffer
	frame.Write([]byte{0x82, 10})
	frame.WriteString("12345")
	w := server.(*wsMessageConn).wire
	w.Conn.Write(frame.Bytes())
	w.Conn.Close()
	r, err := client.(MessageConn).ReadMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(iotest.OneByteReader(r))
	if string(got) != "12345" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWebSocketMessages(t *testing.T) {
	a, b := connect(t, wsAny, nil, &Options{Subprotocols: []string{SubprotocolClassic}})
	am, bm := a.(MessageConn), b.(MessageConn)
	go func() {
		for _, parts := range [][]string{{"one"}, {}, {"t", "w", "o"}, {strings.Repeat("x", 200_000), "y"}, {"last"}} {
			w, err := am.WriteMessage(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range parts {
				io.WriteString(w, p)
			}
			if err := errors.Join(w.Close(), w.Close()); err != nil {
				t.Error(err)
			}
		}
		a.Close()
	}()
	var old io.Reader
	for _, want := range []string{"one", "", "two", "", "last"} {
		r, err := bm.ReadMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if old != nil {
			if n, err := old.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("a reader of an old message: %d, %v", n, err)
			}
		}
		old = r
		first := make([]byte, 1)
		if n, _ := io.ReadFull(r, first); n == 1 && first[0] == 'x' {
			continue // left unread: the next call drops it
		} else if n == 1 {
			r = io.MultiReader(bytes.NewReader(first), r)
		}
		if got, err := io.ReadAll(r); string(got) != want || err != nil {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	if _, err := bm.ReadMessage(t.Context()); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestWebSocketMessageContext(t *testing.T) {
	a, _ := connect(t, wsAny, nil, &Options{Subprotocols: []string{SubprotocolClassic}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.(MessageConn).ReadMessage(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadMessage: %v", err)
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("the connection lives on")
	}
}

func TestWebSocketDeadlines(t *testing.T) {
	for name, make2 := range map[string]func() (Conn, Conn){
		"ws": func() (Conn, Conn) { return connect(t, wsAny, nil, nil) }, "wss": func() (Conn, Conn) { return connectWSS(t) },
	} {
		a, _ := make2()
		a.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: Read: %v", name, err)
		}
		b, _ := make2()
		b.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		var err error
		for err == nil {
			_, err = b.Write(make([]byte, MaxBatch))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: Write: %v", name, err)
		}
	}
}

// Close ends a Read and a Write that are blocked, at once; a peer that reads
// nothing does not hold it up.
func TestCloseUnblocks(t *testing.T) {
	for name, make2 := range map[string]func() (Conn, Conn){
		"tcp":    func() (Conn, Conn) { return connect(t, "tcp://127.0.0.1:0", nil, nil) },
		"ws":     func() (Conn, Conn) { return connect(t, wsAny, nil, nil) },
		"wss":    func() (Conn, Conn) { return connectWSS(t) },
		"single": func() (Conn, Conn) { return connect(t, wsAny, nil, &Options{Subprotocols: []string{"msl"}}) },
		"pipe":   func() (Conn, Conn) { return Pipe() },
	} {
		t.Run(name, func(t *testing.T) {
			for _, swap := range []bool{false, true} {
				a, b := make2()
				if swap {
					a, b = b, a
				}
				errs := make(chan error, 2)
				var progress atomic.Int64
				go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
				go func() {
					for {
						if _, err := a.Write(make([]byte, MaxBatch)); err != nil {
							errs <- err
							return
						}
						progress.Add(1)
					}
				}()
				for before := int64(-1); progress.Load() != before; { // until it is stuck
					before = progress.Load()
					<-time.After(30 * time.Millisecond)
				}
				start := time.Now()
				a.Close()
				for range 2 {
					if err := <-errs; err == nil {
						t.Error("no error")
					}
				}
				if d := time.Since(start); d >= closeTimeout {
					t.Errorf("Close took %v", d)
				}
				a.Close()
				b.Close()
			}
		})
	}
}

// Close does not wait for a peer that reads nothing, with nothing being written.
func TestWebSocketCloseOfSilentPeer(t *testing.T) {
	a, b := connectWSS(t)
	done := make(chan error, 1)
	go func() { _, err := a.Read(make([]byte, 1)); done <- err }()
	start := time.Now()
	a.Close()
	<-done
	if d := time.Since(start); d >= closeTimeout {
		t.Errorf("Close took %v", d)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer reads %v", err)
	}
}

func TestWebSocketDialEndsWithContext(t *testing.T) {
	nl, err := net.Listen("tcp", "127.0.0.1:0") // takes the request and is silent
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, "ws://"+nl.Addr().String()+"/", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial: %v", err)
	}
}

func TestWebSocketURLHidesPassword(t *testing.T) {
	l, _ := Listen(t.Context(), wsAny, nil)
	defer l.Close()
	u := strings.Replace(l.URL(), "ws://", "ws://user:secret@", 1)
	c, err := Dial(t.Context(), u, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.URL() != l.URL() {
		t.Errorf("URL %q", c.URL())
	}
	l.Close()
	if _, err := Dial(t.Context(), u, nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Dial: %v", err)
	}
}

// countingConn counts the writes to the connection below a WebSocket.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestWebSocketGathersWrites(t *testing.T) {
	a, b := connect(t, wsAny, nil, &Options{Subprotocols: []string{SubprotocolClassic}})
	counts := map[Conn]*countingConn{}
	for _, c := range []Conn{a, b} {
		w := c.(*wsMessageConn).wire
		counts[c] = &countingConn{Conn: w.Conn}
		w.top = struct {
			io.Reader
			io.Writer
		}{w.top, counts[c]}
	}
	go io.Copy(io.Discard, a)
	go io.Copy(io.Discard, b)
	for name, c := range map[string]Conn{"client": a, "server": b} {
		count := counts[c]
		for size, most := range map[int]int64{100: 1, 64 << 10: 2, 256 << 10: 5} {
			count.writes.Store(0)
			if _, err := c.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			if n := count.writes.Load(); n > most {
				t.Errorf("%s: %d bytes in %d writes", name, size, n)
			}
		}
	}
}
