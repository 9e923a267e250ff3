//go:build !js

package peer_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session"
)

// A service as Netflix's own examples have it: the server with an RSA key, clients
// without authentication, wrapped keys, users with passwords, service tokens.
func TestLegacyService(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	self := entityauth.NewRSAData("server", "key-1")
	scheme := entityauth.RSA{Self: self, Private: key, Keys: entityauth.StaticKeys(map[string]entityauth.Registered[*rsa.PublicKey]{
		"key-1": {Key: &key.PublicKey, Identities: []string{"server"}},
	})}
	passwords := userauth.EmailPassword{Check: func(_ context.Context, email, password string) (token.User, error) {
		if password != "right" {
			return "", errors.New("no")
		}
		return token.User(email), nil
	}}
	contexts := token.ServiceContexts{"": mslcrypto.Null{}}
	s := &peer.Server{
		Network: &message.Network{
			Self: self, SelfScheme: scheme, EntityAuth: entityauth.Schemes{entityauth.None{}}, UserAuth: userauth.Schemes{passwords},
			KeyExchange: keyx.Schemes{keyx.AsymmetricWrapped{}}, ServiceContexts: contexts,
		},
		Service: "example",
		Handler: func(w peer.ResponseWriter, r *peer.ServerRequest) {
			visits := ""
			for _, st := range r.ServiceTokens {
				data, _ := st.Data()
				visits = string(data)
			}
			w.SetServiceToken(peer.ServiceToken{Name: "visits", Binding: peer.ToUser, Data: []byte(visits + "|"), InsecurePlaintext: true})
			if r.Peer.User == "" {
				w.RejectUser()
				return
			}
			io.WriteString(w, string(r.Peer.User)+" "+visits)
		},
	}
	urls := serve(t, s, "tcp://127.0.0.1:0", "ws://127.0.0.1:0/msl")
	c := &peer.Client{
		Network: &message.Network{
			Self: entityauth.NewNoneData("somebody"), SelfScheme: entityauth.None{}, EntityAuth: entityauth.Schemes{scheme},
			UserAuth: userauth.Schemes{passwords}, KeyExchange: keyx.Schemes{keyx.AsymmetricWrapped{}}, ServiceContexts: contexts,
		},
		Service: "example", Trust: session.Known(token.Entity{Scheme: "RSA", Identity: "server"}),
	}
	var asked []error
	user := userauth.Func(func(_ context.Context, rejected error) (userauth.Data, error) {
		asked = append(asked, rejected)
		return userauth.NewEmailPasswordData("alice@example.org", []string{"wrong", "right"}[min(len(asked)-1, 1)]), nil
	})
	for i, url := range []string{urls[0], urls[1], urls[0]} {
		got, answer := do(t, c, url, &peer.Request{Body: strings.NewReader("hello"), User: user})
		if want := "alice@example.org " + strings.Repeat("|", i); got != want || !answer.Encrypted {
			t.Errorf("answer %q, want %q", got, want)
		}
		if answer.Peer.Entity.Identity != "server" || len(answer.ServiceTokens) != 1 {
			t.Errorf("answer %+v", answer)
		}
	}
	if len(asked) != 2 || asked[0] != nil || !errors.Is(asked[1], mslerr.EmailPasswordIncorrect) {
		t.Errorf("the password was asked for with %v", asked)
	}
	if _, err := c.Do(t.Context(), urls[0], &peer.Request{Body: strings.NewReader("x"), UserName: "nobody"}); !errors.Is(err, mslerr.UserRejectedByApp) {
		t.Errorf("without a user: %v", err)
	}
	// Who speaks the channel is answered, without one.
	channel := &peer.Client{Identity: identity(t), Service: "example", Trust: session.Known(token.Entity{Scheme: "RSA", Identity: "server"})}
	if s, err := channel.Dial(t.Context(), urls[0]); err == nil {
		s.Close()
		t.Error("a session with a service that has none")
	}
}

// Sessions and requests that start at once get one token.
func TestOneTokenForAll(t *testing.T) {
	var mu sync.Mutex
	contacts := 0
	c, url := classicServer(t, func(s *peer.Server) {
		s.Admit = func(_ context.Context, i peer.Info) error {
			mu.Lock()
			defer mu.Unlock()
			if !i.Resumed {
				contacts++
			}
			return nil
		}
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := c.Dial(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
		wg.Go(func() { do(t, c, url, &peer.Request{Body: strings.NewReader("x")}) })
	}
	wg.Wait()
	if contacts != 1 {
		t.Errorf("%d first contacts", contacts)
	}
}

// A shutdown waits for the answer that is being given, not for idle connections.
func TestShutdownFinishesRequests(t *testing.T) {
	s := &peer.Server{Identity: identity(t), Service: "test"}
	begun, on := make(chan struct{}), make(chan struct{})
	s.Handler = func(w peer.ResponseWriter, r *peer.ServerRequest) {
		close(begun)
		<-on
		io.Copy(w, r.Body)
	}
	url := serve(t, s, "tcp://127.0.0.1:0")[0]
	c := &peer.Client{Identity: identity(t), Service: "test", Trust: peer.Pinned(s.Identity.Fingerprint())}
	go func() {
		<-begun
		time.AfterFunc(10*time.Millisecond, func() { close(on) })
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if got, _ := do(t, c, url, &peer.Request{Body: strings.NewReader("finish me")}); got != "finish me" {
		t.Errorf("answer %q", got)
	}
}

// An answer to a request that was damaged never looks complete (W-08).
func TestDamagedRequest(t *testing.T) {
	c, url := classicServer(t, nil)
	do(t, c, url, &peer.Request{Body: strings.NewReader("first")})
	own := errors.New("the disk is gone")
	body, w := io.Pipe()
	go func() {
		io.WriteString(w, strings.Repeat("x", 200_000))
		w.CloseWithError(own)
	}()
	answer, err := c.Do(t.Context(), url, &peer.Request{Body: body})
	if err == nil {
		defer answer.Body.Close()
		if _, err = io.ReadAll(answer.Body); err == nil {
			t.Error("a complete answer to half a request")
		}
	}
}
