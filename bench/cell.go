package main

import (
	"context"
	"slices"
	"time"
)

// A Cell is one thing that is measured, in each peer that can do it.
type Cell struct {
	Name string
	// Unit by which costs are counted: CPU time and allocations of both
	// processes are divided by the Outcome's Count.
	Unit string
	// Can says which peers can do it.
	Can func(*Peer) bool
	// Idle cells measure what is held after Run: in fresh processes, once.
	Idle bool
	// Once: counts, not speeds; one round is enough.
	Once bool
	// Run is the client's part. What it holds it hands to bench.hold, and it
	// calls bench.start when what is measured begins.
	Run func(context.Context, *bench) (Outcome, error)
	// Alone, in place of Run, measures one round in this process; no peer takes part.
	Alone func(*Run, time.Duration) error
}

// Applies says whether p takes part.
func (c Cell) Applies(p *Peer) bool {
	return c.Alone == nil && c.Can(p) && (p.Only == nil || slices.Contains(p.Only, c.Name))
}

// An Outcome is what one run of a cell gave.
type Outcome struct {
	Count   float64            // units done
	Metrics map[string]float64 `json:",omitempty"`
	// Histogram counts latencies: the i-th bucket's are below 2^(i/4) µs and
	// not below the bucket before.
	Histogram []int `json:",omitempty"`
}

// Names of metrics. Those of costs are made of the cell's unit, see [costs].
const (
	metricRate  = "MiB/s"
	metricJain  = "Jain"
	metricP50   = "p50 µs"
	metricP99   = "p99 µs"
	metricBulk  = "bulk MiB/s"
	metricSetUp = "per second"
	metricUp    = "bytes up"
	metricDown  = "bytes down"
	metricTrips = "one-way trips"
)

// An Effort is how much is done for a cell.
type Effort struct {
	Sample      time.Duration // of one run
	Limit       int64         // bytes of a bulk stream, or trips; 0: none
	Connections int           // of the idle cell
	Streams     int           // of the idle cell
	Delay       time.Duration // of the proxy, each way
}

// mostStreams is how many streams a session has to allow.
const mostStreams = 16 << 10

// bench is one run of a cell in the client.
type bench struct {
	Effort
	peer     *Peer
	endpoint Endpoint
	released []func() error
	// started tells the runner that the costs begin to count, and waits until
	// it has noted those so far. Nil: there is no runner.
	started func() error
}

// start begins what is measured: what it has cost so far does not count.
func (b *bench) start() error {
	if b.started == nil {
		return nil
	}
	return b.started()
}

// hold keeps something open until the run has been measured.
func (b *bench) hold(release func() error) { b.released = append(b.released, release) }

func (b *bench) release() {
	for _, f := range b.released {
		_ = f()
	}
	b.released = nil
}

// session opens a session that is held.
func (b *bench) session(ctx context.Context) (Session, error) {
	dial, err := b.peer.Dialer(b.endpoint)
	if err != nil {
		return nil, err
	}
	s, err := dial(ctx)
	if err == nil {
		b.hold(s.Close)
	}
	return s, err
}

func all(*Peer) bool { return true }

// cells are all there are.
func cells() []Cell {
	var list []Cell
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10, 1 << 20} {
		list = append(list, bulk(size, 1))
	}
	list = append(list, bulk(16<<10, 16), bulk(16<<10, 256))
	for _, size := range []int{1 << 10, 64 << 10} {
		list = append(list, bulkDown(size))
	}
	return append(list,
		roundTrip(cellIdle, false, false),
		roundTrip(cellBeside, true, false),
		roundTrip(cellUrgent, true, true),
		setUp(false), setUp(true),
		flights(false), flights(true), attach(false), attach(true),
		idleConnections(), idleStreams(),
		Cell{Name: cellChunks, Alone: (*Run).chunks})
}
