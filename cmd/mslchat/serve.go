package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	hubs "github.com/mslgo/msl/cmd/mslchat/internal/hub"
	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/transport"
)

// drainTime is what transfers get to finish when a hub is stopped.
const drainTime = 5 * time.Second

type serveCommand struct {
	Listen []string `help:"URLs to listen on, tcp://, ws:// and wss://; port 0 means a free one. May be repeated. Default: this machine only, ports 7466 and 7467." placeholder:"URL" default:"tcp://127.0.0.1:7466,ws://127.0.0.1:7467/msl"`
	Data   string   `help:"Directory that keeps token keys, history and users. Default: they end with the hub." placeholder:"DIR"`
	Cert   string   `name:"tls-cert" help:"Certificate for wss://, in PEM, with those between it and the root behind it." placeholder:"FILE" and:"tls"`
	Key    string   `name:"tls-key" help:"Its private key, in PEM." placeholder:"FILE" and:"tls"`
	More   []string `arg:"" optional:"" name:"url" help:"More URLs to listen on."`
}

func (c *serveCommand) Run(ctx context.Context, a *app) error {
	urls := append(c.Listen, c.More...)
	if c.Cert == "" && slices.ContainsFunc(urls, func(u string) bool { return strings.HasPrefix(u, "wss:") }) {
		return usage("wss:// needs --tls-cert and --tls-key")
	}
	certificate, err := certificate(c.Cert, c.Key)
	if err != nil {
		return err
	}
	s, err := a.serve(ctx, c.Data, certificate, urls...)
	if err != nil {
		return err
	}
	for _, l := range s.listeners {
		fmt.Fprintln(a.out, "listening on", l.URL())
	}
	a.say("this hub is %s", s.server.Identity)
	return s.run(ctx)
}

// server is a hub that listens.
type server struct {
	hub       *hubs.Hub
	server    *peer.Server
	listeners []transport.Listener
}

// serve opens a hub and its listeners; run begins to serve.
func (a *app) serve(ctx context.Context, data string, certificate *tls.Config, urls ...string) (*server, error) {
	s := &server{}
	identity, err := a.home.hub()
	if err != nil {
		return nil, err
	}
	if s.hub, err = hubs.Open(data, nil); err != nil {
		return nil, err
	}
	s.server = &peer.Server{
		Identity: identity,
		Service:  wire.Service,
		TLS:      certificate,
		Session:  func(ctx context.Context, c *session.Session) { s.hub.Serve(ctx, channel{c}) },
	}
	if data != "" {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		if s.server.TokenKeys, err = peer.OpenTokenKeys(filepath.Join(data, "token_keys.json")); err != nil {
			return nil, err
		}
		tokens, err := openTokens(data)
		if err != nil {
			return nil, err
		}
		s.server.Issuer = tokens.Issuer()
	}
	for _, url := range urls {
		l, err := s.server.Listen(ctx, url)
		if err != nil {
			for _, l := range s.listeners {
				l.Close()
			}
			return nil, fmt.Errorf("cannot listen on %s: %w", url, err)
		}
		s.listeners = append(s.listeners, l)
	}
	return s, nil
}

// run serves until ctx ends, then lets transfers finish for a moment.
func (s *server) run(ctx context.Context) error {
	err := s.server.Serve(ctx, s.listeners...)
	if ctx.Err() != nil {
		err = nil
	}
	s.hub.Close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if serr := s.server.Shutdown(drain); !errors.Is(serr, context.DeadlineExceeded) {
		err = errors.Join(err, serr)
	}
	return err
}
