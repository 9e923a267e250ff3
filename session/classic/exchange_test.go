package classic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// stepper calls step before each operation of an exchange.
type stepper struct {
	transport.Exchange
	step func()
}

func (s stepper) Read(p []byte) (int, error)  { s.step(); return s.Exchange.Read(p) }
func (s stepper) Write(p []byte) (int, error) { s.step(); return s.Exchange.Write(p) }
func (s stepper) CloseWrite() error           { s.step(); return s.Exchange.CloseWrite() }

// A request may be cancelled at any point: it ends, everything is given back, and
// the next one works.
func TestCancel(t *testing.T) {
	for at := int32(1); ; at++ {
		w := newWorld(t, entityauth.NewNoneData("x")) // a handshake, then a login with data
		ctx, cancel := context.WithCancel(t.Context())
		var steps atomic.Int32
		step := func() {
			if steps.Add(1) == at {
				cancel()
				runtime.Gosched() // whoever closes the connection may go first
			}
		}
		open := w.opener()
		m := login
		m.Body = iotest.OneByteReader(strings.NewReader("hello"))
		in, err := w.client.Request(ctx, OpenFunc(func(ctx context.Context) (transport.Exchange, error) {
			step()
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			s, err := open.Open(ctx)
			return stepper{s, step}, err
		}), m)
		if err == nil {
			_, err = io.ReadAll(in)
			in.Close()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at step %d: %v", at, err)
		}
		if turn := w.client.slot().Try(); turn == nil {
			t.Fatalf("cancelled at step %d: the slot is held", at)
		} else {
			turn.Publish(nil)
		}
		cancel()
		w.must(login, "afterwards")
		if steps.Load() < at {
			if err != nil {
				t.Errorf("not cancelled: %v", err)
			}
			if at < 10 {
				t.Errorf("only %d steps", at)
			}
			return
		}
	}
}

// Waiting for the slot, for the application's data, for a password: all end with
// the context.
func TestCancelWaits(t *testing.T) {
	for name, change := range map[string]func(*world, *Message){
		"slot": func(w *world, m *Message) { w.client.slot().Try() },
		"data": func(w *world, m *Message) { m.Body, _ = io.Pipe() },
		"answer": func(w *world, m *Message) {
			w.accept = []func(*Conn){func(c *Conn) { _, _ = io.Copy(io.Discard, c.stream) }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, entityauth.NewPSKData("psk-1"))
				m := Message{Body: strings.NewReader("x")}
				change(w, &m)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := w.client.Request(ctx, w.opener(), m); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// The application's own reader fails: so does the request, at once.
func TestBodyFails(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	own := errors.New("the disk is gone")
	_, err := w.client.Request(t.Context(), w.opener(), Message{Body: io.MultiReader(strings.NewReader("some"), iotest.ErrReader(own))})
	if !errors.Is(err, own) {
		t.Errorf("error %v", err)
	}
	if len(w.served) != 1 {
		t.Errorf("the application saw %q", w.served)
	}
}

// Chart 18.4: many start at once, one gets keys, the others wait for them.
func TestParallelStart(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("x"))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() { w.must(Message{AllowReplay: true}, fmt.Sprint("request ", i)) })
	}
	wg.Wait()
	var handshakes int
	for _, line := range w.chart {
		if strings.Contains(line, "kreq") {
			handshakes++
		}
	}
	if handshakes != 1 || len(w.served) != 16 {
		t.Errorf("%d key exchanges for %d requests", handshakes, len(w.served))
	}
}

