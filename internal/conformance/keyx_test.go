package conformance

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

var exchangeLists = map[string]runner{
	"description": nil, "token_keys": nil,
	"exchanges": func(r *run, list json.RawMessage) {
		each(r, list, func(e *exchange) string { return e.Case }, func(t *testing.T, e *exchange) error { return e.run(t, r) })
	},
	"rejected": func(r *run, list json.RawMessage) {
		each(r, list, func(e *rejectedExchange) string { return e.Case }, func(t *testing.T, e *rejectedExchange) error { return e.run(t, r) })
	},
}

func number(t testing.TB, hex string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		t.Fatalf("%q is no number", hex)
	}
	return n
}

// secrets is what a requester has besides its request.
type secrets struct {
	PSKIdentity    string `json:"psk_identity"`
	KPE, KPH, KPW  []byte
	DHP            string `json:"dh_p_hex"`
	DHG            string `json:"dh_g_hex"`
	DHPrivate      string `json:"client_dh_private_hex"`
	PKCS8          []byte `json:"client_privatekey_pkcs8"`
	PriorKey       []byte `json:"prior_wrapping_key"`
	WrapDataKey    []byte `json:"wrapping_key_in_wrapdata"`
	ClientIdentity string `json:"client_identity"`
	SessionKeys    *struct{ EncryptionKey, SignatureKey []byte }
	KeyRequestData *keyRequest
}

type keyRequest struct {
	Scheme  string
	KeyData struct {
		KeyPairID    string
		Mechanism    string
		ParametersID string
		WrapData     []byte
		KeyID        string
	}
}

// requester makes the scheme of a request, and the offer that the request was.
func (s *secrets) requester(t testing.TB, q keyRequest, repository keyx.Repository) (keyx.Scheme, []keyx.Offer, error) {
	t.Helper()
	var psk keyx.PSKContext
	if s.PSKIdentity != "" {
		c := symmetric{s.KPE, s.KPH, s.KPW}.context(t, s.PSKIdentity)
		psk = func(_ context.Context, identity string) (mslcrypto.Context, error) {
			if identity != s.PSKIdentity {
				return nil, mslerr.New(mslerr.EntityNotFound, "another entity's keys")
			}
			return c, nil
		}
	}
	ladder := keyx.Ladder{PSK: psk, Repository: repository}
	if len(q.KeyData.WrapData) > 0 {
		if err := repository.Add(t.Context(), q.KeyData.WrapData, bytes.Clone(s.PriorKey)); err != nil {
			t.Fatal(err)
		}
	}
	var scheme keyx.Scheme
	switch q.Scheme {
	case "ASYMMETRIC_WRAPPED":
		scheme = keyx.AsymmetricWrapped{
			Offers: []keyx.Mechanism{keyx.Mechanism(q.KeyData.Mechanism)}, InsecurePKCS1: true,
			KeyPair: privateKey[*rsa.PrivateKey](t, s.PKCS8), KeyPairID: q.KeyData.KeyPairID,
		}
	case "DIFFIE_HELLMAN":
		scheme = keyx.DiffieHellman{
			Parameters: []keyx.DHParameters{{ID: q.KeyData.ParametersID, P: number(t, s.DHP), G: number(t, s.DHG)}},
			Private:    number(t, s.DHPrivate),
		}
	case "SYMMETRIC_WRAPPED":
		scheme = keyx.SymmetricWrapped{PSK: psk}
	case "JWE_LADDER":
		scheme = keyx.JWELadder(ladder)
	case "JWK_LADDER":
		scheme = keyx.JWKLadder(ladder)
	default:
		return nil, nil, fmt.Errorf("key exchange scheme %q is not known", q.Scheme)
	}
	offers, err := scheme.Offer(t.Context(), keyx.Parties{Identity: s.PSKIdentity})
	return scheme, offers, err
}

// exchange is a request, its response, and the keys of both sides.
type exchange struct {
	Case             string
	Scheme, Identity string
	Secrets          secrets
	Request          keyRequest `json:"keyrequestdata"`
	RequestBytes     []byte     `json:"keyrequestdata_bytes"`
	ResponseBytes    []byte     `json:"keyresponsedata_bytes"`
	PriorKey         []byte     `json:"prior_wrapping_key"`
	MasterToken      map[string]any
	Derived          symmetric
	Check            struct {
		Plaintext  []byte
		Ciphertext []byte `json:"ciphertext_envelope"`
		Signature  []byte
	}
}

