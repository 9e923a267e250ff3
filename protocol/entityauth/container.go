package entityauth

import (
	"slices"
	"strings"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// Schemes is what a network accepts, each name once.
type Schemes []Scheme

// standard are the names that are answered with "not enabled here" instead of
// "unknown" when no scheme of that name is configured.
var standard = []string{
	"PSK", "PSK_PROFILE", "X509", "RSA", "ECC", "NONE", "NONE_SUFFIXED", "MT_PROTECTED", "PROVISIONED", "ED25519",
}

// ByName finds a scheme. Names are case-sensitive.
func (ss Schemes) ByName(name string) (Scheme, bool) {
	i := slices.IndexFunc(ss, func(s Scheme) bool { return s.Name() == name })
	if i < 0 {
		return nil, false
	}
	return ss[i], true
}

// Of finds the scheme of d: mslerr.EntityAuthFactoryNotFound.
func (ss Schemes) Of(d Data) (Scheme, error) {
	s, ok := ss.ByName(d.Scheme())
	if !ok {
		return nil, mslerr.New(mslerr.EntityAuthFactoryNotFound, "%s", d.Scheme())
	}
	return s, nil
}

// Parse reads an "entityauthdata" object (spec 05 section 1):
//
//	{"scheme": string, "authdata": object}
//
// It also refuses, once for all schemes, a name that looks like an Ed25519
// fingerprint and is none: a token carries the name only, and would speak for
// the owner of the key (channel set-up, X1).
func (ss Schemes) Parse(o framing.Object) (Data, Scheme, error) {
	name, err := member[string](o, "scheme")
	if err != nil {
		return nil, nil, err
	}
	s, found := ss.ByName(name)
	if !found && !slices.Contains(standard, name) {
		return nil, nil, mslerr.New(mslerr.UnidentifiedEntityAuthScheme, "%.64q", name)
	}
	authdata, err := member[framing.Object](o, "authdata")
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, mslerr.New(mslerr.EntityAuthFactoryNotFound, "%s", name)
	}
	d, err := s.Parse(authdata)
	if err != nil {
		return nil, nil, err
	}
	if innermost(d).Scheme() != ed25519Name && strings.HasPrefix(d.Identity(), FingerprintPrefix) {
		return nil, nil, mslerr.New(mslerr.IncorrectEntityAuthData,
			"names starting with %q belong to scheme %s, not %s", FingerprintPrefix, ed25519Name, name)
	}
	return d, s, nil
}

// Object is the "entityauthdata" object of d.
func Object(d Data, f framing.Format) (framing.Object, error) {
	authdata, err := d.AuthData(f)
	if err != nil {
		return nil, err
	}
	return framing.Object{"scheme": d.Scheme(), "authdata": authdata}, nil
}

// innermost looks through data that only protects other data.
func innermost(d Data) Data {
	for {
		w, ok := d.(interface{ Inner() Data })
		if !ok {
			return d
		}
		d = w.Inner()
	}
}
