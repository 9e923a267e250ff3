package keyx

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const asymmetricName = "ASYMMETRIC_WRAPPED"

// Mechanism is how ASYMMETRIC_WRAPPED wraps (spec 07 section 2).
type Mechanism string

// The mechanisms, with what they wrap under an RSA key.
const (
	MechanismRSA      Mechanism = "RSA"       // the bare key, OAEP
	MechanismJWKRSA   Mechanism = "JWK_RSA"   // a JSON Web Key, OAEP
	MechanismJWKRSAES Mechanism = "JWK_RSAES" // a JSON Web Key, PKCS#1 v1.5: see InsecurePKCS1
	MechanismJWERSA   Mechanism = "JWE_RSA"   // JSON Web Encryption, compact
	MechanismJWEJSRSA Mechanism = "JWEJS_RSA" // JSON Web Encryption, JSON
	mechanismECC      Mechanism = "ECC"       // a name that was never filled
)

var mechanisms = []Mechanism{MechanismRSA, MechanismJWKRSA, MechanismJWKRSAES, MechanismJWERSA, MechanismJWEJSRSA}

const (
	rsaKeySize    = 2048 // bits of a fresh key; a smaller one cannot wrap a JSON Web Key
	minRSAKeySize = 2048
	maxRSAKeySize = 8192 // bounds what a responder spends on a request
)

// AsymmetricWrapped wraps random session keys under an RSA key of the requester.
// OAEP is with SHA-1, as all stacks have it.
//
//	request:  {"keypairid": string, "mechanism": string, "publickey": binary}
//	response: {"keypairid": string, "encryptionkey": binary, "hmackey": binary}
//
// The public key is a DER SubjectPublicKeyInfo of 2048 to 8192 bits.
type AsymmetricWrapped struct {
	// Offers are the mechanisms that are offered, best first. Nil: JWK_RSA,
	// which Java and JavaScript have in common. Any is answered, but JWK_RSAES.
	Offers []Mechanism
	// KeyPair is used for every offer, which then have no forward secrecy, and
	// an old response may count for a new request (W-10). Nil: a fresh key for
	// each Offer call.
	KeyPair *rsa.PrivateKey
	// KeyPairID is the "keypairid" of KeyPair. Empty: a random one for each offer.
	KeyPairID string
	// InsecurePKCS1 allows mechanism JWK_RSAES, both ways. Its padding can be
	// undone by who may ask often enough whether a ciphertext is well formed (W-14).
	InsecurePKCS1 bool
}

// Name is "ASYMMETRIC_WRAPPED".
func (AsymmetricWrapped) Name() string { return asymmetricName }

// Format shows nothing: there may be a key.
func (AsymmetricWrapped) Format(f fmt.State, verb rune) { redacted{}.Format(f, verb) }

// allowed says whether m is used here, by either side.
func (s AsymmetricWrapped) allowed(m Mechanism) error {
	if m == MechanismJWKRSAES && !s.InsecurePKCS1 {
		return mslerr.New(mslerr.UnsupportedKeyxMechanism, "%s is not enabled: see InsecurePKCS1", m)
	}
	return nil
}

// parseMechanism knows the names.
func parseMechanism(name string) (Mechanism, error) {
	switch m := Mechanism(name); {
	case m == mechanismECC:
		return "", mslerr.New(mslerr.UnsupportedKeyxMechanism, "%s", m)
	case !slices.Contains(mechanisms, m):
		return "", mslerr.New(mslerr.UnidentifiedKeyxMechanism, "%.64q", name)
	default:
		return m, nil
	}
}

type asymmetricOffer struct {
	redacted
	keyPairID string
	mechanism Mechanism
	public    []byte
	private   *rsa.PrivateKey // nil once used
}

func (*asymmetricOffer) Scheme() string { return asymmetricName }

func (o *asymmetricOffer) KeyData() framing.Object {
	return framing.Object{"keypairid": o.keyPairID, "mechanism": string(o.mechanism), "publickey": o.public}
}

func (o *asymmetricOffer) Erase() { o.private = nil }

// Offer makes a key pair, and a request for each mechanism with an ID of its own.
func (s AsymmetricWrapped) Offer(context.Context, Parties) ([]Offer, error) {
	offered := s.Offers
	if offered == nil {
		offered = []Mechanism{MechanismJWKRSA}
	}
	for _, m := range offered {
		if _, err := parseMechanism(string(m)); err != nil {
			return nil, err
		}
		if err := s.allowed(m); err != nil {
			return nil, err
		}
	}
	private := s.KeyPair
	if private == nil {
		var err error
		if private, err = rsa.GenerateKey(rand.Reader, rsaKeySize); err != nil {
			return nil, mslerr.Wrap(mslerr.GenerateKeyError, err)
		}
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InvalidPublicKey, err)
	}
	offers := make([]Offer, len(offered))
	for i, m := range offered {
		id := rand.Text()
		if s.KeyPair != nil && s.KeyPairID != "" {
			id = s.KeyPairID
		}
		offers[i] = &asymmetricOffer{keyPairID: id, mechanism: m, public: public, private: private}
	}
	return offers, nil
}

