package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/classic"
)

// A replay runs one side of a conversation live, against what was recorded of the
// other side.
type replay struct {
	t      *testing.T
	k      *keys
	all    *message.Network // who sees everything
	equals bool             // peer to peer

	connections []recordedConnection
	current     *recordedConnection
	wire        *written  // on it
	at          time.Time // of the last message, if none follows

	messages int      // recorded
	compared int      // that we wrote
	opened   int      // answers that our client opened
	unequal  []string // by name
}

type recordedConnection struct {
	name               string
	raw                connection
	toServer, toClient []recorded
}

// recorded is a message; without a sight it cannot be opened even with all keys.
type recorded struct {
	wire []byte
	*sight
	issuer string // names the keys of the new master token, and of the one it is under
	under  string
}

// newReplay opens everything that was recorded.
func (c *conversation) newReplay(t *testing.T, r *run) (*replay, error) {
	t.Helper()
	p := &replay{t: t, k: r.keys, all: omniscient(r), equals: strings.HasPrefix(c.Mode, "peer-to-peer")}
	p.all.PeerToPeer = p.equals
	add := func(step string, list []connection) error {
		for i, k := range list {
			rc := recordedConnection{name: fmt.Sprintf("%s connection %d", step, i), raw: k}
			var err error
			if rc.toServer, err = p.open(k.ToServer, k.ToServerOpened); err != nil {
				return err
			}
			if rc.toClient, err = p.open(k.ToClient, k.ToClientOpened); err != nil {
				return err
			}
			p.messages += len(rc.toServer) + len(rc.toClient)
			p.connections = append(p.connections, rc)
		}
		return nil
	}
	if err := add("", c.Connections); err != nil {
		return nil, err
	}
	for _, s := range c.Steps {
		if err := add(s.Step, s.Connections); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *replay) open(wire []byte, objects []openedObject) ([]recorded, error) {
	p.t.Helper()
	messages, err := cut(wire)
	if err != nil {
		return nil, err
	}
	headers := slices.DeleteFunc(slices.Clone(objects), func(o openedObject) bool { return o.Kind == "payload" })
	if len(headers) != len(messages) {
		return nil, fmt.Errorf("%d headers, want %d", len(headers), len(messages))
	}
	list := make([]recorded, len(messages))
	for i, m := range messages {
		list[i].wire = m
		identity := ""
		if mt := headers[i].KeyResponseToken; mt != nil {
			list[i].issuer = mt.IssuerKeys
			if mt.SessionData != nil {
				identity = mt.SessionData.Identity
			}
		}
		if mt := headers[i].MasterToken; mt != nil {
			list[i].under = mt.IssuerKeys
		}
		if list[i].sight, err = see(p.t, p.all, m, identity); err != nil {
			p.t.Logf("cannot be opened by anybody: %v", err)
		}
	}
	return list, nil
}

// now is the time of the next message that we write.
func (p *replay) now(own []recorded) time.Time {
	if m := p.next(own); m != nil && m.sight != nil {
		if m.err != nil && !m.err.Timestamp.IsZero() {
			p.at = m.err.Timestamp
		} else if m.header != nil && !m.header.Timestamp.IsZero() {
			p.at = m.header.Timestamp
		}
	}
	return p.at
}

// next is the recorded message in whose place the next one goes that we write.
func (p *replay) next(own []recorded) *recorded {
	if i := p.wire.messages(); i < len(own) {
		return &own[i]
	}
	return nil
}

// compare compares what we wrote on the current connection.
func (p *replay) compare(own, theirs []recorded) {
	p.t.Helper()
	messages, err := cut(p.wire.bytes())
	if err != nil {
		p.differ("what was written: %v", err)
	}
	for i := range max(len(messages), len(own)) {
		p.compared++
		switch {
		case i >= len(messages):
			p.differ("message %d was not written", i)
			continue
		case i >= len(own):
			p.differ("message %d is one too many", i)
			continue
		case own[i].sight == nil:
			p.differ("message %d: the recorded one cannot be opened", i)
			continue
		}
		identity := ""
		if h := own[i].header; h != nil && h.KeyResponse != nil {
			identity = h.KeyResponse.Token.Identity()
		}
		got, err := see(p.t, p.all, messages[i], identity)
		if err != nil {
			p.differ("message %d: %v", i, err)
			continue
		}
		if err := got.compare(p.t, own[i].sight, requestOf(own[i], theirs)); err != nil {
			p.differ("message %d: %v", i, err)
		}
	}
}

// requestOf is the message that an answer belongs to.
func requestOf(answer recorded, theirs []recorded) *sight {
	for _, m := range theirs {
		if m.sight != nil && message.NextID(m.id()) == answer.id() {
			return m.sight
		}
	}
	return nil
}

func (p *replay) differ(format string, args ...any) {
	p.t.Helper()
	p.unequal = append(p.unequal, p.current.name+": "+fmt.Sprintf(format, args...))
}

// written is what we wrote, on one connection or several.
type written struct {
	mu  sync.Mutex
	out []byte
}

func (w *written) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.out)
}

