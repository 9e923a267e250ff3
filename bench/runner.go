package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Plan is what one run does.
type Plan struct {
	Effort
	Rounds int           // at most
	Budget time.Duration // no round is begun that would not fit
	// Delayed is how many flights cells run at a time: they wait, mostly.
	Delayed int
	// Profiles is a directory for a CPU profile of each process, or empty.
	Profiles string `json:",omitempty"`
}

// profile is the file for a process of a peer.
func (p Plan) profile(peer *Peer, role string) string {
	if p.Profiles == "" {
		return ""
	}
	return filepath.Join(p.Profiles, strings.NewReplacer(" ", "-", "/", "-").Replace(peer.Name)+"."+role+".pprof")
}

var (
	quickPlan = Plan{
		Effort: Effort{Sample: 80 * time.Millisecond, Connections: 150, Streams: 1000, Delay: 50 * time.Millisecond},
		Rounds: 1, Budget: 50 * time.Second, Delayed: 8,
	}
	fullPlan = Plan{
		Effort: Effort{Sample: time.Second, Connections: 2000, Streams: 10000, Delay: 50 * time.Millisecond},
		Rounds: 5, Budget: 33 * time.Minute, Delayed: 2,
	}
)

// A Run is everything that one run gave.
type Run struct {
	Command            string
	Started            time.Time
	Took               time.Duration
	Go, OS, Arch       string
	Cores              int
	Processor          string // its name in brackets, where it can be had
	Plan               Plan
	Rounds             int // done
	Peers, Cells, Left []string
	Goals              []Verdict
	Results            Results
}

// Results are the samples by cell and peer, one for each round.
type Results map[string]map[string][]Sample

// A Sample is one round of a cell with a peer.
type Sample struct {
	Metrics   map[string]float64
	Histogram []int `json:",omitempty"`
}

func (r Results) add(cell, peer string, s Sample) {
	if r[cell] == nil {
		r[cell] = make(map[string][]Sample)
	}
	r[cell][peer] = append(r[cell][peer], s)
}

// pair is the two processes that measure one peer.
type pair struct {
	peer           *Peer
	server, client *process
	endpoint       Endpoint
}

// startPair starts the processes of a peer.
func startPair(ctx context.Context, p *Peer, plan Plan) (*pair, error) {
	server, err := startWorker(ctx, plan.profile(p, "server"))
	if err != nil {
		return nil, err
	}
	client, err := startWorker(ctx, plan.profile(p, "client"))
	if err != nil {
		server.end()
		return nil, err
	}
	a, err := server.do(order{Do: doServe, Peer: p.Name})
	if err != nil {
		server.end()
		client.end()
		return nil, fmt.Errorf("%s: listen: %w", p.Name, err)
	}
	return &pair{p, server, client, a.Endpoint}, nil
}

func (p *pair) end() {
	p.client.end()
	p.server.end()
}

// usage asks both processes.
func (p *pair) usage(do string) (server, client Usage, err error) {
	s, err := p.server.do(order{Do: do})
	if err != nil {
		return server, client, err
	}
	c, err := p.client.do(order{Do: do})
	return s.Usage, c.Usage, err
}

// sample runs a cell once.
func (p *pair) sample(c Cell, e Effort) (s Sample, err error) {
	do := doUsage
	if c.Idle {
		do = doSettle
	}
	var server0, client0 Usage
	a, err := p.client.do(order{Do: doRun, Peer: p.peer.Name, Cell: c.Name, Endpoint: p.endpoint, Effort: e})
	if err == nil && a.Started {
		if server0, client0, err = p.usage(do); err == nil {
			a, err = p.client.do(order{Do: doGo})
		}
	}
	if err == nil {
		var server, client Usage
		if server, client, err = p.usage(do); err == nil {
			s = Sample{a.Outcome.Metrics, a.Outcome.Histogram}
			if s.Metrics == nil {
				s.Metrics = make(map[string]float64)
			}
			costs(s.Metrics, c, a.Outcome.Count, server.since(server0), client.since(client0))
		}
	}
	for _, process := range []*process{p.client, p.server} {
		if _, rerr := process.do(order{Do: doRelease}); err == nil {
			err = rerr
		}
	}
	return s, err
}

// costs adds what a unit of the cell costs.
func costs(m map[string]float64, c Cell, count float64, server, client Usage) {
	if c.Unit == "" || count == 0 {
		return
	}
	if c.Idle {
		if server.RSS != 0 && client.RSS != 0 {
			m["client KB/"+c.Unit] = float64(client.RSS) / 1024 / count
			m["server KB/"+c.Unit] = float64(server.RSS-server.OwnStacks) / 1024 / count
		}
		m["client goroutines/"+c.Unit] = float64(client.Goroutines) / count
		m["server goroutines/"+c.Unit] = float64(server.Goroutines) / count
		return
	}
	if cpu := server.CPU + client.CPU; cpu > 0 {
		if c.Unit == "GiB" {
			m["CPU s/GiB"] = cpu.Seconds() / count
		} else {
			m["CPU µs/"+c.Unit] = microseconds(cpu) / count
		}
	}
	m["allocations/"+c.Unit] = float64(server.Mallocs+client.Mallocs) / count
}