type asymmetricRequest struct {
	keyPairID string
	mechanism Mechanism
	public    *rsa.PublicKey
}

func (asymmetricRequest) Scheme() string { return asymmetricName }

// ParseRequest reads a request. Errors: mslerr.UnidentifiedKeyxMechanism,
// mslerr.UnsupportedKeyxMechanism, mslerr.InvalidPublicKey.
func (AsymmetricWrapped) ParseRequest(keydata framing.Object) (Request, error) {
	id, err := member[string](keydata, "keypairid")
	if err != nil {
		return nil, err
	}
	name, err := member[string](keydata, "mechanism")
	if err != nil {
		return nil, err
	}
	mechanism, err := parseMechanism(name)
	if err != nil {
		return nil, err
	}
	der, err := member[[]byte](keydata, "publickey")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InvalidPublicKey, err)
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, mslerr.New(mslerr.InvalidPublicKey, "no RSA key but %T", key)
	}
	return asymmetricRequest{id, mechanism, public}, nil
}

// wrapping is what a mechanism wraps with; one of the keys is nil.
func (m Mechanism) wrapping(private *rsa.PrivateKey, public *rsa.PublicKey) wrapper {
	w := &mslcrypto.RSAWrapping{Private: private, Public: public}
	switch m {
	case MechanismJWKRSAES:
		w.Padding = mslcrypto.PKCS1
	case MechanismJWERSA, MechanismJWEJSRSA:
		return &mslcrypto.JWE{Key: w, Algorithm: mslcrypto.JWERSAOAEP, Compact: m == MechanismJWERSA}
	}
	return w
}

func (m Mechanism) wrap(w wrapper, f keyForm, key mslcrypto.Key) ([]byte, error) {
	if m == MechanismRSA {
		return w.Wrap(key)
	}
	return f.wrapJWK(w, key, m == MechanismJWERSA || m == MechanismJWEJSRSA, "")
}

// unwrap gives the key. Under mechanism RSA the JavaScript stack wraps JSON Web
// Keys like under JWK_RSA, which cannot have the length of a bare key.
func (m Mechanism) unwrap(w wrapper, f keyForm, wrapped []byte) (mslcrypto.Key, error) {
	if m != MechanismRSA {
		return f.unwrapJWK(w, wrapped, mslerr.SessionKeyCreationFailure)
	}
	key, err := w.Unwrap(wrapped)
	if err != nil {
		return nil, err
	}
	if len(key) > f.size && key[0] == '{' {
		defer clear(key)
		return f.parseJWK(key, mslerr.SessionKeyCreationFailure)
	}
	return key, f.checkSize(key)
}

// Answer wraps new session keys.
func (s AsymmetricWrapped) Answer(_ context.Context, r Request, _ Parties) (*Answer, error) {
	request, ok := r.(asymmetricRequest)
	if !ok {
		return nil, wrongData(asymmetricName, r)
	}
	if err := s.allowed(request.mechanism); err != nil {
		return nil, err
	}
	if bits := request.public.N.BitLen(); bits < minRSAKeySize || bits > maxRSAKeySize {
		return nil, mslerr.New(mslerr.InvalidPublicKey, "RSA key of %d bits, not %d to %d", bits, minRSAKeySize, maxRSAKeySize)
	}
	w := request.mechanism.wrapping(nil, request.public)
	keys := newSessionKeys()
	encryption, err := request.mechanism.wrap(w, encryptionForm, keys.Encryption)
	if err != nil {
		return nil, err
	}
	hmac, err := request.mechanism.wrap(w, hmacForm, keys.Signature)
	if err != nil {
		return nil, err
	}
	return &Answer{
		KeyData: framing.Object{"keypairid": request.keyPairID, "encryptionkey": encryption, "hmackey": hmac},
		Result:  Result{Keys: keys},
	}, nil
}

// Complete unwraps the session keys with the mechanism of the request: the
// response does not repeat it.
func (s AsymmetricWrapped) Complete(_ context.Context, o Offer, keydata framing.Object, _ Parties) (*Result, error) {
	offer, ok := o.(*asymmetricOffer)
	if !ok {
		return nil, wrongData(asymmetricName, o)
	}
	id, err := member[string](keydata, "keypairid")
	if err != nil {
		return nil, err
	}
	encryption, err := member[[]byte](keydata, "encryptionkey")
	if err != nil {
		return nil, err
	}
	hmac, err := member[[]byte](keydata, "hmackey")
	if err != nil {
		return nil, err
	}
	if id != offer.keyPairID {
		return nil, mslerr.New(mslerr.KeyxResponseRequestMismatch, "answered for another key pair")
	}
	if offer.private == nil {
		return nil, mslerr.New(mslerr.KeyxPrivateKeyMissing, "the key of the request was used or erased")
	}
	w := offer.mechanism.wrapping(offer.private, nil)
	var keys mslcrypto.SessionKeys
	if keys.Encryption, err = offer.mechanism.unwrap(w, encryptionForm, encryption); err != nil {
		return nil, err
	}
	if keys.Signature, err = offer.mechanism.unwrap(w, hmacForm, hmac); err != nil {
		return nil, err
	}
	offer.Erase()
	return &Result{Keys: keys}, nil
}
