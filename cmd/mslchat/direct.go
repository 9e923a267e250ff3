package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

type directListenCommand struct {
	URL  string `arg:"" help:"URL to listen on."`
	Peer string `help:"Fingerprint of the one who may call. Default: whoever calls first." placeholder:"FINGERPRINT"`
	Nick string `help:"Name to go by. Default: made of the fingerprint." placeholder:"NICK"`
}

type directDialCommand struct {
	URL  string        `arg:"" help:"URL of the other one."`
	Peer string        `help:"Fingerprint of the one who has to answer." required:"" placeholder:"FINGERPRINT"`
	Nick string        `help:"Name to go by. Default: made of the fingerprint." placeholder:"NICK"`
	Wait time.Duration `help:"How long to wait for the other one to be there." default:"5s"`
}

// directRoom is how a chat between two is shown.
const directRoom = "direct"

func (c *directListenCommand) Run(ctx context.Context, a *app) error {
	nick, err := a.home.nick(c.Nick)
	if err != nil {
		return usage("%v", err)
	}
	if c.Peer != "" {
		if err := checkFingerprint(c.Peer); err != nil {
			return err
		}
	}
	return a.chat(ctx, func(ctx context.Context, s screen, inputs <-chan input, say func(string, ...any)) error {
		return a.answer(ctx, c.URL, c.Peer, say, func(ctx context.Context, ch channel) error {
			for {
				st, err := ch.Accept(ctx)
				if err != nil {
					return fmt.Errorf("%w: %w", errLost, err)
				}
				if st.Label != wire.LabelTalk {
					wire.Abort(st)
					continue
				}
				other := st.Meta[wire.MetaNick]
				if err := wire.CheckName("nick", other); err != nil {
					return err
				}
				if err := wire.Write(st, wire.Event{Type: wire.Welcome, Nick: nick}); err != nil {
					return err
				}
				return talk(ctx, ch, st, wire.NewReader(st), c.URL, nick, other, s, inputs, say)
			}
		})
	})
}

func (c *directDialCommand) Run(ctx context.Context, a *app) error {
	nick, err := a.home.nick(c.Nick)
	if err != nil {
		return usage("%v", err)
	}
	return a.chat(ctx, func(ctx context.Context, s screen, inputs <-chan input, say func(string, ...any)) error {
		return a.call(ctx, c.URL, c.Peer, c.Wait, func(ctx context.Context, ch channel) error {
			st, err := ch.Open(ctx, wire.LabelTalk, map[string]string{wire.MetaNick: nick})
			if err != nil {
				return err
			}
			defer context.AfterFunc(ctx, func() { wire.Abort(st) })()
			events := wire.NewReader(st)
			e, err := events.Next()
			if err != nil {
				return fmt.Errorf("the other one does not want to talk: %w", err)
			}
			if err := wire.CheckName("nick", e.Nick); err != nil {
				return err
			}
			return talk(ctx, ch, st, events, c.URL, nick, e.Nick, s, inputs, say)
		})
	})
}

// talk is the chat between two, until one of them ends it.
func talk(ctx context.Context, ch channel, st wire.Stream, events *wire.Reader, url, nick, other string, s screen, inputs <-chan input, say func(string, ...any)) error {
	defer st.Close()
	s.status(status{room: directRoom, nick: nick, url: url, text: "connected to " + ch.Peer(), peer: ch.Peer(), info: ch.Info()})
	c := &chat{st: st, events: events, room: directRoom, nick: other, screen: s}
	if err := s.show(directRoom, wire.Event{Type: wire.Welcome, Nick: nick, Names: []string{nick, other}}); err != nil {
		return err
	}
	err := c.pump(ctx, inputs, func(in input) bool {
		say("there are no rooms between two, and files go with %q", "mslchat send URL FILE --peer "+ch.Peer())
		return false
	})
	var closed *session.Error
	switch {
	case errors.Is(err, io.EOF):
	case errors.As(ch.Err(), &closed) && closed.Remote && closed.Code == 0:
	default:
		return err
	}
	return s.show(directRoom, wire.Event{Type: wire.Left, Nick: other})
}

// direct is a session with the peer of a fingerprint, dialled or waited for.
func (a *app) direct(ctx context.Context, url, fingerprint string, listen bool, wait time.Duration, use func(context.Context, channel) error) error {
	if listen {
		if err := checkFingerprint(fingerprint); err != nil {
			return err
		}
		return a.answer(ctx, url, fingerprint, a.say, use)
	}
	return a.call(ctx, url, fingerprint, wait, use)
}

// call dials, again and again until wait is over if nobody is there yet.
func (a *app) call(ctx context.Context, url, fingerprint string, wait time.Duration, use func(context.Context, channel) error) error {
	if err := checkFingerprint(fingerprint); err != nil {
		return err
	}
	if _, err := addressOf(url); err != nil {
		return err
	}
	node := &peer.Node{Identity: a.home.identity, TLS: a.tls}
	deadline := time.Now().Add(wait)
	for {
		s, err := dialNode(ctx, node, fingerprint, url)
		if isGone(err) && time.Now().Before(deadline) {
			select {
			case <-time.After(200 * time.Millisecond):
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			return err
		}
		defer s.end()
		return use(ctx, s)
	}
}

func dialNode(ctx context.Context, node *peer.Node, fingerprint, url string) (channel, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s, err := node.Dial(ctx, fingerprint, url)
	if errors.Is(err, session.ErrUntrusted) {
		return channel{}, fmt.Errorf("at %s is not %s, but somebody else: %w", url, fingerprint, err)
	}
	if err != nil {
		return channel{}, explainDial(url, err)
	}
	return channel{s}, nil
}

// answer waits for the one peer that may call, or, if fingerprint is "", for
// the first that does, and is done when use is.
func (a *app) answer(ctx context.Context, url, fingerprint string, say func(string, ...any), use func(context.Context, channel) error) error {
	var taken atomic.Bool
	used := make(chan error, 1)
	node := &peer.Node{
		Identity: a.home.identity,
		Session: func(ctx context.Context, s *session.Session) {
			ch := channel{s}
			if !taken.CompareAndSwap(false, true) {
				say("%s called, too, and was sent away", ch.Peer())
				_ = s.CloseWithError(wire.ResetAborted, "busy with another one")
				return
			}
			say("%s called", ch.Peer())
			err := use(ctx, ch)
			ch.end()
			used <- err
		},
	}
	if fingerprint != "" {
		node.Trust = peer.Pinned(fingerprint)
	} else {
		node.Admit = func(context.Context, peer.Info) error { return nil }
	}
	l, err := node.Listen(ctx, url)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", url, err)
	}
	say("listening on %s", l.URL())
	say("we are %s", a.home.identity)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer node.Close()
	failed := make(chan error, 1)
	serving.Go(func() { failed <- node.Serve(ctx, l) })
	select {
	case err = <-used:
	case err = <-failed:
	}
	return err
}
