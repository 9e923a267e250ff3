package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

// wires connects a world's two sides over pipes, as often as they like.
type wires struct {
	world   *world
	t       testing.TB
	results chan accepted
	running sync.WaitGroup

	mu        sync.Mutex // guards all below
	near      []transport.Conn
	far       []transport.Conn
	times     []time.Time
	wrap      func(n int) (a, b transport.Conn) // nil result: nobody answers
	accepting context.Context                   // of Accept; nil: without end
}

func newWires(t testing.TB, w *world) *wires {
	x := &wires{world: w, t: t, results: make(chan accepted, 100)}
	w.initiator.Connect = func(ctx context.Context, _ []string, _ int) (transport.Conn, error) { return x.connect(ctx) }
	t.Cleanup(func() {
		x.cut()
		x.running.Wait()
	})
	return x
}

func (x *wires) connect(context.Context) (transport.Conn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := len(x.times)
	x.times = append(x.times, time.Now())
	a, b := transport.Pipe()
	if x.wrap != nil {
		if a, b = x.wrap(n); a == nil {
			return nil, errors.New("nobody is there")
		}
	}
	x.near, x.far = append(x.near, a), append(x.far, b)
	x.accept(b)
	return a, nil
}

func (x *wires) accept(b transport.Conn) {
	if b == nil {
		return // the test answers
	}
	ctx := x.accepting
	if ctx == nil {
		ctx = context.Background()
	}
	x.running.Go(func() {
		s, err := Accept(ctx, b, x.world.responder)
		x.results <- accepted{s, err}
	})
}

// cut closes all connections.
func (x *wires) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range append(x.near, x.far...) {
		if c != nil {
			c.Close()
		}
	}
}

// dials is when connections were asked for.
func (x *wires) dials() []time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.times
}

func (x *wires) sessions() (client, server *Session) {
	x.t.Helper()
	client, err := Connect(x.t.Context(), x.connect, x.world.initiator)
	if err != nil {
		x.t.Fatal(err)
	}
	got := <-x.results
	if got.err != nil {
		x.t.Fatal(got.err)
	}
	return client, got.session
}

// attached waits for the next attach that is accepted.
func (x *wires) attached() {
	x.t.Helper()
	if got := <-x.results; got.err != ErrAttached {
		x.t.Fatalf("Accept: %v, %v", got.session, got.err)
	}
}

// attachedAtLast waits for an attach that is accepted after some that are not.
func (x *wires) attachedAtLast() {
	x.t.Helper()
	for got := range x.results {
		if got.err == ErrAttached {
			return
		}
	}
}

// offer gives the responder a header and returns its answer and what Accept said.
func (x *wires) offer(raw []byte, held *token.Held) (*attachResponse, error) {
	x.t.Helper()
	a, b := transport.Pipe()
	defer a.Close()
	x.accept(b)
	if _, err := a.Write(raw); err != nil {
		x.t.Fatal(err)
	}
	r := framing.NewReader(a, framing.Limits{})
	defer r.Close()
	answer, _, err := r.Object()
	accepted := (<-x.results).err
	if err != nil {
		return nil, accepted
	}
	h, err := x.world.initiator.Network.Open(x.t.Context(), answer, message.OpenOptions{Holder: holding{nil, held}})
	if err != nil {
		x.t.Fatal(err)
	}
	resp, err := parseResponse(h.Channel)
	if err != nil {
		x.t.Fatal(err)
	}
	return resp.attach, accepted
}

// forge makes an attach under a token; prove makes its proof.
func (x *wires) forge(held *token.Held, at attachRequest, prove func(id int64) []byte) []byte {
	x.t.Helper()
	id := message.RandomID()
	at.proof = prove(id)
	channel := request{versions: []int64{version}, to: serviceName, from: held.Self.Identity, issuer: held.From.Issuer.Identity, attach: &at}
	sealed, err := x.world.initiator.Network.Seal(x.t.Context(), message.HeaderSpec{MessageID: &id, Under: held, Channel: channel.object()})
	if err != nil {
		x.t.Fatal(err)
	}
	return sealed.Raw
}

func noProof(int64) []byte { return make([]byte, 32) }

// prover knows the channel's attach key.
func prover(s *Session, at attachRequest) func(int64) []byte {
	return func(id int64) (proof []byte) {
		s.epochs.use(at.epoch, func(e *epoch) { proof = e.attachProof(at.id, at.n, at.received, at.first, id) })
		return proof
	}
}

