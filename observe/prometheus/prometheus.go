// Package prometheus gives the figures of sessions to Prometheus.
//
//	metrics, err := prometheus.New(registerer)
//	server := &peer.Server{Observe: observe.Observer{Metrics: metrics}}
//
// Names are those of package observe with underscores, the unit and, for
// counters, _total: msl_sessions_opened_total, msl_sent_bytes_total,
// msl_setup_duration_seconds.
package prometheus

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mslgo/msl/observe"
)

// Metrics is an observe.Metrics. It may be shared by everything that is to
// appear under one registry.
type Metrics struct {
	record []func(label string, value float64)
}

// New registers the metrics. The error is the Registerer's: most likely they are
// registered already.
func New(r prometheus.Registerer) (*Metrics, error) {
	m := new(Metrics)
	for _, metric := range observe.All() {
		collector, record := instrument(metric)
		if err := r.Register(collector); err != nil {
			return nil, fmt.Errorf("observe/prometheus: %s: %w", metric, err)
		}
		m.record = append(m.record, record)
	}
	return m, nil
}

// Record implements observe.Metrics.
func (m *Metrics) Record(metric observe.Metric, label string, value float64) {
	m.record[metric](label, value)
}

// instrument makes what Prometheus has for the metric, and how a value gets there.
func instrument(m observe.Metric) (prometheus.Collector, func(label string, value float64)) {
	var labels []string
	if m.Label() != "" {
		labels = []string{m.Label()}
	}
	values := func(label string) []string {
		if labels == nil {
			return nil
		}
		return []string{label}
	}
	switch m.Kind() {
	case observe.Gauge:
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name(m), Help: m.Help()}, labels)
		return v, func(label string, value float64) { v.WithLabelValues(values(label)...).Add(value) }
	case observe.Histogram:
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name(m), Help: m.Help(), Buckets: m.Buckets()}, labels)
		return v, func(label string, value float64) { v.WithLabelValues(values(label)...).Observe(value) }
	}
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(m), Help: m.Help()}, labels)
	return v, func(label string, value float64) { v.WithLabelValues(values(label)...).Add(value) }
}

// name is the metric's name as Prometheus writes it.
func name(m observe.Metric) string {
	s := strings.ReplaceAll(m.Name(), ".", "_")
	switch m.Unit() {
	case "s":
		s += "_seconds"
	case "By":
		s += "_bytes"
	}
	if m.Kind() == observe.Counter {
		s += "_total"
	}
	return s
}
