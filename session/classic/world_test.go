package classic

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
)

func TestMain(m *testing.M) {
	// The goroutine that is ignored serves JavaScript's events.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}

func identity(seed byte) *entityauth.Ed25519 {
	return entityauth.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

func tokenKeys(t testing.TB, seed byte) *token.Keys {
	t.Helper()
	c, err := mslcrypto.NewSymmetric(fmt.Sprint("tokens", seed), mslcrypto.SymmetricKeys{
		Encryption: bytes.Repeat([]byte{seed}, 16), Signature: bytes.Repeat([]byte{seed + 1}, 32), Wrapping: bytes.Repeat([]byte{seed + 2}, 16),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token.NewKeys(c)
}

var psk = entityauth.PSK{Keys: func(_ context.Context, id string) (entityauth.PSKKeys, error) {
	if !strings.HasPrefix(id, "psk-") {
		return entityauth.PSKKeys{}, errors.New("unknown")
	}
	return entityauth.PSKKeys{Encryption: bytes.Repeat([]byte{7}, 16), HMAC: bytes.Repeat([]byte{8}, 32)}, nil
}}

// passwords is a user scheme: {"name": string, "password": string}.
type passwords struct{}

type password struct{ name, secret string }

func (password) Scheme() string { return "PASSWORD" }
func (p password) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"name": p.name, "secret": p.secret}, nil
}
func (passwords) Name() string { return "PASSWORD" }
func (passwords) Parse(o framing.Object) (userauth.Data, error) {
	name, _ := framing.Get[string](o, "name")
	secret, err := framing.Get[string](o, "secret")
	return password{name, secret}, err
}
func (passwords) Authenticate(_ context.Context, _ token.Entity, d userauth.Data, _ *token.UserIDToken, _ userauth.Policy) (token.User, error) {
	switch p := d.(password); p.secret {
	case "right":
		return token.User(p.name), nil
	case "sso":
		return "", &mslerr.Error{Code: mslerr.UserAuthVerificationFailed, Response: mslerr.SSOTokenRejected}
	}
	return "", mslerr.New(mslerr.EmailPasswordIncorrect, "no")
}

// world is a service with one client.
type world struct {
	t      testing.TB
	mu     sync.Mutex
	offset time.Duration // of the clock

	server, client *Party
	issuer         *store.MemoryIssuer
	holder         token.Holder
	// handle is the service; default: echo.
	handle func(*Incoming) error
	// accept replaces what the server does with the next connections.
	accept []func(*Conn)
	chart  []string
	served []string // bodies that the application saw whole
}

// newWorld makes one whose client has the given data; nil: an Ed25519 key.
func newWorld(t testing.TB, self entityauth.Data) *world {
	w := &world{t: t, issuer: store.NewMemoryIssuer()}
	clock := func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Now().Add(w.offset)
	}
	service, device := identity(1), identity(2)
	contexts := token.ServiceContexts{"": mslcrypto.Null{}}
	w.server = &Party{Network: &message.Network{
		Self: service.Self(), EntityAuth: entityauth.Schemes{service, psk, entityauth.None{}},
		UserAuth: userauth.Schemes{passwords{}}, KeyExchange: keyx.Schemes{keyx.HPKE{}},
		TokenKeys: tokenKeys(t, 1), Issuer: w.issuer, Service: "test", ServiceContexts: contexts, Clock: clock,
	}}
	w.holder = store.NewMemory().Holder("test")
	var scheme entityauth.Scheme
	switch self.(type) {
	case nil:
		self, scheme = device.Self(), device
	case entityauth.PSKData:
		scheme = psk
	default:
		scheme = entityauth.None{}
	}
	w.client = &Party{
		Network: &message.Network{
			Self: self, SelfScheme: scheme, EntityAuth: entityauth.Schemes{identity(2)},
			UserAuth: userauth.Schemes{passwords{}}, KeyExchange: keyx.Schemes{keyx.HPKE{}}, ServiceContexts: contexts, Clock: clock,
		},
		Holder: w.holder, Expected: entityauth.EntityOf(service.Self()),
	}
	w.client.Sent = func(s *message.HeaderSpec) { w.note("C>", sketch(s)) }
	w.client.Received = func(h *message.Header, e *message.ErrorHeader) {
		if e != nil {
			w.note("S>", "error "+e.Response.String())
			return
		}
		w.note("S>", sketchReceived(h))
	}
	return w
}

func (w *world) note(who, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chart = append(w.chart, who+" "+what)
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset += d
}

// sketch describes a header as the charts of spec 09 section 18 do.
func sketch(s *message.HeaderSpec) string {
	under := "[EAD]"
	if s.Under != nil {
		under = fmt.Sprintf("[MT%d]", s.Under.Token.Sequence)
	}
	return strings.Join(strings.Fields(strings.Join([]string{under,
		mark(s.Tokens.UserID != nil, "UIT"), mark(s.Renewable, "R"), mark(s.Handshake, "H"),
		mark(len(s.KeyRequests) > 0, "kreq"), mark(s.KeyResponse != nil, "kresp"), mark(s.Credentials != nil, "userauth"),
		mark(s.NonReplayableID != nil, "nr"), mark(s.PeerMT != nil, "peer"), mark(s.Peer.UserID != nil, "peerUIT"),
	}, " ")), " ")
}

func sketchReceived(h *message.Header) string {
	under := "[EAD]"
	if h.MasterToken != nil {
		under = fmt.Sprintf("[MT%d]", h.MasterToken.Sequence)
	}
	return strings.Join(strings.Fields(strings.Join([]string{under,
		mark(h.Tokens.UserID != nil, "UIT"), mark(h.Renewable, "R"), mark(h.Handshake, "H"),
		mark(len(h.KeyRequests) > 0, "kreq"), mark(h.KeyResponse != nil, "kresp"), mark(h.Credentials != nil, "userauth"),
		mark(h.NonReplayable, "nr"), mark(h.PeerMT != nil, "peer"), mark(h.Peer.UserID != nil, "peerUIT"),
	}, " ")), " ")
}

func mark(b bool, s string) string {
	if b {
		return s
	}
	return ""
}

// opener connects to the server.
func (w *world) opener() Opener {
	return OpenFunc(func(context.Context) (transport.Exchange, error) {
		a, b := transport.Pipe()
		c := NewConn(Over(b), nil, false)
		w.mu.Lock()
		var f func(*Conn)
		if len(w.accept) > 0 {
			f, w.accept = w.accept[0], w.accept[1:]
		}
		w.mu.Unlock()
		go func() {
			defer c.Close()
			if f != nil {
				f(c)
				return
			}
			w.serve(c)
		}()
		return Over(a), nil
	})
}

func (w *world) serve(c *Conn) {
	for {
		in, err := w.server.Accept(w.t.Context(), c, nil)
		if err != nil {
			if _, ok := errors.AsType[*mslerr.Error](err); ok {
				continue
			}
			return
		}
		handle := w.handle
		if handle == nil {
			handle = w.echo
		}
		if handle(in) != nil {
			return
		}
	}
}

func (w *world) echo(in *Incoming) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.served = append(w.served, string(data))
	w.mu.Unlock()
	return in.Respond(w.t.Context(), Message{Body: strings.NewReader("echo " + string(data))})
}

// do makes a request and gives the answer's data.
func (w *world) do(m Message, data string) (string, error) {
	if data != "" {
		m.Body = strings.NewReader(data)
	}
	in, err := w.client.Request(w.t.Context(), w.opener(), m)
	if err != nil {
		return "", err
	}
	defer in.Close()
	answer, err := io.ReadAll(in)
	return string(answer), err
}

func (w *world) must(m Message, data string) {
	w.t.Helper()
	got, err := w.do(m, data)
	if err != nil {
		w.t.Fatal(err)
	}
	if got != "echo "+data {
		w.t.Fatalf("answer %q to %q", got, data)
	}
}

// wantChart compares the headers that passed since the last call.
func (w *world) wantChart(lines ...string) {
	w.t.Helper()
	w.mu.Lock()
	got := w.chart
	w.chart = nil
	w.mu.Unlock()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		w.t.Errorf("chart:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}