// unmoved asserts that an attach got the uniform answer and changed nothing.
func (x *wires) unmoved(raw []byte, held *token.Held, client, server *Session) {
	x.t.Helper()
	before := server.Info().Reconnects
	answer, err := x.offer(raw, held)
	if answer == nil || answer.err != attachUnknown || answer.proof != nil || !errors.Is(err, errUnknownChannel) {
		x.t.Errorf("answer %+v, Accept: %v", answer, err)
	}
	if n := server.Info().Reconnects; n != before {
		x.t.Error("the session was moved")
	}
	echo(x.t, client, server)
}

func (w *world) newest() *token.Held {
	h, _ := w.holder.Newest(context.Background())
	return h
}

// honest is an attach as the client would make it next.
func honest(client, server *Session) attachRequest {
	c := server.channels.find(server.id)
	at := client.link.Standing()
	return attachRequest{id: client.id, n: c.n + 1, received: at.Received, first: at.Acked}
}

func TestAttach(t *testing.T) {
	w := newWorld(t)
	var states []State
	var mu sync.Mutex
	w.initiator.OnState = func(_ *Session, s State) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, s)
	}
	x := newWires(t, w)
	client, server := x.sessions()
	defer end(client, server)
	st, err := client.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := st.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if err := st.Delivered(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.cut()
		x.attached()
	}
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	other, err := server.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(other); err != nil || !bytes.Equal(b, []byte{0, 1, 2}) {
		t.Errorf("%v, %v", b, err)
	}
	echo(t, client, server)
	if n := client.Info().Reconnects; n != 3 || server.Info().Reconnects != 3 {
		t.Errorf("%d and %d reconnects", n, server.Info().Reconnects)
	}
	end(client, server)
	want := []State{StateReconnecting, StateConnected, StateReconnecting, StateConnected, StateReconnecting, StateConnected, StateClosed}
	mu.Lock()
	defer mu.Unlock()
	if len(states) != len(want) {
		t.Fatalf("states %v", states)
	}
	for i := range want {
		if states[i] != want[i] {
			t.Fatalf("states %v", states)
		}
	}
}

func TestX7AttachReplay(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	var recorded []byte
	x.wrap = func(n int) (a, b transport.Conn) {
		if n != 1 {
			return transport.Pipe()
		}
		return middle(t, func(i int, unit []byte) [][]byte {
			if i == 0 {
				recorded = bytes.Clone(unit)
			}
			return pass(i, unit)
		}, pass)
	}
	client, server := x.sessions()
	defer end(client, server)
	x.cut()
	x.attached()
	echo(t, client, server)
	x.unmoved(recorded, w.newest(), client, server)
}

// With the session keys alone, the attacker makes any header, but no proof.
func TestX8AttachWithSessionKeysOnly(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	client, server := x.sessions()
	defer end(client, server)
	echo(t, client, server)
	at := honest(client, server)
	for _, n := range []uint64{1, 1000, maxInteger} {
		at.n = n
		x.unmoved(x.forge(w.newest(), at, noProof), w.newest(), client, server)
	}
	// The same number is good for who has the proof.
	at = honest(client, server)
	if answer, err := x.offer(x.forge(w.newest(), at, prover(client, at)), w.newest()); err != ErrAttached || answer.err != "" {
		t.Errorf("%+v, %v", answer, err)
	}
	x.attachedAtLast() // the client, whose number 1 is used up
	echo(t, client, server)
}

func TestX9AttachByAnotherEntity(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	client, server := x.sessions()
	defer end(client, server)
	other := &holder{}
	mallory := *w.initiator
	mallory.Network, mallory.Holder, mallory.Connect = newEntity(0x40).network(), other, nil
	a, b := transport.Pipe()
	x.accept(b)
	s, err := Dial(t.Context(), a, &mallory)
	if err != nil {
		t.Fatal(err)
	}
	end(s, (<-x.results).session)
	held, _ := other.Newest(t.Context())
	at := honest(client, server)
	x.unmoved(x.forge(held, at, noProof), held, client, server)
	// Not even with the channel's own keys.
	x.unmoved(x.forge(held, at, prover(client, at)), held, client, server)
}

func TestAttachOutOfRange(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	client, server := x.sessions()
	defer end(client, server)
	for name, spoil := range map[string]func(*attachRequest){
		"unknown id":            func(a *attachRequest) { a.id[0] ^= 1 },
		"epoch":                 func(a *attachRequest) { a.epoch = 7 },
		"received beyond sent":  func(a *attachRequest) { a.received = 1 << 40 },
		"first beyond received": func(a *attachRequest) { a.first = 1 << 40 },
	} {
		t.Run(name, func(t *testing.T) {
			at := honest(client, server)
			spoil(&at)
			prove := prover(client, at)
			if at.epoch != 0 {
				prove = noProof
			}
			x.unmoved(x.forge(w.newest(), at, prove), w.newest(), client, server)
		})
	}
}

