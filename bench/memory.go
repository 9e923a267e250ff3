package main

import "context"

// warmIdle is how many connections or streams there are before memory is
// counted: what a process needs for the first of them is not theirs.
const warmIdle = 50

// idleConnections holds sessions, each with one stream on which something has
// been answered.
func idleConnections() Cell {
	return Cell{
		Name: "idle connections", Unit: "connection", Can: all, Idle: true,
		Run: func(ctx context.Context, b *bench) (Outcome, error) {
			dial, err := b.peer.Dialer(b.endpoint)
			if err != nil {
				return Outcome{}, err
			}
			return b.idle(b.Connections, func() error {
				s, err := dial(ctx)
				if err != nil {
					return err
				}
				b.hold(s.Close)
				return b.idleStream(ctx, s)
			})
		},
	}
}

// idleStreams holds streams of one session.
func idleStreams() Cell {
	return Cell{
		Name: "idle streams", Unit: "stream", Idle: true,
		Can: func(p *Peer) bool { return p.Multiplexes },
		Run: func(ctx context.Context, b *bench) (Outcome, error) {
			s, err := b.session(ctx)
			if err != nil {
				return Outcome{}, err
			}
			return b.idle(b.Streams, func() error { return b.idleStream(ctx, s) })
		},
	}
}

// idle makes n more of what there are warmIdle of already.
func (b *bench) idle(n int, add func() error) (o Outcome, err error) {
	for i := range warmIdle + n {
		if i == warmIdle {
			if err := b.start(); err != nil {
				return o, err
			}
		}
		if err := add(); err != nil {
			return o, err
		}
	}
	return Outcome{Count: float64(n)}, nil
}

// idleStream holds a stream on which there has been one answer.
func (b *bench) idleStream(ctx context.Context, s Session) error {
	st, err := begin(ctx, s, request{op: opHold, block: 1})
	if err == nil {
		b.hold(st.Close)
	}
	return err
}
