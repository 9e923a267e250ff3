package keyx

import (
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// Schemes is what a network enables, in order of preference, each name once.
type Schemes []Scheme

// MaxRequests is the greatest number of key requests a message may have: each
// may cost the responder a public key operation (W-18).
const MaxRequests = 16

// standard are the names that are answered with "not enabled here" instead of
// "unknown" when no scheme of that name is configured.
var standard = []string{
	"ASYMMETRIC_WRAPPED", "DIFFIE_HELLMAN", "SYMMETRIC_WRAPPED", "JWE_LADDER", "JWK_LADDER", "HPKE",
}

// ByName finds a scheme. Names are case-sensitive.
func (ss Schemes) ByName(name string) (Scheme, bool) {
	i := slices.IndexFunc(ss, func(s Scheme) bool { return s.Name() == name })
	if i < 0 {
		return nil, false
	}
	return ss[i], true
}

// open reads what requests and responses have in common:
//
//	{"scheme": string, "keydata": object}
func (ss Schemes) open(o framing.Object) (Scheme, framing.Object, error) {
	name, err := member[string](o, "scheme")
	if err != nil {
		return nil, nil, err
	}
	s, found := ss.ByName(name)
	if !found && !slices.Contains(standard, name) {
		return nil, nil, mslerr.New(mslerr.UnidentifiedKeyxScheme, "%.64q", name)
	}
	keydata, err := member[framing.Object](o, "keydata")
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, mslerr.New(mslerr.KeyxFactoryNotFound, "%s", name)
	}
	return s, keydata, nil
}

// RequestObject is the "keyrequestdata" element of an offer.
func RequestObject(o Offer) framing.Object {
	return framing.Object{"scheme": o.Scheme(), "keydata": o.KeyData()}
}

// ParseRequest reads one element of "keyrequestdata" (spec 07 section 1.1).
func (ss Schemes) ParseRequest(o framing.Object) (Request, error) {
	s, keydata, err := ss.open(o)
	if err != nil {
		return nil, err
	}
	return s.ParseRequest(keydata)
}

// ParseRequests reads the "keyrequestdata" member, at most [MaxRequests] long.
func (ss Schemes) ParseRequests(a framing.Array) ([]Request, error) {
	if len(a) > MaxRequests {
		return nil, mslerr.New(mslerr.ParseError, "%d key requests; the limit MaxRequests is %d", len(a), MaxRequests)
	}
	elements, err := framing.Elements[framing.Object](a)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	requests := make([]Request, len(elements))
	for i, o := range elements {
		if requests[i], err = ss.ParseRequest(o); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// A Response is the "keyresponsedata" member as received.
type Response struct {
	Token   *token.MasterToken // the new one
	Scheme  string
	KeyData framing.Object
}

// ParseResponse reads "keyresponsedata" (spec 07 section 1.2):
//
//	{"mastertoken": object, "scheme": string, "keydata": object}
//
// keys are our own token keys, nil at a client.
func (ss Schemes) ParseResponse(o framing.Object, keys *token.Keys) (*Response, error) {
	mt, err := member[framing.Object](o, "mastertoken")
	if err != nil {
		return nil, err
	}
	t, err := token.ParseMasterToken(mt, keys)
	if err != nil {
		return nil, err
	}
	s, keydata, err := ss.open(o)
	if err != nil {
		return nil, err
	}
	return &Response{t, s.Name(), keydata}, nil
}

// ResponseObject is the "keyresponsedata" member for an answer and the master
// token made from its keys.
func ResponseObject(a *Answer, t *token.MasterToken) framing.Object {
	return framing.Object{"mastertoken": t.Object(), "scheme": a.Scheme, "keydata": a.KeyData}
}
