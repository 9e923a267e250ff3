package conformance

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
)

var update = flag.Bool("update", false, "write what was measured into docs/conformance.md")

// The rows and columns of the table.
var (
	entitySchemes = []string{"PSK", "PSK_PROFILE", "RSA", "ECC", "X509", "ED25519", "NONE", "NONE_SUFFIXED", "MT_PROTECTED", "PROVISIONED"}
	roles         = []string{"client", "server"}
	networks      = []string{"trusted services", "peer to peer"}
	exchanges     = []string{
		"HPKE", "DIFFIE_HELLMAN", "ASYMMETRIC_WRAPPED RSA", "ASYMMETRIC_WRAPPED JWK_RSA", "ASYMMETRIC_WRAPPED JWE_RSA",
		"ASYMMETRIC_WRAPPED JWEJS_RSA", "SYMMETRIC_WRAPPED", "JWE_LADDER", "JWK_LADDER",
	}
)

const features = "EIUNCRS"

// TestMatrix runs each entity scheme with each key exchange in each role and kind
// of network, over TCP, and compares what worked with the committed table.
//
// Its many RSA operations take minutes under the race detector, which package
// session/classic runs under; browsers have no TCP.
func TestMatrix(t *testing.T) {
	if raceEnabled || testing.Short() || runtime.GOOS == "js" {
		t.Skip("hundreds of RSA keys and TCP: not under -race, with -short or in a browser")
	}
	k := loadKeys(t, filepath.Join(root(t), "internal/conformance/testdata/keys.json"))
	var table strings.Builder
	fmt.Fprintf(&table, "| entity | role | network | %s |\n|%s\n", strings.Join(exchanges, " | "), strings.Repeat("---|", 3+len(exchanges)))
	var reasons []string
	ran, not, whole := 0, 0, 0
	for _, network := range networks {
		for _, role := range roles {
			for _, scheme := range entitySchemes {
				fmt.Fprintf(&table, "| %s | %s | %s |", scheme, role, network)
				for _, exchange := range exchanges {
					p := pair{k: k, scheme: scheme, exchange: exchange, server: role == "server", equals: network == "peer to peer"}
					held, err := p.run(t)
					if _, senseless := errors.AsType[notApplicable](err); senseless {
						not++
					} else {
						ran++
					}
					cell := held
					switch {
					case held == features:
						whole++
						cell = "all"
					case err != nil:
						at := slices.Index(reasons, reason(err))
						if at < 0 {
							at = len(reasons)
							reasons = append(reasons, reason(err))
						}
						cell = strings.TrimSpace(fmt.Sprintf("%s (%d)", cmp.Or(held, "–"), at+1))
					}
					fmt.Fprintf(&table, " %s |", cell)
					if testing.Verbose() && err != nil {
						t.Logf("%s %s %s %s: %s %v", network, role, scheme, exchange, held, err)
					}
				}
				table.WriteByte('\n')
			}
		}
	}
	table.WriteByte('\n')
	for i, r := range reasons {
		fmt.Fprintf(&table, "%d. %s\n", i+1, r)
	}
	fmt.Fprintf(&table, "\n%d pairs were run, and everything holds in %d; %d make no sense.\n", ran, whole, not)
	compareTable(t, table.String())
}

const (
	tableBegin = "<!-- measured: go test ./internal/conformance -run Matrix -update -->\n"
	tableEnd   = "<!-- end -->\n"
)

// compareTable compares the part of the document between its marks, or writes it.
func compareTable(t *testing.T, measured string) {
	t.Helper()
	path := filepath.Join(root(t), "docs/conformance.md")
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(document), tableBegin)
	committed, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+tableBegin+measured+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, want := strings.Split(measured, "\n"), strings.Split(committed, "\n")
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("measured\n\t%s\nbut docs/conformance.md says\n\t%s", g, w)
		}
	}
}

// reason is why a pair does not work.
func reason(err error) string {
	if n, ok := errors.AsType[notApplicable](err); ok {
		return string(n)
	}
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok {
		if refusal, ok := errors.AsType[*mslerr.Error](e.Unwrap()); ok {
			return "the responder refuses: " + refusal.Code.String()
		}
	}
	if e, ok := errors.AsType[*mslerr.Error](err); ok {
		return "the requester refuses: " + e.Code.String()
	}
	return err.Error()
}

// notApplicable says why a pair makes no sense.
type notApplicable string

func (e notApplicable) Error() string { return string(e) }

// pair is one cell: two parties, one of which has the scheme.
type pair struct {
	k                *keys
	scheme, exchange string
	server, equals   bool

	offset atomic.Int64 // of both clocks
	seen   atomic.Pointer[message.Header]
}

func (p *pair) now() time.Time { return vectorsTime.Add(time.Duration(p.offset.Load())) }