func (e *exchange) run(t *testing.T, r *run) error {
	issuer := r.issuerKeys(t)
	s := e.Secrets
	s.PriorKey = e.PriorKey
	repository := new(keyx.MemoryRepository)
	scheme, offers, err := s.requester(t, e.Request, repository)
	if err != nil {
		return err
	}
	requester := keyx.Schemes{scheme}
	parties := keyx.Parties{Identity: e.Identity}

	// The offer says what the peer's said.
	raw, err := framing.Decode(e.RequestBytes)
	if err != nil {
		return err
	}
	if len(offers) == 0 {
		return errors.New("there is no offer")
	}
	if err := same(plain(t, keyx.RequestObject(offers[0])), plain(t, raw)); err != nil {
		return fmt.Errorf("key request: %w", err)
	}

	// The peer's response gives the keys.
	object, err := framing.Decode(e.ResponseBytes)
	if err != nil {
		return err
	}
	response, err := requester.ParseResponse(object, nil)
	if err != nil {
		return err
	}
	result, err := requester.Complete(t.Context(), offers, response, parties)
	if err != nil {
		return err
	}
	if err := e.keys(result.Keys); err != nil {
		return err
	}
	session, err := mslcrypto.NewSession(result.Keys, mslcrypto.SessionKeyID(e.Identity, response.Token.Sequence))
	if err != nil {
		return err
	}
	if ok, err := session.Verify(e.Check.Ciphertext, e.Check.Signature); err != nil || !ok {
		return fmt.Errorf("the peer's signature does not verify: %w", err)
	}
	if plaintext, err := session.Decrypt(e.Check.Ciphertext); err != nil || !bytes.Equal(plaintext, e.Check.Plaintext) {
		return fmt.Errorf("other plaintext: %w", err)
	}
	if len(e.Derived.WrappingKey) > 0 {
		newest, err := repository.Newest(t.Context())
		if err != nil {
			return err
		}
		if k, err := repository.Find(t.Context(), newest); err != nil || !bytes.Equal(k, e.Derived.WrappingKey) {
			return fmt.Errorf("other wrapping key: %w", err)
		}
	}

	// The issuer finds the same in the token.
	mt := object["mastertoken"].(framing.Object)
	opened, err := token.ParseMasterToken(mt, issuer)
	if err != nil {
		return err
	}
	if err := same(viewMasterToken(t, opened, vectorsTime), any(e.MasterToken)); err != nil {
		return fmt.Errorf("master token: %w", err)
	}

	// And our issuer answers the peer's request such that the requester agrees.
	responder := r.keys.keyExchange(t, issuer)
	requests, err := responder.ParseRequests(framing.Array{raw})
	if err != nil {
		return err
	}
	answer, err := responder.Answer(t.Context(), requests, parties, nil)
	if err != nil {
		return err
	}
	again := new(keyx.MemoryRepository)
	if scheme, offers, err = s.requester(t, e.Request, again); err != nil {
		return err
	}
	requester = keyx.Schemes{scheme}
	ours, err := token.ParseMasterToken(mt, nil)
	if err != nil {
		return err
	}
	o, err := through(keyx.ResponseObject(answer, ours))
	if err != nil {
		return err
	}
	if response, err = requester.ParseResponse(o, nil); err != nil {
		return err
	}
	if result, err = requester.Complete(t.Context(), offers, response, parties); err != nil {
		return fmt.Errorf("our answer: %w", err)
	}
	if !bytes.Equal(result.Keys.Encryption, answer.Keys.Encryption) || !bytes.Equal(result.Keys.Signature, answer.Keys.Signature) {
		return errors.New("requester and responder of our own disagree")
	}
	return nil
}

func (e *exchange) keys(k mslcrypto.SessionKeys) error {
	if !bytes.Equal(k.Encryption, e.Derived.EncryptionKey) || !bytes.Equal(k.Signature, e.Derived.HMACKey) {
		return errors.New("other keys than derived")
	}
	return nil
}

// issuerKeys are the "token_keys" of a file.
func (r *run) issuerKeys(t testing.TB) *token.Keys {
	t.Helper()
	var s symmetric
	if err := json.Unmarshal(r.members["token_keys"], &s); err != nil {
		t.Fatal(err)
	}
	return token.NewKeys(s.context(t, "msl.server"))
}

// rejectedExchange is a request that the issuer refuses.
type rejectedExchange struct {
	Case, Note string
	Identity   string
	Serial     *int64 `json:"mastertoken_serialnumber"`
	Request    string `json:"keyrequestdata_text"`
	Result     result[json.RawMessage]
}

func (e *rejectedExchange) run(t *testing.T, r *run) error {
	issuer := r.issuerKeys(t)
	responder := r.keys.keyExchange(t, issuer)
	o, err := framing.Decode([]byte(e.Request))
	if err != nil {
		return err
	}
	p := keyx.Parties{Identity: e.Identity}
	if e.Serial != nil { // a renewal, under a valid master token of that serial number
		keys := mslcrypto.SessionKeys{Encryption: make([]byte, mslcrypto.EncryptionKeySize), Signature: make([]byte, mslcrypto.SignatureKeySize)}
		p.Token, err = token.MintMasterToken(token.MasterTokenSpec{
			RenewalWindow: vectorsTime, Expiration: vectorsTime, Serial: *e.Serial, Sequence: 1, Identity: "PSK-CLIENT-1", Keys: keys,
		}, issuer, framing.JSON)
		if err != nil {
			return err
		}
		p.Identity = p.Token.Identity()
		if p.TokenContext, err = mslcrypto.NewSession(keys, mslcrypto.SessionKeyID(p.Identity, 1)); err != nil {
			return err
		}
	}
	requests, err := responder.ParseRequests(framing.Array{o})
	if err == nil {
		_, err = responder.Answer(t.Context(), requests, p, nil)
	}
	if err == nil && mayAccept(e.Note) {
		return nil
	}
	if e.Result.Error == nil {
		return errors.New("the vectors give no error")
	}
	return e.Result.Error.compare(err, false)
}
