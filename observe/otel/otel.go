// Package otel gives the figures of sessions to OpenTelemetry.
//
//	metrics, err := otel.New(provider.Meter("github.com/mslgo/msl"))
//	server := &peer.Server{Observe: observe.Observer{Metrics: metrics}}
//
// Names and units are those of package observe.
package otel

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/mslgo/msl/observe"
)

// Metrics is an observe.Metrics. It may be shared.
type Metrics struct {
	record []func(value float64, attributes attribute.Set)
}

// New makes the instruments. The error is the Meter's.
func New(meter metric.Meter) (*Metrics, error) {
	m := new(Metrics)
	for _, o := range observe.All() {
		record, err := instrument(meter, o)
		if err != nil {
			return nil, fmt.Errorf("observe/otel: %s: %w", o, err)
		}
		m.record = append(m.record, record)
	}
	return m, nil
}

// Record implements observe.Metrics.
func (m *Metrics) Record(o observe.Metric, label string, value float64) {
	set := *attribute.EmptySet()
	if o.Label() != "" {
		set = attribute.NewSet(attribute.String(o.Label(), label))
	}
	m.record[o](value, set)
}

// instrument makes what OpenTelemetry has for the metric.
func instrument(meter metric.Meter, o observe.Metric) (func(float64, attribute.Set), error) {
	ctx := context.Background()
	help, unit := metric.WithDescription(o.Help()), metric.WithUnit(o.Unit())
	switch o.Kind() {
	case observe.Gauge:
		i, err := meter.Float64UpDownCounter(o.Name(), help, unit)
		return func(v float64, s attribute.Set) { i.Add(ctx, v, metric.WithAttributeSet(s)) }, err
	case observe.Histogram:
		i, err := meter.Float64Histogram(o.Name(), help, unit, metric.WithExplicitBucketBoundaries(o.Buckets()...))
		return func(v float64, s attribute.Set) { i.Record(ctx, v, metric.WithAttributeSet(s)) }, err
	}
	i, err := meter.Float64Counter(o.Name(), help, unit)
	return func(v float64, s attribute.Set) { i.Add(ctx, v, metric.WithAttributeSet(s)) }, err
}