// run makes three requests and returns which features held.
func (p *pair) run(t *testing.T) (held string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	server, serverRing, err := p.party(t, p.server, "server", nil)
	if err != nil {
		return "", err
	}
	client, _, err := p.party(t, !p.server, "client", serverRing)
	if err != nil {
		return "", err
	}
	client.Expected = entityauth.EntityOf(server.Network.Self)
	if p.equals {
		server.Expected = entityauth.EntityOf(client.Network.Self)
	}
	l, err := transport.Listen(ctx, "tcp://127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.serve(ctx, l, server)
	}()
	defer func() {
		l.Close()
		cancel()
		<-served
	}()
	return p.requests(ctx, client, l.URL())
}

func (p *pair) requests(ctx context.Context, client *classic.Party, url string) (held string, err error) {
	var sent []*message.HeaderSpec
	client.Sent = func(s *message.HeaderSpec) { sent = append(sent, s) }
	var wire atomic.Int64
	open := func(ctx context.Context) (transport.Exchange, error) {
		conn, err := transport.Dial(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		return counting{classic.Over(conn), &wire}, nil
	}
	var shared *classic.Conn
	if p.equals {
		e, err := open(ctx)
		if err != nil {
			return "", err
		}
		shared = classic.NewConn(e, nil, true)
		defer shared.Close()
	}
	var body []byte
	for i := range 10_000 {
		body = fmt.Appendf(body, "line %d\n", i)
	}
	request := func() (*message.Header, error) {
		sent = nil
		m := classic.Message{
			Body: bytes.NewReader(body), LocalUser: localUser,
			Credentials: userauth.Static(userauth.NewEmailPasswordData(p.k.Users[0].Email, p.k.Users[0].Password)),
		}
		var in *classic.Incoming
		var err error
		if p.equals {
			in, err = client.RequestOn(ctx, shared, m)
		} else {
			in, err = client.Request(ctx, classic.OpenFunc(open), m)
		}
		if err != nil {
			return nil, err
		}
		defer in.Close()
		data, err := io.ReadAll(in)
		if err == nil && !bytes.Equal(data, body) {
			err = errors.New("another answer")
		}
		return in.Header, err
	}
	newest := func() (*token.MasterToken, error) {
		h, err := client.Holder.Newest(ctx)
		if err != nil {
			return nil, err
		}
		if h == nil {
			return nil, errors.New("no master token came")
		}
		return h.Token, nil
	}

	// First contact.
	answer, err := request()
	if err != nil {
		return "", err
	}
	first, err := newest()
	if err != nil {
		return "", err
	}
	seen := p.seen.Load()
	got := map[rune]bool{
		'E': seen.PayloadEncrypted && answer.PayloadEncrypted,
		'I': seen.PayloadProtected && answer.PayloadProtected,
		'U': seen.User == p.k.Users[0].User,
		'N': seen.NonReplayable,
		'C': wire.Load() < int64(len(body)),
	}
	defer func() {
		for _, f := range features {
			if got[f] {
				held += string(f)
			}
		}
	}()

	// Again, with what came.
	if _, err = request(); err != nil {
		return "", err
	}
	again, err := newest()
	if err != nil {
		return "", err
	}
	got['S'] = len(sent) == 1 && sent[0].Under != nil && len(sent[0].KeyRequests) == 0 && sent[0].Credentials == nil && again.Equal(first)

	// When it is to be renewed.
	p.offset.Add(int64(13 * time.Hour))
	if _, err = request(); err != nil {
		return "", err
	}
	renewed, err := newest()
	if err != nil {
		return "", err
	}
	got['R'] = renewed.Serial == first.Serial && renewed.Sequence == first.Sequence+1
	return "", nil
}

// serve echoes.
func (p *pair) serve(ctx context.Context, l transport.Listener, party *classic.Party) {
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			return
		}
		p.serveConn(ctx, conn, party)
	}
}

func (p *pair) serveConn(ctx context.Context, conn transport.Conn, party *classic.Party) {
	c := classic.NewConn(classic.Over(conn), nil, p.equals)
	defer c.Close()
	for {
		in, err := party.Accept(ctx, c, nil)
		if _, refused := errors.AsType[*mslerr.Error](err); refused {
			continue
		}
		if err != nil {
			return
		}
		p.seen.Store(in.Header)
		data, err := io.ReadAll(in)
		if err != nil {
			_ = in.Reject(ctx, err)
			return
		}
		_ = in.Respond(ctx, classic.Message{Body: bytes.NewReader(data)})
	}
}

// counting counts what is written.
type counting struct {
	transport.Exchange
	n *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.Exchange.Write(p)
}

// party makes one side. Who has not the scheme in question has one that goes with
// the key exchange. issuer is that of the other side.
func (p *pair) party(t *testing.T, named bool, role string, issuer *token.Keys) (*classic.Party, *token.Keys, error) {
	t.Helper()
	scheme := p.scheme
	if !named {
		scheme = "ED25519"
		if p.presharedOnly() {
			scheme = "PSK"
		}
	}
	self, selfScheme, err := p.self(t, scheme, role, issuer)
	if err != nil {
		return nil, nil, err
	}
	n := &message.Network{
		Self: self, SelfScheme: selfScheme, PeerToPeer: p.equals, Service: "matrix", Clock: p.now,
		Compression: []compress.Algorithm{compress.GZIP}, Formats: []framing.Format{framing.JSON},
		ErrorDetails: true, ServiceContexts: token.ServiceContexts{"": mslcrypto.Null{}},
	}
	keys := map[string]string{"server": "msl.server", "client": "msl.peer"}[role]
	var ring *token.Keys
	if p.equals || role == "server" {
		ring = p.k.tokenKeys(t, keys)
		n.TokenKeys, n.Issuer = ring, store.NewMemoryIssuer()
	}
	n.EntityAuth = p.k.entityAuth(t, ring, nil, p.now)
	n.UserAuth = p.k.userAuth(ring)
	n.KeyExchange = keyx.Schemes{p.keyExchange(t, ring)}
	party := &classic.Party{Network: n}
	if p.equals || role == "client" {
		party.Holder = store.NewMemory().Holder("other")
	}
	return party, ring, nil
}

