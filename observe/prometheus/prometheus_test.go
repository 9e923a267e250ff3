package prometheus_test

import (
	"strings"
	"testing"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/observe/prometheus"
)

func TestMetrics(t *testing.T) {
	registry := client.NewPedanticRegistry()
	metrics, err := prometheus.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	r := observe.Observer{Metrics: metrics}.Session(observe.Responder)
	r.Opened(observe.Opening{Suite: "AES-128-GCM", Resumed: true})
	r.StreamOpened(1, true)
	r.Look(observe.Traffic{RecordsSent: 3, BytesSent: 1000, Retained: 10})
	r.Look(observe.Traffic{RecordsSent: 4, BytesSent: 1500, Retained: 5})
	want := `
# HELP msl_retained_bytes Bytes of records that are not acknowledged.
# TYPE msl_retained_bytes gauge
msl_retained_bytes 5
# HELP msl_sent_bytes_total Bytes of records formed.
# TYPE msl_sent_bytes_total counter
msl_sent_bytes_total 1500
# HELP msl_sessions_opened_total Sessions that were set up, by first contact or resumed.
# TYPE msl_sessions_opened_total counter
msl_sessions_opened_total{setup="resumed"} 1
# HELP msl_streams_opened_total Streams that were opened, by which side.
# TYPE msl_streams_opened_total counter
msl_streams_opened_total{side="local"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"msl_retained_bytes", "msl_sent_bytes_total", "msl_sessions_opened_total", "msl_streams_opened_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "msl_setup_duration_seconds"); err != nil || n != 1 {
		t.Errorf("%d durations, %v", n, err)
	}
	r.Closed("NO_ERROR", false, "")
	if n, err := testutil.GatherAndCount(registry, "msl_sessions_closed_total"); err != nil || n != 1 {
		t.Errorf("%d series of closed sessions, %v", n, err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// Every metric there is can be recorded.
func TestAll(t *testing.T) {
	registry := client.NewPedanticRegistry()
	metrics, err := prometheus.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range observe.All() {
		label := ""
		if m.Label() != "" {
			label = "x"
		}
		metrics.Record(m, label, 1)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != len(observe.All()) {
		t.Errorf("%d families of %d metrics, %v", len(families), len(observe.All()), err)
	}
	if _, err := prometheus.New(registry); err == nil {
		t.Error("registered twice")
	}
}
