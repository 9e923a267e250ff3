package keyx

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const symmetricName = "SYMMETRIC_WRAPPED"

// A PSKContext gives the context of an entity's pre-shared keys, our own or
// another's, whose wrapping key protects what is exchanged. Its errors are those
// of entity authentication scheme PSK, which has a method that makes one.
type PSKContext func(ctx context.Context, identity string) (mslcrypto.Context, error)

// SymmetricWrapped wraps random session keys with AES key wrap, under the
// requester's pre-shared wrapping key (spec 07 section 4). It has no forward
// secrecy.
//
//	request:  {"keyid": string}
//	response: {"keyid": string, "encryptionkey": binary, "hmackey": binary}
//
// Key ID "SESSION", which asks for the session keys of a master token to wrap, is
// understood and fails with mslerr.WrapNotSupported, since sessions have no key
// for that.
type SymmetricWrapped struct {
	PSK PSKContext // nil: mslerr.UnsupportedKeyxKeyID
}

const (
	keyIDPSK     = "PSK"
	keyIDSession = "SESSION"
)

// Name is "SYMMETRIC_WRAPPED".
func (SymmetricWrapped) Name() string { return symmetricName }

// symmetricRequest is a request, and an offer too: it has no private state.
type symmetricRequest struct{ keyID string }

func (symmetricRequest) Scheme() string            { return symmetricName }
func (r symmetricRequest) KeyData() framing.Object { return framing.Object{"keyid": r.keyID} }
func (symmetricRequest) Erase()                    {}

// Offer asks for keys wrapped under our pre-shared key.
func (SymmetricWrapped) Offer(context.Context, Parties) ([]Offer, error) {
	return []Offer{symmetricRequest{keyIDPSK}}, nil
}

// ParseRequest reads {"keyid": "PSK" or "SESSION"}.
func (SymmetricWrapped) ParseRequest(keydata framing.Object) (Request, error) {
	id, err := member[string](keydata, "keyid")
	if err != nil {
		return nil, err
	}
	if id != keyIDPSK && id != keyIDSession {
		return nil, mslerr.New(mslerr.UnidentifiedKeyxKeyID, "%.64q", id)
	}
	return symmetricRequest{id}, nil
}

// wrapping is the context that wraps the session keys.
func (s SymmetricWrapped) wrapping(ctx context.Context, keyID string, p Parties) (mslcrypto.Context, error) {
	switch {
	case keyID == keyIDPSK && s.PSK == nil:
		return nil, mslerr.New(mslerr.UnsupportedKeyxKeyID, "no pre-shared keys here")
	case keyID == keyIDPSK:
		return s.PSK(ctx, p.Identity)
	case p.Token == nil:
		return nil, mslerr.New(mslerr.KeyxMasterTokenMissing, "key ID %s needs a master token", keyID)
	case p.TokenContext == nil:
		return nil, mslerr.New(mslerr.MasterTokenUntrusted, "the session keys of the master token are not known")
	}
	return p.TokenContext, nil
}

// Answer wraps new session keys.
func (s SymmetricWrapped) Answer(ctx context.Context, r Request, p Parties) (*Answer, error) {
	request, ok := r.(symmetricRequest)
	if !ok {
		return nil, wrongData(symmetricName, r)
	}
	wrapping, err := s.wrapping(ctx, request.keyID, p)
	if err != nil {
		return nil, err
	}
	keys := newSessionKeys()
	encryption, err := wrapping.Wrap(keys.Encryption)
	if err != nil {
		return nil, err
	}
	hmac, err := wrapping.Wrap(keys.Signature)
	if err != nil {
		return nil, err
	}
	return &Answer{
		KeyData: framing.Object{"keyid": request.keyID, "encryptionkey": encryption, "hmackey": hmac},
		Result:  Result{Keys: keys},
	}, nil
}

// Complete unwraps the session keys.
func (s SymmetricWrapped) Complete(ctx context.Context, o Offer, keydata framing.Object, p Parties) (*Result, error) {
	offer, ok := o.(symmetricRequest)
	if !ok {
		return nil, wrongData(symmetricName, o)
	}
	response, err := s.ParseRequest(keydata)
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
	if response != Request(offer) {
		return nil, mslerr.New(mslerr.KeyxResponseRequestMismatch, "asked with another key ID")
	}
	wrapping, err := s.wrapping(ctx, offer.keyID, p)
	if err != nil {
		return nil, err
	}
	var keys mslcrypto.SessionKeys
	if keys.Encryption, err = wrapping.Unwrap(encryption); err != nil {
		return nil, err
	}
	if keys.Signature, err = wrapping.Unwrap(hmac); err != nil {
		return nil, err
	}
	if err := checkSessionKeys(keys); err != nil {
		return nil, err
	}
	return &Result{Keys: keys}, nil
}
