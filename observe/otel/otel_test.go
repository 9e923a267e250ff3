package otel_test

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/observe/otel"
)

// collect gives what the reader has, by name.
func collect(t *testing.T, reader sdk.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]metricdata.Metrics)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

func newMetrics(t *testing.T) (*otel.Metrics, sdk.Reader) {
	t.Helper()
	reader := sdk.NewManualReader()
	metrics, err := otel.New(sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("msl"))
	if err != nil {
		t.Fatal(err)
	}
	return metrics, reader
}

func TestMetrics(t *testing.T) {
	metrics, reader := newMetrics(t)
	r := observe.Observer{Metrics: metrics}.Session(observe.Initiator)
	r.Opened(observe.Opening{Resumed: true})
	r.Look(observe.Traffic{BytesSent: 1000, Retained: 10})
	r.Look(observe.Traffic{BytesSent: 1500, Retained: 5})
	got := collect(t, reader)
	for _, want := range []metricdata.Metrics{
		{
			Name: "msl.sessions.opened", Description: observe.SessionsOpened.Help(),
			Data: metricdata.Sum[float64]{
				Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
				DataPoints: []metricdata.DataPoint[float64]{{Attributes: attribute.NewSet(attribute.String("setup", "resumed")), Value: 1}},
			},
		},
		{
			Name: "msl.sent", Description: observe.BytesSent.Help(), Unit: "By",
			Data: metricdata.Sum[float64]{
				Temporality: metricdata.CumulativeTemporality, IsMonotonic: true,
				DataPoints: []metricdata.DataPoint[float64]{{Value: 1500}},
			},
		},
		{
			Name: "msl.retained", Description: observe.BytesRetained.Help(), Unit: "By",
			Data: metricdata.Sum[float64]{
				Temporality: metricdata.CumulativeTemporality,
				DataPoints:  []metricdata.DataPoint[float64]{{Value: 5}},
			},
		},
	} {
		metricdatatest.AssertEqual(t, want, got[want.Name], metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	}
	if h, ok := got["msl.setup.duration"].Data.(metricdata.Histogram[float64]); !ok || len(h.DataPoints) != 1 || h.DataPoints[0].Count != 1 {
		t.Errorf("duration: %+v", got["msl.setup.duration"])
	}
}

// Every metric there is can be recorded.
func TestAll(t *testing.T) {
	metrics, reader := newMetrics(t)
	for _, m := range observe.All() {
		metrics.Record(m, "x", 1)
	}
	if n := len(collect(t, reader)); n != len(observe.All()) {
		t.Errorf("%d of %d metrics", n, len(observe.All()))
	}
}
