package transport

import (
	"context"
	"errors"
	"net/url"
)

type WebSocket struct{}

func (WebSocket) Schemes() []string { return []string{"ws", "wss"} }
func (WebSocket) Protected(scheme string) bool { return scheme == "wss" }
func (WebSocket) Dial(ctx context.Context, u *url.URL, opts *Options) (Conn, error) { return nil, errors.New("no") }
func (WebSocket) Listen(ctx context.Context, u *url.URL, opts *Options) (Listener, error) { return nil, errors.New("no") }
