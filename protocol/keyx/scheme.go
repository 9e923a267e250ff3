// Package keyx has the key exchange schemes (spec 07), one file each. A scheme
// is a value in a configuration; adding one edits nothing else.
//
// The master token that carries the keys of an exchange is made by the caller,
// so that every scheme does it alike.
package keyx

import (
	"context"
	"crypto/rand"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// A Scheme knows both ends of one key exchange. Schemes may be used concurrently.
type Scheme interface {
	Name() string
	// Offer makes fresh key requests, best first. Their private state is erased
	// by Erase or by the first response that completes one.
	Offer(ctx context.Context, p Parties) ([]Offer, error)
	// ParseRequest reads the "keydata" of a request.
	ParseRequest(keydata framing.Object) (Request, error)
	// Answer makes session keys for a request.
	Answer(ctx context.Context, r Request, p Parties) (*Answer, error)
	// Complete evaluates the "keydata" of a response to an offer of this scheme.
	Complete(ctx context.Context, o Offer, keydata framing.Object, p Parties) (*Result, error)
}

// A Ranker is a [Scheme] that prefers some of the requests it understands to
// others, whatever their order in the message.
type Ranker interface {
	// Rank orders requests; the lowest is answered first.
	Rank(r Request) int
}

// Parties is who exchanges keys.
type Parties struct {
	// Requester and Responder are named by the entity authentication data of
	// their headers; zero for a header under a master token.
	Requester, Responder token.Entity
	// Identity of the requester, also when its header is under a master token.
	Identity string
	// Token is the master token of the request, nil if there is none.
	Token *token.MasterToken
	// TokenContext is the crypto context of Token as this side knows it.
	TokenContext mslcrypto.Context
}

// An Offer is a key request of our own, with its private state. It is used by
// one goroutine at a time.
type Offer interface {
	Scheme() string
	KeyData() framing.Object
	Erase()
}

// A Request is a key request of the other side.
type Request interface {
	Scheme() string
}

// An Answer is what the responder of an exchange gets.
type Answer struct {
	Scheme  string
	KeyData framing.Object // for the response
	Result
}

// Result is what both sides get. The master token is made from Keys by the
// caller, so that every scheme does it alike.
type Result struct {
	Keys mslcrypto.SessionKeys
	// Exporter gives a further secret of the exchange, nil if the scheme has
	// none. It may be called until its Erase.
	Exporter *Exporter
}

// Policy says whether an entity may use a key exchange scheme; nil allows all.
type Policy func(ctx context.Context, identity, scheme string) bool

// newSessionKeys draws the keys of a new session.
func newSessionKeys() mslcrypto.SessionKeys {
	k := mslcrypto.SessionKeys{
		Encryption: make(mslcrypto.Key, mslcrypto.EncryptionKeySize),
		Signature:  make(mslcrypto.Key, mslcrypto.SignatureKeySize),
	}
	_, _ = rand.Read(k.Encryption)
	_, _ = rand.Read(k.Signature)
	return k
}

// checkSessionKeys refuses keys of other sizes than spec 07 has.
func checkSessionKeys(k mslcrypto.SessionKeys) error {
	if len(k.Encryption) != mslcrypto.EncryptionKeySize || len(k.Signature) != mslcrypto.SignatureKeySize {
		return mslerr.New(mslerr.SessionKeyCreationFailure, "session keys of %d and %d bytes, not %d and %d",
			len(k.Encryption), len(k.Signature), mslcrypto.EncryptionKeySize, mslcrypto.SignatureKeySize)
	}
	return nil
}

// wrongData is what a scheme says of a request or offer that another one made.
func wrongData(scheme string, v any) error {
	return mslerr.New(mslerr.InternalException, "scheme %s was given %T", scheme, v)
}

// member is a mandatory member of key exchange data.
func member[T framing.Value](o framing.Object, name string) (T, error) {
	v, err := framing.Get[T](o, name)
	if err != nil {
		return v, mslerr.Wrap(mslerr.ParseError, err)
	}
	return v, nil
}
