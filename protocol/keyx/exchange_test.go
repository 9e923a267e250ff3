package keyx

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

func wantCode(t *testing.T, err error, code mslerr.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("error %v, want %v", err, code)
	}
}

// throughWire is o as the other side reads it.
func throughWire(t *testing.T, o framing.Object) framing.Object {
	t.Helper()
	b, err := framing.JSON.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if o, err = framing.Decode(b); err != nil {
		t.Fatal(err)
	}
	return o
}

// exchange runs both sides and checks that they agree on keys of the right size.
func exchange(t *testing.T, requester, responder Schemes, p Parties) (*Answer, *Result) {
	t.Helper()
	offers, err := requester.Offer(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return exchangeOffers(t, requester, responder, offers, p)
}

func exchangeOffers(t *testing.T, requester, responder Schemes, offers []Offer, p Parties) (*Answer, *Result) {
	t.Helper()
	var requests framing.Array
	for _, o := range offers {
		requests = append(requests, throughWire(t, RequestObject(o)))
	}
	parsed, err := responder.ParseRequests(requests)
	if err != nil {
		t.Fatal(err)
	}
	a, err := responder.Answer(t.Context(), parsed, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	response := &Response{Token: new(token.MasterToken), Scheme: a.Scheme, KeyData: throughWire(t, a.KeyData)}
	r, err := requester.Complete(t.Context(), offers, response, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Keys.Encryption) != mslcrypto.EncryptionKeySize || len(a.Keys.Signature) != mslcrypto.SignatureKeySize {
		t.Errorf("keys of %d and %d bytes", len(a.Keys.Encryption), len(a.Keys.Signature))
	}
	if !bytes.Equal(a.Keys.Encryption, r.Keys.Encryption) || !bytes.Equal(a.Keys.Signature, r.Keys.Signature) {
		t.Error("the sides disagree on the keys")
	}
	return a, r
}

// fake is a scheme that fails with a code, or succeeds.
type fake struct {
	name     string
	fails    mslerr.Code // 0: succeeds
	answered *[]string
}

type fakeRequest struct{ scheme, id string }

func (r fakeRequest) Scheme() string          { return r.scheme }
func (r fakeRequest) KeyData() framing.Object { return framing.Object{"id": r.id} }

type fakeOffer struct {
	fakeRequest
	erased bool
}

func (o *fakeOffer) Erase() { o.erased = true }

func (s fake) Name() string                                    { return s.name }
func (s fake) Offer(context.Context, Parties) ([]Offer, error) { return nil, nil }
func (s fake) ParseRequest(o framing.Object) (Request, error) {
	id, err := member[string](o, "id")
	return fakeRequest{s.name, id}, err
}

func (s fake) try(id string) error {
	*s.answered = append(*s.answered, s.name+id)
	if s.fails != 0 && id != "good" {
		return mslerr.New(s.fails, "%s", id)
	}
	return nil
}

func (s fake) Answer(_ context.Context, r Request, _ Parties) (*Answer, error) {
	return &Answer{KeyData: framing.Object{}}, s.try(r.(fakeRequest).id)
}

func (s fake) Complete(_ context.Context, o Offer, _ framing.Object, _ Parties) (*Result, error) {
	return new(Result), s.try(o.(*fakeOffer).id)
}

func TestAnswerOrder(t *testing.T) {
	request := func(scheme, id string) Request { return fakeRequest{scheme, id} }
	for _, c := range []struct {
		name     string
		schemes  map[string]mslerr.Code
		order    []string
		requests []Request
		tried    []string
		want     mslerr.Code // -1: success
	}{
		{
			"own order, not that of the message", map[string]mslerr.Code{}, []string{"A", "B"},
			[]Request{request("B", "1"), request("A", "2")}, []string{"A2"}, -1,
		},
		{
			"failures are passed over", map[string]mslerr.Code{"A": mslerr.KeyxInvalidPublicKey}, []string{"A", "B"},
			[]Request{request("A", "1"), request("A", "2"), request("B", "3")}, []string{"A1", "A2", "B3"}, -1,
		},
		{
			"a further request of the last scheme is tried too", map[string]mslerr.Code{"A": mslerr.KeyxInvalidPublicKey}, []string{"A"},
			[]Request{request("A", "1"), request("A", "good")}, []string{"A1", "Agood"}, -1,
		},
		{
			"the last failure is reported", map[string]mslerr.Code{"A": mslerr.KeyxInvalidPublicKey, "B": mslerr.UnwrapError}, []string{"B", "A"},
			[]Request{request("A", "1"), request("B", "2")}, []string{"B2", "A1"}, mslerr.KeyxInvalidPublicKey,
		},
		{
			"no scheme in common", nil, []string{"A"},
			[]Request{request("C", "1")}, nil, mslerr.KeyxFactoryNotFound,
		},
		{"no request", nil, []string{"A"}, nil, nil, mslerr.KeyxFactoryNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tried []string
			var ss Schemes
			for _, name := range c.order {
				ss = append(ss, fake{name, c.schemes[name], &tried})
			}
			a, err := ss.Answer(t.Context(), c.requests, Parties{}, nil)
			if c.want >= 0 {
				wantCode(t, err, c.want)
			} else if err != nil || a.Scheme != tried[len(tried)-1][:1] {
				t.Errorf("answer %v, %v", a, err)
			}
			if len(tried) != len(c.tried) {
				t.Fatalf("tried %v, want %v", tried, c.tried)
			}
			for i := range tried {
				if tried[i] != c.tried[i] {
					t.Errorf("tried %v, want %v", tried, c.tried)
				}
			}
		})
	}
}

func TestAnswerPolicy(t *testing.T) {
	var tried []string
	ss := Schemes{fake{"A", 0, &tried}, fake{"B", 0, &tried}}
	requests := []Request{fakeRequest{"A", "1"}, fakeRequest{"B", "2"}}
	onlyB := func(_ context.Context, identity, scheme string) bool { return identity == "me" && scheme == "B" }
	a, err := ss.Answer(t.Context(), requests, Parties{Identity: "me"}, onlyB)
	if err != nil || a.Scheme != "B" || len(tried) != 1 {
		t.Errorf("answer %v, %v after %v", a, err, tried)
	}
	_, err = ss.Answer(t.Context(), requests, Parties{Identity: "you"}, onlyB)
	wantCode(t, err, mslerr.KeyxIncorrectData)
	// A token that is not our own is not renewed, whatever the policy says.
	_, err = ss.Answer(t.Context(), requests, Parties{Token: new(token.MasterToken)}, nil)
	wantCode(t, err, mslerr.MasterTokenUntrusted)
}

func TestAnswerEndsWithContext(t *testing.T) {
	var tried []string
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ss := Schemes{fake{"A", mslerr.UnwrapError, &tried}}
	_, err := ss.Answer(ctx, []Request{fakeRequest{"A", "1"}, fakeRequest{"A", "2"}}, Parties{}, nil)
	if !errors.Is(err, context.Canceled) || len(tried) != 1 {
		t.Errorf("error %v after %v", err, tried)
	}
}

func TestCompleteTriesOffers(t *testing.T) {
	var tried []string
	ss := Schemes{fake{"A", mslerr.KeyxResponseRequestMismatch, &tried}, fake{"B", mslerr.UnwrapError, &tried}}
	offers := func(ids ...string) []Offer {
		var all []Offer
		for _, id := range ids {
			all = append(all, &fakeOffer{fakeRequest: fakeRequest{id[:1], id[1:]}})
		}
		return all
	}
	complete := func(scheme string, os []Offer) error {
		tried = nil
		_, err := ss.Complete(t.Context(), os, &Response{Token: new(token.MasterToken), Scheme: scheme}, Parties{})
		for _, o := range os {
			if !o.(*fakeOffer).erased {
				t.Errorf("offer %v is not erased", o)
			}
		}
		return err
	}
	if err := complete("A", offers("A1", "B2", "Agood", "A3")); err != nil || len(tried) != 2 {
		t.Errorf("%v after %v", err, tried)
	}
	wantCode(t, complete("A", offers("A1", "A2")), mslerr.KeyxResponseRequestMismatch)
	wantCode(t, complete("B", offers("B1")), mslerr.UnwrapError)
	wantCode(t, complete("B", offers("A1")), mslerr.KeyxResponseRequestMismatch)
	wantCode(t, complete("C", offers("A1")), mslerr.KeyxFactoryNotFound)
}

func TestParseRequestOrder(t *testing.T) {
	ss := Schemes{SymmetricWrapped{}}
	for _, c := range []struct {
		name string
		o    framing.Object
		want mslerr.Code
	}{
		{"empty", framing.Object{}, mslerr.ParseError},
		{"scheme is a number", framing.Object{"scheme": 1, "keydata": framing.Object{}}, mslerr.ParseError},
		{"unknown scheme before missing keydata", framing.Object{"scheme": "FOO"}, mslerr.UnidentifiedKeyxScheme},
		{"case counts", framing.Object{"scheme": "hpke", "keydata": framing.Object{}}, mslerr.UnidentifiedKeyxScheme},
		{"missing keydata before factory", framing.Object{"scheme": "HPKE"}, mslerr.ParseError},
		{"keydata is text", framing.Object{"scheme": "SYMMETRIC_WRAPPED", "keydata": "{}"}, mslerr.ParseError},
		{"not enabled", framing.Object{"scheme": "HPKE", "keydata": framing.Object{}}, mslerr.KeyxFactoryNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ss.ParseRequest(c.o)
			wantCode(t, err, c.want)
		})
	}
	_, err := ss.ParseRequests(make(framing.Array, MaxRequests+1))
	wantCode(t, err, mslerr.ParseError)
	_, err = ss.ParseRequests(framing.Array{"text"})
	wantCode(t, err, mslerr.ParseError)
}
