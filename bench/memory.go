package main

import "context"

// idleConnections holds sessions, each with one stream on which something has
// been answered.
func idleConnections() Cell {
	return Cell{
		Name: "idle connections", Unit: "connection", Applies: all, Idle: true,
		Run: func(ctx context.Context, b *bench) (Outcome, error) {
			dial, err := b.peer.Dialer(b.endpoint)
			if err != nil {
				return Outcome{}, err
			}
			for range b.Connections {
				s, err := dial(ctx)
				if err != nil {
					return Outcome{}, err
				}
				b.hold(s.Close)
				if err := b.idle(ctx, s); err != nil {
					return Outcome{}, err
				}
			}
			return Outcome{Count: float64(b.Connections)}, nil
		},
	}
}

// idleStreams holds streams of one session.
func idleStreams() Cell {
	return Cell{
		Name: "idle streams", Unit: "stream", Idle: true,
		Applies: func(p *Peer) bool { return p.Multiplexes },
		Run: func(ctx context.Context, b *bench) (Outcome, error) {
			s, err := b.session(ctx)
			if err != nil {
				return Outcome{}, err
			}
			for range b.Streams {
				if err := b.idle(ctx, s); err != nil {
					return Outcome{}, err
				}
			}
			return Outcome{Count: float64(b.Streams)}, nil
		},
	}
}

// idle holds a stream on which there has been one round trip.
func (b *bench) idle(ctx context.Context, s Session) error {
	q := request{op: opEcho, block: 1}
	st, err := begin(ctx, s, q)
	if err != nil {
		return err
	}
	b.hold(st.Close)
	return trip(st, q, make([]byte, 1), false)
}
