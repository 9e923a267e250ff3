package faultnet

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server of one function per connection behind a proxy.
func start(t *testing.T, p *Proxy, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Target = l.Addr().String()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func echo(c net.Conn) { io.Copy(c, c) }

func TestProxyForwardsAndCaptures(t *testing.T) {
	p := &Proxy{Capture: true}
	start(t, p, echo)
	c := dial(t, p)
	buf := make([]byte, 4)
	for range 3 {
		c.Write([]byte("ping"))
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		t.Fatalf("after the end: %q, %v", rest, err)
	}
	p.Links()[0].Wait()
	got := p.Links()[0].Capture()
	if string(got.Up) != "pingpingping" || string(got.Down) != "pingpingping" || got.Flights != 6 {
		t.Errorf("captured %q, %q in %d flights", got.Up, got.Down, got.Flights)
	}
}

func TestProxyCutsAtByte(t *testing.T) {
	for _, n := range []int64{-1, 1, 1000, chunkSize, chunkSize + 1, 200_000} {
		p := &Proxy{Paths: func(int) (up, down Path) { return Path{}, Path{CutAfter: n} }}
		start(t, p, func(c net.Conn) { c.Write(make([]byte, 1<<20)) })
		got, _ := io.ReadAll(dial(t, p))
		if want := max(n, 0); int64(len(got)) != want {
			t.Errorf("%d bytes arrived, want %d", len(got), want)
		}
	}
	p := &Proxy{Paths: func(int) (up, down Path) { return Path{CutAfter: 10}, Path{} }, Capture: true}
	start(t, p, echo)
	c := dial(t, p)
	c.Write(make([]byte, 100))
	io.ReadAll(c)
	p.Links()[0].Wait()
	if got := p.Links()[0].Capture(); len(got.Up) != 10 {
		t.Errorf("%d bytes went up", len(got.Up))
	}
}

func TestProxyCutAndHold(t *testing.T) {
	p := &Proxy{}
	start(t, p, echo)
	p.Hold(true)
	c := dial(t, p)
	c.Write([]byte("later"))
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes passed", n)
	}
	c.SetReadDeadline(time.Time{})
	p.Hold(false)
	buf := make([]byte, 5)
	if _, err := io.ReadFull(c, buf); string(buf) != "later" {
		t.Fatalf("got %q, %v", buf, err)
	}
	p.Cut()
	if _, err := c.Read(buf); err == nil {
		t.Error("the connection lives on")
	}
	c = dial(t, p)
	c.Write(buf)
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

// pipes gives the ends of two pipes with a link between.
func pipes(upward, downward Path) (client, server transport.Conn, l *Link) {
	client, a := transport.Pipe()
	b, server := transport.Pipe()
	return client, server, NewLink(a, b, upward, downward, true)
}

func TestLinkLatencyAndRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, l := pipes(Path{Latency: 100 * time.Millisecond}, Path{Rate: 1000})
		start := time.Now()
		client.Write([]byte("x"))
		io.ReadFull(server, make([]byte, 1))
		if d := time.Since(start); d != 100*time.Millisecond {
			t.Errorf("latency %v", d)
		}
		start = time.Now()
		server.Write(make([]byte, 2000))
		server.Write(make([]byte, 1000))
		io.ReadFull(client, make([]byte, 3000))
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("3000 bytes at 1000 bytes/s took %v", d)
		}
		client.Close()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
		l.Wait()
		server.Close()
	})
}

func TestLinkCutInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, l := pipes(Path{Latency: time.Hour}, Path{})
		client.Write([]byte("never"))
		l.Hold(true)
		server.Write([]byte("never"))
		synctest.Wait()
		start := time.Now()
		l.Cut()
		l.Wait()
		for _, c := range []net.Conn{client, server} {
			if got, _ := io.ReadAll(c); len(got) != 0 {
				t.Errorf("%q passed", got)
			}
			c.Close()
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the cut took %v", d)
		}
	})
}

func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name  string
		edits []Edit
		want  string // of the writes "abc", "def", "ghi"
	}{
		{"none", nil, "abcdefghi"},
		{"flip", []Edit{{Op: Flip, At: 1, N: 2}}, "acbdefghi"},
		{"drop over a border", []Edit{{Op: Drop, At: 2, N: 2}}, "abefghi"},
		{"repeat", []Edit{{Op: Repeat, At: 2, N: 2}}, "abcdcdefghi"},
		{"swap", []Edit{{Op: Swap, At: 1, N: 3}}, "aefgbcdhi"},
		{"swap held to the end", []Edit{{Op: Swap, At: 8}}, "abcdefgh"},
		{"flip write", []Edit{{Op: Flip, At: 1, Writes: true}}, "abceefghi"},
		{"drop write", []Edit{{Op: Drop, At: 1, Writes: true}}, "abcghi"},
		{"repeat write", []Edit{{Op: Repeat, Writes: true}}, "abcabcdefghi"},
		{"swap writes", []Edit{{Op: Swap, At: 1, Writes: true}}, "abcghidef"},
		{"two", []Edit{{Op: Drop, At: 0}, {Op: Drop, At: 0}}, "cdefghi"},
	} {
		a, b := transport.Pipe()
		d := Damage(a, c.edits...)
		buf := make([]byte, 3)
		for _, s := range []string{"abc", "def", "ghi"} {
			copy(buf, s) // writes may not keep it
			if n, err := d.Write(buf); n != 3 || err != nil {
				t.Fatal(n, err)
			}
		}
		d.Close()
		if got, _ := io.ReadAll(b); string(got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		b.Close()
	}
}

func TestSeedsRepeat(t *testing.T) {
	if a, b := RandomEdits(7, 20, 1000, false), RandomEdits(7, 20, 1000, false); !slices.Equal(a, b) {
		t.Error("the same seed gave other edits")
	}
	if a, b := RandomEdits(7, 20, 1000, false), RandomEdits(8, 20, 1000, false); slices.Equal(a, b) {
		t.Error("another seed gave the same edits")
	}
	f, g := RandomCuts(7, 100), RandomCuts(7, 100)
	for i := range 50 {
		u, d := f(i)
		u2, d2 := g(i)
		if u != u2 || d != d2 || (u.CutAfter == 0) == (d.CutAfter == 0) || u.CutAfter+d.CutAfter > 100 {
			t.Errorf("cut %d: %v, %v; %v, %v", i, u, d, u2, d2)
		}
	}
}

// The same seed does the same damage to the bytes, and some.
func TestDamageWithRandomEdits(t *testing.T) {
	sent := bytes.Repeat([]byte("0123456789"), 1000)
	for seed := range uint64(50) {
		var got [2][]byte
		for i := range got {
			a, b := transport.Pipe()
			d := Damage(a, RandomEdits(seed, 3, 5000, false)...)
			for p := sent; len(p) > 0; p = p[100:] {
				if _, err := d.Write(p[:100]); err != nil {
					t.Fatal(err)
				}
			}
			d.Close()
			got[i], _ = io.ReadAll(b)
			b.Close()
		}
		if !bytes.Equal(got[0], got[1]) || bytes.Equal(got[0], sent) {
			t.Errorf("seed %d: not the same damage, or none", seed)
		}
	}
}
