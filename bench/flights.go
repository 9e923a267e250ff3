package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// flights counts what a set-up costs a network: bytes each way until the first
// answer on the first stream, and how many one-way trips in a row that takes,
// over a proxy that delays. The two that open a TCP connection do not pass the
// proxy and are added.
func flights(resumed bool) Cell {
	c := Cell{Name: "flights first", Applies: all, Once: true}
	if resumed {
		c.Name, c.Applies = "flights resumed", func(p *Peer) bool { return p.Resumes }
	}
	c.Run = func(ctx context.Context, b *bench) (Outcome, error) {
		// What delays a process besides the proxy only ever adds flights.
		attempts := make([]Outcome, 3)
		errs := make([]error, len(attempts))
		var all sync.WaitGroup
		for i := range attempts {
			all.Go(func() { attempts[i], errs[i] = b.flights(ctx, resumed) })
		}
		all.Wait()
		least := slices.MinFunc(attempts, func(x, y Outcome) int {
			return cmp.Compare(x.Metrics[metricTrips], y.Metrics[metricTrips])
		})
		return least, errors.Join(errs...)
	}
	return c
}

func (b *bench) flights(ctx context.Context, resumed bool) (Outcome, error) {
	proxy, err := newDelayProxy(b.endpoint, b.Delay)
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = proxy.close() }()
	through := *b
	through.endpoint.Addr = proxy.addr
	dial, err := b.peer.Dialer(through.endpoint)
	if resumed && err == nil {
		dial, err = through.known(ctx)
	}
	if err != nil {
		return Outcome{}, err
	}
	s, st, took, err := first(ctx, dial)
	if err != nil {
		return Outcome{}, err
	}
	up, down := proxy.last()
	_ = st.Close()
	_ = s.Close()
	trips := int(took / max(b.Delay, time.Microsecond))
	if !b.endpoint.UDP {
		trips += 2
	}
	return Outcome{Count: 1, Metrics: map[string]float64{
		metricTrips: float64(trips), metricUp: float64(up), metricDown: float64(down),
	}}, nil
}
