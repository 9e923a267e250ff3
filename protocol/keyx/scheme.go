// Package keyx has the key exchange schemes (spec 07), one file each. A scheme
// is a value in a configuration; adding one edits nothing else.
package keyx

import (
	"context"

	"github.com/mslgo/msl/framing"
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

// An Offer is a key request of our own, with its private state.
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
	KeyData framing.Object // for the response
	Result
}

// Result is what both sides get. The master token is made from Keys by the
// caller, so that every scheme does it alike.
type Result struct {
	Keys mslcrypto.SessionKeys
	// Exporter gives a further secret of the exchange, nil if the scheme has
	// none. It may be called until Erase.
	Exporter *Exporter
}

// An Exporter derives secrets from a key exchange for other uses than the
// session keys; the channel takes its secret from it (channel set-up 4.9).
type Exporter struct {
	export func(context string, length int) ([]byte, error)
}

// Export derives length bytes for the given context.
func (e *Exporter) Export(context string, length int) ([]byte, error) {
	return e.export(context, length)
}

// Policy says whether an entity may use a key exchange scheme; nil allows all.
type Policy func(ctx context.Context, identity, scheme string) bool

// Schemes is what a network enables, in order of preference, each name once.
type Schemes []Scheme
