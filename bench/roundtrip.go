package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"
)

const (
	tripSize     = 128      // bytes of a request and of its answer
	besideSize   = 64 << 10 // writes of the bulk beside it
	histogramLen = 80       // buckets: up to a second

	cellIdle   = "round trip idle"
	cellBeside = "round trip beside bulk"
	cellUrgent = "round trip beside bulk, more urgent"
)

// roundTrip sends requests one after the other, alone or beside a bulk stream
// of the same session. Where streams are connections, the bulk has its own.
func roundTrip(name string, beside, urgent bool) Cell {
	c := Cell{Name: name, Unit: "trip", Can: all}
	if urgent {
		// The references do what they can, to be compared within one cell.
		c.Can = func(p *Peer) bool { return p.Prioritises || isReference(p.Name) }
	}
	if beside {
		c.Unit = "" // costs would be those of the bulk
	}
	c.Run = func(ctx context.Context, b *bench) (Outcome, error) { return b.roundTrip(ctx, beside, urgent) }
	return c
}

func (b *bench) roundTrip(ctx context.Context, beside, urgent bool) (o Outcome, err error) {
	s, err := b.session(ctx)
	if err != nil {
		return o, err
	}
	q := request{op: opEcho, block: tripSize, urgent: urgent}
	st, err := begin(ctx, s, q)
	if err != nil {
		return o, err
	}
	b.hold(st.Close)
	answer := make([]byte, tripSize)
	for range 20 {
		if err := trip(st, q, answer, false); err != nil {
			return o, err
		}
	}
	type result struct {
		n       int64
		err     error
		elapsed time.Duration
	}
	bulk := make(chan result, 1)
	if beside {
		q := request{op: opSink, block: besideSize, limit: b.Limit, duration: b.Sample}
		st, err := begin(ctx, s, q)
		if err != nil {
			return o, err
		}
		b.hold(st.Close)
		go func() {
			start := time.Now()
			n, err := upload(st, q)
			bulk <- result{n, err, time.Since(start)}
		}()
		// its first part fills the queues
		pause := time.NewTimer(b.Sample / 20)
		defer pause.Stop()
		<-pause.C
	}
	if err := b.start(); err != nil {
		return o, err
	}
	trips := make([]time.Duration, 0, 1<<16)
	end := time.Now().Add(b.Sample * 9 / 10)
	for now := time.Now(); now.Before(end) && (b.Limit == 0 || len(trips) < 100); {
		if err := trip(st, q, answer, false); err != nil {
			return o, err
		}
		next := time.Now()
		trips = append(trips, next.Sub(now))
		now = next
	}
	err = trip(st, q, answer, true)
	o = latencies(trips)
	if beside {
		r := <-bulk
		o.Metrics[metricBulk] = float64(r.n) / (1 << 20) / r.elapsed.Seconds()
		err = errors.Join(err, r.err)
	}
	return o, err
}

func latencies(trips []time.Duration) Outcome {
	slices.Sort(trips)
	o := Outcome{Count: float64(len(trips)), Metrics: map[string]float64{}, Histogram: make([]int, histogramLen)}
	if len(trips) == 0 {
		return o
	}
	o.Metrics[metricP50] = microseconds(trips[len(trips)/2])
	o.Metrics[metricP99] = microseconds(trips[len(trips)*99/100])
	for _, t := range trips {
		i := int(math.Floor(4*math.Log2(max(1, microseconds(t))))) + 1
		o.Histogram[min(i, histogramLen-1)]++
	}
	return o
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
