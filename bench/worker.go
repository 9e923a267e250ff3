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
	Endpoint Endpoint `json:",omitzero"`
	Outcome  Outcome  `json:",omitzero"`
	Usage    Usage    `json:",omitzero"`
}

// The orders.
const (
	doServe   = "serve"   // listen for Peer, answer with the Endpoint
	doRun     = "run"     // do Cell with Peer at Endpoint, answer with the Outcome
	doRelease = "release" // close what run held
	doUsage   = "usage"   // answer with the Usage
	doSettle  = "settle"  // collect garbage, give memory back, answer with the Usage
)

// Usage is what a process has used so far, or holds.
type Usage struct {
	CPU        time.Duration // user and system
	Mallocs    uint64
	RSS        int64 // bytes; 0 where it cannot be had
	Goroutines int
}

// since is what was used, or is held more, since an earlier Usage.
func (u Usage) since(v Usage) Usage {
	return Usage{u.CPU - v.CPU, u.Mallocs - v.Mallocs, u.RSS - v.RSS, u.Goroutines - v.Goroutines}
}

func usage() Usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{cpuTime(), m.Mallocs, residentSize(), runtime.NumGoroutine()}
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

// work is the main function of a worker process.
func work(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	var running *bench
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var a answer
		var err error
		switch o.Do {
		case doServe:
			var s *Server
			if s, err = findPeer(o.Peer).Listen(handle); err == nil {
				a.Endpoint = s.Endpoint
			}
		case doRun:
			list := cells()
			i := slices.IndexFunc(list, func(c Cell) bool { return c.Name == o.Cell })
			running = &bench{Effort: o.Effort, peer: findPeer(o.Peer), endpoint: o.Endpoint}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			a.Outcome, err = list[i].Run(ctx, running)
			cancel()
		case doRelease:
			running.release()
			runtime.GC()
		case doUsage:
			a.Usage = usage()
		case doSettle:
			debug.FreeOSMemory()
			a.Usage = usage()
		default:
			err = fmt.Errorf("bench: unknown order %q", o.Do)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
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
