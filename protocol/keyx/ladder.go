package keyx

import (
	"context"
	"crypto/rand"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// wrapKeySize is the size of a ladder's wrapping key, in bytes.
const wrapKeySize = 16

const (
	ladderPSK  = "PSK"
	ladderWrap = "WRAP"
)

// Ladder is what JWE_LADDER and JWK_LADDER have in common (spec 07 section 5).
// Each exchange gives the requester session keys and a new wrapping key Kw that
// protects them; Kw itself is protected by the pre-shared wrapping key, or by the
// Kw before, which "wrapdata" brings back to the responder.
//
//	request:  {"mechanism": "PSK"} or {"mechanism": "WRAP", "wrapdata": binary}
//	response: {"wrapkey": binary, "wrapdata": binary, "encryptionkey": binary, "hmackey": binary}
type Ladder struct {
	// PSK gives the context of the requester's pre-shared keys. Nil: mechanism
	// PSK is mslerr.UnsupportedKeyxMechanism.
	PSK PSKContext
	// TokenKeys wrap and unwrap wrapdata. A responder needs them.
	TokenKeys *token.Keys
	// Repository keeps the wrapping keys of a requester, who needs it.
	Repository Repository
}

// A rung is what makes a Ladder one scheme or the other.
type rung struct {
	name      string
	withUsage bool
	keyID     func() string                       // of a new wrapping key
	wrapping  func(key mslcrypto.Context) wrapper // of JSON Web Keys, under key
}

// ladderRequest is a request, and an offer too: its private state is in the
// repository.
type ladderRequest struct {
	scheme, mechanism string
	wrapdata          string // bytes
}

func (r ladderRequest) Scheme() string { return r.scheme }

func (r ladderRequest) KeyData() framing.Object {
	o := framing.Object{"mechanism": r.mechanism}
	if r.mechanism == ladderWrap {
		o["wrapdata"] = []byte(r.wrapdata)
	}
	return o
}

func (ladderRequest) Erase() {}

// offer asks for keys under the newest wrapping key, and under the pre-shared one
// in case the responder can no longer read the wrapdata.
func (l Ladder) offer(ctx context.Context, r rung) ([]Offer, error) {
	if l.Repository == nil {
		return nil, mslerr.New(mslerr.InternalException, "%s needs a repository", r.name)
	}
	newest, err := l.Repository.Newest(ctx)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InternalException, err)
	}
	var offers []Offer
	if len(newest) > 0 {
		offers = append(offers, ladderRequest{r.name, ladderWrap, string(newest)})
	}
	if l.PSK != nil {
		offers = append(offers, ladderRequest{r.name, ladderPSK, ""})
	}
	if len(offers) == 0 {
		return nil, mslerr.New(mslerr.KeyxWrappingKeyMissing, "neither a wrapping key nor pre-shared keys")
	}
	return offers, nil
}

func (r rung) parse(keydata framing.Object) (Request, error) {
	mechanism, err := member[string](keydata, "mechanism")
	if err != nil {
		return nil, err
	}
	switch mechanism {
	case ladderPSK:
		return ladderRequest{r.name, mechanism, ""}, nil
	case ladderWrap:
		wrapdata, err := member[[]byte](keydata, "wrapdata")
		if err != nil {
			return nil, err
		}
		if len(wrapdata) == 0 {
			return nil, mslerr.New(mslerr.KeyxWrappingKeyMissing, "wrapdata is empty")
		}
		return ladderRequest{r.name, mechanism, string(wrapdata)}, nil
	}
	return nil, mslerr.New(mslerr.UnidentifiedKeyxMechanism, "%.64q", mechanism)
}

// psk is the context of the requester's pre-shared keys.
func (l Ladder) psk(ctx context.Context, p Parties) (mslcrypto.Context, error) {
	if l.PSK == nil {
		return nil, mslerr.New(mslerr.UnsupportedKeyxMechanism, "no pre-shared keys here")
	}
	return l.PSK(ctx, p.Identity)
}

