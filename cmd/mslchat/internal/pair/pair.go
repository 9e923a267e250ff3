// Package pair joins two ends of a session in memory, for tests.
package pair

import (
	"context"
	"net"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/transport"
)

// Sessions returns the two ends of a session: peerA is who b sees.
func Sessions(ctx context.Context, peerA, peerB string) (a, b wire.Session) {
	x := &session{ctx: ctx, peer: peerB, in: make(chan *wire.Opened, 16)}
	y := &session{ctx: ctx, peer: peerA, in: make(chan *wire.Opened, 16)}
	x.out, y.out = y.in, x.in
	return x, y
}

type session struct {
	ctx     context.Context // its end is that of the session
	peer    string
	in, out chan *wire.Opened
}

func (s *session) Peer() string { return s.peer }

func (s *session) Open(ctx context.Context, label string, meta map[string]string) (wire.Stream, error) {
	a, b := Streams()
	select {
	case s.out <- &wire.Opened{Stream: b, Label: label, Meta: meta}:
		return a, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *session) Accept(ctx context.Context) (*wire.Opened, error) {
	select {
	case st := <-s.in:
		return st, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Streams returns the two ends of a stream: a pipe for each direction, because
// the ends of one pipe close both.
func Streams() (a, b wire.Stream) {
	ar, bw := transport.Pipe()
	br, aw := transport.Pipe()
	x, y := &stream{Conn: ar, w: aw}, &stream{Conn: br, w: bw}
	x.peer, y.peer = y, x
	return x, y
}

type stream struct {
	net.Conn // reads
	w        net.Conn
	peer     *stream
}

func (s *stream) Write(p []byte) (int, error) { return s.w.Write(p) }
func (s *stream) CloseWrite() error           { return s.w.Close() }
func (s *stream) CloseRead() error            { return s.Conn.Close() }
func (s *stream) Close() error                { s.w.Close(); return s.Conn.Close() }

func (s *stream) Reset(uint64) error {
	s.peer.Conn.Close() // what waits is lost, and reading fails
	return s.Close()
}
