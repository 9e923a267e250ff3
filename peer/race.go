package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mslgo/msl/transport"
)

// stagger is how long an address has for itself before the next one joins the
// race: RFC 8305 section 5.
const stagger = 250 * time.Millisecond

// dial connects to the first of urls that answers: they race, each beginning
// stagger after the one before it, or at once if that has failed. Whatever else
// connects is closed, and never sees a header.
func (a addresses) dial(ctx context.Context, urls []string) (transport.Conn, error) {
	if len(urls) == 0 {
		return nil, errors.New("peer: no URL to dial")
	}
	if len(urls) == 1 {
		conn, err := transport.Dial(ctx, urls[0], a.opts)
		if err != nil {
			return nil, fmt.Errorf("peer: %w", errors.Join(err, context.Cause(ctx)))
		}
		return conn, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the losers, which close what they have by themselves
	type outcome struct {
		lane int
		conn transport.Conn
		err  error
	}
	finish := make(chan outcome)
	run := func(lane int) {
		conn, err := transport.Dial(ctx, urls[lane], a.opts)
		select {
		case finish <- outcome{lane, conn, err}:
		case <-ctx.Done():
			if err == nil {
				conn.Close()
			}
		}
	}
	failed := make([]error, len(urls))
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	started, over := 0, 0
	for {
		if started < len(urls) {
			go run(started)
			started++
			timer.Reset(stagger)
		}
		select {
		case o := <-finish:
			if o.err == nil {
				return o.conn, nil
			}
			failed[o.lane] = o.err
			if over++; over == len(urls) {
				return nil, fmt.Errorf("peer: %w", errors.Join(failed...))
			}
		case <-timer.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("peer: %w", errors.Join(append(failed, context.Cause(ctx))...))
		}
	}
}
