package session

import (
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"io"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

func TestMain(m *testing.M) {
	// The goroutine that is ignored serves JavaScript's events.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}

const serviceName = "service"

// earlyReplays is how often early data is replayed.
var earlyReplays = flag.Int("replays", 100, "how often early data is replayed")

// entity is a key pair of scheme ED25519 with its name.
type entity struct {
	scheme *entityauth.Ed25519
}

func newEntity(seed byte) entity {
	return entity{entityauth.NewEd25519(ed25519.NewKeyFromSeed(span(seed, 32)))}
}

func (e entity) name() token.Entity { return entityauth.EntityOf(e.scheme.Self()) }

// network of e, which accepts NONE and ED25519.
func (e entity) network() *message.Network {
	return &message.Network{
		Self:        e.scheme.Self(),
		SelfScheme:  e.scheme,
		EntityAuth:  entityauth.Schemes{e.scheme, entityauth.None{}},
		KeyExchange: keyx.Schemes{keyx.HPKE{}},
	}
}

// nobody's network is a client's without authentication.
func nobody(name string) *message.Network {
	return &message.Network{
		Self:        entityauth.NewNoneData(name),
		SelfScheme:  entityauth.None{},
		EntityAuth:  entityauth.Schemes{entityauth.NewEd25519(nil)},
		KeyExchange: keyx.Schemes{keyx.HPKE{}},
	}
}

func tokenKeys(t testing.TB, seed byte) *token.Keys {
	t.Helper()
	c, err := mslcrypto.NewSymmetric("token keys", mslcrypto.SymmetricKeys{
		Encryption: mslcrypto.Key(span(seed, 16)), Signature: mslcrypto.Key(span(seed, 32)), Wrapping: mslcrypto.Key(span(seed, 16)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token.NewKeys(c)
}

// issuer is the least that an Issuer can be; it counts confirmations.
type issuer struct {
	mu        sync.Mutex
	serials   int64
	confirmed []int64
	revoked   error
}

func (i *issuer) Create(context.Context, token.Entity) (int64, int64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.serials++
	return i.serials, 1, nil
}

func (i *issuer) Renewable(context.Context, token.Entity, int64, int64) error { return nil }

func (i *issuer) Renew(_ context.Context, _ token.Entity, _, sequence int64) (int64, error) {
	return sequence + 1, nil
}

func (i *issuer) Confirm(_ context.Context, _ token.Entity, serial, _ int64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.confirmed = append(i.confirmed, serial)
	return nil
}

func (i *issuer) confirmations() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.confirmed)
}

func (i *issuer) AcceptNonReplayable(context.Context, string, token.Entity, int64, int64) error {
	return mslerr.MessageReplayed
}

func (i *issuer) Revoked(context.Context, token.Entity, int64, token.User, int64) error {
	return i.revoked
}

// holder keeps master tokens only.
type holder struct {
	token.Holder // what a set-up does not need
	mu           sync.Mutex
	held         []*token.Held
}

func (h *holder) Newest(context.Context) (*token.Held, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.held) == 0 {
		return nil, nil
	}
	return h.held[len(h.held)-1], nil
}

func (h *holder) Put(_ context.Context, held *token.Held) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, held)
	return nil
}

func (h *holder) Remove(_ context.Context, t *token.MasterToken) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, held := range h.held {
		if held.Token.Equal(t) {
			h.held = append(h.held[:i:i], h.held[i+1:]...)
			return nil
		}
	}
	return nil
}

func (h *holder) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

// world is a service and a client that know each other.
type world struct {
	client, server entity
	issuer         *issuer
	holder         *holder
	initiator      *Initiator
	responder      *Responder
}

func newWorld(t testing.TB) *world {
	w := &world{client: newEntity(0x00), server: newEntity(0x20), issuer: &issuer{}, holder: &holder{}}
	n := w.server.network()
	n.TokenKeys, n.Issuer, n.Service = tokenKeys(t, 1), w.issuer, serviceName
	w.responder = &Responder{Network: n, Names: []string{serviceName}}
	w.initiator = &Initiator{
		Network: w.client.network(),
		Holder:  w.holder,
		To:      serviceName,
		Trust:   Known(w.server.name()),
	}
	return w
}

// quickly lets a world lose many connections in a short time.
func (w *world) quickly() {
	w.responder.Moves = 1 << 30
	w.responder.Timeout = time.Second
	w.initiator.pause = func(n int) time.Duration { return min(time.Millisecond<<n, 50*time.Millisecond) }
}

// nowhere finds no other connection.
func nowhere(context.Context, []string, int) (transport.Conn, error) {
	return nil, errors.New("nowhere to connect to")
}

type accepted struct {
	session *Session
	err     error
}

// connect runs both halves over a pair of connections.
func (w *world) connect(ctx context.Context, a, b transport.Conn) (client, server *Session, dialErr, acceptErr error) {
	c := make(chan accepted, 1)
	go func() {
		s, err := Accept(ctx, b, w.responder)
		c <- accepted{s, err}
	}()
	client, dialErr = Dial(ctx, a, w.initiator)
	got := <-c
	return client, got.session, dialErr, got.err
}

// sessions are both ends of a good session over a pipe, closed with the test.
func (w *world) sessions(t testing.TB) (client, server *Session) {
	t.Helper()
	a, b := transport.Pipe()
	client, server, err1, err2 := w.connect(t.Context(), a, b)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(client, server) })
	return client, server
}

// end closes sessions that may be nil, and waits until nothing of them runs.
func end(sessions ...*Session) {
	for _, s := range sessions {
		if s != nil {
			_ = s.Close()
			<-s.link.Done()
		}
	}
}

// echo asserts that bytes go both ways.
func echo(t testing.TB, client, server *Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	st, err := client.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(st, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	other, err := server.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(other)
	if err != nil || string(b) != "hello" {
		t.Fatalf("server read %q, %v", b, err)
	}
	if _, err := other.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(st); err != nil || string(b) != "hello" {
		t.Fatalf("client read %q, %v", b, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

type streamSuite = stream.Suite

// messageSpec is a classic first message of an initiator.
func messageSpec(i *initiator) message.HeaderSpec {
	return message.HeaderSpec{
		Renewable: true, Handshake: true, Capabilities: i.network.Capabilities(), KeyRequests: i.offers,
	}
}
