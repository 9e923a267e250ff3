package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/mslgo/msl/cmd/mslchat/internal/transfer"
	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

type sendCommand struct {
	URL    string        `arg:"" help:"URL of the hub, or with --peer of the other end, or to listen on."`
	Files  []string      `arg:"" name:"file" help:"Files to send."`
	To     string        `help:"Send to who goes by this name." placeholder:"NICK" xor:"to" required:""`
	Room   string        `help:"Send to all who receive in this room." placeholder:"ROOM" xor:"to" required:""`
	Peer   string        `help:"Send directly to the one with this fingerprint." placeholder:"FINGERPRINT" xor:"to" required:""`
	Listen bool          `help:"With --peer: wait at the URL for the other end to dial."`
	Nick   string        `help:"Name to go by. Default: made of the fingerprint." placeholder:"NICK"`
	Wait   time.Duration `help:"How long to wait for the receiver to be there." default:"5s"`
}

func (c *sendCommand) Run(ctx context.Context, a *app) error {
	nick, err := a.home.nick(c.Nick)
	if err != nil {
		return usage("%v", err)
	}
	for _, path := range c.Files {
		if info, err := os.Stat(path); err != nil {
			return err
		} else if !info.Mode().IsRegular() {
			return usage("%s is not a regular file", path)
		}
	}
	if c.Peer != "" {
		return a.direct(ctx, c.URL, c.Peer, c.Listen, c.Wait, func(ctx context.Context, s channel) error {
			return c.sendAll(ctx, a, s, map[string]string{wire.MetaNick: nick})
		})
	}
	if c.Listen {
		return usage("--listen needs --peer")
	}
	h, err := a.hub(c.URL, a.say)
	if err != nil {
		return err
	}
	s, err := h.dial(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	meta := map[string]string{wire.MetaNick: nick}
	if c.To != "" {
		meta[wire.MetaTo] = c.To
	} else {
		meta[wire.MetaRoom] = c.Room
	}
	return c.sendAll(ctx, a, s, meta)
}

// sendAll sends the files one after the other.
func (c *sendCommand) sendAll(ctx context.Context, a *app, s channel, meta map[string]string) error {
	var failed []error
	for _, path := range c.Files {
		if err := c.sendOne(ctx, a, s, path, meta); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", path, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

func (c *sendCommand) sendOne(ctx context.Context, a *app, s channel, path string, meta map[string]string) error {
	meta, err := withSum(ctx, meta, path)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(c.Wait)
	for {
		bar := a.progress(path)
		sum, results, err := sendFile(ctx, s, path, meta, bar)
		bar.Close()
		var refusal *wire.Refusal
		if errors.As(err, &refusal) && refusal.Code == wire.CodeNobody && time.Now().Before(deadline) {
			select { // who receives may be about to come
			case <-time.After(200 * time.Millisecond):
				continue
			case <-ctx.Done():
			}
		}
		if err != nil {
			return err
		}
		var failed []error
		for _, r := range results {
			switch {
			case r.Err != nil && r.Nick != "":
				failed = append(failed, fmt.Errorf("%s did not get it: %w", r.Nick, r.Err))
			case r.Err != nil:
				failed = append(failed, fmt.Errorf("it did not arrive: %w", r.Err))
			case r.Nick != "":
				a.say("%s has %s", r.Nick, filepath.Base(path))
			}
		}
		if len(failed) < len(results) {
			fmt.Fprintf(a.out, "sha256 %s %s\n", sum, wire.Clean(filepath.Base(path)))
		}
		return errors.Join(failed...)
	}
}

// withSum adds the file's SHA-256, by which a receiver knows what it has of it.
func withSum(ctx context.Context, meta map[string]string, path string) (map[string]string, error) {
	sum, err := transfer.Sum(ctx, path)
	if err != nil {
		return nil, err
	}
	meta = maps.Clone(meta)
	meta[wire.MetaSHA256] = sum
	return meta, nil
}

// sendFile sends one file in a session; meta says to whom.
func sendFile(ctx context.Context, s channel, path string, meta map[string]string, progress io.Writer) (sum string, results []transfer.Result, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, errors.New("it is not a regular file")
	}
	about := map[string]string{wire.MetaName: wire.Cut(info.Name(), 255), wire.MetaSize: strconv.FormatInt(info.Size(), 10)}
	maps.Copy(about, meta)
	st, err := s.Open(ctx, wire.LabelFile, about)
	if err != nil {
		return "", nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { wire.Abort(st) })()
	return transfer.Send(st, f, info.Size(), progress)
}

// bar is a progress bar, or nothing.
type bar interface {
	io.Writer
	Close() error
}

type noBar struct{ io.Writer }

func (noBar) Close() error { return nil }

// progress makes the bar for a file that is there; see progressOf.
func (a *app) progress(path string) bar {
	info, err := os.Stat(path)
	if err != nil {
		return noBar{io.Discard}
	}
	return a.progressOf(info.Name(), info.Size())
}

// progressOf makes a progress bar on the terminal; elsewhere there is none.
func (a *app) progressOf(name string, size int64) bar {
	f, ok := a.err.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return noBar{io.Discard}
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(wire.Clean(name)),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(f) }),
	)
}
