//go:build !js

package peer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
	mslhttp "github.com/mslgo/msl/transport/http"
)

// rsaKey reads a private key from PKCS #8, in DER.
func rsaKey(der []byte) (*rsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T, not an RSA key", key)
	}
	return private, nil
}

// rsaScheme is an entity with an RSA key. others are the public keys of other
// entities by their key ID; everybody who verifies us needs our own there.
func rsaScheme(identity, keyID string, private *rsa.PrivateKey, others map[string]entityauth.Registered[*rsa.PublicKey]) entityauth.RSA {
	return entityauth.RSA{
		Self:    entityauth.NewRSAData(identity, keyID),
		Private: private,
		Keys:    entityauth.StaticKeys(others),
	}
}

// pskScheme knows pre-shared keys by the identity of their entity.
func pskScheme(encryption, hmac []byte, identities ...string) entityauth.PSK {
	keys := make(map[string]entityauth.PSKKeys)
	for _, identity := range identities {
		keys[identity] = entityauth.PSKKeys{Encryption: encryption, HMAC: hmac}
	}
	return entityauth.PSK{Keys: entityauth.StaticPSKs(keys)}
}

// rawTokenKeys are the MSL keys of a service, given as bytes: AES of 16 bytes,
// HMAC-SHA256 of 32, AES key wrap of 16. The last is for ladders only.
func rawTokenKeys(keyID string, encryption, hmac, wrapping []byte) (*token.Keys, error) {
	c, err := mslcrypto.NewSymmetric(keyID, mslcrypto.SymmetricKeys{
		Encryption: encryption, Signature: hmac, Wrapping: wrapping,
	})
	if err != nil {
		return nil, err
	}
	return token.NewKeys(c), nil // older ones, which still open tokens, go behind it
}

// exchanges are all key exchanges of classic MSL; psk and keys are nil where there
// are none.
func exchanges(psk entityauth.PSK, keys *token.Keys) keyx.Schemes {
	context := psk.WithPolicy(entityauth.Policy{})
	ladder := keyx.Ladder{PSK: context, TokenKeys: keys} // a client has a Repository instead of the TokenKeys
	return keyx.Schemes{
		keyx.JWELadder(ladder),
		keyx.JWKLadder(ladder),
		keyx.DiffieHellman{Parameters: []keyx.DHParameters{keyx.MODP2048("1")}},
		keyx.AsymmetricWrapped{}, // offers JWK_RSA; Offers names others
		keyx.SymmetricWrapped{PSK: context},
	}
}

// passwords are the users that may log in.
var passwords = userauth.EmailPassword{
	Check: func(_ context.Context, email, password string) (token.User, error) {
		if email != "alice@example.org" || password != "right" {
			return "", errors.New("wrong") // mslerr.EmailPasswordIncorrect
		}
		return "alice", nil
	},
}

// everyKnob has every knob of a server.
func everyKnob(server entityauth.RSA, psk entityauth.PSK, roots []*x509.Certificate, keys *token.Keys, contexts token.ServiceContexts, issuer token.Issuer) *peer.Server {
	return &peer.Server{
		Service: "example", // the name under which non-replayable IDs are claimed
		Handler: echoAll,
		Network: &message.Network{
			Self:       server.Self,
			SelfScheme: server,
			EntityAuth: entityauth.Schemes{ // who may come
				entityauth.None{},
				psk,
				server, // RSA, and ECC with
				entityauth.ECC{Keys: entityauth.StaticKeys(map[string]entityauth.Registered[*ecdsa.PublicKey]{})},
				entityauth.X509{Roots: roots},
			},
			EntityPolicy: entityauth.Policy{
				Revoked: func(_ context.Context, identity string) error {
					if identity == "stolen" {
						return mslerr.New(mslerr.EntityRevoked, "stolen")
					}
					return nil
				},
				Permitted: func(_ context.Context, identity, scheme string) bool { return true },
			},
			UserAuth: userauth.Schemes{passwords, userauth.UserIDToken{Keys: keys}},
			UserPolicy: userauth.Policy{
				PermittedEntity: func(_ context.Context, e token.Entity, scheme string) bool {
					return scheme != "USER_ID_TOKEN" || e.Scheme != "NONE"
				},
			},
			KeyExchange:     exchanges(psk, keys),
			TokenKeys:       keys,
			Issuer:          issuer,
			ServiceContexts: contexts,
			Lifetimes: message.Lifetimes{
				MasterRenewal: time.Minute, MasterExpiration: 2 * time.Minute,
				UserRenewal: time.Minute, UserExpiration: 2 * time.Minute,
			},
			Compression: []compress.Algorithm{compress.GZIP, compress.LZW},
			Formats:     []framing.Format{framing.JSON},
			Languages:   []string{"en"},
			UserMessage: func(code mslerr.Code, languages []string) string {
				if code == mslerr.EmailPasswordIncorrect {
					return "The password is wrong."
				}
				return ""
			},
			ErrorDetails: true, // tests only: tells strangers what exactly went wrong
		},
		InsecurePlaintext:   true, // answer also who has no keys
		InsecureUnprotected: true,
	}
}

