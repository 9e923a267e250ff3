package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/transport"
)

// Each test is named after the attack of the channel's design that it makes.

// attempt runs both halves and ends what comes of them.
func (w *world) attempt(t *testing.T, a, b transport.Conn) (dialErr, acceptErr error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, server, dialErr, acceptErr := w.connect(ctx, a, b)
	end(client, server)
	return dialErr, acceptErr
}

func (w *world) direct(t *testing.T) (dialErr, acceptErr error) {
	t.Helper()
	a, b := transport.Pipe()
	return w.attempt(t, a, b)
}

// refused asserts that the responder refused with a response code and said no
// more, and that nothing was stored or confirmed.
func (w *world) refused(t *testing.T, code mslerr.ResponseCode) {
	t.Helper()
	tokens, confirmed := w.holder.count(), w.issuer.confirmations()
	dialErr, acceptErr := w.direct(t)
	var h *message.ErrorHeader
	if !errors.As(dialErr, &h) || h.Response != code {
		t.Errorf("Dial: %v, want %v", dialErr, code)
	} else if h.InternalCode != -1 || h.Text != "" || h.UserMessage != "" {
		t.Errorf("the error header tells more than its code: %d %q %q", h.InternalCode, h.Text, h.UserMessage)
	}
	if acceptErr == nil {
		t.Error("Accept has no error")
	}
	if w.holder.count() != tokens || w.issuer.confirmations() != confirmed {
		t.Error("a refused attempt changed what is stored")
	}
}

// firstContact gives the client a token.
func (w *world) firstContact(t *testing.T) {
	t.Helper()
	if err := errors.Join(w.direct(t)); err != nil {
		t.Fatal(err)
	}
}

