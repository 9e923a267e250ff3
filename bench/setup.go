package main

import (
	"context"
	"errors"
	"time"
)

const mostSetUps = 2000 // of one run: ports of closed connections are not free at once

// setUp counts how many sessions can be set up one after the other, each until
// the first answer on its first stream: by clients that come for the first
// time, or that have been there before.
func setUp(resumed bool) Cell {
	c := Cell{Name: "set-up first", Unit: "set-up", Applies: all}
	if resumed {
		c.Name, c.Applies = "set-up resumed", func(p *Peer) bool { return p.Resumes }
	}
	c.Run = func(ctx context.Context, b *bench) (Outcome, error) {
		var took time.Duration
		var dial Dialer
		var err error
		if resumed {
			if dial, err = b.known(ctx); err != nil {
				return Outcome{}, err
			}
		}
		n := 0
		for ; n < mostSetUps && took < b.Sample && (b.Limit == 0 || n < 3); n++ {
			if !resumed {
				if dial, err = b.peer.Dialer(b.endpoint); err != nil {
					return Outcome{}, err
				}
			}
			d, err := once(ctx, dial)
			if err != nil {
				return Outcome{}, err
			}
			took += d
		}
		return Outcome{Count: float64(n), Metrics: map[string]float64{metricSetUp: float64(n) / took.Seconds()}}, nil
	}
	return c
}

// known is a client that has been there before.
func (b *bench) known(ctx context.Context) (Dialer, error) {
	dial, err := b.peer.Dialer(b.endpoint)
	if err == nil {
		_, err = once(ctx, dial)
	}
	return dial, err
}

// once sets up a session, has an answer on a stream and says how long that
// took. Closing it again does not count.
func once(ctx context.Context, dial Dialer) (time.Duration, error) {
	s, st, took, err := first(ctx, dial)
	if err != nil {
		return took, err
	}
	q := request{op: opEcho, block: 1}
	err = errors.Join(trip(st, q, make([]byte, 1), true), st.Close())
	_ = s.Close()
	return took, err
}

// first sets up a session and waits for the first answer, to an opEcho.
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
