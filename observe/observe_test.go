package observe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mslgo/msl/observe"
)

func TestNilCostsNothing(t *testing.T) {
	r := observe.Observer{}.Session(observe.Initiator)
	if r != nil {
		t.Fatal("a recorder for nobody")
	}
	if n := testing.AllocsPerRun(100, func() {
		r.Step("x")
		r.SetUpFailed("x", "y")
		r.Identified("x")
		r.Opened(observe.Opening{})
		r.State("a", "b", "c")
		r.KeyUpdated(true)
		r.Rekeyed(1)
		r.Lost(nil)
		r.Attached(1, "x")
		r.AttachFailed(nil)
		r.StreamOpened(1, true)
		r.StreamReset(1, time.Second, true)
		r.StreamClosed(1)
		r.Look(observe.Traffic{})
		r.Closed("x", true, "y")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMetricsDescribeThemselves(t *testing.T) {
	names := make(map[string]bool)
	for _, m := range observe.All() {
		if !strings.HasPrefix(m.Name(), "msl.") || m.Help() == "" || names[m.Name()] {
			t.Errorf("%d: %q, %q", m, m.Name(), m.Help())
		}
		names[m.Name()] = true
		if m.Kind() == observe.Histogram && m.Unit() != "s" {
			t.Errorf("%s: the buckets are seconds", m)
		}
	}
}

type sums map[observe.Metric]float64

func (s sums) Record(m observe.Metric, _ string, v float64) { s[m] += v }

// Whatever the order in which a session's end and the set-up's become known,
// the gauges come back to zero.
func TestGaugesComeBack(t *testing.T) {
	traffic := observe.Traffic{BytesSent: 10, Retained: 7}
	for name, run := range map[string]func(r *observe.Recorder){
		"open": func(r *observe.Recorder) {
			r.Opened(observe.Opening{})
			r.StreamOpened(0, true)
			r.Look(traffic)
			r.Closed("x", false, "")
		},
		"early": func(r *observe.Recorder) {
			r.StreamOpened(0, true)
			r.Look(traffic)
			r.Closed("x", false, "")
			r.Opened(observe.Opening{})
		},
		"late": func(r *observe.Recorder) {
			r.StreamOpened(0, true)
			r.Opened(observe.Opening{})
			r.Closed("x", false, "")
			r.StreamClosed(0)
		},
		"twice": func(r *observe.Recorder) {
			r.Opened(observe.Opening{})
			r.Closed("x", false, "")
			r.Closed("y", false, "")
		},
		"after": func(r *observe.Recorder) {
			r.Opened(observe.Opening{})
			r.Closed("x", false, "")
			r.StreamOpened(0, true)
			r.Look(traffic)
		},
		"failed": func(r *observe.Recorder) {
			r.StreamOpened(0, true)
			r.Look(traffic)
			r.Closed("x", false, "")
			r.SetUpFailed("x", "")
		},
		"clean": func(r *observe.Recorder) {
			r.StreamOpened(0, true)
			r.StreamClosed(0)
			r.Opened(observe.Opening{})
			r.Closed("x", false, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := make(sums)
			run(observe.Observer{Metrics: s}.Session(observe.Responder))
			if s[observe.SessionsOpen] != 0 || s[observe.StreamsOpen] != 0 || s[observe.BytesRetained] != 0 {
				t.Errorf("%v", s)
			}
			if s[observe.SessionsClosed] != s[observe.SessionsOpened] || s[observe.SessionsClosed]+s[observe.SetUpFailures] != 1 {
				t.Errorf("%v", s)
			}
		})
	}
}

func TestEventLog(t *testing.T) {
	var out bytes.Buffer
	l := observe.NewEventLog(&out)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	l.Event(observe.Event{Time: at, Trace: "t", Channel: "00ff", Role: observe.Initiator, Name: "a:b", Data: []slog.Attr{
		slog.String("s", "quote \" line\n"), slog.Int("i", -1), slog.Uint64("u", 2), slog.Bool("b", true), slog.Duration("d", 1500*time.Microsecond),
	}})
	l.Event(observe.Event{Time: at, Name: "c"})
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	want := `{"time":"2026-01-02T03:04:05.000006Z","trace":"t","channel":"00ff","role":"initiator","name":"a:b",` +
		`"data":{"s":"quote \" line\n","i":-1,"u":2,"b":true,"d":1.5}}` + "\n" +
		`{"time":"2026-01-02T03:04:05.000006Z","name":"c"}` + "\n"
	if out.String() != want {
		t.Errorf("%s, want\n%s", out.String(), want)
	}
}

// gate is a writer that waits until it is open.
type gate struct {
	mu   sync.Mutex
	open chan struct{}
	out  bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out.Write(p)
}

// Nobody waits for a writer, whose lag costs bounded memory and events that are
// counted.
func TestSlowWriter(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	l := observe.NewEventLog(g)
	const events = 10_000
	for range events {
		l.Event(observe.Event{Name: strings.Repeat("x", 1000)})
	}
	close(g.open)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	written, dropped := 0, 0
	for line := range bytes.Lines(g.out.Bytes()) {
		var e struct {
			Name string
			Data struct{ Events int }
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Name == "log:dropped" {
			dropped += e.Data.Events
		} else {
			written++
		}
	}
	if written+dropped != events || dropped == 0 || g.out.Len() > 3<<20 {
		t.Errorf("%d written, %d dropped of %d, %d bytes", written, dropped, events, g.out.Len())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

func TestBrokenWriter(t *testing.T) {
	l := observe.NewEventLog(broken{})
	for range 3 {
		l.Event(observe.Event{Name: "x"})
		if err := l.Flush(); !errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	r := observe.Observer{Events: observe.NewEventLog(discard{})}.Session(observe.Initiator)
	b.ReportAllocs()
	for b.Loop() {
		r.StreamOpened(4, true)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