// run measures the chosen peers and cells. Peers take turns within each cell,
// in the other direction in every second round, so that what disturbs the
// machine disturbs all of them.
func run(ctx context.Context, plan Plan, list []*Peer, cells []Cell, progress io.Writer) (*Run, error) {
	r := &Run{
		Started: time.Now(), Plan: plan, Results: make(Results),
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Processor: processor(),
	}
	var pairs []*pair
	defer func() {
		for _, p := range pairs {
			p.end()
		}
	}()
	for _, c := range cells {
		if c.Alone == nil {
			r.Cells = append(r.Cells, c.Name)
		}
	}
	for _, p := range list {
		pr, err := startPair(ctx, p, plan)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pr)
		// The first run pays for what is set up once in a process.
		_, err = pr.sample(bulk(64<<10, 1), Effort{Sample: plan.Sample / 4})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		r.Peers = append(r.Peers, p.Name)
	}
	once := func(c Cell) bool { return c.Once || c.Idle }
	for _, c := range cells {
		if !once(c) {
			continue
		}
		fmt.Fprintf(progress, "%s\n", c.Name)
		r.measureOnce(ctx, c, pairs)
	}
	longest := time.Duration(0)
	for r.Rounds < plan.Rounds && ctx.Err() == nil && time.Since(r.Started)+longest < plan.Budget {
		start := time.Now()
		for _, c := range cells {
			if once(c) {
				continue
			}
			fmt.Fprintf(progress, "round %d: %s\n", r.Rounds+1, c.Name)
			if c.Alone != nil {
				if err := c.Alone(r, plan.Sample); err != nil {
					return nil, err
				}
			}
			for _, p := range pairs {
				if c.Applies(p.peer) {
					s, err := p.sample(c, plan.Effort)
					r.note(c, p.peer, s, err)
				}
			}
		}
		slices.Reverse(pairs)
		longest = max(longest, time.Since(start))
		r.Rounds++
	}
	r.Took, r.Goals = time.Since(r.Started), r.verdicts()
	return r, ctx.Err()
}

// processor is the name that Linux has for the first core.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return " (" + strings.TrimSpace(value) + ")"
		}
	}
	return ""
}

// measureOnce measures a cell for which one round is enough.
func (r *Run) measureOnce(ctx context.Context, c Cell, pairs []*pair) {
	type result struct {
		s   Sample
		err error
	}
	results := make([]result, len(pairs))
	width := make(chan struct{}, max(1, r.Plan.Delayed))
	if c.Idle {
		width = make(chan struct{}, 1)
	}
	done := make(chan struct{}, len(pairs))
	n := 0
	for i, p := range pairs {
		if !c.Applies(p.peer) {
			continue
		}
		n++
		width <- struct{}{}
		go func() {
			defer func() { <-width; done <- struct{}{} }()
			if !c.Idle {
				results[i].s, results[i].err = p.sample(c, r.Plan.Effort)
				return
			}
			fresh, err := startPair(ctx, p.peer, Plan{})
			if err != nil {
				results[i].err = err
				return
			}
			defer fresh.end()
			results[i].s, results[i].err = fresh.sample(c, r.Plan.Effort)
		}()
	}
	for range n {
		<-done
	}
	for i, p := range pairs {
		if c.Applies(p.peer) {
			r.note(c, p.peer, results[i].s, results[i].err)
		}
	}
}

// note keeps a sample, or an empty one, so that rounds stay side by side, and
// says what is left out.
func (r *Run) note(c Cell, p *Peer, s Sample, err error) {
	if err == nil {
		r.Results.add(c.Name, p.Name, s)
		return
	}
	r.Results.add(c.Name, p.Name, Sample{})
	r.Left = append(r.Left, fmt.Sprintf("%s, %s: %v", p.Name, c.Name, err))
}

// values are a metric's values, round by round; nil if there are none.
func (r *Run) values(cell, peer, metric string) []float64 {
	var list []float64
	for _, s := range r.Results[cell][peer] {
		if v, ok := s.Metrics[metric]; ok {
			list = append(list, v)
		}
	}
	return list
}

// median of list, NaN if it is empty.
func median(list []float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// ratios are those to another peer's values, round by round.
func (r *Run) ratios(cell, peer, reference, metric string) []float64 {
	a, b := r.Results[cell][peer], r.Results[cell][reference]
	var list []float64
	for i := range min(len(a), len(b)) {
		x, ok := a[i].Metrics[metric]
		if y := b[i].Metrics[metric]; ok && y != 0 {
			list = append(list, x/y)
		}
	}
	return list
}

// spread is half the distance of the quartiles, relative to the median.
func spread(list []float64) float64 {
	if len(list) < 3 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(list))
	return (s[len(s)*3/4] - s[len(s)/4]) / 2 / median(s)
}

// references are the peers that all others are compared with.
var references = []string{"tls", "tls+yamux"}

func isReference(name string) bool { return slices.Contains(references, name) }
