package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/peer"
)

type localCommand struct {
	Nick string `help:"Name to go by. Default: made of the fingerprint." placeholder:"NICK"`
}

// Where the hub on this machine listens, and where if that is taken.
var (
	localURLs = []string{"tcp://127.0.0.1:7466", "ws://127.0.0.1:7467/msl"}
	otherURLs = []string{"tcp://127.0.0.1:0", "ws://127.0.0.1:0/msl"}
)

func (c *localCommand) Run(ctx context.Context, a *app) error {
	nick, err := a.home.nick(c.Nick)
	if err != nil {
		return usage("%v", err)
	}
	s, err := a.serve(ctx, "", nil, localURLs...)
	if errors.Is(err, syscall.EADDRINUSE) {
		a.say("another hub seems to run here: %s join %s", a.name, localURLs[0])
		s, err = a.serve(ctx, "", nil, otherURLs...)
	}
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- s.run(serving) }()

	tcp, ws := s.listeners[0].URL(), s.listeners[1].URL()
	invitation := []string{
		"a second terminal joins with: " + a.name + " join " + tcp + " --nick guest",
		"or over WebSocket: " + a.name + " join " + ws + " --nick guest",
	}
	for _, line := range invitation {
		fmt.Fprintln(a.out, line)
	}
	err = a.chat(ctx, func(ctx context.Context, screen screen, inputs <-chan input, say func(string, ...any)) error {
		if _, ok := screen.(*plain); !ok { // which covers what was printed
			for _, line := range invitation {
				say("%s", line)
			}
		}
		h := &hub{url: tcp, pins: a.home.pins(tcp, say), client: &peer.Client{
			Identity: a.home.identity, Service: wire.Service, Trust: peer.Pinned(s.server.Identity.Fingerprint()),
		}}
		j := &joiner{hub: h, screen: screen, room: "lobby", nick: nick, retry: time.Minute, say: say}
		return j.run(ctx, inputs)
	})
	stop()
	return errors.Join(err, <-served)
}
