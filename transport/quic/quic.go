// Package quic carries MSL over QUIC: quic://host:port. It stands apart so that
// only programs that name it link a QUIC implementation:
//
//	opts := &transport.Options{Transports: append(transport.Defaults(), quic.Transport{})}
//
// One QUIC connection with one bidirectional stream, opened by the dialling
// side, is one [transport.Conn] of form Stream.
//
// # Security
//
// TLS 1.3 with hybrid key exchange hides headers and lengths from who only
// listens, and nothing more: the listener's certificate is made up when it
// starts and nobody checks it. MSL authenticates both ends itself, and the keys
// of MSL do not depend on those of TLS, so that a man in the middle of QUIC
// sees what he would see on tcp and can do no more than cut the connection.
//
// # Socket buffers
//
// QUIC wants UDP buffers of 7 MiB. When the system grants less (net.core.rmem_max
// on Linux), the QUIC implementation says so once, through package log; the
// environment variable QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING=true stops that.
package quic

import (
	"crypto/tls"
	"errors"
	"net/url"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/mslgo/msl/transport"
)

// alpn is the application protocol of docs/protocol.md section 1.
const alpn = "msl"

const (
	// handshakeIdle is half of what a handshake may take: the implementation
	// allows twice this value in all.
	handshakeIdle = 5 * time.Second
	// firstBytes is how long an accepted connection may stay without a stream:
	// as long as a header may take.
	firstBytes = 10 * time.Second
	// idle is when QUIC gives up a silent connection. MSL decides long before,
	// after 40 s, or 70 s when attaches make no progress (channel set-up
	// 4.12.5); this only frees what was forgotten.
	idle = 5 * time.Minute
	// closing bounds how long Close waits for the peer.
	closing = time.Second

	firstWindow = 1 << 20  // bytes the peer may send at first
	maxWindow   = 16 << 20 // and at most, when the path's bandwidth and delay ask for it
	maxWaiting  = 128      // connections that no Accept has taken, with those in handshake
)

// Codes with which QUIC connections are closed.
const (
	codeDone    quicgo.ApplicationErrorCode = 0 // nothing more to say
	codeRefused quicgo.ApplicationErrorCode = 1 // closed before it was accepted
)

// Transport is the transport for quic://host:port. Its connections have form
// Stream; deadlines leave them usable. They are [transport.WaitReader] but not
// [transport.TryWriter]: what QUIC takes without blocking it queues, up to the
// peer's window, where nothing more urgent can overtake it.
type Transport struct{}

var _ transport.Transport = Transport{}

// Schemes implements [transport.Transport].
func (Transport) Schemes() []string { return []string{"quic"} }

// Protected implements [transport.Transport]: QUIC encrypts, and counts as wss
// does when an attach chooses where to go (channel set-up 4.6.10).
func (Transport) Protected(string) bool { return true }

func checkURL(u *url.URL) error {
	if u.Port() == "" {
		return errors.New("the port is missing")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return errors.New("only a host and a port may be given")
	}
	return nil
}

// config is that of both sides; streams is how many the peer may open, -1 for none.
func config(streams int64) *quicgo.Config {
	return &quicgo.Config{
		Versions:                       []quicgo.Version{quicgo.Version1, quicgo.Version2},
		HandshakeIdleTimeout:           handshakeIdle,
		MaxIdleTimeout:                 idle, // and no keep-alive: MSL's PING is one
		InitialStreamReceiveWindow:     firstWindow,
		MaxStreamReceiveWindow:         maxWindow,
		InitialConnectionReceiveWindow: firstWindow,
		MaxConnectionReceiveWindow:     maxWindow,
		MaxIncomingStreams:             streams,
		MaxIncomingUniStreams:          -1,
	}
}

func clientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{alpn},
		// The certificate is a throw-away: there is nothing to verify, MSL
		// authenticates. See the package comment.
		InsecureSkipVerify: true, //nolint:gosec // see above
	}
}

func serverTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		Certificates:           []tls.Certificate{cert},
		SessionTicketsDisabled: true, // clients keep none
	}
}
