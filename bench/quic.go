package main

import (
	"context"
	"net"

	"github.com/quic-go/quic-go"
)

// quicPeer is quic-go. It resumes with 0-RTT.
func quicPeer() *Peer {
	return &Peer{
		Name:        "quic-go",
		Multiplexes: true,
		Holds:       true,
		Resumes:     true,
		Prioritises: true,
		Listen:      listenQUIC,
		Dialer: func(e Endpoint) (Dialer, error) {
			config, err := clientTLS(e, "bench")
			return func(ctx context.Context) (Session, error) {
				addr, err := net.ResolveUDPAddr("udp", e.Addr)
				if err != nil {
					return nil, err
				}
				c, err := quic.DialAddrEarly(ctx, addr.String(), config, quicConfig())
				if err != nil {
					return nil, err
				}
				return quicSession{c}, nil
			}, err
		},
	}
}

// quicConfig has the defaults, and room for the streams of the idle cell.
func quicConfig() *quic.Config {
	return &quic.Config{Allow0RTT: true, MaxIncomingStreams: mostStreams}
}

func listenQUIC(handle func(Stream)) (*Server, error) {
	config, der, err := serverTLS("bench")
	if err != nil {
		return nil, err
	}
	l, err := quic.ListenAddrEarly("127.0.0.1:0", config, quicConfig())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		next := func() (*quic.Conn, error) { return l.Accept(ctx) }
		_ = accept(next, func(c *quic.Conn) {
			defer context.AfterFunc(ctx, func() { _ = c.CloseWithError(0, "") })()
			_ = accept(func() (*quic.Stream, error) { return c.AcceptStream(ctx) }, func(s *quic.Stream) { handle(quicStream{s}) })
			_ = c.CloseWithError(0, "")
		})
	}()
	return &Server{
		Endpoint: Endpoint{Addr: l.Addr().String(), UDP: true, Trust: der},
		Close: func() error {
			cancel()
			err := l.Close()
			<-done
			return err
		},
	}, nil
}

type quicSession struct{ *quic.Conn }

func (s quicSession) Open(ctx context.Context, urgent bool) (Stream, error) {
	st, err := s.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	q := quicStream{st}
	if urgent {
		q.Urge()
	}
	return q, nil
}

func (s quicSession) Close() error { return s.CloseWithError(0, "") }

type quicStream struct{ *quic.Stream }

// Urge makes the stream more urgent in this side's direction.
func (s quicStream) Urge() { s.SetPriority(0, true) }

// Close ends both directions: quic-go's ends the writing one.
func (s quicStream) Close() error {
	s.CancelRead(0)
	return s.Stream.Close()
}
