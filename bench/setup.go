package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	cellSetUpFirst   = "set-up first"
	cellSetUpResumed = "set-up resumed"

	// dialers set up sessions at a time: enough to keep two cores busy.
	dialers = 4
	// mostSetUps of one run: ports of closed connections are not free at once.
	mostSetUps = 2000
)

// setUpCells are those of peers that differ in nothing but their set-up.
var setUpCells = []string{cellSetUpFirst, cellSetUpResumed, cellFlightsFirst, cellFlightsResumed}

// setUp counts how many sessions can be set up by a few dialers at a time, each
// until the first answer on its first stream, and closed: by clients that come
// for the first time, or that have been there before. Nobody waits for a close,
// but the clock runs until all are done.
func setUp(resumed bool) Cell {
	c := Cell{Name: cellSetUpFirst, Unit: "set-up", Can: all}
	if resumed {
		c.Name, c.Can = cellSetUpResumed, func(p *Peer) bool { return p.Resumes }
	}
	c.Run = func(ctx context.Context, b *bench) (Outcome, error) { return b.setUp(ctx, resumed) }
	return c
}

func (b *bench) setUp(ctx context.Context, resumed bool) (o Outcome, err error) {
	most := min(mostSetUps, dialers+int(4*b.Sample/time.Millisecond))
	if b.Limit > 0 {
		most = 2 * dialers
	}
	// Clients are made before the clock starts, as they would be long before
	// they dial: keys, certificates, and an earlier visit.
	clients := make([]Dialer, most)
	if resumed {
		clients = clients[:dialers]
	}
	for i := range clients {
		if resumed {
			clients[i], err = b.known(ctx)
		} else {
			clients[i], err = b.peer.Dialer(b.endpoint)
		}
		if err != nil {
			return o, err
		}
	}
	if err := b.start(); err != nil {
		return o, err
	}
	var next, done atomic.Int64
	errs := make([]error, dialers)
	var dialing, closing sync.WaitGroup
	start := time.Now()
	for d := range dialers {
		dialing.Go(func() {
			for errs[d] == nil && time.Since(start) < b.Sample {
				i := int(next.Add(1)) - 1
				if i >= most {
					return
				}
				client := clients[d%len(clients)]
				if !resumed {
					client = clients[i]
				}
				var s Session
				var st Stream
				if s, st, _, errs[d] = first(ctx, client); errs[d] == nil {
					done.Add(1)
					closing.Go(func() { _, _ = st.Close(), s.Close() })
				}
			}
		})
	}
	dialing.Wait()
	closing.Wait()
	took := time.Since(start)
	n := float64(done.Load())
	return Outcome{Count: n, Metrics: map[string]float64{metricSetUp: n / took.Seconds()}}, errors.Join(errs...)
}

// known is a client that has been there before.
func (b *bench) known(ctx context.Context) (Dialer, error) {
	dial, err := b.peer.Dialer(b.endpoint)
	if err != nil {
		return nil, err
	}
	s, st, _, err := first(ctx, dial)
	if err == nil {
		_, _ = st.Close(), s.Close()
	}
	return dial, err
}

// first sets up a session, waits for the first answer and says how long that took.
func first(ctx context.Context, dial Dialer) (Session, Stream, time.Duration, error) {
	start := time.Now()
	s, err := dial(ctx)
	if err != nil {
		return nil, nil, 0, err
	}
	st, err := begin(ctx, s, request{op: opEcho, block: 1})
	took := time.Since(start)
	if err != nil {
		_ = s.Close()
	}
	return s, st, took, err
}
