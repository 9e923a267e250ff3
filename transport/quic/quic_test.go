package quic

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	quicgo "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"
	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	"github.com/mslgo/msl/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var options = &transport.Options{Transports: []transport.Transport{Transport{}}}

func listen(t testing.TB) transport.Listener {
	t.Helper()
	l, err := transport.Listen(t.Context(), "quic://127.0.0.1:0", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect gives both ends of a connection. One byte has been carried, because
// only a byte makes the stream visible to the listener.
func connect(t testing.TB) (client, server *conn) {
	t.Helper()
	l := listen(t)
	c, err := transport.Dial(t.Context(), l.URL(), options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(c, s) })
	var b [1]byte
	if _, err := io.ReadFull(s, b[:]); err != nil || b[0] != 7 {
		t.Fatalf("first byte: %v, %v", b, err)
	}
	return c.(*conn), s.(*conn)
}

// both runs a test with each side in the first role.
func both(t *testing.T, run func(t *testing.T, a, b *conn)) {
	t.Run("client", func(t *testing.T) { c, s := connect(t); run(t, c, s) })
	t.Run("server", func(t *testing.T) { c, s := connect(t); run(t, s, c) })
}

// closeAll closes at the same time, as programs do: one after the other, the
// first would wait for the second.
func closeAll(conns ...io.Closer) {
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() { c.Close() })
	}
	wg.Wait()
}

func TestNettest(t *testing.T) {
	for _, swap := range []bool{false, true} {
		t.Run(fmt.Sprintf("swap=%v", swap), func(t *testing.T) {
			nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
				c, s := connect(t)
				a, b = c, s
				if swap {
					a, b = s, c
				}
				return a, b, func() { closeAll(a, b) }, nil
			})
		})
	}
}

func TestAddresses(t *testing.T) {
	c, s := connect(t)
	if c.URL() != s.URL() || !strings.HasPrefix(c.URL(), "quic://127.0.0.1:") || strings.HasSuffix(c.URL(), ":0") {
		t.Errorf("URLs %q, %q", c.URL(), s.URL())
	}
	u, _ := url.Parse(c.URL())
	if c.RemoteAddr().String() != u.Host {
		t.Errorf("remote address %v of %v", c.RemoteAddr(), u)
	}
	if _, p1, _ := net.SplitHostPort(c.LocalAddr().String()); !strings.HasSuffix(s.RemoteAddr().String(), ":"+p1) {
		t.Errorf("client at %v, the server sees %v", c.LocalAddr(), s.RemoteAddr())
	}
	if c.Form() != transport.Stream || s.Form() != transport.Stream {
		t.Error("not of form Stream")
	}
	if tr := (Transport{}); !tr.Protected("quic") {
		t.Error("not protected")
	}
}