// Chart 18.3: the token is renewed while data flows; requests beside it go under
// the old one and can still read their answers.
func TestRenewal(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	w.chart = nil
	w.after(13 * time.Hour)

	renewed, beside := make(chan struct{}), make(chan struct{})
	w.handle = func(in *Incoming) error {
		if in.Header.Renewable {
			<-beside // until the other has been received
			return w.echo(in)
		}
		close(beside)
		<-renewed
		return w.echo(in)
	}
	done, holds := make(chan struct{}), make(chan struct{})
	note := w.client.Sent
	w.client.Sent = func(s *message.HeaderSpec) {
		if s.Renewable {
			close(holds)
		}
		note(s)
	}
	body, late := io.Pipe()
	go func() {
		defer close(done)
		m := Message{AllowReplay: true, LocalUser: "me", Body: strings.NewReader("renewing")}
		in, err := w.client.Request(t.Context(), w.opener(), m)
		if err != nil {
			t.Error(err)
			return
		}
		defer in.Close()
		close(renewed)
		if got, err := io.ReadAll(in); err != nil || string(got) != "echo renewing" {
			t.Errorf("%q, %v", got, err)
		}
	}()
	<-holds
	go func() {
		_, _ = io.WriteString(late, "beside")
		late.Close()
	}()
	in, err := w.client.Request(t.Context(), w.opener(), Message{AllowReplay: true, LocalUser: "me", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(in); err != nil || string(got) != "echo beside" {
		t.Errorf("%q, %v", got, err)
	}
	in.Close()
	<-done
	if h := w.newest(); h.Token.Sequence != 2 {
		t.Errorf("sequence number %d", h.Token.Sequence)
	}
	if u, _ := w.holder.UserIDToken(t.Context(), "me"); u == nil {
		t.Error("the login is lost with the renewal")
	}
	w.handle, w.chart = nil, nil
	w.must(Message{LocalUser: "me"}, "afterwards")
	w.wantChart("C> [MT2] UIT nr", "S> [MT2] UIT")
}

// late is a store that finds a token only when it is asked again.
type late struct {
	token.Holder
	asked bool
}

func (l *late) Newest(ctx context.Context) (*token.Held, error) {
	if !l.asked {
		l.asked = true
		return nil, nil
	}
	return l.Holder.Newest(ctx)
}

// Who gets the slot looks again before it asks for what another has just got.
func TestTokenComesBeforeSlot(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("x"))
	w.must(Message{AllowReplay: true}, "first")
	w.chart = nil
	w.client.Holder = &late{Holder: w.holder}
	w.must(Message{AllowReplay: true}, "second")
	w.wantChart("C> [MT1]", "S> [MT1]")
}

// An empty message never asks for keys, since it would be taken for a handshake.
func TestEmptyMessages(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(Message{}, "")
	w.must(Message{AllowReplay: true, LocalUser: "me", Credentials: login.Credentials}, "")
	w.must(Message{LocalUser: "other", Credentials: login.Credentials}, "")
	w.wantChart(
		"C> [EAD] R H kreq", "S> [EAD] kresp", "C> [MT1] nr", "S> [MT1]",
		"C> [MT1] R userauth", "S> [MT1] UIT",
		"C> [MT1] R userauth nr", "S> [MT1] UIT",
	)
	if len(w.served) != 3 {
		t.Errorf("served %d", len(w.served))
	}
}

// Old stacks do not flag their handshakes (spec 04 section 6.1).
func TestInferredHandshake(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	n := w.client.Network
	parties := keyx.Parties{Requester: entityauth.EntityOf(n.Self), Identity: n.Self.Identity()}
	offers, err := n.KeyExchange.Offer(t.Context(), parties)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := n.Seal(t.Context(), message.HeaderSpec{Renewable: true, KeyRequests: offers})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.opener().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(s, nil, false)
	defer c.Close()
	if err := c.write(sealed.Raw, false); err != nil {
		t.Fatal(err)
	}
	if err := stream.NewChunkWriter(c.stream, sealed, stream.ChunkWriterConfig{}).Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := c.readHeader()
	if err != nil {
		t.Fatal(err)
	}
	h, err := n.Open(t.Context(), raw, message.OpenOptions{RequestID: &sealed.MessageID, Offers: offers, Parties: parties})
	if err != nil || h.KeyResult == nil || h.Handshake {
		t.Fatalf("reply %+v, %v", h, err)
	}
	if len(w.served) != 0 {
		t.Error("the application saw a handshake")
	}
}

// A reply to a handshake may have no chunks, and a connection may end behind it.
func TestReplyWithoutChunks(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("x"))
	w.accept = []func(*Conn){func(c *Conn) {
		c.shared = true // no chunk behind the reply
		w.serve(c)
	}}
	w.must(Message{}, "hello")
}

// send reads no answer, and so asks for no keys but by a handshake (5.5).
func TestSend(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	got := make(chan string, 4)
	w.handle = func(in *Incoming) error {
		data, err := io.ReadAll(in)
		got <- string(data)
		return err
	}
	for _, m := range []Message{{AllowReplay: true}, {}, {}} {
		m.Body = strings.NewReader("sent")
		in, err := w.client.Send(t.Context(), w.opener(), m)
		if err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "sent" {
			t.Errorf("got %q", s)
		}
		in.Close()
	}
	w.wantChart("C> [EAD]", "C> [EAD] R H kreq", "S> [EAD] kresp", "C> [MT1] nr", "C> [MT1] nr")
}

