package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// bulk sends as much as goes in writes of the given size on a number of
// streams, from the client to the server. The clock runs until everything has
// arrived.
func bulk(size, streams int) Cell {
	return Cell{
		Name: cellBulk(size, streams), Unit: "GiB", Can: all,
		Run: func(ctx context.Context, b *bench) (Outcome, error) { return b.bulk(ctx, size, streams, false) },
	}
}

// bulkDown is the other direction, on one stream.
func bulkDown(size int) Cell {
	return Cell{
		Name: cellDown(size), Unit: "GiB", Can: func(p *Peer) bool { return p.OneSided || isReference(p.Name) },
		Run: func(ctx context.Context, b *bench) (Outcome, error) { return b.bulk(ctx, size, 1, true) },
	}
}

func cellBulk(size, streams int) string { return fmt.Sprintf("bulk %s x%d", sizeName(size), streams) }
func cellDown(size int) string          { return cellBulk(size, 1) + " down" }

func sizeName(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func (b *bench) bulk(ctx context.Context, size, streams int, down bool) (Outcome, error) {
	s, err := b.session(ctx)
	if err != nil {
		return Outcome{}, err
	}
	q := request{op: opSink, block: size, limit: b.Limit, duration: b.Sample}
	open := make([]Stream, streams)
	for i := range open {
		// An echo that is ended at once opens the stream without starting its clock.
		e := request{op: opEcho, block: 1, start: uint16(i)}
		if open[i], err = begin(ctx, s, e); err != nil {
			return Outcome{}, err
		}
		b.hold(open[i].Close)
		if err := trip(open[i], e, make([]byte, 1), true); err != nil {
			return Outcome{}, err
		}
	}
	if err := b.start(); err != nil {
		return Outcome{}, err
	}
	counts, errs := make([]int64, streams), make([]error, streams)
	start := time.Now()
	var all sync.WaitGroup
	for i, st := range open {
		all.Go(func() {
			q := q
			q.start = uint16(i)
			if down {
				q.op = opSource
			}
			if errs[i] = ask(st, q); errs[i] != nil {
				return
			}
			if down {
				counts[i], errs[i] = receive(st, q)
			} else {
				counts[i], errs[i] = upload(st, q)
			}
		})
	}
	all.Wait()
	elapsed := time.Since(start)
	var total int64
	for _, n := range counts {
		total += n
	}
	o := Outcome{
		Count:   float64(total) / (1 << 30),
		Metrics: map[string]float64{metricRate: float64(total) / (1 << 20) / elapsed.Seconds()},
	}
	if streams > 1 {
		o.Metrics[metricJain] = jain(counts)
	}
	return o, errors.Join(errs...)
}
