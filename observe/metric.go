package observe

import "slices"

// A Metric is one of the figures that sessions give.
type Metric uint8

// The metrics. Their names, units and labels stand in docs/operations.md.
const (
	SessionsOpened Metric = iota
	SessionsClosed
	SessionsOpen
	SetUpDuration
	SetUpFailures
	StreamsOpened
	StreamsReset
	StreamsOpen
	RecordsSent
	RecordsReceived
	BytesSent
	BytesReceived
	BytesRetained
	RoundTrip
	KeyChanges
	ConnectionsLost
	Reconnects
	metrics // how many there are
)

// A Kind says how the values of a metric add up.
type Kind uint8

// The kinds.
const (
	Counter   Kind = iota // a sum that only grows
	Gauge                 // a sum that grows and shrinks
	Histogram             // a distribution
)

type description struct {
	name, unit, label, help string
	kind                    Kind
}

var descriptions = [metrics]description{
	SessionsOpened:  {"msl.sessions.opened", "", "setup", "Sessions that were set up, by first contact or resumed.", Counter},
	SessionsClosed:  {"msl.sessions.closed", "", "code", "Sessions that ended, by the code that ended them.", Counter},
	SessionsOpen:    {"msl.sessions.open", "", "", "Sessions that are open.", Gauge},
	SetUpDuration:   {"msl.setup.duration", "s", "setup", "How long set-ups took: first contact, resumed, failed.", Histogram},
	SetUpFailures:   {"msl.setup.failures", "", "code", "Set-ups that failed, by why.", Counter},
	StreamsOpened:   {"msl.streams.opened", "", "side", "Streams that were opened, by which side.", Counter},
	StreamsReset:    {"msl.streams.reset", "", "side", "Directions of streams that ended early, by which side wanted it.", Counter},
	StreamsOpen:     {"msl.streams.open", "", "", "Streams that have not ended both ways.", Gauge},
	RecordsSent:     {"msl.records.sent", "", "", "Records formed.", Counter},
	RecordsReceived: {"msl.records.received", "", "", "Records opened.", Counter},
	BytesSent:       {"msl.sent", "By", "", "Bytes of records formed.", Counter},
	BytesReceived:   {"msl.received", "By", "", "Bytes of records opened.", Counter},
	BytesRetained:   {"msl.retained", "By", "", "Bytes of records that are not acknowledged.", Gauge},
	RoundTrip:       {"msl.round_trip", "s", "", "Smoothed round trips, one value per look at a session that moved records.", Histogram},
	KeyChanges:      {"msl.key.changes", "", "kind", "New keys of a direction: key updates sent and received, rekeys.", Counter},
	ConnectionsLost: {"msl.connections.lost", "", "", "Connections that ended without CLOSE.", Counter},
	Reconnects:      {"msl.reconnects", "", "result", "Attempts to go on over another connection.", Counter},
}

// All returns every metric, for those who register them.
func All() []Metric {
	all := make([]Metric, metrics)
	for i := range all {
		all[i] = Metric(i)
	}
	return all
}

// Name is words between dots, as OpenTelemetry has them: "msl.sessions.opened".
func (m Metric) Name() string { return descriptions[m].name }

// String implements fmt.Stringer.
func (m Metric) String() string { return m.Name() }

// Unit is that of the values in UCUM: "s", "By", or "" for plain numbers.
func (m Metric) Unit() string { return descriptions[m].unit }

// Label is the name of the one label, "" if there is none.
func (m Metric) Label() string { return descriptions[m].label }

// Help says what is measured.
func (m Metric) Help() string { return descriptions[m].help }

// Kind says how values add up.
func (m Metric) Kind() Kind { return descriptions[m].kind }

// Buckets are the upper bounds that suit a histogram, in its unit.
func (m Metric) Buckets() []float64 { return slices.Clone(seconds) }

var seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