// acceptAll is an issuer that takes every non-replayable ID, also twice.
type acceptAll struct{ token.Issuer }

func (acceptAll) AcceptNonReplayable(context.Context, string, token.Entity, int64, int64) error {
	return nil
}

// rejectAll is one that takes none, and says why.
type rejectAll struct {
	token.Issuer
	code mslerr.Code // MessageReplayed, or MessageReplayedUnrecoverable
}

func (i rejectAll) AcceptNonReplayable(context.Context, string, token.Entity, int64, int64) error {
	return mslerr.New(i.code, "no ID is good here")
}

// sequenceFrom has sequence numbers begin later than with 1.
type sequenceFrom struct {
	token.Issuer
	offset int64
}

func (i sequenceFrom) Create(ctx context.Context, e token.Entity) (serial, sequence int64, err error) {
	serial, sequence, err = i.Issuer.Create(ctx, e)
	return serial, sequence + i.offset, err
}

func (i sequenceFrom) Renewable(ctx context.Context, e token.Entity, serial, sequence int64) error {
	return i.Issuer.Renewable(ctx, e, serial, sequence-i.offset)
}

func (i sequenceFrom) Renew(ctx context.Context, e token.Entity, serial, sequence int64) (int64, error) {
	next, err := i.Issuer.Renew(ctx, e, serial, sequence-i.offset)
	return next + i.offset, err
}

func (i sequenceFrom) Confirm(ctx context.Context, e token.Entity, serial, sequence int64) error {
	return i.Issuer.Confirm(ctx, e, serial, sequence-i.offset)
}

// echoAll answers with the request's data, and gives service tokens.
func echoAll(w peer.ResponseWriter, r *peer.ServerRequest) {
	if r.Header.MasterToken != nil {
		w.SetServiceToken(peer.ServiceToken{Name: "device", Binding: peer.ToMasterToken, Data: []byte("d")})
	}
	if r.Peer.User != "" {
		w.SetServiceToken(peer.ServiceToken{Name: "profile", Binding: peer.ToUser, Data: []byte("p")})
	}
	data, err := io.ReadAll(r.Body) // verified
	if err != nil {
		return // the answer is an error by itself
	}
	w.Write(data)
}

// pushThree sends three messages in one body, and no answer.
func pushThree(w peer.ResponseWriter, r *peer.ServerRequest) {
	io.Copy(io.Discard, r.Body)
	for i := range 3 {
		if err := w.Push(strings.NewReader(fmt.Sprintf("push %d", i))); err != nil {
			return
		}
	}
}

// null receives only.
func null(w peer.ResponseWriter, r *peer.ServerRequest) {
	w.NoAnswer()
	io.Copy(io.Discard, r.Body)
}

// logTo notes each request, and answers with nothing.
func logTo(out io.Writer) peer.Handler {
	return func(w peer.ResponseWriter, r *peer.ServerRequest) {
		data, err := io.ReadAll(r.Body)
		fmt.Fprintf(out, "%s %s %s: %q, %v\n", r.Peer.Entity.Scheme, r.Peer.Entity.Identity, r.Peer.User, data, err)
	}
}

// picky requires things, and answers with errors.
func picky(w peer.ResponseWriter, r *peer.ServerRequest) {
	switch {
	case !r.Encrypted || !r.NonReplayable: // of the request
		w.Reject(mslerr.New(mslerr.MessageReplayedUnrecoverable, "not without a non-replayable ID"))
		return
	case r.Peer.Entity.Identity == "stranger":
		w.RejectEntity()
		return
	case r.Peer.User == "":
		w.RejectUser()
		return
	}
	if w.NeedEncryption() != nil { // of the answer; KEYX_REQUIRED has been sent
		return
	}
	io.WriteString(w, "you may")
}

