package entityauth

import (
	"context"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

const mtProtectedName = "MT_PROTECTED"

// MTProtected is the scheme that hides other entity authentication data under the
// session keys of a master token (spec 05 section 4.5). The entity is the one
// inside. A header authenticated this way counts as neither encrypted nor
// protected, whatever is inside.
type MTProtected struct {
	// Inner are the schemes that may be inside; not this one.
	Inner Schemes
	// Keys are our own token keys, with which the tokens were made.
	Keys *token.Keys
	// Session gives the crypto context of a token we hold, nil if we do not.
	// It may be nil itself, if we hold none.
	Session func(t *token.MasterToken) mslcrypto.Context
}

// Name is "MT_PROTECTED".
func (MTProtected) Name() string { return mtProtectedName }

// Encrypts is false.
func (MTProtected) Encrypts() bool { return false }

// Protects is false.
func (MTProtected) Protects() bool { return false }

// MTProtectedData is entity authentication data under the keys of a master token.
type MTProtectedData struct {
	inner Data
	token *token.MasterToken

	mu      sync.Mutex
	session mslcrypto.Context
	sealed  map[string]protectedBytes // by encoding
}

type protectedBytes struct{ authdata, signature []byte }

// NewMTProtectedData hides inner under the session keys of t, whose context is
// session.
func NewMTProtectedData(inner Data, t *token.MasterToken, session mslcrypto.Context) *MTProtectedData {
	return &MTProtectedData{inner: inner, token: t, session: session}
}

// Scheme is "MT_PROTECTED".
func (*MTProtectedData) Scheme() string { return mtProtectedName }

// Identity is that of the data inside.
func (d *MTProtectedData) Identity() string { return d.inner.Identity() }

// Inner is the data inside.
func (d *MTProtectedData) Inner() Data { return d.inner }

// AuthData is {"mastertoken": object, "authdata": binary, "signature": binary},
// the same for every call with one encoding. The signature is of the encrypted
// bytes.
func (d *MTProtectedData) AuthData(f framing.Format) (framing.Object, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sealed, ok := d.sealed[f.Name()]
	if !ok {
		o, err := Object(d.inner, f)
		if err != nil {
			return nil, err
		}
		plaintext, err := f.Append(nil, o)
		if err != nil {
			return nil, mslerr.Wrap(mslerr.EncodeError, err)
		}
		if sealed.authdata, err = d.session.Encrypt(plaintext, f); err != nil {
			return nil, err
		}
		if sealed.signature, err = d.session.Sign(sealed.authdata, f); err != nil {
			return nil, err
		}
		if d.sealed == nil {
			d.sealed = make(map[string]protectedBytes)
		}
		d.sealed[f.Name()] = sealed
	}
	return framing.Object{"mastertoken": d.token.Object(), "authdata": sealed.authdata, "signature": sealed.signature}, nil
}

// Parse reads and opens the data. Errors: mslerr.EntityAuthMasterTokenInvalid,
// mslerr.EntityAuthMasterTokenNotDecrypted, mslerr.EntityAuthVerificationFailed,
// those of decryption, and those of the data inside.
func (s MTProtected) Parse(authdata framing.Object) (Data, error) {
	mt, err := member[framing.Object](authdata, "mastertoken")
	if err != nil {
		return nil, err
	}
	ciphertext, err := member[[]byte](authdata, "authdata")
	if err != nil {
		return nil, err
	}
	signature, err := member[[]byte](authdata, "signature")
	if err != nil {
		return nil, err
	}
	t, err := token.ParseMasterToken(mt, s.Keys)
	if err != nil {
		return nil, &mslerr.Error{Code: mslerr.EntityAuthMasterTokenInvalid, Err: err}
	}
	session, err := s.session(t)
	if err != nil {
		return nil, err
	}
	if ok, err := session.Verify(ciphertext, signature); err != nil {
		return nil, err
	} else if !ok {
		return nil, mslerr.New(mslerr.EntityAuthVerificationFailed, "the signature is wrong")
	}
	plaintext, err := session.Decrypt(ciphertext)
	if err != nil {
		return nil, err
	}
	o, err := framing.Decode(plaintext)
	if err != nil {
		return nil, mslerr.New(mslerr.ParseError, "the data inside is no object")
	}
	inner, _, err := s.Inner.Parse(o)
	if err != nil {
		return nil, err
	}
	return NewMTProtectedData(inner, t, session), nil
}

// session is the context of the token: the one we hold it with, else from the
// keys inside.
func (s MTProtected) session(t *token.MasterToken) (mslcrypto.Context, error) {
	if s.Session != nil {
		if c := s.Session(t); c != nil {
			return c, nil
		}
	}
	if !t.Verified() {
		return nil, mslerr.New(mslerr.EntityAuthMasterTokenNotDecrypted, "not one of ours")
	}
	return mslcrypto.NewSession(t.SessionKeys(), mslcrypto.SessionKeyID(t.Identity(), t.Sequence))
}

// Context asks whether the entity may use this scheme, then gives the context of
// the data inside, after the checks of that scheme.
func (s MTProtected) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	protected, ok := d.(*MTProtectedData)
	if !ok {
		return nil, wrongData(s, d)
	}
	if err := p.Check(ctx, protected.Identity(), mtProtectedName); err != nil {
		return nil, err
	}
	inner, err := s.Inner.Of(protected.inner)
	if err != nil {
		return nil, err
	}
	return inner.Context(ctx, protected.inner, p)
}
