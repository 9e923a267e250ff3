package keyx

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"math/big"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const diffieHellmanName = "DIFFIE_HELLMAN"

// minDHSize is the smallest modulus, in bits.
const minDHSize = 2048

// DHParameters are a group for Diffie-Hellman, under a name that both sides have
// agreed on by other means.
type DHParameters struct {
	ID   string
	P, G *big.Int // a safe prime of at least 2048 bits, and a generator
}

// MODP2048 is the 2048-bit group of RFC 3526 section 3, number 14 of IKE.
func MODP2048(id string) DHParameters {
	p, _ := new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"+
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"+
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"+
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05"+
		"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB"+
		"9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"+
		"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"+
		"3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF", 16)
	return DHParameters{ID: id, P: p, G: big.NewInt(2)}
}

// DiffieHellman agrees on session keys over a finite field (spec 07 section 3).
// Both sides have fresh keys, so there is forward secrecy.
//
//	request, response: {"parametersid": string, "publickey": binary}
//
// A public value is written big endian behind exactly one zero byte, and read
// with any number of them. It must lie between 1 and p-1, both excluded.
type DiffieHellman struct {
	// Parameters are the groups that are answered; the first is offered.
	Parameters []DHParameters
	// Private is used for every offer, which then have no forward secrecy (W-10);
	// 1 < Private < p-1. Nil: a fresh one for each, as it should be.
	Private *big.Int
}

// Format shows nothing: there may be a key.
func (DiffieHellman) Format(f fmt.State, verb rune) { redacted{}.Format(f, verb) }

// Name is "DIFFIE_HELLMAN".
func (DiffieHellman) Name() string { return diffieHellmanName }

func (s DiffieHellman) parameters(id string) (DHParameters, error) {
	for _, p := range s.Parameters {
		if p.ID == id {
			return p, p.check()
		}
	}
	return DHParameters{}, mslerr.New(mslerr.UnknownKeyxParametersID, "%.64q", id)
}

func (p DHParameters) check() error {
	if p.P == nil || p.G == nil || p.P.Bit(0) == 0 || p.P.BitLen() < minDHSize || !p.isPublic(p.G) {
		return mslerr.New(mslerr.InvalidAlgorithmParams, "parameters %q are no group of at least %d bits", p.ID, minDHSize)
	}
	return nil
}

// isPublic says whether 1 < y < p-1: the values left out would make the shared
// secret one of two known numbers (W-14).
func (p DHParameters) isPublic(y *big.Int) bool {
	return y.Cmp(big.NewInt(1)) > 0 && y.Cmp(new(big.Int).Sub(p.P, big.NewInt(1))) < 0
}

// parsePublic reads a public value.
func (p DHParameters) parsePublic(b []byte) (*big.Int, error) {
	y := new(big.Int).SetBytes(b)
	if !p.isPublic(y) {
		return nil, mslerr.New(mslerr.KeyxInvalidPublicKey, "the public value is out of range")
	}
	return y, nil
}

// generate makes a key pair: private uniform in [2, p-2).
func (p DHParameters) generate() (private, public *big.Int, err error) {
	private, err = rand.Int(rand.Reader, new(big.Int).Sub(p.P, big.NewInt(4)))
	if err != nil {
		return nil, nil, mslerr.Wrap(mslerr.GenerateKeyError, err)
	}
	private.Add(private, big.NewInt(2))
	return private, new(big.Int).Exp(p.G, private, p.P), nil
}

// nullByte is the magnitude of n behind exactly one zero byte.
func nullByte(n *big.Int) []byte { return append([]byte{0}, n.Bytes()...) }

// dhKeys derives the session keys: SHA-384 of the shared secret, cut in two.
func dhKeys(secret *big.Int) mslcrypto.SessionKeys {
	z := nullByte(secret)
	defer clear(z)
	h := sha512.Sum384(z)
	return mslcrypto.SessionKeys{
		Encryption: h[:mslcrypto.EncryptionKeySize],
		Signature:  h[mslcrypto.EncryptionKeySize:],
	}
}