func TestBadURLs(t *testing.T) {
	for _, raw := range []string{"quic://127.0.0.1", "quic://127.0.0.1:1/path", "quic://u:secret@127.0.0.1:1", "quic://127.0.0.1:1?q", "quic://127.0.0.1:1#f"} {
		if l, err := transport.Listen(t.Context(), raw, options); err == nil {
			l.Close()
			t.Errorf("Listen(%q) works", raw)
		}
		if c, err := transport.Dial(t.Context(), raw, options); err == nil {
			c.Close()
			t.Errorf("Dial(%q) works", raw)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

// Close carries the last bytes to a peer that reads them later, whichever side
// closes first.
func TestCloseFlushes(t *testing.T) {
	both(t, func(t *testing.T, a, b *conn) {
		p := make([]byte, 300<<10)
		rand.Read(p)
		if _, err := a.Write(p); err != nil {
			t.Fatal(err)
		}
		closed := make(chan error)
		go func() { closed <- a.Close() }()
		got, err := io.ReadAll(b)
		if !bytes.Equal(got, p) || err != nil {
			t.Fatalf("%d of %d bytes arrived: %v", len(got), len(p), err)
		}
		select {
		case <-closed:
			t.Error("Close has not waited for the peer")
		default:
		}
		b.Close()
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// A response after the end of the request: the side that has read the end must
// not tear the connection down before its own bytes are read.
func TestHalfClose(t *testing.T) {
	both(t, func(t *testing.T, a, b *conn) {
		a.Write([]byte("request"))
		if err := a.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); string(got) != "request" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		b.Write(bytes.Repeat([]byte("response"), 1<<14))
		closed := make(chan error)
		go func() { closed <- b.Close() }()
		got, err := io.ReadAll(a)
		if len(got) != 8<<14 || err != nil {
			t.Fatalf("%d bytes of the response, %v", len(got), err)
		}
		a.Close()
		<-closed
		if _, err := a.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if err := a.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite after Close: %v", err)
		}
	})
}

// A peer that neither reads nor closes holds Close up for a second at most, and
// one that is told of nothing more not at all.
func TestCloseIsBounded(t *testing.T) {
	both(t, func(t *testing.T, a, b *conn) {
		a.Write(make([]byte, 100))
		begun := time.Now()
		a.Close()
		if d := time.Since(begun); d < closing/2 || d > 3*closing {
			t.Errorf("Close took %v", d)
		}
		<-b.quic.Context().Done()
		if _, err := io.ReadAll(b); err == nil {
			t.Error("cut, and yet a clean end")
		}
	})
	both(t, func(t *testing.T, a, _ *conn) {
		a.SetReadDeadline(time.Unix(1, 0))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		begun := time.Now()
		a.Close()
		if d := time.Since(begun); d > closing/2 {
			t.Errorf("Close after a timeout took %v", d)
		}
	})
	both(t, func(t *testing.T, a, _ *conn) {
		a.Write(make([]byte, 100))
		a.SetDeadline(time.Unix(1, 0))
		begun := time.Now()
		a.Close()
		if d := time.Since(begun); d > closing/2 {
			t.Errorf("Close behind a deadline took %v", d)
		}
	})
}

func TestCloseUnblocks(t *testing.T) {
	both(t, func(t *testing.T, a, _ *conn) {
		errs := make(chan error, 3)
		go func() { _, err := a.Read(make([]byte, 1)); errs <- err }()
		go func() { errs <- a.WaitRead() }()
		blocked := make(chan struct{})
		go func() {
			p := make([]byte, 1<<20)
			close(blocked)
			for {
				if _, err := a.Write(p); err != nil { // until the window is full
					errs <- err
					return
				}
			}
		}()
		<-blocked
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { a.Close() })
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		wg.Wait()
		if err := a.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetDeadline after Close: %v", err)
		}
		if err := a.WaitRead(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WaitRead after Close: %v", err)
		}
	})
}

func TestWaitRead(t *testing.T) {
	both(t, func(t *testing.T, a, b *conn) {
		b.Write([]byte("ab"))
		for range 2 {
			if err := a.WaitRead(); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, 2)
		if _, err := io.ReadFull(a, got); string(got) != "ab" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		b.CloseWrite()
		if err := a.WaitRead(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(got); err != io.EOF {
			t.Fatal(err)
		}
		b.SetReadDeadline(time.Unix(1, 0))
		if err := b.WaitRead(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestConnOutlivesDialContextAndListener(t *testing.T) {
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := transport.Dial(ctx, l.URL(), options)
	if err != nil {
		t.Fatal(err)
	}
	a.Write([]byte("hel"))
	b, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	a.Write([]byte("lo"))
	go a.Close()
	if got, err := io.ReadAll(b); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	b.Close()
}

func TestContextEndsCalls(t *testing.T) {
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := transport.Dial(ctx, l.URL(), options); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}

	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel = context.WithCancel(t.Context())
	go func() { // once the dial is under way
		silent.ReadFrom(make([]byte, 2000))
		cancel()
	}()
	if _, err := transport.Dial(ctx, "quic://"+silent.LocalAddr().String(), options); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial to silence: %v", err)
	}

	go func() { // the listener is as good as before
		if c, err := transport.Dial(context.Background(), l.URL(), options); err == nil {
			c.Write([]byte{1})
			c.Close()
		}
	}()
	c, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func TestCloseOfListenerEndsAcceptAndWaiting(t *testing.T) {
	l := listen(t)
	c, err := transport.Dial(t.Context(), l.URL(), options) // without a byte
	if err != nil {
		t.Fatal(err)
	}
	d, err := transport.Dial(t.Context(), l.URL(), options) // nobody takes it
	if err != nil {
		t.Fatal(err)
	}
	d.Write([]byte{1})
	accepted := make(chan error)
	e := listen(t)
	go func() { _, err := e.Accept(context.Background()); accepted <- err }()
	closeAll(l, e)
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	for _, c := range []transport.Conn{c, d} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection lives on that was never accepted")
		}
		c.Close()
	}
}

func TestDialByName(t *testing.T) {
	l := listen(t)
	u, _ := url.Parse(l.URL())
	go func() {
		if c, err := l.Accept(context.Background()); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	// If localhost is ::1 first, nobody answers there.
	c, err := transport.Dial(t.Context(), "quic://localhost:"+u.Port(), options)
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	c.Close()
	if _, err := transport.Dial(t.Context(), "quic://name.invalid:1", options); err == nil {
		t.Error("a name that is none")
	}
}

// bare gives a socket that ends with the test, at once.
func bare(t *testing.T) *socket {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(udp)
	t.Cleanup(func() { s.release() })
	return s
}

// raw dials without this package's Dial.
func raw(t *testing.T, l transport.Listener, conf *tls.Config) (*quicgo.Conn, error) {
	t.Helper()
	return bare(t).Dial(t.Context(), l.(*listener).quic.Addr(), conf, nil)
}

func TestALPNMismatch(t *testing.T) {
	l := listen(t)
	conf := clientTLS()
	conf.NextProtos = []string{"h3"}
	_, err := raw(t, l, conf)
	var te *quicgo.TransportError
	if !errors.As(err, &te) || !te.Remote || te.ErrorCode != 0x178 { // CRYPTO_ERROR + no_application_protocol
		t.Errorf("got %v", err)
	}

	cert, err := throwAway()
	if err != nil {
		t.Fatal(err)
	}
	server := serverTLS(cert)
	server.NextProtos = []string{"h3"}
	ql, err := bare(t).Listen(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Dial(t.Context(), "quic://"+ql.Addr().String(), options); !errors.As(err, &te) || te.ErrorCode != 0x178 {
		t.Errorf("got %v", err)
	}
}

func TestHandshake(t *testing.T) {
	c, s := connect(t)
	for _, c := range []*conn{c, s} {
		state := c.quic.ConnectionState().TLS
		if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.NegotiatedProtocol != alpn {
			t.Errorf("version %x, %v, %q", state.Version, state.CurveID, state.NegotiatedProtocol)
		}
	}
	one, other := c.quic.ConnectionState().TLS.PeerCertificates[0].Raw, listenerCertificate(t)
	if bytes.Equal(one, other) {
		t.Error("two listeners with one certificate")
	}
}

func listenerCertificate(t *testing.T) []byte {
	c, err := raw(t, listen(t), clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().TLS.PeerCertificates[0].Raw
}

// What a peer may open is one bidirectional stream.
func TestStreamLimits(t *testing.T) {
	c, err := raw(t, listen(t), clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenStream(); err != nil {
		t.Fatal(err)
	}
	var limit *quicgo.StreamLimitReachedError
	if _, err := c.OpenStream(); !errors.As(err, &limit) {
		t.Errorf("a second stream: %v", err)
	}
	if _, err := c.OpenUniStream(); !errors.As(err, &limit) {
		t.Errorf("a unidirectional stream: %v", err)
	}
	_, s := connect(t)
	if _, err := s.quic.OpenStream(); !errors.As(err, &limit) {
		t.Errorf("a stream of the listener: %v", err)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	l := listen(t).(*listener)
	for range maxWaiting - 1 {
		l.places <- struct{}{}
	}
	if _, err := raw(t, l, clientTLS()); err != nil { // the last place, with a verified address
		t.Fatal(err)
	}
	_, err := transport.Dial(t.Context(), l.URL(), options)
	var te *quicgo.TransportError
	if !errors.As(err, &te) || te.ErrorCode != quicgo.ConnectionRefused {
		t.Fatalf("got %v", err)
	}
	<-l.places // one is accepted
	c, err := transport.Dial(t.Context(), l.URL(), options)
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte{1})
	s, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeAll(c, s)
	for range maxWaiting - 2 {
		<-l.places
	}
}

// A virtual network and clock: an idle connection outlives every silence that
// MSL allows, and a connection without a stream does not outlive 10 s.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &simnet.Simnet{Router: &simnet.PerfectRouter{}}
		at := func(ip byte) *socket {
			return newSocket(network.NewEndpoint(&net.UDPAddr{IP: net.IPv4(10, 0, 0, ip), Port: 1}, simnet.NodeBiDiLinkSettings{Latency: 10 * time.Millisecond}))
		}
		there, here := at(1), at(2)
		network.Start()
		defer network.Close()
		cert, err := throwAway()
		if err != nil {
			t.Fatal(err)
		}
		l, err := newListener(there, cert, "")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		defer here.release()
		dial := func() *conn {
			qc, err := here.Dial(t.Context(), there.udp.LocalAddr(), clientTLS(), config(-1))
			if err != nil {
				t.Fatal(err)
			}
			stream, err := qc.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			return newConn(here, qc, stream, "", true)
		}
		a := dial()
		a.Write([]byte{1})
		b, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		for _, silence := range []time.Duration{25 * time.Second, 40 * time.Second, 70 * time.Second, 4 * time.Minute} {
			time.Sleep(silence)
			b.Write([]byte{2})
			if _, err := a.Read(make([]byte, 1)); err != nil {
				t.Fatalf("after %v: %v", silence, err)
			}
		}
		silent := dial()
		time.Sleep(firstBytes - time.Second)
		if silent.quic.Context().Err() != nil {
			t.Error("gave up too early")
		}
		time.Sleep(2 * time.Second)
		var ae *quicgo.ApplicationError
		if err := context.Cause(silent.quic.Context()); !errors.As(err, &ae) || ae.ErrorCode != codeRefused {
			t.Errorf("without a stream: %v", err)
		}
		silent.Close()
		closeAll(a, b)
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, kind := range []string{"up", "down"} {
		b.Run(kind+"/64KiB", func(b *testing.B) {
			c, s := connect(b)
			from, to := c, s
			if kind == "down" {
				from, to = s, c
			}
			done := make(chan int64)
			go func() {
				n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{to}, make([]byte, 256<<10))
				to.Close()
				done <- n
			}()
			p := make([]byte, 64<<10)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			n := int64(0)
			for b.Loop() {
				if _, err := from.Write(p); err != nil {
					b.Fatal(err)
				}
				n += int64(len(p))
			}
			b.StopTimer()
			from.Close()
			if got := <-done; got != n {
				b.Fatalf("%d of %d bytes arrived", got, n)
			}
		})
	}
}
