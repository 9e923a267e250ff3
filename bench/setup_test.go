package main

import (
	"crypto/tls"
	"testing"

	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/stream"
)

// Peers whose set-ups are compared use the same key exchange and cipher, also
// when they resume, and TLS authenticates whom it says.
func TestSetUpsAreWhatTheyAreCalled(t *testing.T) {
	for _, tt := range []struct {
		peer     string
		curve    tls.CurveID
		kem      uint16
		ownProof bool
	}{
		{"tls", tls.X25519MLKEM768, 0, false},
		{"tls mutual", tls.X25519MLKEM768, 0, true},
		{"tls x25519", tls.X25519, 0, false},
		{"msl", 0, keyx.KEMMLKEM768X25519, true},
		{"msl x25519", 0, keyx.KEMX25519, true},
	} {
		t.Run(tt.peer, func(t *testing.T) {
			var served tls.ConnectionState
			p := findPeer(tt.peer)
			server, err := p.Listen(func(s Stream) {
				if c, ok := s.(*tls.Conn); ok && c.Handshake() == nil {
					served = c.ConnectionState()
				}
				handle(s, p.Holds)
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			dial, err := p.Dialer(server.Endpoint)
			if err != nil {
				t.Fatal(err)
			}
			for _, resumed := range []bool{false, true} {
				s, st, _, err := first(t.Context(), dial)
				if err != nil {
					t.Fatal(err)
				}
				switch c := s.(type) {
				case mslSession:
					if i := c.Info(); i.KEM != tt.kem || i.Resumed != resumed || i.Suite != stream.AES128GCM {
						t.Errorf("KEM %#x, %v, resumed %v, want %#x, %v", i.KEM, i.Suite, i.Resumed, tt.kem, resumed)
					}
				default:
					i := st.(*tls.Conn).ConnectionState()
					if i.CurveID != tt.curve || i.DidResume != resumed || i.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
						t.Errorf("%v, %s, resumed %v, want %v, %v", i.CurveID, tls.CipherSuiteName(i.CipherSuite), i.DidResume, tt.curve, resumed)
					}
					if tt.ownProof != (len(served.PeerCertificates) == 1) {
						t.Errorf("the server saw %d certificates", len(served.PeerCertificates))
					}
				}
				st.Close()
				s.Close()
			}
		})
	}
}
