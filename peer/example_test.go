//go:build !js

package peer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

// A server that echoes lines, and a client that pins it on first use.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	id, err := peer.OpenIdentity(filepath.Join(dir, "server"))
	if err != nil {
		log.Fatal(err)
	}
	server := &peer.Server{
		Identity: id,
		Service:  "echo",
		Session: func(ctx context.Context, s *session.Session) {
			for {
				st, err := s.AcceptStream(ctx)
				if err != nil {
					return
				}
				go func() {
					defer st.Close()
					io.Copy(st, st)
				}()
			}
		},
	}
	listener, err := server.Listen(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ctx, listener)
	defer server.Close()

	me, err := peer.OpenIdentity(filepath.Join(dir, "client"))
	if err != nil {
		log.Fatal(err)
	}
	client := &peer.Client{
		Identity: me,
		Service:  "echo",
		Trust:    peer.PinOnFirstUse(filepath.Join(dir, "client", "known_peers")),
	}
	for range 2 {
		sess, err := client.Dial(ctx, listener.URL())
		if err != nil {
			log.Fatal(err)
		}
		st, err := sess.OpenStream(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintln(st, "hello")
		line, err := bufio.NewReader(st).ReadString('\n')
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s resumed: %v\n", line[:len(line)-1], sess.Info().Resumed)
		st.Close()
		sess.Close()
	}
	// Output:
	// hello resumed: false
	// hello resumed: true
}

// Two equals know each other by their fingerprints.
func ExampleNode() {
	ctx := context.Background()
	alice, err := peer.NewIdentity()
	if err != nil {
		log.Fatal(err)
	}
	bob, err := peer.NewIdentity()
	if err != nil {
		log.Fatal(err)
	}
	node := &peer.Node{
		Identity: bob,
		Trust:    peer.Pinned(alice.Fingerprint()),
		Session: func(ctx context.Context, s *session.Session) {
			st, err := s.AcceptStream(ctx)
			if err != nil {
				return
			}
			fmt.Fprintln(st, "hello, Alice")
			st.Close()
			<-s.Done()
		},
	}
	listener, err := node.Listen(ctx, "tcp://127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go node.Serve(ctx, listener)
	defer node.Close()

	sess, err := (&peer.Node{Identity: alice}).Dial(ctx, bob.Fingerprint(), listener.URL())
	if err != nil {
		log.Fatal(err)
	}
	defer sess.Close()
	st, err := sess.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	st.CloseWrite()
	said, err := io.ReadAll(st)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(said))
	// Output: hello, Alice
}

// A web server at the far end of a session, and a stock http.Client that dials
// through it: neither knows of MSL.
func Example_http() {
	ctx := context.Background()
	id, err := peer.NewIdentity()
	if err != nil {
		log.Fatal(err)
	}
	pages := http.NewServeMux()
	pages.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.URL.Query().Get("name"))
	})
	server := &peer.Server{
		Identity: id,
		Service:  "web",
		Session: func(_ context.Context, sess *session.Session) {
			http.Serve(sess.Listener(), pages)
		},
	}
	listener, err := server.Listen(ctx, "ws://127.0.0.1:0/msl")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(ctx, listener)
	defer server.Close()

	client := &peer.Client{Identity: id, Service: "web", Trust: peer.Pinned(id.Fingerprint())}
	sess, err := client.Dial(ctx, listener.URL())
	if err != nil {
		log.Fatal(err)
	}
	defer sess.Close()

	web := &http.Client{Transport: &http.Transport{DialContext: sess.DialContext}}
	resp, err := web.Get("http://anything/hello?name=world")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.StatusCode, string(body))
	// Output: 200 hello, world
}
