package main

import (
	"context"
	"fmt"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

// dialTimeout is how long a server may take to answer and set a session up.
const dialTimeout = 20 * time.Second

// channel is a session as package wire sees it.
type channel struct{ *session.Session }

// Lines of a chat go before files.
var (
	chatPriority = session.Priority{Urgency: 1, Incremental: true}
	filePriority = session.Priority{Urgency: 5, Incremental: true}
)

// Open implements wire.Session.
func (c channel) Open(ctx context.Context, label string, meta map[string]string) (wire.Stream, error) {
	priority := &chatPriority
	if label == wire.LabelFile {
		priority = &filePriority
	}
	st, err := c.OpenStreamWith(ctx, session.StreamOptions{Label: label, Metadata: meta, Priority: priority})
	if err != nil {
		return nil, err
	}
	return st, nil
}

// Accept implements wire.Session.
func (c channel) Accept(ctx context.Context) (*wire.Opened, error) {
	st, err := c.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	info := st.Info()
	return &wire.Opened{Stream: st, Label: info.Label, Meta: info.Metadata}, nil
}

// Peer implements wire.Session.
func (c channel) Peer() string { return c.Info().Entity.Identity }

// endTime is what the other side gets for the rest of what we wrote.
const endTime = 3 * time.Second

// end ends the session; what was written arrives first.
func (c channel) end() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	_ = c.Shutdown(ctx) // the program is done with it either way
}

// security says in a few words how a session is protected.
func security(i session.Info) string {
	kem := fmt.Sprintf("KEM %#04x", i.KEM)
	switch i.KEM {
	case 0x647a:
		kem = "X25519 with ML-KEM-768"
	case 0x0020:
		kem = "X25519"
	}
	return fmt.Sprintf("%v, %s", i.Suite, kem)
}

// hub is a hub as its client sees it.
type hub struct {
	url    string
	pins   *pins
	client *peer.Client
}

// hub makes a client of the hub at url.
func (a *app) hub(url string, say func(string, ...any)) (*hub, error) {
	address, err := addressOf(url)
	if err != nil {
		return nil, err
	}
	h := &hub{url: url, pins: a.home.pins(address, say)}
	tokens, err := a.home.tokens(address)
	if err != nil {
		return nil, err
	}
	h.client = &peer.Client{Identity: a.home.identity, Service: wire.Service, Trust: h.pins, Tokens: tokens, TLS: a.tls}
	return h, nil
}

func (h *hub) dial(ctx context.Context) (channel, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s, err := h.client.Dial(ctx, h.url)
	if err != nil {
		return channel{}, explainDial(h.url, h.pins.explain(err))
	}
	return channel{s}, nil
}
