package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	cellFlightsFirst   = "flights first"
	cellFlightsResumed = "flights resumed"
	cellAttach         = "flights attach"
	cellAttachLater    = "flights attach, written meanwhile"
)

// flights counts what a set-up costs a network: bytes each way until the first
// answer on the first stream, and how many one-way trips in a row that takes,
// over a proxy that delays. The two that open a TCP connection do not pass the
// proxy and are added.
func flights(resumed bool) Cell {
	c := Cell{Name: cellFlightsFirst, Can: all, Once: true}
	if resumed {
		c.Name, c.Can = cellFlightsResumed, func(p *Peer) bool { return p.Resumes }
	}
	c.Run = func(ctx context.Context, b *bench) (Outcome, error) {
		return fewest(func() (Outcome, error) { return b.flights(ctx, resumed) })
	}
	return c
}

// attach counts the one-way trips in a row until a session that has lost its
// connection brings an answer again, on a stream that was open before: to what
// was under way when the connection was lost, or was written later. They count
// from the new TCP connection on, its own two included: what a client waits
// before it dials is no trip.
func attach(later bool) Cell {
	c := Cell{Name: cellAttach, Can: func(p *Peer) bool { return p.Reattaches }, Once: true}
	if later {
		c.Name = cellAttachLater
	}
	c.Run = func(ctx context.Context, b *bench) (Outcome, error) {
		return fewest(func() (Outcome, error) { return b.attach(ctx, later) })
	}
	return c
}

// fewest is the best of three: what delays a process besides the proxy only ever
// adds trips.
func fewest(measure func() (Outcome, error)) (Outcome, error) {
	attempts := make([]Outcome, 3)
	errs := make([]error, len(attempts))
	var all sync.WaitGroup
	for i := range attempts {
		all.Go(func() { attempts[i], errs[i] = measure() })
	}
	all.Wait()
	return slices.MinFunc(attempts, func(x, y Outcome) int {
		return cmp.Compare(x.Metrics[metricTrips], y.Metrics[metricTrips])
	}), errors.Join(errs...)
}

// delayed is b with a proxy between.
func (b *bench) delayed() (*bench, *delayProxy, error) {
	proxy, err := newDelayProxy(b.endpoint, b.Delay)
	if err != nil {
		return nil, nil, err
	}
	through := *b
	through.endpoint.Addr = proxy.addr
	return &through, proxy, nil
}

// trips is how many one-way trips took that long, and TCP's own.
func (b *bench) trips(took time.Duration) float64 {
	trips := int(took / max(b.Delay, time.Microsecond))
	if !b.endpoint.UDP {
		trips += 2
	}
	return float64(trips)
}

func (b *bench) flights(ctx context.Context, resumed bool) (Outcome, error) {
	through, proxy, err := b.delayed()
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = proxy.close() }()
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
	return Outcome{Count: 1, Metrics: map[string]float64{
		metricTrips: b.trips(took), metricUp: float64(up), metricDown: float64(down),
	}}, nil
}

func (b *bench) attach(ctx context.Context, later bool) (o Outcome, err error) {
	through, proxy, err := b.delayed()
	if err != nil {
		return o, err
	}
	defer func() { _ = proxy.close() }()
	dial, err := b.peer.Dialer(through.endpoint)
	if err != nil {
		return o, err
	}
	s, err := dial(ctx)
	if err != nil {
		return o, err
	}
	defer s.Close()
	q := request{op: opEcho, block: 1}
	st, err := begin(ctx, s, q)
	if err != nil {
		return o, err
	}
	defer st.Close()
	answer := make([]byte, q.block)
	if err := trip(st, q, answer, false); err != nil {
		return o, err
	}
	<-proxy.accepted
	message := pattern[:q.block]
	if !later {
		if _, err := st.Write(message); err != nil {
			return o, err
		}
	}
	proxy.cut() // before the proxy has passed it on
	connected := <-proxy.accepted
	if later {
		if _, err := st.Write(message); err != nil {
			return o, err
		}
	}
	if _, err := io.ReadFull(st, answer); err != nil {
		return o, err
	}
	o = Outcome{Count: 1, Metrics: map[string]float64{metricTrips: b.trips(time.Since(connected))}}
	if !bytes.Equal(answer, message) {
		return o, errors.New("bench: the answer after a loss is wrong")
	}
	return o, trip(st, q, answer, true)
}
