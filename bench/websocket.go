package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// webSocketWire is coder/websocket, one binary message for each write, without
// compression.
type webSocketWire struct{ tls bool }

func (w webSocketWire) traits() Peer { return Peer{Resumes: w.tls, OneSided: true} }

func (w webSocketWire) listen(serve func(net.Conn)) (*Server, error) {
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		own(func() { serve(websocket.NetConn(context.Background(), c, websocket.MessageBinary)) })
	})
	if w.tls {
		return listenHTTP(h, nil, "http/1.1")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	return &Server{Endpoint{Addr: l.Addr().String()}, s.Close}, nil
}

func (w webSocketWire) dialer(e Endpoint) (func(context.Context) (net.Conn, error), error) {
	t := &http.Transport{DisableKeepAlives: true}
	url := "ws://bench/"
	// The name is the certificate's; the address is always the server's.
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialTCP(ctx, e.Addr) }
	if w.tls {
		url = "wss://bench/"
		config, err := clientTLS(e, "http/1.1")
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = config
	}
	opts := &websocket.DialOptions{HTTPClient: &http.Client{Transport: t}}
	return func(ctx context.Context) (net.Conn, error) {
		c, _, err := websocket.Dial(ctx, url, opts)
		if err != nil {
			return nil, err
		}
		return webSocketConn{websocket.NetConn(context.Background(), c, websocket.MessageBinary), c}, nil
	}, nil
}

// webSocketConn closes without the closing handshake, which waits for a reader.
type webSocketConn struct {
	net.Conn
	c *websocket.Conn
}

func (c webSocketConn) Close() error { return c.c.CloseNow() }

// listenHTTP serves HTTP over TLS on loopback, with one application protocol.
func listenHTTP(h http.Handler, h2 *http.HTTP2Config, proto string) (*Server, error) {
	config, der, err := serverTLS(proto)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: h, TLSConfig: config, HTTP2: h2, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(proto == "http/1.1")
	s.Protocols.SetHTTP2(proto == "h2")
	if proto == "h2" {
		go func() { _ = s.ServeTLS(l, "", "") }()
	} else {
		go func() { _ = s.Serve(tls.NewListener(l, config)) }()
	}
	return &Server{Endpoint{Addr: l.Addr().String(), Trust: der}, s.Close}, nil
}
