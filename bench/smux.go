package main

import (
	"context"
	"net"

	"github.com/xtaci/smux"
)

// smuxMux is xtaci/smux, version 2 of its protocol: the one whose streams have
// windows, without which one slow reader stops all of them.
type smuxMux struct{}

func smuxConfig() *smux.Config {
	c := smux.DefaultConfig()
	c.Version = 2
	return c
}

func (smuxMux) client(c net.Conn) (Session, error) {
	s, err := smux.Client(c, smuxConfig())
	if err != nil {
		return nil, err
	}
	return streamSession{func(context.Context) (Stream, error) { return s.OpenStream() }, s.Close}, nil
}

func (smuxMux) serve(c net.Conn, handle func(Stream)) error {
	s, err := smux.Server(c, smuxConfig())
	if err != nil {
		return err
	}
	defer s.Close()
	return accept(s.AcceptStream, func(st *smux.Stream) { handle(st) })
}
