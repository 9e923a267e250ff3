package peer

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/transport"
)

// track is a transport whose hosts answer after a time of their own, or fail.
type track struct {
	hosts map[string]lane

	mu      sync.Mutex // guards all below
	began   map[string]time.Duration
	open    map[string]bool
	running int
	start   time.Time
}

type lane struct {
	after time.Duration
	err   error
	deaf  bool // to its context
}

func (*track) Schemes() []string     { return []string{"test"} }
func (*track) Protected(string) bool { return false }
func (*track) Listen(context.Context, *url.URL, *transport.Options) (transport.Listener, error) {
	return nil, errors.New("nobody listens")
}

func (r *track) Dial(ctx context.Context, u *url.URL, _ *transport.Options) (transport.Conn, error) {
	l := r.hosts[u.Host]
	r.mu.Lock()
	r.began[u.Host] = time.Since(r.start)
	r.running++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running--
	}()
	done := ctx.Done()
	if l.deaf {
		done = nil
	}
	select {
	case <-time.After(l.after):
	case <-done:
		return nil, context.Cause(ctx)
	}
	if l.err != nil {
		return nil, l.err
	}
	c, _ := transport.Pipe()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[u.Host] = true
	return &runner{c, r, u.Host}, nil
}

type runner struct {
	transport.Conn
	track *track
	host  string
}

func (c *runner) URL() string { return c.host }

func (c *runner) Close() error {
	c.track.mu.Lock()
	delete(c.track.open, c.host)
	c.track.mu.Unlock()
	return c.Conn.Close()
}

func TestDialRaces(t *testing.T) {
	const ms = time.Millisecond
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		hosts  map[string]lane // a, b, c in this order
		ctx    time.Duration   // 0: for ever
		winner string          // "": there is none
		err    error
		took   time.Duration
		began  map[string]time.Duration
	}{
		"the first is quick": {
			hosts:  map[string]lane{"a": {after: 200 * ms}, "b": {}},
			winner: "a", took: 200 * ms, began: map[string]time.Duration{"a": 0},
		},
		"the second overtakes": {
			hosts:  map[string]lane{"a": {after: time.Hour}, "b": {after: 50 * ms}, "c": {}},
			winner: "b", took: 300 * ms, began: map[string]time.Duration{"a": 0, "b": 250 * ms},
		},
		"a late head start still wins": {
			hosts:  map[string]lane{"a": {after: 300 * ms}, "b": {after: 100 * ms}},
			winner: "a", took: 300 * ms, began: map[string]time.Duration{"a": 0, "b": 250 * ms},
		},
		"a failure lets the next begin": {
			hosts:  map[string]lane{"a": {after: 10 * ms, err: broken}, "b": {after: 300 * ms}, "c": {after: 300 * ms}},
			winner: "b", took: 310 * ms, began: map[string]time.Duration{"a": 0, "b": 10 * ms, "c": 260 * ms},
		},
		"what connects too late is closed": {
			hosts:  map[string]lane{"a": {after: time.Second, deaf: true}, "b": {}},
			winner: "b", took: 250 * ms, began: map[string]time.Duration{"a": 0, "b": 250 * ms},
		},
		"all fail": {
			hosts: map[string]lane{"a": {after: 10 * ms, err: errors.New("another")}, "b": {after: 20 * ms, err: broken}},
			err:   broken, took: 30 * ms, began: map[string]time.Duration{"a": 0, "b": 10 * ms},
		},
		"the context ends": {
			hosts: map[string]lane{"a": {after: time.Hour}, "b": {after: time.Second, deaf: true}}, ctx: 400 * ms,
			err: context.DeadlineExceeded, took: 400 * ms, began: map[string]time.Duration{"a": 0, "b": 250 * ms},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &track{hosts: test.hosts, start: time.Now(), began: map[string]time.Duration{}, open: map[string]bool{}}
				var urls []string
				for _, host := range slices.Sorted(maps.Keys(test.hosts)) {
					urls = append(urls, "test://"+host)
				}
				ctx := t.Context()
				if test.ctx > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.ctx)
					defer cancel()
				}
				conn, err := addresses{urls, &transport.Options{Transports: []transport.Transport{r}}}.connect(ctx)
				if took := time.Since(r.start); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
				if !errors.Is(err, test.err) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				time.Sleep(2 * time.Second) // for those who do not listen
				synctest.Wait()
				r.mu.Lock()
				if !maps.Equal(r.began, test.began) {
					t.Errorf("began %v, want %v", r.began, test.began)
				}
				if r.running != 0 {
					t.Errorf("%d still dialling", r.running)
				}
				open := slices.Collect(maps.Keys(r.open))
				r.mu.Unlock()
				if test.winner == "" {
					if conn != nil || len(open) != 0 {
						t.Errorf("connected: %v, open: %v", conn, open)
					}
					return
				}
				if conn == nil || conn.URL() != test.winner || !slices.Equal(open, []string{test.winner}) {
					t.Fatalf("winner %v, open: %v", conn, open)
				}
				conn.Close()
			})
		})
	}
}
