package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// Every peer's path delivers intact data: each cell runs, with a limit of bytes
// or trips and in this process alone, and all that arrives is compared.
func TestPeersDeliver(t *testing.T) {
	effort := Effort{Sample: time.Hour, Limit: 3 << 20, Connections: 3, Streams: 40, Delay: 5 * time.Millisecond}
	for _, p := range peers() {
		t.Run(p.Name, func(t *testing.T) {
			server, err := p.serve()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			for _, c := range cells() {
				if !c.Applies(p) {
					continue
				}
				e := effort
				if strings.HasSuffix(c.Name, "x256") {
					e.Limit = 64 << 10
				}
				if strings.HasPrefix(c.Name, "round trip") {
					e.Sample = 500 * time.Millisecond // the pause before the bulk's queues are full
				}
				t.Run(c.Name, func(t *testing.T) {
					b := &bench{Effort: e, peer: p, endpoint: server.Endpoint}
					o, err := c.Run(t.Context(), b)
					b.release()
					if err != nil {
						t.Fatal(err)
					}
					if o.Count == 0 {
						t.Error("nothing was done")
					}
				})
			}
		})
	}
}

// The check notices what a broken peer may do.
func TestCheckNotices(t *testing.T) {
	q := request{op: opSink, start: 7, block: 1 << 10, limit: 64 << 10}
	var sent bytes.Buffer
	if _, err := send(&sent, q); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(before, block, after []byte) [][]byte{
		"a bit flipped":    func(a, b, c []byte) [][]byte { b[17] ^= 4; return [][]byte{a, b, c} },
		"a byte inverted":  func(a, b, c []byte) [][]byte { b[0] = ^b[0]; return [][]byte{a, b, c} },
		"a byte lost":      func(a, b, c []byte) [][]byte { return [][]byte{a, b[1:], c} },
		"a block lost":     func(a, _, c []byte) [][]byte { return [][]byte{a, c} },
		"a block doubled":  func(a, b, c []byte) [][]byte { return [][]byte{a, b, b, c} },
		"halves exchanged": func(a, b, c []byte) [][]byte { return [][]byte{a, b[512:], b[:512], c} },
	} {
		for _, at := range []int{0, 5 << 10, 63 << 10} { // first, in the middle, last
			if name == "a block doubled" && at == 63<<10 {
				continue // it is the next request's answer that is wrong then
			}
			all := bytes.Clone(sent.Bytes())
			wire := bytes.Join(edit(all[:at], all[at:at+q.block], all[at+q.block:]), nil)
			if n, err := receive(bytes.NewReader(wire), q); err == nil {
				t.Errorf("%s at %d: %d bytes were taken", name, at, n)
			}
		}
	}
}

func TestReceiveEndsEarly(t *testing.T) {
	q := request{op: opSink, block: 1 << 10, limit: 64 << 10}
	var all bytes.Buffer
	if _, err := send(&all, q); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 1024, all.Len() - 1} {
		if _, err := receive(bytes.NewReader(all.Bytes()[:n]), q); !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if n, err := receive(&all, q); err != nil || n != 64<<10 {
		t.Errorf("all: %d, %v", n, err)
	}
}

func TestChunks(t *testing.T) {
	r := &Run{Results: make(Results)}
	if err := r.chunks(0); err != nil {
		t.Fatal(err)
	}
	for _, cell := range []string{cellEncode, cellVerify} {
		for _, p := range []string{peerRaw, peerChunks} {
			if len(r.values(cell, p, metricRate)) != 1 {
				t.Errorf("%s, %s: no value", p, cell)
			}
		}
	}
}

func TestJain(t *testing.T) {
	for _, tt := range []struct {
		counts []int64
		want   float64
	}{{nil, 0}, {[]int64{5, 5, 5, 5}, 1}, {[]int64{8, 0, 0, 0}, 0.25}} {
		if got := jain(tt.counts); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.counts, got, tt.want)
		}
	}
}

// The report of made-up results: ratios are taken round by round, and what
// could not be measured is named.
func TestReport(t *testing.T) {
	r := &Run{Peers: []string{"tls", "tls+yamux", "msl"}, Rounds: 3, Left: []string{"early: missing"}, Results: make(Results)}
	for i, v := range []float64{100, 200, 400} {
		for _, p := range r.Peers {
			x := v
			if p == "msl" {
				x *= []float64{2, 3, 4}[i]
			}
			r.Results.add("bulk 64 KiB x1", p, Sample{Metrics: map[string]float64{metricRate: x}})
			r.Results.add("round trip idle", p, Sample{Metrics: map[string]float64{metricP50: 9, metricP99: 20}, Histogram: []int{0, 5, 5}})
			r.Results.add("set-up first", p, Sample{Metrics: map[string]float64{metricSetUp: x}})
		}
	}
	text := r.markdown()
	for _, want := range []string{"600 ±117% (3.00 / 3.00)", "* early: missing"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	plots := r.plots()
	for _, name := range []string{"throughput-size.svg", "latency-idle.svg", "set-up.svg"} {
		if plots[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	for name, svg := range plots {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			_, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	if err := save(r, t.TempDir()); err != nil {
		t.Error(err)
	}
}

// The runner's two processes are this test binary; see TestMain.
func TestRun(t *testing.T) {
	plan := Plan{Effort: Effort{Sample: 10 * time.Millisecond, Limit: 1 << 20, Connections: 2, Streams: 4}, Rounds: 1, Budget: time.Minute, Delayed: 2}
	list := []*Peer{findPeer("tls"), findPeer("tls+yamux")}
	r, err := run(t.Context(), plan, list, cells(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Left) != 0 || r.Rounds != 1 {
		t.Errorf("%d rounds, left out %q", r.Rounds, r.Left)
	}
	for _, c := range cells() {
		if c.Applies(list[1]) && len(r.Results[c.Name]["tls+yamux"]) != 1 {
			t.Errorf("no sample of %s", c.Name)
		}
	}
}