// Pushes (9.3, section 16): random IDs, no new tokens, each only once (W-03), and
// none to who has been revoked since (W-25).
func TestPush(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	w.chart = nil
	var last []byte
	w.server.Sent = func(*message.HeaderSpec) {}
	w.handle = func(in *Incoming) error {
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
		for _, text := range []string{"one", "two"} {
			record := &recorder{Exchange: in.conn.stream}
			in.conn.stream = record
			if err := in.Push(t.Context(), Message{Body: strings.NewReader(text)}); err != nil {
				return err
			}
			last, in.conn.stream = record.bytes, record.Exchange
		}
		if _, err := in.conn.stream.Write(last); err != nil { // somebody repeats it
			return err
		}
		if err := w.issuer.RevokeToken(t.Context(), pskClient, in.Header.MasterToken.Serial); err != nil {
			return err
		}
		if err := in.Push(t.Context(), Message{Body: strings.NewReader("three")}); !errors.Is(err, mslerr.MasterTokenIdentityRevoked) {
			t.Errorf("push to a revoked entity: %v", err)
		}
		return nil
	}
	in, err := w.client.Send(t.Context(), w.opener(), Message{AllowReplay: true, Body: strings.NewReader("go")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close() }()
	for _, want := range []string{"one", "two"} {
		if in, err = in.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != want {
			t.Errorf("pushed %q, %v", got, err)
		}
	}
	if _, err = in.Next(t.Context()); !errors.Is(err, mslerr.MessageReplayed) {
		t.Errorf("the same push again: %v", err)
	}
	if _, err = in.Next(t.Context()); !errors.Is(err, mslerr.EntityReauth) {
		t.Errorf("after the revocation: %v", err)
	}
	w.wantChart("C> [MT1]", "S> [MT1]", "S> [MT1]", "S> [MT1]", "S> error ENTITY_REAUTH")
}

type recorder struct {
	transport.Exchange
	bytes []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.bytes = append(r.bytes, p...)
	return r.Exchange.Write(p)
}

// Chart 18.6 and its kin: what an answer needs is said before anything leaves.
func TestAnswerNeedsKeys(t *testing.T) {
	w := newWorld(t, nil)
	plain := Message{AllowReplay: true, InsecurePlaintext: true, InsecureUnprotected: true}
	for _, tt := range []struct {
		answer Message
		code   mslerr.Code
	}{
		{Message{}, mslerr.ResponseRequiresEncryption},
		{Message{InsecurePlaintext: true, User: "bob"}, mslerr.ResponseRequiresMasterToken},
	} {
		var said, returned error
		turn := w.client.slot().Try() // so that no keys are asked for
		handled := make(chan struct{})
		w.handle = func(in *Incoming) error {
			defer close(handled)
			turn.Publish(nil)
			said = in.CanAnswer(tt.answer)
			returned = in.Respond(t.Context(), tt.answer)
			return nil
		}
		w.client.Network.KeyExchange = nil
		_, err := w.do(plain, "data")
		<-handled
		if !errors.Is(err, tt.code) || !errors.Is(said, tt.code) || !errors.Is(returned, tt.code) {
			t.Errorf("%v: requester %v, CanAnswer %v, Respond %v", tt.code, err, said, returned)
		}
	}
	w.server.Network.Self, w.server.Network.SelfScheme = entityauth.NewNoneData("srv"), entityauth.None{}
	in := &Incoming{party: w.server, Header: &message.Header{}}
	if err := in.CanAnswer(Message{InsecurePlaintext: true}); !errors.Is(err, mslerr.ResponseRequiresIntegrityProtection) {
		t.Errorf("error %v", err)
	}
	if err := in.CanAnswer(plain); err != nil {
		t.Error(err)
	}
}

// Service tokens (section 13): given, kept, echoed, replaced (D6), deleted; and the
// server makes a user of its own choice.
func TestServiceTokens(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	var edit func(*ServiceTokens) error
	var seen []string
	w.handle = func(in *Incoming) error {
		seen = nil
		for _, st := range in.Header.Tokens.Service {
			data, _ := st.Data()
			seen = append(seen, st.Name+"="+string(data))
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			return err
		}
		return in.Respond(t.Context(), Message{User: "bob", ServiceTokens: func(_ context.Context, set *ServiceTokens, handshake bool) error {
			return edit(set)
		}})
	}
	request := func() {
		t.Helper()
		if _, err := w.do(Message{AllowReplay: true, LocalUser: "me"}, "x"); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, data string, b Binding) func(*ServiceTokens) error {
		return func(set *ServiceTokens) error {
			return set.Put(ServiceToken{Name: name, Binding: b, Data: []byte(data), InsecurePlaintext: true})
		}
	}
	want := func(tokens ...string) {
		t.Helper()
		if strings.Join(seen, " ") != strings.Join(tokens, " ") {
			t.Errorf("the server sees %q, want %q", seen, tokens)
		}
	}
	edit = func(set *ServiceTokens) error {
		return errors.Join(put("u", "1", Unbound)(set), put("m", "1", ToMasterToken)(set), put("s", "1", ToUser)(set))
	}
	request()
	edit = put("m", "2", ToMasterToken)
	request()
	want("u=1", "m=1", "s=1")
	edit = func(set *ServiceTokens) error { set.Exclude("u", Unbound); return set.Delete("s", ToUser) }
	request()
	edit = func(*ServiceTokens) error { return nil }
	request()
	want("u=1", "m=2")
	if u, _ := w.holder.UserIDToken(t.Context(), "me"); u == nil {
		t.Error("the user was not created")
	}
	edit = put("x", "", Unbound)
	w.client.ownServiceToken(t, w)
}

// ownServiceToken: a client that has nothing to bind to is told so.
func (p *Party) ownServiceToken(t *testing.T, w *world) {
	_ = w.holder.Remove(t.Context(), w.newest().Token)
	_, err := w.do(Message{AllowReplay: true, ServiceTokens: func(_ context.Context, set *ServiceTokens, _ bool) error {
		return set.Put(ServiceToken{Name: "n", Binding: ToMasterToken, Data: []byte("x")})
	}}, "x")
	if !errors.Is(err, mslerr.ServiceTokenMasterTokenMismatch) {
		t.Errorf("error %v", err)
	}
}

// First use: the first who proves who it is, is pinned before its tokens count.
func TestPin(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	service := w.client.Expected
	w.client.Expected = token.Entity{}
	if _, err := w.do(login, "x"); !errors.Is(err, mslerr.MessageSenderMismatch) {
		t.Errorf("nobody is trusted: %v", err)
	}
	var pinned []token.Entity
	w.client.Pin = func(_ context.Context, e token.Entity) error { pinned = append(pinned, e); return nil }
	w.must(login, "x")
	_ = w.holder.Remove(t.Context(), w.newest().Token)
	w.must(login, "x")
	if len(pinned) != 1 || pinned[0] != service {
		t.Errorf("pinned %v", pinned)
	}
	w.server.Network.Self, w.server.Network.SelfScheme = identity(9).Self(), identity(9)
	_ = w.holder.Remove(t.Context(), w.newest().Token)
	if _, err := w.do(login, "x"); !errors.Is(err, mslerr.MessageSenderMismatch) {
		t.Errorf("another service: %v", err)
	}
}

// A first contact that is sent again costs no token (W-02).
func TestRepeatedFirstContact(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	record := &recorder{}
	in, err := w.client.Request(t.Context(), OpenFunc(func(ctx context.Context) (transport.Exchange, error) {
		s, err := w.opener().Open(ctx)
		record.Exchange = s
		return record, err
	}), Message{AllowReplay: true, Body: strings.NewReader("once")})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(in)
	in.Close()
	s, err := w.opener().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(s, nil, false)
	defer c.Close()
	if _, err := c.stream.Write(record.bytes); err != nil {
		t.Fatal(err)
	}
	raw, err := c.readHeader()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.client.Network.Open(t.Context(), raw, message.OpenOptions{})
	if !errors.Is(err, mslerr.MessageReplayed) || !errors.Is(err, mslerr.Fail) {
		t.Errorf("error %v", err)
	}
	if len(w.served) != 1 {
		t.Errorf("served %q", w.served)
	}
}

// Truncated data is no answer (W-08).
func TestTruncatedAnswer(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	w.handle = func(in *Incoming) error {
		_, _ = io.Copy(io.Discard, in)
		_ = in.Respond(t.Context(), Message{Body: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("broken")))})
		return errors.New("over")
	}
	if got, err := w.do(Message{}, "x"); got != "half" || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("answer %q, %v", got, err)
	}
}

// A client's own messages come back: as an answer, as a push (W-04).
func TestReflection(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "first")
	reflect := func(c *Conn) { _, _ = io.Copy(c.stream, c.stream) }
	w.accept = []func(*Conn){reflect, reflect}
	if _, err := w.do(Message{}, "x"); !errors.Is(err, mslerr.UnexpectedResponseMessageID) {
		t.Errorf("as an answer: %v", err)
	}
	in, err := w.client.Send(t.Context(), w.opener(), Message{AllowReplay: true, Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Next(t.Context()); !errors.Is(err, mslerr.UnexpectedLocalMessageSender) {
		t.Errorf("as a push: %v", err)
	}
}
