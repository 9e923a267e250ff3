package natstest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"io"
	"sync"
	"testing"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/store/nats"
)

var rounds = flag.Int("rounds", 100, "how often one message is sent to all servers at once")

// stores are those of three servers, each connected to a node of its own, and to
// another when that is gone.
func stores(t *testing.T, c *cluster) (list [nodes]*nats.Store) {
	t.Helper()
	for i := range list {
		var err error
		if list[i], err = nats.Open(t.Context(), c.dial(t, i, (i+1)%nodes, (i+2)%nodes), nats.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// The same non-replayable message is sent to all three servers of a service at
// once, again and again, and in mid-run the node of NATS that leads is killed. No
// message is accepted twice, and one that no server had to refuse for want of an
// answer is accepted once.
func TestNonReplayableOnce(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	identity, keys := newEd25519(t), peer.NewTokenKeys()
	var servers [nodes]*message.Network
	for i, s := range stores(t, c) {
		servers[i] = &message.Network{
			Self: identity.Self(), EntityAuth: entityauth.Schemes{identity}, KeyExchange: keyx.Schemes{keyx.HPKE{}},
			TokenKeys: keys, Issuer: s, Service: "service",
		}
	}
	client := newClient(t, servers[0])
	victim := c.leader(t, nats.DefaultBucket)

	unsure, accepted := 0, 0
	for round := range *rounds {
		raw := client.nonReplayable(t)
		var results [nodes]error
		var done sync.WaitGroup
		if round == *rounds/2 {
			done.Go(func() { c.kill(victim) })
		}
		for i, n := range servers {
			done.Go(func() { _, results[i] = n.Receive(t.Context(), raw, message.OpenOptions{}) })
		}
		done.Wait()
		yes, failed := 0, 0
		for _, err := range results {
			_, refused := errors.AsType[*mslerr.Error](err)
			_, unavailable := errors.AsType[*nats.UnavailableError](err)
			switch {
			case err == nil:
				yes++
			case unavailable:
				failed++
				t.Logf("round %d: %v", round, err)
			case !refused || !errors.Is(err, mslerr.MessageReplayed):
				t.Errorf("round %d: %v", round, err)
			}
		}
		if yes > 1 {
			t.Fatalf("round %d: accepted %d times", round, yes)
		}
		if yes == 0 && failed == 0 {
			t.Fatalf("round %d: accepted by nobody: %v", round, results)
		}
		accepted += yes
		unsure += min(failed, 1)
	}
	t.Logf("%d rounds, %d accepted, %d with an error of the store", *rounds, accepted, unsure)
	if unsure > 5 {
		t.Errorf("%d rounds with an error: the service is slow to recover", unsure)
	}
}

// A client is a client of classic MSL, at the level of messages.
type client struct {
	network *message.Network
	holder  token.Holder
}

// newClient makes a client that gets a master token from a server.
func newClient(t *testing.T, server *message.Network) *client {
	t.Helper()
	ctx := t.Context()
	identity := newEd25519(t)
	c := &client{
		network: &message.Network{Self: identity.Self(), EntityAuth: entityauth.Schemes{identity}, KeyExchange: keyx.Schemes{keyx.HPKE{}}},
		holder:  store.NewMemory().Holder("service"),
	}
	self := entityauth.EntityOf(identity.Self())
	parties := keyx.Parties{Identity: self.Identity, Requester: self}
	offers, err := c.network.KeyExchange.Offer(ctx, parties)
	check(t, err)
	sent, err := c.network.Seal(ctx, message.HeaderSpec{Renewable: true, KeyRequests: offers})
	check(t, err)
	request, err := server.Receive(ctx, sent.Raw, message.OpenOptions{})
	check(t, err)
	spec, err := server.Respond(ctx, request, message.RespondOptions{})
	check(t, err)
	back, err := server.Seal(ctx, spec)
	check(t, err)
	answer, err := c.network.Receive(ctx, back.Raw, message.OpenOptions{
		RequestID: &sent.MessageID, Remote: entityauth.EntityOf(server.Self), Offers: offers, Parties: parties, Holder: c.holder,
	})
	check(t, err)
	check(t, c.holder.Put(ctx, &token.Held{Token: answer.KeyResponse.Token, Keys: answer.KeyResult.Keys, Self: self}))
	return c
}

// nonReplayable is a message's header with a fresh non-replayable ID.
func (c *client) nonReplayable(t *testing.T) []byte {
	t.Helper()
	held, err := c.holder.Newest(t.Context())
	check(t, err)
	id, err := c.holder.NextNonReplayable(t.Context(), held.Token)
	check(t, err)
	sealed, err := c.network.Seal(t.Context(), message.HeaderSpec{Under: held, NonReplayableID: &id})
	check(t, err)
	return sealed.Raw
}

func newEd25519(t *testing.T) *entityauth.Ed25519 {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	return entityauth.NewEd25519(key)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A client that authenticated at one server continues at the others, also after a
// node of NATS is gone, and is refused by all once one of them revoked it.
func TestClientContinues(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	service, err := peer.NewIdentity()
	check(t, err)
	user, err := peer.NewIdentity()
	check(t, err)
	issuers, keys := stores(t, c), peer.NewTokenKeys()
	var urls [nodes]string
	for i, s := range issuers {
		urls[i] = serve(t, &peer.Server{Identity: service, Service: "echo", TokenKeys: keys, Issuer: s, Session: echo})
	}
	client := &peer.Client{Identity: user, Service: "echo", Trust: peer.Pinned(service.Fingerprint())}
	for round := range 6 {
		if round == 3 {
			c.kill((c.leader(t, nats.DefaultBucket) + 1) % nodes) // one that follows: the others go on at once
		}
		sess, err := client.Dial(t.Context(), urls[round%nodes])
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if resumed := sess.Info().Resumed; resumed != (round > 0) {
			t.Errorf("round %d: resumed %v", round, resumed)
		}
		st, err := sess.OpenStream(t.Context())
		check(t, err)
		_, err = io.WriteString(st, "hello")
		check(t, errors.Join(err, st.CloseWrite()))
		if got, err := io.ReadAll(st); string(got) != "hello" || err != nil {
			t.Errorf("round %d: %q, %v", round, got, err)
		}
		check(t, sess.Close())
	}
	check(t, issuers[0].RevokeEntity(t.Context(), token.Entity{Scheme: "ED25519", Identity: user.Fingerprint()}))
	for _, url := range urls {
		if sess, err := client.Dial(t.Context(), url); err == nil {
			sess.Close()
			t.Error("a session with an entity that was revoked elsewhere")
		} else if !errors.Is(err, mslerr.EntityReauth) {
			t.Errorf("error %v", err)
		}
	}
}

// serve runs a server until the test ends.
func serve(t *testing.T, s *peer.Server) (url string) {
	t.Helper()
	l, err := s.Listen(t.Context(), "tcp://127.0.0.1:0")
	check(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	return l.URL()
}

// echo sends back what comes.
func echo(ctx context.Context, s *session.Session) {
	for {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			io.Copy(st, st)
			st.Close()
		}()
	}
}