// messages is how many messages have begun.
func (w *written) messages() int {
	if w == nil {
		return 0
	}
	messages, _ := cut(w.bytes()) // the last one may still be on its way
	return len(messages)
}

// recording is a connection that gives what was recorded and keeps what is written.
type recording struct {
	io.Reader
	to    *written
	ended chan struct{} // closed when the first message is whole; nil: reading does not wait for it
	once  sync.Once
}

func (r *recording) Read(p []byte) (int, error) {
	if r.ended != nil {
		<-r.ended
	}
	return r.Reader.Read(p)
}

func (r *recording) Write(p []byte) (int, error) {
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	r.to.out = append(r.to.out, p...)
	return len(p), nil
}

func (r *recording) CloseWrite() error {
	if r.ended != nil {
		r.once.Do(func() { close(r.ended) })
	}
	return nil
}

func (r *recording) Close() error { return r.CloseWrite() }

// network is a party with this entity authentication data, who issues with these
// token keys; "": none. own gives the messages that it wrote when it was recorded.
func (p *replay) network(self entityauth.Data, issuer string, own func() []recorded) *message.Network {
	p.t.Helper()
	clock := func() time.Time { return p.now(own()) }
	n := &message.Network{
		Self: self, SelfScheme: p.k.selfScheme(p.t, self, clock), Service: "conformance",
		ServiceContexts: serviceContexts(p.t, p.k.ServiceTokens), PeerToPeer: p.equals, Clock: clock,
		Formats: []framing.Format{framing.JSON}, ErrorDetails: true,
	}
	if issuer != "" {
		n.TokenKeys = p.k.tokenKeys(p.t, issuer)
		n.Issuer = &replayIssuer{p: p, own: own, largest: make(map[int64]*issuerState)}
		n.EntityPolicy.Revoked = func(context.Context, string) error { return p.refusal(own(), entityCodes...) }
		n.Lifetimes = p.lifetimes(own)
	}
	n.EntityAuth = p.k.entityAuth(p.t, n.TokenKeys, nil, clock)
	n.UserAuth = p.k.userAuth(n.TokenKeys)
	for _, s := range p.k.keyExchange(p.t, n.TokenKeys) {
		switch ladder := s.(type) {
		case keyx.JWELadder:
			ladder.Repository = new(keyx.MemoryRepository)
			s = ladder
		case keyx.JWKLadder:
			ladder.Repository = new(keyx.MemoryRepository)
			s = ladder
		}
		n.KeyExchange = append(n.KeyExchange, p.recordedOffers(s, own))
	}
	p.capabilities(n, own)
	return n
}

// capabilities are announced as they were: in the first message that may have all.
func (p *replay) capabilities(n *message.Network, own func() []recorded) {
	var known *message.Capabilities
	for i := range p.connections {
		p.current = &p.connections[i]
		for _, m := range own() {
			if m.sight == nil || m.header == nil || m.header.Capabilities == nil {
				continue
			}
			known = m.header.Capabilities
			// What is used is what is preferred.
			for _, name := range m.compress {
				known = preferring(known, name)
			}
			n.Compression, n.Formats, n.Languages = known.Compression, known.Formats, known.Languages
			if len(m.compress) > 0 && m.compress[0] != "" {
				return
			}
		}
	}
}