// A server as the reference's examples have it, behind HTTP, and its client:
// RSA for the one, no authentication for the other, wrapped keys, a password.
func Example_classic() {
	private, err := rsa.GenerateKey(rand.Reader, 2048) // or rsaKey(der)
	if err != nil {
		log.Fatal(err)
	}
	server := rsaScheme("server", "server_key", private, map[string]entityauth.Registered[*rsa.PublicKey]{
		"server_key": {Key: &private.PublicKey, Identities: []string{"server"}},
	})
	s := &peer.Server{
		Service: "example",
		Handler: echoAll,
		Network: &message.Network{
			Self: server.Self, SelfScheme: server,
			EntityAuth:      entityauth.Schemes{entityauth.None{}},
			UserAuth:        userauth.Schemes{passwords},
			KeyExchange:     keyx.Schemes{keyx.AsymmetricWrapped{}},
			ServiceContexts: serviceTokenKeys(),
		},
	}
	web := httptest.NewServer(s) // a Server is a http.Handler
	defer web.Close()
	defer s.Close()

	exchanger := new(mslhttp.Transport)
	defer exchanger.CloseIdleConnections()
	c := &peer.Client{
		Service:    "example",
		Trust:      session.Known(token.Entity{Scheme: "RSA", Identity: "server"}),
		Exchangers: []transport.Exchanger{exchanger},
		Network: &message.Network{
			Self: entityauth.NewNoneData("device"), SelfScheme: entityauth.None{},
			EntityAuth:  entityauth.Schemes{entityauth.RSA{Keys: server.Keys}},
			UserAuth:    userauth.Schemes{passwords},
			KeyExchange: keyx.Schemes{keyx.AsymmetricWrapped{}},
		},
	}
	answer, err := c.Do(context.Background(), web.URL, &peer.Request{
		Body: strings.NewReader("hello\n"),
		User: userauth.Static(userauth.NewEmailPasswordData("alice@example.org", "right")),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	io.Copy(os.Stdout, answer.Body)
	fmt.Println(answer.Peer.Entity.Identity, answer.Encrypted, len(answer.ServiceTokens))
	// Output:
	// hello
	// server true 2
}

// One server, several paths, and other limits for bodies.
func Example_classicPaths() {
	s := everyKnob(entityauth.RSA{}, entityauth.PSK{}, nil, peer.NewTokenKeys(), serviceTokenKeys(), acceptAll{store.NewMemoryIssuer()})
	mux := http.NewServeMux()
	mux.Handle("/echo", s)
	mux.Handle("/large", &mslhttp.Handler{Serve: s.ServeExchange, MaxBody: 1 << 30, Timeout: time.Hour})
	go http.ListenAndServe(":8080", mux)
	log.Fatal(s.ListenAndServe(context.Background(), "tcp://:7466", "ws://:7467/msl")) // the same, without HTTP's POST
}

// All that can be asked for with a request, one without an answer, and pushes.
func Example_classicRequests() {
	var c *peer.Client // as above
	ctx, url := context.Background(), "http://localhost:8080/echo"
	r := &peer.Request{
		Body:          strings.NewReader("hello"),
		User:          userauth.Static(userauth.NewEmailPasswordData("alice@example.org", "right")),
		UserName:      "alice", // our name for the login
		ServiceTokens: []peer.ServiceToken{{Name: "mine", Data: []byte("unbound"), Compression: "GZIP", InsecurePlaintext: true}},
		EditServiceTokens: func(set *peer.ServiceTokens, handshake bool) error {
			set.Exclude("large", peer.ToUser) // keep it here
			return set.Delete("old", peer.Unbound)
		},
		AllowReplay:         true, // no non-replayable ID
		InsecurePlaintext:   true, // need not be encrypted
		InsecureUnprotected: true, // nor protected
		WantTokens:          true, // but ask for tokens
	}
	if err := c.Send(ctx, url, r); err != nil {
		log.Fatal(err)
	}
	for push, err := range c.Pushes(ctx, url, &peer.Request{}) {
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(os.Stdout, push.Body)
	}
	if _, err := c.Do(ctx, url, r); errors.Is(err, mslerr.UserDataReauth) {
		refusal, _ := errors.AsType[*message.ErrorHeader](err)
		fmt.Println(refusal.UserMessage)
	}
}

// Two equals over one connection: each issues tokens for the other.
func Example_classicPeers() {
	psk := pskScheme(make([]byte, 16), make([]byte, 32), "left", "right") // of crypto/rand, really
	party := func(self, other string) *classic.Party {
		return &classic.Party{
			Holder:   store.NewMemory().Holder(other),
			Expected: token.Entity{Scheme: "PSK", Identity: other},
			Network: &message.Network{
				PeerToPeer: true,
				Self:       entityauth.NewPSKData(self),
				EntityAuth: entityauth.Schemes{psk},
				KeyExchange: keyx.Schemes{
					keyx.DiffieHellman{Parameters: []keyx.DHParameters{keyx.MODP2048("1")}},
				},
				TokenKeys: peer.NewTokenKeys(), Issuer: store.NewMemoryIssuer(), Service: self,
			},
		}
	}
	ctx := context.Background()
	a, b := net.Pipe()
	left := classic.NewConn(classic.Over(transport.NetConn(a)), nil, true)
	right := classic.NewConn(classic.Over(transport.NetConn(b)), nil, true)
	defer left.Close()
	defer right.Close()

	go func() {
		p := party("right", "left")
		in, err := p.Accept(ctx, right, nil)
		if err != nil {
			return
		}
		data, _ := io.ReadAll(in)
		in.Respond(ctx, classic.Message{Body: strings.NewReader(strings.ToUpper(string(data)))})
	}()
	answer, err := party("left", "right").RequestOn(ctx, left, classic.Message{Body: strings.NewReader("hello")})
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(os.Stdout, answer)
	// Output: HELLO
}