// Somebody in the middle answers for a server: what has no proof is no end, only
// an attempt that failed.
func TestX18ForgedCleanEnd(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	forged := make(chan transport.Conn, 1)
	x.wrap = func(n int) (a, b transport.Conn) {
		a, b = transport.Pipe()
		if n == 1 {
			forged <- b
			return a, nil
		}
		return a, b
	}
	client, server := x.sessions()
	defer end(client, server)
	x.cut()
	b := <-forged
	r := framing.NewReader(b, framing.Limits{})
	raw, _, err := r.Object()
	if err != nil {
		t.Fatal(err)
	}
	h, err := w.responder.Network.Open(t.Context(), raw, message.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	evil := responder{Responder: w.responder, header: h}
	if err := evil.seal(t.Context(), &response{attach: &attachResponse{err: attachClosed, proof: make([]byte, 32)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(evil.sent.Raw); err != nil {
		t.Fatal(err)
	}
	x.attached() // the next attempt reaches the server
	r.Close()
	b.Close()
	echo(t, client, server)
}

// An answer belongs to one request.
func TestReorderedAnswers(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	var first []byte
	x.wrap = func(n int) (a, b transport.Conn) {
		if n == 0 || n > 2 {
			return transport.Pipe()
		}
		return middle(t, pass, func(i int, unit []byte) [][]byte {
			if i == 0 && n == 1 {
				first = bytes.Clone(unit)
				return nil // the client waits in vain, and is cut
			} else if i == 0 {
				return [][]byte{first}
			}
			return pass(i, unit)
		})
	}
	client, server := x.sessions()
	defer end(client, server)
	x.cut()
	x.attached()
	x.cut()
	x.attached() // and its answer is exchanged for the first
	x.attached()
	echo(t, client, server)
}

// A living connection, which only its owner believes lost, gives place.
func TestStaleConnectionFenced(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	client, server := x.sessions()
	defer end(client, server)
	x.mu.Lock()
	old := x.far[0]
	x.near[0] = halfOpen{x.near[0]}
	x.mu.Unlock()
	a, b := transport.Pipe()
	x.accept(b)
	at := honest(client, server)
	raw := x.forge(w.newest(), at, prover(client, at))
	if _, err := a.Write(raw); err != nil {
		t.Fatal(err)
	}
	x.attached()
	if _, err := old.Write([]byte("stale")); err == nil {
		t.Error("the earlier connection is still open")
	}
	a.Close()
	x.attachedAtLast() // by the client, which attaches as its connection was closed
	echo(t, client, server)
}

type halfOpen struct{ transport.Conn }

func (halfOpen) Close() error { return nil }

func TestAttachSpam(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.initiator.pause = func(int) time.Duration { return time.Millisecond }
		x := newWires(t, w)
		client, server := x.sessions()
		for range defaultMoves {
			x.cut()
			x.attached()
		}
		x.cut()
		if got := <-x.results; !errors.Is(got.err, errUnknownChannel) {
			t.Errorf("attach number %d: %v", defaultMoves+1, got.err)
		}
		x.attachedAtLast()
		echo(t, client, server)
		end(client, server)
		for len(x.results) > 0 {
			<-x.results
		}
	})
}

// A responder that has lost the connection before it was confirmed keeps the
// set-up for who proves its keys.
func TestAttachConfirms(t *testing.T) {
	w := newWorld(t)
	x := newWires(t, w)
	x.wrap = func(n int) (a, b transport.Conn) {
		if n > 0 {
			return transport.Pipe()
		}
		var c transport.Conn
		a, b = middle(t, func(i int, unit []byte) [][]byte {
			if i == 1 {
				c.Close()
				return nil
			}
			return pass(i, unit)
		}, pass)
		c = b
		return a, b
	}
	client, err := Connect(t.Context(), x.connect, w.initiator)
	if err != nil {
		t.Fatal(err)
	}
	var server *Session
	for range 2 {
		switch got := <-x.results; {
		case got.err == nil:
			server = got.session
		case got.err != ErrAttached:
			t.Fatal(got.err)
		}
	}
	echo(t, client, server)
	end(client, server)
}

// The server is gone: every stream says so, and none ends as if it were whole.
func TestDurableExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x := newWires(t, w)
		x.wrap = func(n int) (a, b transport.Conn) {
			if n > 0 {
				return nil, nil
			}
			return transport.Pipe()
		}
		client, server := x.sessions()
		st, err := client.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		if _, err := server.AcceptStream(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.cut()
		begun := time.Now()
		if _, err := st.Write([]byte("waits")); err != nil {
			t.Errorf("Write while reconnecting: %v", err)
		}
		delivered := make(chan error, 1)
		go func() { delivered <- st.Delivered(context.Background()) }()
		synctest.Wait()
		if client.State() != StateReconnecting || server.State() != StateReconnecting {
			t.Errorf("states %v, %v", client.State(), server.State())
		}
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, ErrChannelLost) || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		if took := time.Since(begun); took < 119*time.Second || took > 121*time.Second {
			t.Errorf("lost after %v", took)
		}
		if _, err := st.Write(make([]byte, 1)); !errors.Is(err, ErrChannelLost) {
			t.Errorf("Write: %v", err)
		}
		if err := <-delivered; !errors.Is(err, ErrChannelLost) {
			t.Errorf("Delivered: %v", err)
		}
		<-server.Done()
		synctest.Wait() // the state is told after the end
		for _, s := range []*Session{client, server} {
			if !errors.Is(s.Err(), ErrChannelLost) || s.State() != StateLost {
				t.Errorf("%v, %v", s.Err(), s.State())
			}
			end(s)
		}
		if w.responder.channels.find(server.id) != nil {
			t.Error("the responder still keeps the channel")
		}

		// Back-off: dense at first, then every few seconds.
		times := x.dials()[1:]
		if len(times) < 20 || len(times) > 80 {
			t.Errorf("%d attempts in two minutes", len(times))
		}
		if early := times[0].Sub(begun); early > firstPause {
			t.Errorf("first attempt after %v", early)
		}
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d > lastPause*3/2 || i > 10 && d < lastPause/2 {
				t.Errorf("attempt %d after %v", i, d)
			}
		}
	})
}

