package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/transfer"
	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/session"
)

type joinCommand struct {
	URL   string        `arg:"" help:"URL of the hub."`
	Room  string        `help:"Room to join." default:"lobby"`
	Nick  string        `help:"Name to go by. Default: made of the fingerprint." placeholder:"NICK"`
	Retry time.Duration `help:"How long to try when the hub is lost; 0 ends at once." default:"2m"`
}

func (c *joinCommand) Run(ctx context.Context, a *app) error {
	nick, err := a.home.nick(c.Nick)
	if err != nil {
		return usage("%v", err)
	}
	if err := wire.CheckName("room", c.Room); err != nil {
		return usage("%v", err)
	}
	return a.chat(ctx, func(ctx context.Context, s screen, inputs <-chan input, say func(string, ...any)) error {
		h, err := a.hub(c.URL, say)
		if err != nil {
			return err
		}
		j := &joiner{hub: h, screen: s, room: c.Room, nick: nick, retry: c.Retry, say: say}
		return j.run(ctx, inputs)
	})
}

// chat runs a chat on the terminal interface, or on lines.
func (a *app) chat(ctx context.Context, run func(ctx context.Context, s screen, inputs <-chan input, say func(string, ...any)) error) error {
	if a.terminal {
		return a.runTUI(ctx, run)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return run(ctx, &plain{out: a.out, err: a.err}, lines(ctx, a.in), a.say)
}

// joiner is in a room of a hub, and comes back when it is lost.
type joiner struct {
	hub        *hub
	screen     screen
	room, nick string
	retry      time.Duration
	say        func(string, ...any)

	seen    uint64         // the newest message of the room
	sending sync.WaitGroup // files
}

// firstPause is the least time between two tries, and lastPause the most.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 15 * time.Second
)

// run is in the room until inputs ends, the hub refuses, or it is lost for too long.
func (j *joiner) run(ctx context.Context, inputs <-chan input) error {
	j.status("connecting to "+j.hub.url, channel{})
	return again(ctx, j.retry, func(ctx context.Context, joined func()) error {
		s, err := j.hub.dial(ctx)
		if err != nil {
			return err
		}
		defer s.end()
		defer j.sending.Wait()
		return j.visit(ctx, s, inputs, joined)
	}, func(err error, wait time.Duration) {
		j.status(fmt.Sprintf("%v; trying again in %v", err, wait.Round(100*time.Millisecond)), channel{})
	})
}

// visit goes from room to room in one session.
func (j *joiner) visit(ctx context.Context, s channel, inputs <-chan input, joined func()) error {
	for {
		err := j.stay(ctx, s, inputs, joined)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if serr := s.Err(); serr != nil && !errors.As(err, new(*wire.Refusal)) {
				err = fmt.Errorf("%w: %w", errLost, serr)
			}
			return err
		}
	}
}

// stay is in one room.
func (j *joiner) stay(ctx context.Context, s channel, inputs <-chan input, joined func()) error {
	meta := map[string]string{wire.MetaRoom: j.room, wire.MetaNick: j.nick}
	if j.seen > 0 {
		meta[wire.MetaAfter] = strconv.FormatUint(j.seen, 10)
	}
	st, err := s.Open(ctx, wire.LabelRoom, meta)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	defer st.Close()
	c := &chat{st: st, events: wire.NewReader(st), room: j.room, screen: j.screen, seen: j.seen}
	defer func() { j.seen = c.seen }()
	j.status("connected to "+j.hub.url, s)
	stop := context.AfterFunc(ctx, func() { wire.Abort(st) })
	defer stop()
	if err := c.welcome(); err != nil {
		return err
	}
	joined()
	err = c.pump(ctx, inputs, func(in input) bool {
		switch {
		case in.file != "":
			j.sending.Go(func() { j.send(ctx, s, j.room, in.file) })
		case in.room != "" && in.room != j.room:
			j.room = in.room
			c.seen = 0
			return true
		}
		return false
	})
	if n := c.echo.Load(); n > 0 && errors.Is(err, errLost) {
		j.say("the last %d lines that you said may not have arrived", n)
	}
	return err
}

// send sends a file to the room.
func (j *joiner) send(ctx context.Context, s channel, room, path string) {
	name := wire.Clean(filepath.Base(path))
	meta, err := withSum(ctx, map[string]string{wire.MetaRoom: room, wire.MetaNick: j.nick}, path)
	var sum string
	var results []transfer.Result
	if err == nil {
		sum, results, err = sendFile(ctx, s, path, meta, io.Discard)
	}
	if err != nil {
		j.say("%s was not sent: %v", name, err)
		return
	}
	for _, r := range results {
		if r.Err != nil {
			j.say("%s: %s did not get it: %v", name, r.Nick, r.Err)
		} else {
			j.say("%s: %s has it, sha256 %s", name, r.Nick, sum)
		}
	}
}

func (j *joiner) status(text string, s channel) {
	st := status{room: j.room, nick: j.nick, url: j.hub.url, text: text}
	if s.Session != nil {
		st.info, st.peer = s.Info(), s.Peer()
	}
	j.screen.status(st)
}

// again runs attempt until it is content or its error is final: a refusal, or
// any before the first success. An attempt calls succeeded when all is well;
// then it has retry to succeed again.
func again(ctx context.Context, retry time.Duration, attempt func(ctx context.Context, succeeded func()) error, waiting func(err error, wait time.Duration)) error {
	ever := false
	wait, since := firstPause, time.Now()
	for {
		well := false
		err := attempt(ctx, func() { ever, well = true, true })
		if err == nil || ctx.Err() != nil {
			return err
		}
		if well {
			wait, since = firstPause, time.Now()
		}
		if !ever || final(err) {
			return err
		}
		if time.Since(since) >= retry {
			return &goneError{err}
		}
		// Half of it is chance, so that all whom a hub lost do not come at once.
		d := wait/2 + rand.N(wait/2)
		waiting(err, d)
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, lastPause)
	}
}

// final reports whether trying again cannot help.
func final(err error) bool {
	return errors.As(err, new(*wire.Refusal)) || errors.As(err, new(*screenError)) ||
		errors.Is(err, errUsage) || errors.Is(err, session.ErrUntrusted) || errors.Is(err, session.ErrAuth) ||
		errors.As(err, new(*tls.CertificateVerificationError))
}
