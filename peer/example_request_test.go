//go:build !js

package peer_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// shouting is a service that answers requests, for users with a password.
func shouting(ctx context.Context) (url, fingerprint string) {
	id, err := peer.NewIdentity()
	if err != nil {
		log.Fatal(err)
	}
	server := &peer.Server{
		Identity: id,
		Service:  "shout",
		UserAuth: userauth.Schemes{userauth.EmailPassword{
			Check: func(_ context.Context, email, password string) (token.User, error) {
				if password != "correct horse" {
					return "", errors.New("wrong")
				}
				return token.User(email), nil
			},
		}},
		Handler: shout,
	}
	l, err := server.Listen(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ctx, l)
	return l.URL(), id.Fingerprint()
}

// shout reads and answers at the same time: nothing is kept.
func shout(w peer.ResponseWriter, r *peer.ServerRequest) {
	if r.Peer.User == "" {
		w.RejectUser()
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf) // verified
		io.WriteString(w, strings.ToUpper(string(buf[:n])))
		if err != nil {
			return // an answer to damaged data ends badly by itself
		}
	}
}

// A request with a body that streams, for a user who is asked for the password
// again when it was wrong.
func ExampleClient_Do() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	url, fingerprint := shouting(ctx)

	id, err := peer.NewIdentity()
	if err != nil {
		log.Fatal(err)
	}
	client := &peer.Client{Identity: id, Service: "shout", Trust: peer.Pinned(fingerprint)}
	answer, err := client.Do(ctx, url, &peer.Request{
		Body: strings.NewReader("hello\n"),
		User: userauth.Func(func(_ context.Context, rejected error) (userauth.Data, error) {
			if rejected == nil {
				return userauth.NewEmailPasswordData("alice@example.org", "12345"), nil
			}
			fmt.Println("once more:", errors.Is(rejected, mslerr.EmailPasswordIncorrect))
			return userauth.NewEmailPasswordData("alice@example.org", "correct horse"), nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		log.Fatal(err)
	}
	// Output:
	// once more: true
	// HELLO
}

// A handler that counts visits in a service token, which the client keeps.
func ExampleHandler() {
	visits := func(w peer.ResponseWriter, r *peer.ServerRequest) {
		count := "*"
		for _, t := range r.ServiceTokens {
			if data, known := t.Data(); t.Name == "visits" && known && t.Verified() {
				count += string(data)
			}
		}
		w.SetServiceToken(peer.ServiceToken{Name: "visits", Binding: peer.ToMasterToken, Data: []byte(count)})
		fmt.Fprintf(w, "%s, visit %d", r.Peer.Entity.Scheme, len(count))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	id, err := peer.NewIdentity()
	if err != nil {
		log.Fatal(err)
	}
	server := &peer.Server{Identity: id, Service: "count", Handler: visits, ServiceContexts: serviceTokenKeys()}
	l, err := server.Listen(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ctx, l)

	device, err := peer.NewIdentity()
	if err != nil {
		log.Fatal(err)
	}
	client := &peer.Client{Identity: device, Service: "count", Trust: peer.Pinned(id.Fingerprint())}
	for range 2 {
		answer, err := client.Do(ctx, l.URL(), &peer.Request{})
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(os.Stdout, answer.Body)
		fmt.Println()
		answer.Body.Close()
	}
	// Output:
	// ED25519, visit 1
	// ED25519, visit 2
}

// serviceTokenKeys are the service's own: clients only carry its tokens.
func serviceTokenKeys() token.ServiceContexts {
	key := func(n int) []byte { b := make([]byte, n); rand.Read(b); return b }
	c, err := mslcrypto.NewSymmetric("service tokens", mslcrypto.SymmetricKeys{Encryption: key(16), Signature: key(32)})
	if err != nil {
		log.Fatal(err)
	}
	return token.ServiceContexts{"": c}
}