func (l Ladder) answer(ctx context.Context, r rung, request Request, p Parties) (*Answer, error) {
	ask, ok := request.(ladderRequest)
	if !ok {
		return nil, wrongData(r.name, request)
	}
	if l.TokenKeys.Primary() == nil {
		return nil, mslerr.New(mslerr.WrapNotSupported, "%s needs token keys", r.name)
	}
	kw := make(mslcrypto.Key, wrapKeySize)
	defer kw.Erase()
	_, _ = rand.Read(kw)
	keys := newSessionKeys()
	wrapdata, err := l.TokenKeys.Primary().Wrap(kw)
	if err != nil {
		return nil, err
	}

	var above mslcrypto.Context
	if ask.mechanism == ladderPSK {
		above, err = l.psk(ctx, p)
	} else {
		var previous mslcrypto.Key
		if previous, err = l.TokenKeys.Unwrap([]byte(ask.wrapdata)); err != nil {
			return nil, err
		}
		above, err = mslcrypto.NewAESWrapping(previous)
		previous.Erase()
	}
	if err != nil {
		return nil, err
	}
	wrapkey, err := wrapForm.wrapJWK(r.wrapping(above), kw, r.withUsage, r.keyID())
	if err != nil {
		return nil, err
	}
	own, err := mslcrypto.NewAESWrapping(kw)
	if err != nil {
		return nil, err
	}
	encryption, err := encryptionForm.wrapJWK(r.wrapping(own), keys.Encryption, r.withUsage, "")
	if err != nil {
		return nil, err
	}
	hmac, err := hmacForm.wrapJWK(r.wrapping(own), keys.Signature, r.withUsage, "")
	if err != nil {
		return nil, err
	}
	return &Answer{
		KeyData: framing.Object{"wrapkey": wrapkey, "wrapdata": wrapdata, "encryptionkey": encryption, "hmackey": hmac},
		Result:  Result{Keys: keys},
	}, nil
}

func (l Ladder) complete(ctx context.Context, r rung, o Offer, keydata framing.Object, p Parties) (*Result, error) {
	offer, ok := o.(ladderRequest)
	if !ok {
		return nil, wrongData(r.name, o)
	}
	var m [4][]byte
	for i, name := range []string{"wrapkey", "wrapdata", "encryptionkey", "hmackey"} {
		var err error
		if m[i], err = member[[]byte](keydata, name); err != nil {
			return nil, err
		}
	}
	wrapkey, wrapdata, encryption, hmac := m[0], m[1], m[2], m[3]
	if l.Repository == nil {
		return nil, mslerr.New(mslerr.InternalException, "%s needs a repository", r.name)
	}

	above, err := l.above(ctx, offer, p)
	if err != nil {
		return nil, err
	}
	kw, err := wrapForm.unwrapJWK(r.wrapping(above), wrapkey, mslerr.InvalidJWK)
	if err != nil {
		return nil, err
	}
	own, err := mslcrypto.NewAESWrapping(kw)
	if err != nil {
		return nil, err
	}
	var keys mslcrypto.SessionKeys
	if keys.Encryption, err = encryptionForm.unwrapJWK(r.wrapping(own), encryption, mslerr.InvalidJWK); err != nil {
		return nil, err
	}
	if keys.Signature, err = hmacForm.unwrapJWK(r.wrapping(own), hmac, mslerr.InvalidJWK); err != nil {
		return nil, err
	}

	// The new rung is there before the old one goes, so that a crash between
	// the two loses nothing.
	if err := l.Repository.Add(ctx, wrapdata, kw); err != nil {
		return nil, mslerr.Wrap(mslerr.InternalException, err)
	}
	if offer.mechanism == ladderWrap {
		if err := l.Repository.Remove(ctx, []byte(offer.wrapdata)); err != nil {
			return nil, mslerr.Wrap(mslerr.InternalException, err)
		}
	}
	return &Result{Keys: keys}, nil
}

// above is the context that wraps the new wrapping key, as the requester has it.
func (l Ladder) above(ctx context.Context, offer ladderRequest, p Parties) (mslcrypto.Context, error) {
	if offer.mechanism == ladderPSK {
		return l.psk(ctx, p)
	}
	previous, err := l.Repository.Find(ctx, []byte(offer.wrapdata))
	if err != nil {
		return nil, mslerr.Wrap(mslerr.InternalException, err)
	}
	if len(previous) == 0 {
		return nil, mslerr.New(mslerr.KeyxWrappingKeyMissing, "the wrapping key of the request is gone")
	}
	return mslcrypto.NewAESWrapping(previous)
}
