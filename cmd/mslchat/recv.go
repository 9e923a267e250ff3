package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/transfer"
	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

type recvCommand struct {
	URL    string        `arg:"" help:"URL of the hub, or with --peer of the other end, or to listen on."`
	Dir    string        `help:"Directory to put files into; it is made if it is not there." required:"" placeholder:"DIR"`
	Room   string        `help:"Receive what is sent to this room, too." placeholder:"ROOM"`
	Nick   string        `help:"Name to go by. Default: made of the fingerprint." placeholder:"NICK"`
	Peer   string        `help:"Receive directly from the one with this fingerprint, until it is done." placeholder:"FINGERPRINT"`
	Listen bool          `help:"With --peer: wait at the URL for the other end to dial."`
	Count  int           `help:"End after so many files; 0: when stopped." placeholder:"N"`
	Wait   time.Duration `help:"With --peer: how long to wait for the other end to be there." default:"5s"`
	Retry  time.Duration `help:"How long to try when the hub is lost; 0 ends at once." default:"2m"`
}

func (c *recvCommand) Run(ctx context.Context, a *app) error {
	nick, err := a.home.nick(c.Nick)
	if err != nil {
		return usage("%v", err)
	}
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return err
	}
	r := &receiver{app: a, dir: c.Dir, count: c.Count}
	if c.Peer != "" {
		return a.direct(ctx, c.URL, c.Peer, c.Listen, c.Wait, func(ctx context.Context, s channel) error {
			err := r.run(ctx, s, s.Done())
			if err == nil && r.received() == 0 {
				return &goneError{errors.New("the other end left and sent nothing")}
			}
			return err
		})
	}
	if c.Listen {
		return usage("--listen needs --peer")
	}
	h, err := a.hub(c.URL, a.say)
	if err != nil {
		return err
	}
	meta := map[string]string{wire.MetaNick: nick, wire.MetaRoom: c.Room}
	err = again(ctx, c.Retry, func(ctx context.Context, succeeded func()) error {
		s, err := h.dial(ctx)
		if err != nil {
			return err
		}
		defer s.end()
		return r.register(ctx, s, meta, succeeded)
	}, func(err error, wait time.Duration) {
		a.say("%v; trying again in %v", err, wait.Round(100*time.Millisecond))
	})
	if ctx.Err() != nil && r.busy() == 0 {
		return nil // stopped, as it is meant to be
	}
	return err
}

// receiver puts what comes into a directory.
type receiver struct {
	app   *app
	dir   string
	count int // files to receive; 0: without end

	mu      sync.Mutex
	begun   int
	done    int
	failed  error // of the last file that was not received
	drawing bool  // a progress bar is shown
}

func (r *receiver) received() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// busy is how many files are being received, or were given up.
func (r *receiver) busy() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun - r.done
}

// register receives from a hub while it lists us.
func (r *receiver) register(ctx context.Context, s channel, meta map[string]string, succeeded func()) error {
	st, err := s.Open(ctx, wire.LabelReceive, meta)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { wire.Abort(st) })()
	events := wire.NewReader(st)
	e, err := events.Next()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errLost, err)
	case e.Type == wire.Error:
		return e.Err()
	}
	succeeded()
	r.app.say("receiving as %s, into %s", e.Nick, r.dir)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for err == nil {
			_, err = events.Next()
		}
	}()
	err = r.run(ctx, s, ended)
	if err == nil && (r.count == 0 || r.received() < r.count) {
		return fmt.Errorf("%w: the hub ended it", errLost)
	}
	return err
}

// run receives files until it has enough, or ended is closed; what has begun is
// received even then.
func (r *receiver) run(ctx context.Context, s channel, ended <-chan struct{}) error {
	accepting, enough := context.WithCancel(ctx)
	defer enough()
	go func() {
		select {
		case <-ended:
			enough()
		case <-accepting.Done():
		}
	}()
	var receiving sync.WaitGroup
	for {
		st, err := s.Accept(accepting)
		if err != nil {
			break
		}
		receiving.Go(func() {
			defer st.Close()
			defer context.AfterFunc(ctx, func() { wire.Abort(st) })()
			if err := r.file(st); err != nil {
				r.app.say("mslchat: refusing a stream: %v", err)
			}
			if r.count > 0 && r.received() >= r.count {
				enough()
			}
		})
	}
	receiving.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// file receives one file. The error is that of refusing it.
func (r *receiver) file(st *wire.Opened) error {
	if st.Label != wire.LabelFile {
		return transfer.Refuse(st, wire.Refuse(wire.CodeInvalid, "only files are taken here"))
	}
	offer, err := transfer.ReadOffer(st.Meta)
	if err != nil {
		return transfer.Refuse(st, err)
	}
	r.mu.Lock()
	if r.count > 0 && r.begun >= r.count {
		r.mu.Unlock()
		return transfer.Refuse(st, wire.Refuse(wire.CodeRefused, "no more files are taken"))
	}
	r.begun++
	var progress bar = noBar{io.Discard}
	draw := !r.drawing
	if draw {
		r.drawing = true
		progress = r.app.progressOf(offer.Name, offer.Size)
	}
	r.mu.Unlock()
	if offer.From != "" {
		r.app.say("%s sends %s, %d bytes", offer.From, offer.Name, offer.Size)
	}
	path, sum, err := transfer.Receive(st, offer, r.dir, progress)
	progress.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if draw {
		r.drawing = false
	}
	if path == "" {
		r.begun--
		r.failed = fmt.Errorf("%s was not received: %w", offer.Name, err)
		r.app.say("mslchat: %v", r.failed)
		return nil
	}
	r.done++
	r.failed = nil
	fmt.Fprintf(r.app.out, "sha256 %s %s\n", sum, filepath.Base(path))
	return nil
}
