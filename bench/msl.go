package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/mux"
	"github.com/mslgo/msl/transport"
	"github.com/mslgo/msl/transport/quic"
)

type mslOptions struct {
	fleeting bool // not durable: a session ends with its connection
	early    bool // what a client that was there before writes does not wait for the answer
	kems     []uint16
}

const mslService = "bench"

func mslTransports() []transport.Transport { return append(transport.Defaults(), quic.Transport{}) }

func (o mslOptions) limits() session.Limits {
	l := session.Limits{Streams: mostStreams}
	if o.fleeting {
		l.Durable = -1
	}
	return l
}

// mslTrust is the Trust of an Endpoint.
type mslTrust struct {
	Fingerprint string
	Cert        []byte `json:",omitempty"`
}

// mslPeer is this project over one of its transports.
func mslPeer(name, scheme string, o mslOptions) *Peer {
	return &Peer{
		Name:        name,
		Multiplexes: true,
		Resumes:     true,
		Prioritises: true,
		OneSided:    scheme == "ws" || scheme == "wss",
		Reattaches:  scheme != "quic" && !o.fleeting, // the delaying proxy cuts TCP only
		Holds:       true,
		Listen:      func(handle func(Stream)) (*Server, error) { return o.listen(scheme, handle) },
		Dialer:      func(e Endpoint) (Dialer, error) { return o.dialer(scheme, e) },
	}
}

func (o mslOptions) listen(scheme string, handle func(Stream)) (*Server, error) {
	id, err := peer.NewIdentity()
	if err != nil {
		return nil, err
	}
	trust := mslTrust{Fingerprint: id.Fingerprint()}
	s := &peer.Server{
		Identity:    id,
		Service:     mslService,
		Transports:  mslTransports(),
		Limits:      o.limits(),
		Algorithms:  session.Algorithms{KEMs: o.kems},
		AcceptEarly: true,
		Session: func(ctx context.Context, s *session.Session) {
			next := func() (*session.Stream, error) { return s.AcceptStream(ctx) }
			own(func() { _ = accept(next, func(st *session.Stream) { handle(st) }) })
		},
	}
	if scheme == "wss" {
		if s.TLS, trust.Cert, err = serverTLS(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := s.Listen(ctx, scheme+"://127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, err
	}
	u, err := url.Parse(l.URL())
	if err != nil {
		cancel()
		return nil, errors.Join(err, l.Close())
	}
	known, err := json.Marshal(trust)
	if err != nil {
		cancel()
		return nil, errors.Join(err, l.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ctx, l)
	}()
	return &Server{
		Endpoint: Endpoint{Addr: u.Host, UDP: scheme == "quic", Trust: known},
		Close: func() error {
			err := s.Close()
			cancel()
			<-done
			return err
		},
	}, nil
}

func (o mslOptions) dialer(scheme string, e Endpoint) (Dialer, error) {
	var trust mslTrust
	if err := json.Unmarshal(e.Trust, &trust); err != nil {
		return nil, err
	}
	id, err := peer.NewIdentity()
	if err != nil {
		return nil, err
	}
	c := &peer.Client{
		Identity:   id,
		Service:    mslService,
		Trust:      peer.Pinned(trust.Fingerprint),
		Transports: mslTransports(),
		Limits:     o.limits(),
		Algorithms: session.Algorithms{KEMs: o.kems},
	}
	if scheme == "wss" {
		if c.TLS, err = clientTLS(Endpoint{Trust: trust.Cert}); err != nil {
			return nil, err
		}
	}
	dial := c.Dial
	if o.early {
		dial = c.DialEarly
	}
	return func(ctx context.Context) (Session, error) {
		s, err := dial(ctx, scheme+"://"+e.Addr)
		if err != nil {
			return nil, err
		}
		return mslSession{s}, nil
	}, nil
}

type mslSession struct{ *session.Session }

func (s mslSession) Open(ctx context.Context, urgent bool) (Stream, error) {
	var o session.StreamOptions
	if urgent {
		o.Priority = &mux.Priority{Urgency: 0, Incremental: true}
	}
	return s.OpenStreamWith(ctx, o)
}