func (p *pair) presharedOnly() bool {
	return p.exchange == "SYMMETRIC_WRAPPED" || strings.HasSuffix(p.exchange, "_LADDER")
}

// keyExchange is the scheme of the pair alone.
func (p *pair) keyExchange(t *testing.T, ring *token.Keys) keyx.Scheme {
	t.Helper()
	name, mechanism, _ := strings.Cut(p.exchange, " ")
	for _, s := range p.k.keyExchange(t, ring) {
		if s.Name() != name {
			continue
		}
		switch s := s.(type) {
		case keyx.AsymmetricWrapped:
			s.Offers, s.KeyPairID = []keyx.Mechanism{keyx.Mechanism(mechanism)}, "keyx-rsa-1"
			s.KeyPair = privateKey[*rsa.PrivateKey](t, p.k.RSA["keyx-rsa-1"].Private) // to spare the time of making one
			return s
		case keyx.JWELadder:
			s.Repository = new(keyx.MemoryRepository)
			return s
		case keyx.JWKLadder:
			s.Repository = new(keyx.MemoryRepository)
			return s
		}
		return s
	}
	t.Fatalf("no key exchange %q", p.exchange)
	return nil
}

// self is the entity authentication data of a scheme in a role.
func (p *pair) self(t *testing.T, scheme, role string, issuer *token.Keys) (entityauth.Data, entityauth.Scheme, error) {
	t.Helper()
	upper := strings.ToUpper(role)
	var self entityauth.Data
	switch scheme {
	case "PSK":
		self = entityauth.NewPSKData("PSK-" + upper + "-1")
	case "PSK_PROFILE":
		self = entityauth.NewPSKProfileData("PSK-"+upper+"-1", "PROFILE-A")
	case "RSA":
		self = entityauth.NewRSAData("RSA-"+upper+"-1", "rsa-"+role+"-key-1")
	case "ECC":
		self = entityauth.NewECCData("ECC-"+upper+"-1", "ecc-"+role+"-key-1")
	case "X509":
		c, err := x509.ParseCertificate(p.k.X509.Client)
		if err != nil {
			t.Fatal(err)
		}
		data, err := entityauth.NewX509Data(c)
		if err != nil {
			t.Fatal(err)
		}
		self = data
	case "ED25519":
		s := entityauth.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte(role[:1]), ed25519.SeedSize)))
		return s.Self(), s, nil
	case "NONE":
		self = entityauth.NewNoneData("NONE-" + upper + "-1")
	case "NONE_SUFFIXED":
		self = entityauth.NewNoneSuffixedData("NONE-ROOT", upper)
	case "PROVISIONED":
		if role == "server" || p.equals {
			return nil, nil, notApplicable("a PROVISIONED entity is given its name by who serves it, in a trusted services network")
		}
		return entityauth.NewProvisionedData(), entityauth.Provisioned{}, nil
	case "MT_PROTECTED":
		if issuer == nil {
			return nil, nil, notApplicable("MT_PROTECTED needs a master token of who is addressed, which an answer's sender has not")
		}
		return p.protectedSelf(t, issuer)
	}
	return self, p.k.selfScheme(t, self, p.now), nil
}

// protectedSelf is an RSA entity hidden under a master token that it got before.
func (p *pair) protectedSelf(t *testing.T, issuer *token.Keys) (entityauth.Data, entityauth.Scheme, error) {
	t.Helper()
	inner, scheme, err := p.self(t, "RSA", "client", nil)
	if err != nil {
		return nil, nil, err
	}
	keys := mslcrypto.SessionKeys{Encryption: make([]byte, mslcrypto.EncryptionKeySize), Signature: make([]byte, mslcrypto.SignatureKeySize)}
	mt, err := token.MintMasterToken(token.MasterTokenSpec{
		RenewalWindow: p.now().Add(time.Hour), Expiration: p.now().Add(100 * time.Hour), Serial: 1, Sequence: 1, Identity: inner.Identity(), Keys: keys,
	}, issuer, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mslcrypto.NewSession(keys, mslcrypto.SessionKeyID(inner.Identity(), 1))
	if err != nil {
		t.Fatal(err)
	}
	session := func(*token.MasterToken) mslcrypto.Context { return c }
	return entityauth.NewMTProtectedData(inner, mt, c), entityauth.MTProtected{Inner: entityauth.Schemes{scheme}, Session: session}, nil
}
