package userauth

import (
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
)

// Schemes is what a network accepts, each name once.
type Schemes []Scheme

// standard are the names that are answered with "not enabled here" instead of
// "unknown" when no scheme of that name is configured.
var standard = []string{emailPasswordName, userIDTokenName}

// ByName finds a scheme. Names are case-sensitive.
func (ss Schemes) ByName(name string) (Scheme, bool) {
	i := slices.IndexFunc(ss, func(s Scheme) bool { return s.Name() == name })
	if i < 0 {
		return nil, false
	}
	return ss[i], true
}

// Parse reads a "userauthdata" object (spec 06 section 1):
//
//	{"scheme": string, "authdata": object}
//
// Whether the scheme is enabled is asked before "authdata" is looked at.
func (ss Schemes) Parse(o framing.Object) (Data, Scheme, error) {
	name, err := member[string](o, "scheme")
	if err != nil {
		return nil, nil, err
	}
	s, found := ss.ByName(name)
	if !found && !slices.Contains(standard, name) {
		return nil, nil, mslerr.New(mslerr.UnidentifiedUserAuthScheme, "%.64q", name)
	}
	if !found {
		return nil, nil, mslerr.New(mslerr.UserAuthFactoryNotFound, "%s", name)
	}
	authdata, err := member[framing.Object](o, "authdata")
	if err != nil {
		return nil, nil, err
	}
	d, err := s.Parse(authdata)
	if err != nil {
		return nil, nil, err
	}
	return d, s, nil
}

// Object is the "userauthdata" object of d. It holds credentials: it may stand
// only in an encrypted header whose integrity is protected.
func Object(d Data, f framing.Format) (framing.Object, error) {
	authdata, err := d.AuthData(f)
	if err != nil {
		return nil, err
	}
	return framing.Object{"scheme": d.Scheme(), "authdata": authdata}, nil
}
