//go:build !js

package peer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/session"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
	mslhttp "github.com/mslgo/msl/transport/http"
)

// reference is a web server with the endpoints of an integration suite, made as
// docs/classic.md says.
type reference struct {
	url       string
	server    entityauth.RSA
	device    entityauth.RSA
	psk       entityauth.PSK
	exchanger *mslhttp.Transport

	mu  sync.Mutex
	log strings.Builder
}

func (r *reference) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *reference) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

var referenceKeys = sync.OnceValues(func() ([2][]byte, error) {
	var ders [2][]byte
	for i := range ders {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return ders, err
		}
		if ders[i], err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return ders, err
		}
	}
	return ders, nil
})

func newReference(t *testing.T, issuer token.Issuer, change func(*peer.Server)) *reference {
	t.Helper()
	ders, err := referenceKeys()
	if err != nil {
		t.Fatal(err)
	}
	serverKey, err := rsaKey(ders[0])
	if err != nil {
		t.Fatal(err)
	}
	deviceKey, err := rsaKey(ders[1])
	if err != nil {
		t.Fatal(err)
	}
	public := map[string]entityauth.Registered[*rsa.PublicKey]{
		"server_key": {Key: &serverKey.PublicKey, Identities: []string{"server"}},
		"device_key": {Key: &deviceKey.PublicKey, Identities: []string{"rsa device"}},
	}
	ref := &reference{
		server:    rsaScheme("server", "server_key", serverKey, public),
		device:    rsaScheme("rsa device", "device_key", deviceKey, public),
		psk:       pskScheme([]byte("0123456789abcdef"), []byte("0123456789abcdef0123456789abcdef"), "psk device"),
		exchanger: new(mslhttp.Transport),
	}
	keys, err := rawTokenKeys("msl", make([]byte, 16), make([]byte, 32), make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	contexts, mux := serviceTokenKeys(), http.NewServeMux()
	var servers []*peer.Server
	for path, handler := range map[string]peer.Handler{"/echo": echoAll, "/push": pushThree, "/null": null, "/log": logTo(ref), "/picky": picky} {
		s := everyKnob(ref.server, ref.psk, nil, keys, contexts, issuer)
		s.Handler = handler
		if change != nil {
			change(s)
		}
		servers = append(servers, s)
		mux.Handle(path, s)
	}
	web := httptest.NewServer(mux)
	ref.url = web.URL
	t.Cleanup(func() {
		ref.exchanger.CloseIdleConnections()
		web.Close()
		for _, s := range servers {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return ref
}

// client is one of scheme NONE, PSK or RSA.
func (r *reference) client(scheme string, exchange ...keyx.Scheme) *peer.Client {
	n := &message.Network{
		EntityAuth:  entityauth.Schemes{entityauth.RSA{Keys: r.server.Keys}},
		UserAuth:    userauth.Schemes{passwords},
		KeyExchange: exchange,
	}
	switch scheme {
	case "NONE":
		n.Self, n.SelfScheme = entityauth.NewNoneData("none device"), entityauth.None{}
	case "PSK":
		n.Self, n.SelfScheme = entityauth.NewPSKData("psk device"), r.psk
	case "RSA":
		n.Self, n.SelfScheme = r.device.Self, r.device
	}
	return &peer.Client{
		Service: "example", Network: n, Exchangers: []transport.Exchanger{r.exchanger},
		Trust: session.Known(token.Entity{Scheme: "RSA", Identity: "server"}),
	}
}

func (r *reference) wrapped(scheme string) *peer.Client {
	return r.client(scheme, keyx.AsymmetricWrapped{})
}

func alice(password string) userauth.Source {
	return userauth.Static(userauth.NewEmailPasswordData("alice@example.org", password))
}

func TestReferenceSchemes(t *testing.T) {
	ref := newReference(t, store.NewMemoryIssuer(), nil)
	ofPSK := ref.psk.WithPolicy(entityauth.Policy{})
	ladder := keyx.Ladder{PSK: ofPSK, Repository: new(keyx.MemoryRepository)}
	for _, v := range []struct {
		entities []string
		exchange keyx.Scheme
	}{
		{[]string{"NONE", "PSK", "RSA"}, keyx.AsymmetricWrapped{}},
		{[]string{"NONE", "PSK", "RSA"}, keyx.AsymmetricWrapped{Offers: []keyx.Mechanism{keyx.MechanismJWERSA}}},
		{[]string{"NONE", "PSK", "RSA"}, keyx.DiffieHellman{Parameters: []keyx.DHParameters{keyx.MODP2048("1")}}},
		{[]string{"PSK"}, keyx.SymmetricWrapped{PSK: ofPSK}},
		{[]string{"PSK"}, keyx.JWELadder(ladder)},
		{[]string{"PSK"}, keyx.JWKLadder(ladder)},
	} {
		for _, scheme := range v.entities {
			t.Run(scheme+" "+v.exchange.Name(), func(t *testing.T) {
				c := ref.client(scheme, v.exchange)
				for i := range 2 {
					got, answer := do(t, c, ref.url+"/echo", &peer.Request{Body: strings.NewReader("hello"), User: alice("right")})
					var names []string
					for _, st := range answer.ServiceTokens {
						names = append(names, st.Name)
					}
					slices.Sort(names)
					if got != "hello" || !answer.Encrypted || !answer.Protected || answer.Peer.Entity.Identity != "server" {
						t.Errorf("%q, %+v", got, answer)
					}
					// The first request of a PSK client goes without a master token.
					if i == 1 && !slices.Equal(names, []string{"device", "profile"}) {
						t.Errorf("service tokens %v", names)
					}
				}
			})
		}
	}
}

// Who exchanges no keys is answered where neither side demands any.
func TestReferenceUnprotected(t *testing.T) {
	ref := newReference(t, store.NewMemoryIssuer(), nil)
	for _, scheme := range []string{"NONE", "PSK", "RSA"} {
		got, answer := do(t, ref.client(scheme), ref.url+"/echo", &peer.Request{
			Body: strings.NewReader("open"), AllowReplay: true, InsecurePlaintext: true, InsecureUnprotected: true,
		})
		if got != "open" || answer.Encrypted || !answer.Protected {
			t.Errorf("%s: %q, %+v", scheme, got, answer)
		}
	}
}

func TestReferenceEndpoints(t *testing.T) {
	ref := newReference(t, store.NewMemoryIssuer(), nil)
	c := ref.wrapped("RSA")
	var pushes []string
	for push, err := range c.Pushes(t.Context(), ref.url+"/push", &peer.Request{Body: strings.NewReader("go")}) {
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		buf := make([]byte, 100)
		for {
			n, err := push.Body.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				break
			}
		}
		pushes = append(pushes, b.String())
	}
	if !slices.Equal(pushes, []string{"push 0", "push 1", "push 2"}) {
		t.Errorf("pushes %q", pushes)
	}
	if err := c.Send(t.Context(), ref.url+"/null", &peer.Request{Body: strings.NewReader("swallow")}); err != nil {
		t.Error(err)
	}
	if _, err := c.Do(t.Context(), ref.url+"/null", &peer.Request{}); err == nil {
		t.Error("an answer of the null endpoint")
	}
	if got, _ := do(t, c, ref.url+"/log", &peer.Request{Body: strings.NewReader("note"), User: alice("right")}); got != "" {
		t.Errorf("the log answered %q", got)
	}
	if want := "RSA rsa device alice: \"note\", <nil>\n"; ref.logged() != want {
		t.Errorf("logged %q, want %q", ref.logged(), want)
	}
}

func TestReferenceErrors(t *testing.T) {
	ref := newReference(t, store.NewMemoryIssuer(), nil)
	_, err := ref.wrapped("NONE").Do(t.Context(), ref.url+"/echo", &peer.Request{User: alice("wrong")})
	refusal, ok := errors.AsType[*message.ErrorHeader](err)
	if !ok || !errors.Is(err, mslerr.EmailPasswordIncorrect) || refusal.UserMessage != "The password is wrong." {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := ref.wrapped("NONE").Do(t.Context(), ref.url+"/picky", &peer.Request{}); !errors.Is(err, mslerr.UserRejectedByApp) && !errors.Is(err, mslerr.UserDataReauth) {
		t.Errorf("without a user: %v", err)
	}
	if _, err := ref.wrapped("NONE").Do(t.Context(), ref.url+"/picky", &peer.Request{AllowReplay: true}); !errors.Is(err, mslerr.MessageReplayedUnrecoverable) {
		t.Errorf("replayable: %v", err)
	}
	if got, _ := do(t, ref.wrapped("NONE"), ref.url+"/picky", &peer.Request{User: alice("right")}); got != "you may" {
		t.Errorf("%q", got)
	}
	// A key exchange that the server does not have.
	if _, err := ref.client("NONE", keyx.HPKE{}).Do(t.Context(), ref.url+"/echo", &peer.Request{}); !errors.Is(err, mslerr.KeyxFactoryNotFound) {
		t.Errorf("HPKE: %v", err)
	}
}

func TestReferenceNonReplayable(t *testing.T) {
	for _, v := range []struct {
		issuer token.Issuer
		want   error
	}{
		{acceptAll{store.NewMemoryIssuer()}, nil},
		{rejectAll{store.NewMemoryIssuer(), mslerr.MessageReplayed}, mslerr.MessageReplayed},
		{rejectAll{store.NewMemoryIssuer(), mslerr.MessageReplayedUnrecoverable}, mslerr.MessageReplayedUnrecoverable},
	} {
		t.Run(fmt.Sprint(v.want), func(t *testing.T) {
			ref := newReference(t, v.issuer, nil)
			c := ref.wrapped("RSA")
			answer, err := c.Do(t.Context(), ref.url+"/echo", &peer.Request{})
			if err == nil {
				answer.Body.Close()
			}
			if !errors.Is(err, v.want) {
				t.Errorf("%v, want %v", err, v.want)
			}
			if got, _ := do(t, c, ref.url+"/echo", &peer.Request{Body: strings.NewReader("x"), AllowReplay: true}); got != "x" {
				t.Errorf("replayable: %q", got)
			}
		})
	}
}

// Tokens of a second, renewed as the server's clock goes on, keep their serial
// number and get the next sequence number, which began where the issuer said.
func TestReferenceRenewal(t *testing.T) {
	var now, last atomic.Int64
	now.Store(time.Now().UnixNano())
	ref := newReference(t, sequenceFrom{store.NewMemoryIssuer(), 1000}, func(s *peer.Server) {
		s.Network.Clock = func() time.Time { return time.Unix(0, now.Load()) }
		s.Network.Lifetimes = message.Lifetimes{
			MasterRenewal: time.Second, MasterExpiration: 2 * time.Second, UserRenewal: time.Second, UserExpiration: 2 * time.Second,
		}
		handler := s.Handler
		s.Handler = func(w peer.ResponseWriter, r *peer.ServerRequest) {
			if r.Header.MasterToken != nil {
				last.Store(r.Header.MasterToken.Sequence)
			}
			handler(w, r)
		}
	})
	for _, step := range []time.Duration{1500 * time.Millisecond, 10 * time.Second} { // due; expired
		c := ref.wrapped("RSA")
		c.Network.Clock = func() time.Time { return time.Unix(0, now.Load()) }
		var sequences []int64
		for range 4 {
			got, _ := do(t, c, ref.url+"/echo", &peer.Request{Body: strings.NewReader("x"), User: alice("right")})
			if got != "x" {
				t.Errorf("%q", got)
			}
			sequences = append(sequences, last.Load())
			now.Add(int64(step))
		}
		if sequences[0] != 1001 || sequences[3] < 1003 || !slices.IsSorted(sequences) {
			t.Errorf("after %v each: sequence numbers %v", step, sequences)
		}
	}
}
