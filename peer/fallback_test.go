//go:build !js

package peer_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/session"
)

// A service without channels answers a dial classically: requests go on from there.
func TestClassicFallback(t *testing.T) {
	exchanges := keyx.Schemes{keyx.HPKE{}, keyx.AsymmetricWrapped{}}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	self := entityauth.NewRSAData("device", "key-1")
	keys := entityauth.StaticKeys(map[string]entityauth.Registered[*rsa.PublicKey]{
		"key-1": {Key: &key.PublicKey, Identities: []string{"device"}},
	})
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	service := entityauth.NewEd25519(private)
	var resumed []bool
	s := &peer.Server{
		Network: &message.Network{
			Self: service.Self(), SelfScheme: service, EntityAuth: entityauth.Schemes{entityauth.RSA{Keys: keys}}, KeyExchange: exchanges,
		},
		Service: "test",
		Handler: func(w peer.ResponseWriter, r *peer.ServerRequest) {
			resumed = append(resumed, r.Header.MasterToken != nil)
			w.Write([]byte("classic"))
		},
	}
	url := serve(t, s, "tcp://127.0.0.1:0")[0]
	c := &peer.Client{
		Network: &message.Network{
			Self: self, SelfScheme: entityauth.RSA{Self: self, Private: key},
			EntityAuth: entityauth.Schemes{entityauth.NewEd25519(nil)}, KeyExchange: exchanges,
		},
		Service: "test", Trust: peer.Pinned(entityauth.Fingerprint(public)), ClassicFallback: true,
	}
	_, err = c.Dial(t.Context(), url)
	if e, ok := errors.AsType[*session.NoChannelError](err); !ok || e.Header == nil {
		t.Fatalf("error %v", err)
	}
	resumed = nil
	if got, _ := do(t, c, url, &peer.Request{Body: strings.NewReader("x")}); got != "classic" {
		t.Errorf("answer %q", got)
	}
	if len(resumed) != 1 || !resumed[0] {
		t.Errorf("requests under a master token: %v, want one", resumed)
	}
}
