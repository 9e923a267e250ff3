package main

import (
	"context"
	"io"
	"net"

	"github.com/hashicorp/yamux"
)

// yamuxMux is hashicorp/yamux with its defaults.
type yamuxMux struct{}

func yamuxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	return c
}

func (yamuxMux) client(c net.Conn) (Session, error) {
	s, err := yamux.Client(c, yamuxConfig())
	if err != nil {
		return nil, err
	}
	return streamSession{func(context.Context) (Stream, error) { return s.OpenStream() }, s.Close}, nil
}

func (yamuxMux) serve(c net.Conn, handle func(Stream)) error {
	s, err := yamux.Server(c, yamuxConfig())
	if err != nil {
		return err
	}
	defer s.Close()
	return accept(s.AcceptStream, func(st *yamux.Stream) { handle(st) })
}