func preferring(c *message.Capabilities, name string) *message.Capabilities {
	preferred := *c
	preferred.Compression = slices.Clone(c.Compression)
	slices.SortStableFunc(preferred.Compression, func(a, b compress.Algorithm) int {
		return rank(b.Name() == name) - rank(a.Name() == name)
	})
	return &preferred
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// selfScheme is the scheme of one's own entity authentication data, with the key.
func (k *keys) selfScheme(t *testing.T, self entityauth.Data, now func() time.Time) entityauth.Scheme {
	t.Helper()
	switch d := self.(type) {
	case entityauth.RSAData:
		return entityauth.RSA{Self: d, Private: privateKey[*rsa.PrivateKey](t, k.RSA[d.KeyID()].Private)}
	case entityauth.ECCData:
		return entityauth.ECC{Self: d, Private: privateKey[*ecdsa.PrivateKey](t, k.ECC[d.KeyID()].Private)}
	case entityauth.X509Data:
		authority, err := x509.ParseCertificate(k.X509.Authority)
		if err != nil {
			t.Fatal(err)
		}
		return entityauth.X509{
			Roots: []*x509.Certificate{authority}, Self: d,
			Private: privateKey[*rsa.PrivateKey](t, k.X509.Private), Now: now,
		}
	}
	return nil // the network's own
}

// recordedOffers is a scheme that offers what was offered: in the same messages, by the
// same mechanisms, with the key pairs of keys.json.
func (p *replay) recordedOffers(s keyx.Scheme, own func() []recorded) keyx.Scheme {
	return &offers{Scheme: s, p: p, own: own}
}

type offers struct {
	keyx.Scheme
	p   *replay
	own func() []recorded
}

func (o *offers) Offer(ctx context.Context, parties keyx.Parties) ([]keyx.Offer, error) {
	m := o.p.next(o.own())
	if m == nil || m.sight == nil {
		return nil, nil
	}
	requests, _ := m.members["keyrequestdata"].([]any)
	var all []keyx.Offer
	for _, q := range requests {
		request := q.(map[string]any)
		if request["scheme"] != o.Name() {
			continue
		}
		data, _ := request["keydata"].(map[string]any)
		scheme, err := o.p.requester(o.Scheme, data)
		if err != nil {
			return nil, err
		}
		made, err := scheme.Offer(ctx, parties)
		if err != nil {
			return nil, err
		}
		for _, offer := range made {
			if sameNames(offer.KeyData(), data) && len(all) < len(requests) {
				all = append(all, offer)
				break
			}
		}
	}
	return all, nil
}

// sameNames compares what of two key requests is no key.
func sameNames(got framing.Object, want map[string]any) bool {
	for _, name := range named {
		if fmt.Sprint(got[name]) != fmt.Sprint(want[name]) {
			return false
		}
	}
	return true
}

// requester gives a scheme the private key to a recorded request.
func (p *replay) requester(s keyx.Scheme, data map[string]any) (keyx.Scheme, error) {
	if s, ok := s.(keyx.AsymmetricWrapped); ok {
		id, _ := data["keypairid"].(string)
		for _, pair := range p.k.RSA {
			if data["publickey"] == base64Of(pair.Public) {
				s.KeyPair, s.KeyPairID = privateKey[*rsa.PrivateKey](p.t, pair.Private), id
			}
		}
		if s.KeyPair == nil {
			return nil, errUnopened("the private key of its key request is not in keys.json")
		}
		mechanism, _ := data["mechanism"].(string)
		s.Offers = []keyx.Mechanism{keyx.Mechanism(mechanism)}
		return s, nil
	}
	if _, ok := data["publickey"]; ok {
		return nil, errUnopened("the private key of its key request is not in keys.json")
	}
	return s, nil
}

// errUnopened says why an answer cannot be opened with what is in keys.json.
type errUnopened string

func (e errUnopened) Error() string { return string(e) }

// refusal is one of these errors, if it is the recorded answer: what the server's
// store or application decided then.
func (p *replay) refusal(own []recorded, codes ...mslCode) error {
	m := p.next(own)
	if m == nil || m.sight == nil || m.err == nil {
		return nil
	}
	for _, c := range codes {
		if m.err.InternalCode == c.wire() {
			return c.error()
		}
	}
	return nil
}

// serviceTokens is an application that puts the service tokens into a message that
// were in the recorded one and are not there by themselves.
func (p *replay) serviceTokens(own []recorded) func(context.Context, *classic.ServiceTokens, bool) error {
	return func(_ context.Context, set *classic.ServiceTokens, _ bool) error {
		m := p.next(own)
		if m == nil || m.sight == nil || m.header == nil {
			return nil
		}
		wanted := m.header.Tokens.Service
		if p.equals && m.header.PeerMT != nil {
			wanted = m.header.Peer.Service
		}
		present := set.All()
		for _, s := range wanted {
			if slices.ContainsFunc(present, func(o *token.ServiceToken) bool { return same(plain(p.t, o.Object()), plain(p.t, s.Object())) == nil }) {
				continue
			}
			view := viewServiceToken(p.t, s).(map[string]any)
			made := classic.ServiceToken{Name: s.Name, InsecurePlaintext: !s.Encrypted}
			made.Data, _ = s.Data()
			made.Compression, _ = view["compressionalgo"].(string)
			switch {
			case s.UserIDTokenSerial != -1:
				made.Binding = classic.ToUser
			case s.MasterTokenSerial != -1:
				made.Binding = classic.ToMasterToken
			}
			if err := set.Put(made); err != nil {
				return err
			}
		}
		return nil
	}
}
