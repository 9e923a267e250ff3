// Package observe is how a session lets itself be watched: figures for a
// monitoring system ([Metrics]) and the course of each session ([Events]). Both
// are opt-in; who sets neither pays one comparison with nil per occasion.
//
// What is observed is never a secret, a key, a token or a byte of a stream.
//
// # Usage
//
// Fill an [Observer] and give it to a peer.Client, peer.Server or peer.Node, or
// to a session's Initiator or Responder. Adapters to Prometheus and
// OpenTelemetry are modules of their own: observe/prometheus and observe/otel.
// [NewEventLog] writes events as JSON lines.
//
// # Concurrency
//
// Implementations of Metrics and Events are called by many goroutines at once,
// some of which hold a session's locks: they return at once and call nothing of
// the session.
package observe

// An Observer is told of sessions. The zero value observes nothing.
type Observer struct {
	// Metrics gets the figures. Nil: none.
	Metrics Metrics
	// Events gets what happens in each session. Nil: nobody does.
	Events Events
}

// Metrics takes figures. How depends on m.Kind(): a counter and a gauge add
// value, which is negative only for gauges; a histogram counts it among its
// values. label is the value of m.Label(), one of a bounded set; "" if m has none.
type Metrics interface {
	Record(m Metric, label string, value float64)
}

// Events takes what happens in sessions. e and its Data belong to the callee.
type Events interface {
	Event(e Event)
}

// A Role tells the two sides of a session apart.
type Role string

// The roles.
const (
	Initiator Role = "initiator"
	Responder Role = "responder"
)
