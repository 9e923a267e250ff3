// Package message has MSL's messages: headers and error headers, how they are
// built, opened and checked, and how an answer is made of a request (spec 04,
// spec 09 section 10).
//
// A [Network] is what one party needs to know for that: spec 09's MSL context.
// It seals a [HeaderSpec] and opens what was received as a [Header]. Payload
// chunks follow a header in package stream; who sends what and when, and how
// failures are repaired, is the business of package session.
//
// Headers are kept as the bytes that were sent and received, because a
// channel's keys are bound to them.
package message

import (
	"context"
	"slices"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// A Network is one party's side of an MSL network (spec 09 sections 2 and 3):
// what it calls itself, what it accepts, which keys it has. The zero value
// accepts nothing and can send nothing; each field adds something. It holds no
// state of its own, is not changed while in use, and may be used concurrently.
// Two networks share nothing.
type Network struct {
	// Self is our entity authentication data. Nil: we can open messages, and
	// send under master tokens.
	Self entityauth.Data
	// SelfScheme is the scheme of Self. Nil: the one of that name in
	// EntityAuth. A client without authentication sets it, so that EntityAuth
	// need not hold a scheme by which anybody could be its server.
	SelfScheme entityauth.Scheme

	EntityAuth   entityauth.Schemes // what we accept of others
	EntityPolicy entityauth.Policy

	UserAuth   userauth.Schemes // credentials we accept
	UserPolicy userauth.Policy

	KeyExchange       keyx.Schemes // what we offer and answer, in order of preference
	KeyExchangePolicy keyx.Policy  // asked before an exchange is answered

	// TokenKeys make and open the tokens that we issue. Nil: we issue none,
	// and master tokens are opaque to us, as to a client.
	TokenKeys *token.Keys
	// Issuer keeps the state of issued tokens. It is needed with TokenKeys.
	Issuer token.Issuer
	// Service is the name under which non-replayable IDs are claimed: one for
	// all servers that share an Issuer (spec 03 section 8).
	Service string
	// Lifetimes of the tokens that we issue.
	Lifetimes Lifetimes

	// ServiceContexts are the application's keys for service tokens.
	ServiceContexts token.ServiceContexts

	// Compression is what we announce and use, most preferred first. Default:
	// none, since compressing secrets beside chosen text betrays them (W-06).
	Compression []compress.Algorithm
	// Formats is what we announce, most preferred first. Default: JSON.
	Formats []framing.Format
	// Languages is what we announce for error texts, as BCP 47 tags.
	Languages []string

	// PeerToPeer is the kind of network: two equals that issue each other's
	// tokens, instead of clients and a trusted service (spec 09 section 2).
	PeerToPeer bool

	Limits Limits

	// Clock gives the time. Default: time.Now.
	Clock func() time.Time

	// RequestID gives the IDs of messages that answer nothing. Nil: [RandomID].
	// Anything else is for replays of what was recorded: who can foretell an
	// ID can prepare the answer.
	RequestID func() int64

	// Reject is asked about every header by [Network.Check] once its sender is
	// authenticated, and before its credentials are looked at: the place for
	// rate limits and bans (W-13). A plain error becomes
	// mslerr.MasterTokenRejectedByApp or mslerr.EntityRejectedByApp. Nil
	// rejects nobody.
	Reject func(ctx context.Context, h *Header) error

	// UserMessage gives the text for the user that goes with an error, in the
	// first of the languages it has; "" for none. Nil gives none.
	UserMessage func(code mslerr.Code, languages []string) string

	// ErrorDetails adds the internal code and MSL's English text to errors for
	// senders that did not authenticate. Everybody can read these, and learn
	// from which keys, users and entities exist (W-15).
	ErrorDetails bool
}

// Lifetimes says how long after their issue tokens may be renewed, and how
// long they are good. Both count in whole seconds. Zero fields mean the default.
type Lifetimes struct {
	MasterRenewal    time.Duration // default 12 hours
	MasterExpiration time.Duration // default 24 hours
	UserRenewal      time.Duration // default 1 hour
	UserExpiration   time.Duration // default 6 hours
}

func (l Lifetimes) master(now time.Time) (renewal, expiration time.Time) {
	return window(now, l.MasterRenewal, l.MasterExpiration, 12*time.Hour, 24*time.Hour)
}

func (l Lifetimes) user(now time.Time) (renewal, expiration time.Time) {
	return window(now, l.UserRenewal, l.UserExpiration, time.Hour, 6*time.Hour)
}

// window never lets the renewal window open after the expiration, which every
// reader of the token would refuse.
func window(now time.Time, renewal, expiration, defaultRenewal, defaultExpiration time.Duration) (r, e time.Time) {
	if expiration <= 0 {
		expiration = max(defaultExpiration, renewal)
	}
	if renewal <= 0 {
		renewal = min(defaultRenewal, expiration/2)
	}
	return now.Add(min(renewal, expiration)), now.Add(expiration)
}

// Limits bounds what a header makes us do, beside [keyx.MaxRequests]. Zero
// fields mean the default.
type Limits struct {
	// Header is the greatest size of a header, in bytes. Default 1 MiB.
	Header int
	// ServiceTokens is the greatest number of service tokens in each of a
	// header's two sets. Default 256.
	ServiceTokens int
}

func (l Limits) withDefaults() Limits {
	if l.Header <= 0 {
		l.Header = 1 << 20
	}
	if l.ServiceTokens <= 0 {
		l.ServiceTokens = 256
	}
	return l
}

// Capabilities is what the network announces.
func (n *Network) Capabilities() *Capabilities {
	formats := n.Formats
	if len(formats) == 0 {
		formats = []framing.Format{framing.JSON}
	}
	return &Capabilities{Compression: n.Compression, Languages: n.Languages, Formats: formats}
}

// Algorithms is what can be decompressed: all that there are, announced or not.
func (n *Network) Algorithms() []compress.Algorithm {
	return slices.Concat(compress.Defaults(), n.Compression)
}

func (n *Network) now() time.Time {
	if n.Clock != nil {
		return n.Clock()
	}
	return time.Now()
}

func (n *Network) requestID() int64 {
	if n.RequestID != nil {
		return n.RequestID()
	}
	return RandomID()
}

// self gives the scheme and crypto context of our own entity authentication
// data. Policy is the deployment's word on others, so it is not asked.
func (n *Network) self(ctx context.Context) (entityauth.Scheme, mslcrypto.Context, error) {
	scheme, err := n.selfScheme()
	if err != nil {
		return nil, nil, err
	}
	c, err := scheme.Context(ctx, n.Self, entityauth.Policy{})
	return scheme, c, err
}

func (n *Network) selfScheme() (entityauth.Scheme, error) {
	if n.Self == nil {
		return nil, mslerr.New(mslerr.MessageEntityNotFound, "no entity authentication data of our own")
	}
	if n.SelfScheme != nil {
		return n.SelfScheme, nil
	}
	return n.EntityAuth.Of(n.Self)
}
