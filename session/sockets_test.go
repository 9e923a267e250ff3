//go:build !js

package session

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"testing"

	"github.com/mslgo/msl/transport"
	"github.com/mslgo/msl/transport/quic"
)

// transports are those that sessions are tested over; an empty URL is a pipe.
func transports(f func(name, url string)) {
	f("pipe", "")
	f("tcp", "tcp://127.0.0.1:0")
	f("ws", "ws://127.0.0.1:0/msl")
	f("wss", "wss://127.0.0.1:0/msl")
	f("quic", "quic://127.0.0.1:0")
}

// sockets are the options of a listener, and of who dials it.
func sockets(t testing.TB) (listen, dial *transport.Options) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	list := append(transport.Defaults(), quic.Transport{})
	return &transport.Options{Transports: list, TLS: &tls.Config{Certificates: s.TLS.Certificates}},
		&transport.Options{Transports: list, TLS: &tls.Config{RootCAs: roots}}
}