// mint makes a token of the service as an attacker would like it.
func (w *world) mint(t *testing.T, names token.Entity, issuerData framing.Object) *token.Held {
	t.Helper()
	keys := mslcrypto.SessionKeys{Encryption: mslcrypto.Key(span(5, 16)), Signature: mslcrypto.Key(span(6, 32))}
	mt, err := token.MintMasterToken(token.MasterTokenSpec{
		RenewalWindow: time.Now().Add(time.Hour), Expiration: time.Now().Add(2 * time.Hour),
		Serial: 7, Sequence: 1, Identity: names.Identity, Keys: keys, IssuerData: issuerData,
	}, w.responder.Network.TokenKeys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if mt, err = token.ParseMasterToken(mt.Object(), nil); err != nil { // as a client sees it
		t.Fatal(err)
	}
	return &token.Held{
		Token: mt, Keys: keys, Self: w.client.name(),
		From: token.Origin{Issuer: w.server.name(), Authenticated: true, Sentinel: true},
	}
}

func TestX1NameWithoutClass(t *testing.T) {
	t.Run("NONE with a fingerprint", func(t *testing.T) {
		w := newWorld(t)
		w.initiator.Network = nobody(w.client.name().Identity)
		w.refused(t, mslerr.Fail)
	})
	t.Run("token without scheme", func(t *testing.T) {
		w := newWorld(t)
		w.holder.held = []*token.Held{w.mint(t, w.client.name(), nil)}
		w.refused(t, mslerr.EntityReauth)
	})
	t.Run("class of the token", func(t *testing.T) {
		w := newWorld(t)
		w.holder.held = []*token.Held{w.mint(t, w.client.name(), framing.Object{"scheme": "NONE"})}
		var seen token.Entity
		w.responder.Admit = func(_ context.Context, i Info) error { seen = i.Entity; return errors.New("no") }
		w.refused(t, mslerr.EntityReauth)
		if seen.Scheme != "NONE" {
			t.Errorf("admitted as %v", seen)
		}
	})
}

// The attacker signs the initiator's clear header data as itself.
func TestX2Resigned(t *testing.T) {
	w := newWorld(t)
	mallory := newEntity(0x77)
	a, b := middle(t, func(n int, unit []byte) [][]byte {
		if n > 0 {
			return pass(n, unit)
		}
		o, err := framing.JSON.Parse(unit)
		if err != nil {
			t.Error(err)
		}
		data, _ := framing.Get[[]byte](o, "headerdata")
		c, err := mallory.scheme.Context(t.Context(), mallory.scheme.Self(), entityauth.Policy{})
		if err != nil {
			t.Error(err)
		}
		o["signature"], _ = c.Sign(data, framing.JSON)
		o["entityauthdata"], _ = entityauth.Object(mallory.scheme.Self(), framing.JSON)
		unit, err = framing.JSON.Append(nil, o)
		if err != nil {
			t.Error(err)
		}
		return [][]byte{unit}
	}, pass)
	dialErr, acceptErr := w.attempt(t, a, b)
	if !errors.Is(dialErr, ErrChannelLost) || acceptErr == nil {
		t.Errorf("Dial: %v, Accept: %v", dialErr, acceptErr)
	}
	if w.holder.count() != 0 || w.issuer.confirmations() != 0 {
		t.Error("a misbound token is stored or confirmed")
	}
}

// The token names somebody else than its holder believes.
func TestX3MisbindingThroughToken(t *testing.T) {
	w := newWorld(t)
	w.holder.held = []*token.Held{w.mint(t, newEntity(0x77).name(), framing.Object{"scheme": "ED25519"})}
	w.refused(t, mslerr.EntityReauth)
}

func TestX4WrongService(t *testing.T) {
	w := newWorld(t)
	w.firstContact(t)
	w.responder.Names = []string{"another service"}
	w.refused(t, mslerr.Fail)

	w.initiator.To = w.client.name().Identity
	if err, _ := w.direct(t); err == nil || !strings.Contains(err.Error(), "our own name") {
		t.Errorf("a set-up with ourselves: %v", err)
	}
}

// Who has the session keys and the token keys, but not the signing key.
func TestX11SessionKeysLost(t *testing.T) {
	setUp := func(t *testing.T) *world {
		w := newWorld(t)
		w.firstContact(t)
		w.responder.Issuers = []string{w.server.name().Identity}
		return w
	}
	t.Run("another signing key", func(t *testing.T) {
		w := setUp(t)
		n := *w.responder.Network
		mallory := newEntity(0x77)
		n.Self, n.SelfScheme = mallory.scheme.Self(), mallory.scheme
		w.responder.Network = &n
		dialErr, _ := w.direct(t)
		if !errors.Is(dialErr, ErrAuth) {
			t.Errorf("Dial: %v", dialErr)
		}
	})
	psk := entityauth.PSK{Keys: func(context.Context, string) (entityauth.PSKKeys, error) {
		return entityauth.PSKKeys{Encryption: span(1, 16), HMAC: span(2, 32)}, nil
	}}
	t.Run("no signing key", func(t *testing.T) {
		w := setUp(t)
		n := *w.responder.Network
		n.Self, n.SelfScheme = entityauth.NewPSKData("mallory"), psk
		w.responder.Network = &n
		dialErr, acceptErr := w.direct(t)
		if !errors.Is(dialErr, ErrAuth) || acceptErr == nil {
			t.Errorf("Dial: %v, Accept: %v", dialErr, acceptErr)
		}
		w.responder.Unconfirmed = 0
		w.initiator.InsecureNoAuth = true // says what it does
		if err := errors.Join(w.direct(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("scheme of the responder unknown here", func(t *testing.T) {
		w := setUp(t)
		n := *w.initiator.Network
		n.EntityAuth, n.SelfScheme = nil, entityauth.None{}
		n.Self = nil
		w.initiator.Network = &n
		if dialErr, _ := w.direct(t); !errors.Is(dialErr, ErrAuth) {
			t.Errorf("Dial: %v", dialErr)
		}
	})
	t.Run("initiator without its key", func(t *testing.T) {
		w := setUp(t)
		w.responder.RequireAuth = true
		if err := errors.Join(w.direct(t)); err != nil {
			t.Error(err)
		}
		n := *w.initiator.Network
		n.Self, n.SelfScheme = nil, nil
		w.initiator.Network = &n
		w.refused(t, mslerr.EntityReauth)
		w.responder.RequireAuth = false
		if err := errors.Join(w.direct(t)); err != nil {
			t.Error(err)
		}
	})
}

// plainKeys is a key exchange that is none, in place of the classic ones.
type plainKeys struct{ keyx.Scheme }

type plainOffer struct{}

func (plainKeys) Name() string { return "DIFFIE_HELLMAN" }

func (plainOffer) Scheme() string { return "DIFFIE_HELLMAN" }

func (plainOffer) KeyData() framing.Object { return framing.Object{"nothing": true} }

func (plainOffer) Erase() {}

func plainSessionKeys() mslcrypto.SessionKeys {
	return mslcrypto.SessionKeys{Encryption: mslcrypto.Key(span(5, 16)), Signature: mslcrypto.Key(span(6, 32))}
}

func (plainKeys) Offer(context.Context, keyx.Parties) ([]keyx.Offer, error) {
	return []keyx.Offer{plainOffer{}}, nil
}

func (plainKeys) ParseRequest(framing.Object) (keyx.Request, error) { return plainOffer{}, nil }

func (plainKeys) Answer(context.Context, keyx.Request, keyx.Parties) (*keyx.Answer, error) {
	return &keyx.Answer{KeyData: framing.Object{"nothing": true}, Result: keyx.Result{Keys: plainSessionKeys()}}, nil
}

func (plainKeys) Complete(context.Context, keyx.Offer, framing.Object, keyx.Parties) (*keyx.Result, error) {
	return &keyx.Result{Keys: plainSessionKeys()}, nil
}

func (w *world) allowFallback() {
	for _, n := range []*message.Network{w.initiator.Network, w.responder.Network} {
		n.KeyExchange = keyx.Schemes{keyx.HPKE{}, plainKeys{}}
	}
	w.initiator.ClassicFallback = true
}

// classic answers a request as a classic peer does, with what channel says.
func (w *world) classic(t *testing.T, channel framing.Object) (dialErr error) {
	t.Helper()
	a, b := transport.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := framing.NewReader(b, framing.Limits{})
		defer r.Close()
		raw, _, err := r.Object()
		if err != nil {
			t.Error(err)
			return
		}
		n := w.responder.Network
		h, err := n.Open(context.Background(), raw, message.OpenOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		spec, err := n.Respond(context.Background(), h, message.RespondOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		spec.Channel = channel
		sealed, err := n.Seal(context.Background(), spec)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = b.Write(sealed.Raw)
	}()
	s, err := Dial(t.Context(), a, w.initiator)
	<-done
	b.Close()
	end(s)
	return err
}

func TestX12DowngradeWithFallback(t *testing.T) {
	w := newWorld(t)
	w.allowFallback()
	t.Run("by share", func(t *testing.T) { // a classic key exchange still makes a channel
		client, server := w.sessions(t)
		echo(t, client, server)
		if k := server.Info().KEM; k != keyx.KEMMLKEM768X25519 {
			t.Errorf("KEM %d", k)
		}
	})
	w.holder.held = nil
	var e *NoChannelError
	if err := w.classic(t, nil); !errors.As(err, &e) || e.Header == nil || e.Header.KeyResult == nil {
		t.Errorf("a classic peer: %v", err)
	}
	if err := w.classic(t, Sentinel()); !errors.As(err, &e) || e.Header != nil {
		t.Errorf("a peer that shows the sentinel: %v", err)
	}
	// It was shown before: by the token that is held, or by one that is not used.
	w.firstContact(t)
	for _, fresh := range []bool{false, true} {
		w.initiator.Fresh = fresh
		if err := w.classic(t, nil); !errors.As(err, &e) || e.Header != nil {
			t.Errorf("a peer that has shown the sentinel (fresh %v): %v", fresh, err)
		}
	}
	w.initiator.Fresh = false
	w.initiator.ClassicFallback = false
	w.holder.held = nil
	if err := w.classic(t, nil); !errors.As(err, &e) || e.Header != nil {
		t.Errorf("fallback not allowed: %v", err)
	}
}

// Early data at first contact is refused, as its ID could be used again. Under a
// token nobody here claims the ID, so it is "unknown", never "rejected" (X5).
func TestX13EarlyDataAtFirstContact(t *testing.T) {
	early := func(i *initiator, s *message.HeaderSpec) {
		i.request.early = true
		if i.held != nil {
			s.NonReplayableID = new(int64(1))
		}
	}
	w := newWorld(t)
	if _, err := w.raw(t, early); !errors.Is(err, mslerr.Fail) {
		t.Errorf("first contact: %v", err)
	}
	w.firstContact(t)
	if got, err := w.raw(t, early); err != nil || got.early != earlyUnknown {
		t.Errorf("under a token: %+v, %v", got, err)
	}
	for name, edit := range map[string]func(*initiator, *message.HeaderSpec){
		"early data without an ID": func(i *initiator, _ *message.HeaderSpec) { i.request.early = true },
		"an ID without early data": func(_ *initiator, s *message.HeaderSpec) { s.NonReplayableID = new(int64(1)) },
	} {
		if _, err := w.raw(t, edit); !errors.Is(err, mslerr.Fail) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// First contact by a share and no key exchange would have no session keys.
func TestFirstContactWithoutKeyExchange(t *testing.T) {
	w := newWorld(t)
	for name, edit := range map[string]func(*initiator, *message.HeaderSpec){
		"no key requests": func(_ *initiator, s *message.HeaderSpec) { s.KeyRequests, s.Handshake = nil, false },
		"not renewable":   func(_ *initiator, s *message.HeaderSpec) { s.Renewable, s.Handshake = false, false },
	} {
		_, err := w.raw(t, func(i *initiator, s *message.HeaderSpec) {
			if err := i.makeShares(); err != nil {
				t.Fatal(err)
			}
			edit(i, s)
		})
		if !errors.Is(err, mslerr.Fail) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// raw sends a request that Dial would not, and returns the answer.
func (w *world) raw(t *testing.T, edit func(*initiator, *message.HeaderSpec)) (*response, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a, b := transport.Pipe()
	done := make(chan error, 1)
	go func() {
		s, err := Accept(ctx, b, w.responder)
		end(s)
		done <- err
	}()
	i := &initiator{Initiator: w.initiator, conn: a}
	defer func() {
		a.Close()
		cancel()
		if err := <-done; err == nil {
			t.Error("Accept returned a session that nobody confirmed")
		}
		i.reader.Close()
	}()
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step(i.begin(ctx))
	step(i.expect(ctx))
	step(i.chooseToken(ctx))
	step(i.makeRequest(ctx))
	spec := i.requestSpec(false)
	edit(i, &spec)
	spec.Channel = i.request.object()
	var err error
	i.sent, err = i.network.Seal(ctx, spec)
	step(err)
	step(i.sendRequest(ctx))
	if err := i.readResponse(ctx); err != nil {
		return nil, err
	}
	return parseResponse(i.header.Channel)
}

func TestUnsupported(t *testing.T) {
	w := newWorld(t)
	for name, edit := range map[string]func(*initiator, *message.HeaderSpec){
		"version": func(i *initiator, _ *message.HeaderSpec) { i.request.versions = []int64{99} },
		"suite":   func(i *initiator, _ *message.HeaderSpec) { i.request.suites = nil },
	} {
		if r, err := w.raw(t, edit); err != nil || r.versions == nil || r.err != setupUnsupported {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if w.issuer.serials != 0 {
		t.Error("a token was issued")
	}
	w.firstContact(t)
	r, err := w.raw(t, func(i *initiator, _ *message.HeaderSpec) { i.request.shares = []publicShare{{12345, span(0, 32)}} })
	if err != nil || r.err != setupUnsupported {
		t.Errorf("KEM: %+v, %v", r, err)
	}
}

// A token of a responder that proved nothing makes no channel.
func TestX14UnauthenticatedResponder(t *testing.T) {
	w := newWorld(t)
	w.firstContact(t)
	w.holder.held[0].From.Authenticated = false
	client, _ := w.sessions(t)
	if client.Info().Resumed {
		t.Error("resumed on a token of nobody")
	}
	if w.holder.count() != 1 || !w.holder.held[0].From.Authenticated {
		t.Error("the bad token is still held")
	}
	w = newWorld(t)
	w.responder.Network.Self, w.responder.Network.SelfScheme = entityauth.NewNoneData("x"), entityauth.None{}
	if _, err := w.direct(t); err == nil || !strings.Contains(err.Error(), "proves nothing") {
		t.Errorf("Accept as NONE: %v", err)
	}
}

// Mallory is pinned under the same service name and gave the token on.
func TestX16OnlyAServiceName(t *testing.T) {
	w := newWorld(t)
	mallory := newEntity(0x77).name()
	h := w.mint(t, w.client.name(), framing.Object{"scheme": "ED25519"})
	h.From.Issuer = mallory
	w.holder.held = []*token.Held{h}
	w.initiator.Trust = Known(mallory)
	w.refused(t, mslerr.EntityReauth)
}

// pins is trust on first use in memory.
type pins struct {
	pinned map[string]token.Entity
	err    error
}

func (p *pins) Expect(_ context.Context, name string) (token.Entity, error) {
	return p.pinned[name], nil
}

func (p *pins) Pin(_ context.Context, name string, e token.Entity) error {
	if p.err != nil {
		return p.err
	}
	p.pinned[name] = e
	return nil
}

func TestX19FirstUse(t *testing.T) {
	w := newWorld(t)
	p := &pins{pinned: map[string]token.Entity{}}
	w.initiator.Trust = p

	// An attacked exchange pins nobody.
	a, b := middle(t, pass, func(n int, unit []byte) [][]byte {
		if framing.IsRecord(unit[0]) {
			unit[len(unit)-1] ^= 1
		}
		return pass(n, unit)
	})
	if err, _ := w.attempt(t, a, b); err == nil || len(p.pinned) != 0 || w.holder.count() != 0 {
		t.Errorf("attacked: %v, pinned %v", err, p.pinned)
	}
	p.err = errors.New("disk full")
	if err, _ := w.direct(t); !errors.Is(err, p.err) || w.holder.count() != 0 {
		t.Errorf("a pin that could not be kept: %v", err)
	}
	p.err = nil

	w.initiator.ClassicFallback = true
	if err, _ := w.direct(t); err == nil {
		t.Error("first use with classic fallback")
	}
	w.initiator.ClassicFallback = false

	client, server := w.sessions(t)
	echo(t, client, server)
	if p.pinned[serviceName] != w.server.name() {
		t.Errorf("pinned %v", p.pinned)
	}
	// Somebody else later, with or without a token in hand.
	for range 2 {
		mallory := newEntity(0x77)
		n := *w.responder.Network
		n.Self, n.SelfScheme = mallory.scheme.Self(), mallory.scheme
		w.responder.Network = &n
		w.holder.held = nil
		if err, _ := w.direct(t); !errors.Is(err, ErrUntrusted) {
			t.Errorf("a changed pin: %v", err)
		}
	}
	if p.pinned[serviceName] != w.server.name() {
		t.Error("the pin was replaced")
	}
}
