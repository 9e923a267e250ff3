package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"time"
)

// A worker process does what the runner tells it in JSON on its standard
// input, and answers each order on its standard output. It ends with its input.
type order struct {
	Do       string
	Peer     string   `json:",omitempty"`
	Cell     string   `json:",omitempty"`
	Endpoint Endpoint `json:",omitzero"`
	Effort   Effort   `json:",omitzero"`
}

type answer struct {
	Error    string   `json:",omitempty"`
	Started  bool     `json:",omitempty"` // run wants doGo before it goes on
	Endpoint Endpoint `json:",omitzero"`
	Outcome  Outcome  `json:",omitzero"`
	Usage    Usage    `json:",omitzero"`
}

// The orders.
const (
	doServe   = "serve"   // listen for Peer, answer with the Endpoint
	doRun     = "run"     // do Cell with Peer at Endpoint, answer with the Outcome
	doGo      = "go"      // go on with what has started
	doRelease = "release" // close what run held, collect garbage
	doUsage   = "usage"   // answer with the Usage
	doSettle  = "settle"  // collect garbage, give memory back, answer with the Usage
)

// Usage is what a process has used so far, or holds.
type Usage struct {
	CPU     time.Duration // user and system
	Mallocs uint64
	RSS     int64 // bytes; 0 where it cannot be had
	// Goroutines of the peer and of the bench itself, and the bytes of the
	// latter's stacks by the average of all.
	Goroutines, Own, OwnStacks int64
}

// since is what was used, or is held more, since an earlier Usage.
func (u Usage) since(v Usage) Usage {
	return Usage{
		u.CPU - v.CPU, u.Mallocs - v.Mallocs, u.RSS - v.RSS,
		u.Goroutines - v.Goroutines, u.Own - v.Own, u.OwnStacks - v.OwnStacks,
	}
}

func usage() Usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	count, own := int64(runtime.NumGoroutine()), ownGoroutines.Load()
	return Usage{cpuTime(), m.Mallocs, residentSize(), count - own, own, own * int64(m.StackInuse) / count}
}

// residentSize is what the kernel says this process has in memory.
func residentSize() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// profiled is work with a CPU profile, if a file is named.
func profiled(file string, in io.Reader, out io.Writer) error {
	if file == "" {
		return work(in, out)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return work(in, out)
}

// settleTime lets a process close and give back what it does not need at once.
const settleTime = 50 * time.Millisecond

// settle collects garbage until nothing moves any more: what is pooled goes
// with the second time, stacks get smaller each time.
func settle() {
	time.Sleep(settleTime)
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
}

// work is the main function of a worker process.
func work(in io.Reader, out io.Writer) error {
	w := worker{json.NewDecoder(in), json.NewEncoder(out), nil}
	if err := w.obey(""); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

type worker struct {
	orders  *json.Decoder
	answers *json.Encoder
	running *bench
}

// obey does what it is told until it is told to do the last.
func (w *worker) obey(last string) error {
	for {
		var o order
		if err := w.orders.Decode(&o); err != nil {
			return err
		}
		if o.Do == last {
			return nil
		}
		a, err := w.do(o)
		if err != nil {
			a.Error = err.Error()
		}
		if err := w.answers.Encode(a); err != nil {
			return err
		}
	}
}

func (w *worker) do(o order) (a answer, err error) {
	switch o.Do {
	case doServe:
		var s *Server
		if s, err = findPeer(o.Peer).serve(); err == nil {
			a.Endpoint = s.Endpoint
		}
	case doRun:
		list := cells()
		i := slices.IndexFunc(list, func(c Cell) bool { return c.Name == o.Cell })
		w.running = &bench{Effort: o.Effort, peer: findPeer(o.Peer), endpoint: o.Endpoint, started: func() error {
			if err := w.answers.Encode(answer{Started: true}); err != nil {
				return err
			}
			return w.obey(doGo)
		}}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		a.Outcome, err = list[i].Run(ctx, w.running)
	case doRelease:
		if w.running != nil {
			w.running.release()
		}
		runtime.GC()
	case doUsage:
		a.Usage = usage()
	case doSettle:
		settle()
		a.Usage = usage()
	default:
		err = fmt.Errorf("bench: unknown order %q", o.Do)
	}
	return a, err
}

// process is a worker seen from the runner.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	orders  *json.Encoder
	answers *json.Decoder
}

// startWorker starts a process, with its CPU profile written to a file if one
// is named.
func startWorker(ctx context.Context, profile string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-worker", "-cpuprofile", profile)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

func (p *process) do(o order) (a answer, err error) {
	if err := p.orders.Encode(o); err != nil {
		return a, err
	}
	if err := p.answers.Decode(&a); err != nil {
		return a, fmt.Errorf("worker: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// end ends the process and waits for it. One that does not end is killed.
func (p *process) end() {
	p.stdin.Close()
	kill := time.AfterFunc(2*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	kill.Stop()
}
