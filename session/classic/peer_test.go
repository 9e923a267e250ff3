package classic

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

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

// equals is A and B with one connection. A asks, B answers.
type equals struct {
	t      *testing.T
	a, b   *Party
	ca, cb *Conn
	w      *world // keeps the chart
	answer func(in *Incoming) Message
	err    chan error
}

func newEquals(t *testing.T) *equals {
	e := &equals{t: t, w: &world{t: t}, err: make(chan error, 1)}
	party := func(seed, other byte) *Party {
		id := identity(seed)
		p := &Party{
			Network: &message.Network{
				Self: id.Self(), EntityAuth: entityauth.Schemes{id}, UserAuth: userauth.Schemes{passwords{}},
				KeyExchange: keyx.Schemes{keyx.HPKE{}}, TokenKeys: tokenKeys(t, seed), Issuer: store.NewMemoryIssuer(),
				Service: "node", ServiceContexts: token.ServiceContexts{"": mslcrypto.Null{}}, PeerToPeer: true,
			},
			Holder: store.NewMemory().Holder("other"), Expected: entityauth.EntityOf(identity(other).Self()),
		}
		return p
	}
	e.a, e.b = party(1, 2), party(2, 1)
	e.a.Sent = func(s *message.HeaderSpec) { e.w.note("A>", sketch(s)) }
	e.b.Sent = func(s *message.HeaderSpec) { e.w.note("B>", sketch(s)) }
	a, b := transport.Pipe()
	e.ca, e.cb = NewConn(Over(a), nil, true), NewConn(Over(b), nil, true)
	e.answer = func(in *Incoming) Message {
		data, err := io.ReadAll(in)
		if err != nil {
			t.Error(err)
		}
		return Message{Body: strings.NewReader("echo " + string(data))}
	}
	go func() { e.err <- e.serve() }()
	t.Cleanup(func() {
		e.ca.Close()
		if err := <-e.err; err != nil && !errors.Is(err, io.EOF) {
			t.Error("B:", err)
		}
		e.cb.Close()
	})
	return e
}

func (e *equals) serve() error {
	for {
		in, err := e.b.Accept(context.Background(), e.cb, nil)
		if _, refused := errors.AsType[*mslerr.Error](err); refused {
			continue
		}
		if err != nil {
			return err
		}
		if err := in.Respond(context.Background(), e.answer(in)); err != nil {
			return err
		}
	}
}

func (e *equals) must(m Message, data string) {
	e.t.Helper()
	m.Body = strings.NewReader(data)
	in, err := e.a.RequestOn(e.t.Context(), e.ca, m)
	if err != nil {
		e.t.Fatal(err)
	}
	got, err := io.ReadAll(in)
	if err != nil || string(got) != "echo "+data {
		e.t.Fatalf("answer %q, %v", got, err)
	}
	if err := in.Close(); err != nil {
		e.t.Fatal(err)
	}
}

// Charts 18.7 and 18.8.
func TestPeers(t *testing.T) {
	e := newEquals(t)
	m := Message{AllowReplay: true}
	e.must(m, "hello")
	e.w.wantChart(
		"A> [EAD] R H kreq",
		"B> [EAD] R kreq kresp",
		"A> [MT1] kresp",
		"B> [MT1] peer",
	)
	e.must(Message{AllowReplay: true, LocalUser: "me", Credentials: userauth.Static(password{"alice", "right"})}, "with a user")
	e.w.wantChart("A> [MT1] R userauth", "B> [MT1] peer peerUIT")
	e.must(Message{LocalUser: "me"}, "once only")
	e.w.wantChart("A> [MT1] UIT nr", "B> [MT1] peer peerUIT")
}

// Chart 18.9: the answer needs keys of its own first.
func TestPeerShakesHandsBeforeItAnswers(t *testing.T) {
	for _, body := range []string{"", "public request"} {
		e := newEquals(t)
		m := Message{AllowReplay: true, InsecurePlaintext: true}
		e.must(m, "public request"+body)
		e.w.wantChart(
			"A> [EAD] R kreq",
			"B> [EAD] R H kreq kresp",
			"A> [MT1] kresp",
			"B> [MT1] peer",
		)
		e.must(m, "")
	}
}

// The data is set aside while the answering side exchanges keys, and read then.
func TestRequestSurvivesHandshakeOfItsAnswer(t *testing.T) {
	e := newEquals(t)
	e.answer = func(in *Incoming) Message {
		return Message{Body: io.MultiReader(strings.NewReader("echo "), in)}
	}
	e.must(Message{AllowReplay: true, InsecurePlaintext: true}, strings.Repeat("x", 300_000))
}

// Some stacks end their replies to handshakes with a chunk (D1, D3).
func TestStrayChunks(t *testing.T) {
	for _, secret := range []bool{true, false} {
		e := newEquals(t)
		e.ca.shared, e.cb.shared = false, false // as if each message had a connection of its own
		for range 2 {
			e.must(Message{AllowReplay: true, InsecurePlaintext: !secret}, "hello")
		}
	}
}

// Retries go on the same connection, behind the whole of what was refused.
func TestPeerRecovers(t *testing.T) {
	e := newEquals(t)
	login := Message{AllowReplay: true, LocalUser: "me", Credentials: userauth.Static(password{"alice", "right"})}
	e.must(login, "first")
	e.w.chart = nil
	e.b.Network.TokenKeys = tokenKeys(t, 90)
	e.must(login, strings.Repeat("x", 200_000))
	e.w.wantChart(
		"A> [MT1] UIT",
		"A> [EAD] R H kreq",
		"B> [MT1] kresp",
		"A> [MT1] R userauth peer",
		"B> [MT1] peer peerUIT",
	)
	e.must(Message{LocalUser: "me"}, "afterwards")
}

// The answer to an exchange that the stack began goes astray: nothing is kept.
func TestPeerIsWhoIsExpected(t *testing.T) {
	e := newEquals(t)
	e.a.Expected.Identity = "ed25519:somebody else"
	_, err := e.a.RequestOn(t.Context(), e.ca, Message{Body: strings.NewReader("x")})
	if !errors.Is(err, mslerr.MessageSenderMismatch) {
		t.Errorf("error %v", err)
	}
	if h, _ := e.a.Holder.Newest(t.Context()); h != nil {
		t.Error("a token of a stranger is kept")
	}
}