// Who did not hear of the end is told for a minute, with a proof.
func TestClosedChannelIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x := newWires(t, w)
		client, server := x.sessions()
		at := honest(client, server)
		keys := *client.epochs.newest
		keys.attach = bytes.Clone(keys.attach)
		prove := func(id int64) []byte { return keys.attachProof(at.id, at.n, at.received, at.first, id) }
		if err := client.CloseWithError(5, "enough"); err != nil {
			t.Fatal(err)
		}
		end(client, server)
		raw := x.forge(w.newest(), at, prove)
		answer, err := x.offer(raw, w.newest())
		if !errors.Is(err, errClosedChannel) || answer.err != attachClosed || answer.code != uint64(frame.Application(5)) {
			t.Fatalf("%+v, %v", answer, err)
		}
		if want := keys.attachClosed(headerHash(raw), at.id, at.n, answer.code); !bytes.Equal(answer.proof, want) {
			t.Error("another proof")
		}
		time.Sleep(closedTime + time.Second)
		at.n++
		if answer, err = x.offer(x.forge(w.newest(), at, prove), w.newest()); answer.err != attachUnknown {
			t.Errorf("after a minute: %+v, %v", answer, err)
		}
	})
}

// The side that closed while there was no connection tells with the next one.
func TestCloseWhileLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x := newWires(t, w)
		hold := make(chan struct{})
		w.initiator.pause = func(int) time.Duration { <-hold; return 0 }
		client, server := x.sessions()
		st, err := client.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		x.cut()
		for server.State() != StateReconnecting {
			time.Sleep(time.Millisecond)
		}
		if err := server.CloseWithError(9, "later"); err == nil {
			t.Error("the close is confirmed")
		}
		close(hold)
		<-client.Done()
		var e *Error
		if !errors.As(client.Err(), &e) || e.Code != frame.Application(9) || !e.Remote {
			t.Errorf("client: %v", client.Err())
		}
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, client.Err()) {
			t.Errorf("Read: %v", err)
		}
		end(client, server)
	})
}

func TestRetainedMemory(t *testing.T) {
	w := newWorld(t)
	w.responder.Retained = 1
	w.responder.channels.retained.Store(2)
	x := newWires(t, w)
	client, server := x.sessions()
	x.cut()
	<-client.Done()
	<-server.Done()
	if !errors.Is(client.Err(), ErrChannelLost) || client.Info().Reconnects != 0 {
		t.Errorf("%v", client.Err())
	}
	end(client, server)
}

// The context of an Accept ends while an attach succeeds: the session has lost a
// connection, and nothing that belongs to it is closed twice.
func TestAcceptEndsWhileAttaching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		x := newWires(t, w)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		attaching := false
		w.responder.OnState = func(_ *Session, s State) {
			if s == StateConnected && attaching {
				x.accepting = nil
				cancel()
			}
		}
		client, server := x.sessions()
		defer end(client, server)
		x.accepting, attaching = ctx, true
		x.cut()
		x.attached()
		x.attached()
		echo(t, client, server)
	})
}