type dhOffer struct {
	redacted
	parameters DHParameters
	public     *big.Int
	private    *big.Int // nil once used
}

func (*dhOffer) Scheme() string { return diffieHellmanName }

func (o *dhOffer) KeyData() framing.Object {
	return framing.Object{"parametersid": o.parameters.ID, "publickey": nullByte(o.public)}
}

func (o *dhOffer) Erase() {
	if o.private != nil {
		clear(o.private.Bits())
		o.private = nil
	}
}

// Offer makes a key pair in the first group.
func (s DiffieHellman) Offer(context.Context, Parties) ([]Offer, error) {
	if len(s.Parameters) == 0 {
		return nil, mslerr.New(mslerr.UnknownKeyxParametersID, "there are no parameters")
	}
	p := s.Parameters[0]
	if err := p.check(); err != nil {
		return nil, err
	}
	if s.Private != nil {
		if !p.isPublic(s.Private) {
			return nil, mslerr.New(mslerr.InvalidPrivateKey, "the private value is out of range")
		}
		// A copy, since it is erased after use.
		private := new(big.Int).Set(s.Private)
		return []Offer{&dhOffer{parameters: p, public: new(big.Int).Exp(p.G, private, p.P), private: private}}, nil
	}
	private, public, err := p.generate()
	if err != nil {
		return nil, err
	}
	return []Offer{&dhOffer{parameters: p, public: public, private: private}}, nil
}

type dhRequest struct {
	parametersID string
	public       []byte
}

func (dhRequest) Scheme() string { return diffieHellmanName }

// ParseRequest reads a request; its values are judged when it is answered.
func (DiffieHellman) ParseRequest(keydata framing.Object) (Request, error) {
	r, err := parseDH(keydata)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func parseDH(keydata framing.Object) (dhRequest, error) {
	id, err := member[string](keydata, "parametersid")
	if err != nil {
		return dhRequest{}, err
	}
	public, err := member[[]byte](keydata, "publickey")
	if err != nil {
		return dhRequest{}, err
	}
	return dhRequest{id, public}, nil
}

// Answer makes a key pair in the group of the request.
func (s DiffieHellman) Answer(_ context.Context, r Request, _ Parties) (*Answer, error) {
	request, ok := r.(dhRequest)
	if !ok {
		return nil, wrongData(diffieHellmanName, r)
	}
	p, err := s.parameters(request.parametersID)
	if err != nil {
		return nil, err
	}
	peer, err := p.parsePublic(request.public)
	if err != nil {
		return nil, err
	}
	private, public, err := p.generate()
	if err != nil {
		return nil, err
	}
	defer clear(private.Bits())
	return &Answer{
		KeyData: framing.Object{"parametersid": p.ID, "publickey": nullByte(public)},
		Result:  Result{Keys: dhKeys(new(big.Int).Exp(peer, private, p.P))},
	}, nil
}

// Complete computes the shared secret, once per offer.
func (s DiffieHellman) Complete(_ context.Context, o Offer, keydata framing.Object, _ Parties) (*Result, error) {
	offer, ok := o.(*dhOffer)
	if !ok {
		return nil, wrongData(diffieHellmanName, o)
	}
	response, err := parseDH(keydata)
	if err != nil {
		return nil, err
	}
	if response.parametersID != offer.parameters.ID {
		return nil, mslerr.New(mslerr.KeyxResponseRequestMismatch, "answered with parameters %.64q", response.parametersID)
	}
	if offer.private == nil {
		return nil, mslerr.New(mslerr.KeyxPrivateKeyMissing, "the key of the request was used or erased")
	}
	peer, err := offer.parameters.parsePublic(response.public)
	if err != nil {
		return nil, err
	}
	keys := dhKeys(new(big.Int).Exp(peer, offer.private, offer.parameters.P))
	offer.Erase()
	return &Result{Keys: keys}, nil
}
