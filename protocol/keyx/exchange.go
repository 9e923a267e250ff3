package keyx

import (
	"context"
	"slices"

	"github.com/mslgo/msl/mslerr"
)

// Offer makes fresh key requests of all schemes, best first. A scheme that has
// none to make for p, because it lacks a key, fails the whole.
func (ss Schemes) Offer(ctx context.Context, p Parties) ([]Offer, error) {
	var all []Offer
	for _, s := range ss {
		offers, err := s.Offer(ctx, p)
		if err != nil {
			Erase(all)
			return nil, err
		}
		all = append(all, offers...)
	}
	return all, nil
}

// Erase erases the private state of offers that are given up.
func Erase(offers []Offer) {
	for _, o := range offers {
		o.Erase()
	}
}

// Answer makes session keys for the first request that can be answered (spec 07
// section 1.3): schemes in our order of preference, then requests in that of the
// scheme or of the message. A request that fails is passed over; when none can
// be answered the last failure is returned, mslerr.KeyxFactoryNotFound if there
// was none to try.
func (ss Schemes) Answer(ctx context.Context, requests []Request, p Parties, allow Policy) (*Answer, error) {
	var failure error = mslerr.New(mslerr.KeyxFactoryNotFound, "no key request of a scheme that is enabled here")
	for _, s := range ss {
		for _, r := range ofScheme(s, requests) {
			a, err := answer(ctx, s, r, p, allow)
			if err == nil {
				a.Scheme = s.Name()
				return a, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			failure = err
		}
	}
	return nil, failure
}

// ofScheme gives the requests of scheme s, best first.
func ofScheme(s Scheme, requests []Request) []Request {
	var own []Request
	for _, r := range requests {
		if r.Scheme() == s.Name() {
			own = append(own, r)
		}
	}
	if ranker, ok := s.(Ranker); ok {
		slices.SortStableFunc(own, func(a, b Request) int { return ranker.Rank(a) - ranker.Rank(b) })
	}
	return own
}

func answer(ctx context.Context, s Scheme, r Request, p Parties, allow Policy) (*Answer, error) {
	if p.Token != nil && !p.Token.Verified() {
		return nil, mslerr.New(mslerr.MasterTokenUntrusted, "keys are renewed under a token of our own only")
	}
	if allow != nil && !allow(ctx, p.Identity, s.Name()) {
		return nil, mslerr.New(mslerr.KeyxIncorrectData, "entity may not use key exchange scheme %s", s.Name())
	}
	return s.Answer(ctx, r, p)
}

// Complete evaluates a response with the offer it belongs to: those of its
// scheme are tried in turn (spec 07 section 1.3). The last failure is returned,
// mslerr.KeyxResponseRequestMismatch if no offer has that scheme. A response
// ends an exchange, so all offers are erased, whatever the outcome.
//
// A token that we made ourselves, for the requester, gives its keys directly and
// without an exporter.
func (ss Schemes) Complete(ctx context.Context, offers []Offer, r *Response, p Parties) (*Result, error) {
	defer Erase(offers)
	if r.Token.Verified() && r.Token.Identity() == p.Identity {
		keys := r.Token.SessionKeys()
		keys.Encryption, keys.Signature = slices.Clone(keys.Encryption), slices.Clone(keys.Signature)
		return &Result{Keys: keys}, nil
	}
	s, ok := ss.ByName(r.Scheme)
	if !ok {
		return nil, mslerr.New(mslerr.KeyxFactoryNotFound, "%s", r.Scheme)
	}
	var failure error = mslerr.New(mslerr.KeyxResponseRequestMismatch, "no key request of scheme %s is outstanding", r.Scheme)
	for _, o := range offers {
		if o.Scheme() != r.Scheme {
			continue
		}
		result, err := s.Complete(ctx, o, r.KeyData, p)
		if err == nil {
			return result, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failure = err
	}
	return nil, failure
}
