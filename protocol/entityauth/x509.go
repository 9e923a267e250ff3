package entityauth

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

const x509Name = "X509"

// X509 is the scheme of entities with an X.509 certificate of an RSA key (spec 05
// section 5). It signs headers and does not encrypt them. There are no chains: a
// certificate is good if one of the roots signed it.
type X509 struct {
	// Roots are the certification authorities that are trusted. A certificate
	// that is no authority signs nothing, whatever is in this list.
	Roots []*x509.Certificate
	// Self and Private are our own; zero if we have none.
	Self    X509Data
	Private *rsa.PrivateKey
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Name is "X509".
func (X509) Name() string { return x509Name }

// Encrypts is false.
func (X509) Encrypts() bool { return false }

// Protects is true.
func (X509) Protects() bool { return true }

// Format shows whose key it is, never the key.
func (s X509) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.LogValue().String())) }

// LogValue shows whose key it is, never the key.
func (s X509) LogValue() slog.Value { return slog.StringValue(x509Name + " " + s.Self.identity) }

// X509Data is a certificate.
type X509Data struct {
	der      string
	identity string
}

// NewX509Data names the subject of a certificate: mslerr.X509CertInvalid if the
// subject cannot be written down without doubt.
func NewX509Data(c *x509.Certificate) (X509Data, error) {
	subject, err := rfc2253(c.RawSubject)
	if err != nil {
		return X509Data{}, mslerr.Wrap(mslerr.X509CertInvalid, err)
	}
	return X509Data{string(c.Raw), subject}, nil
}

// Scheme is "X509".
func (X509Data) Scheme() string { return x509Name }

// Identity is the subject in the form of RFC 2253.
func (d X509Data) Identity() string { return d.identity }

// Certificate is the certificate.
func (d X509Data) Certificate() (*x509.Certificate, error) {
	c, err := x509.ParseCertificate([]byte(d.der))
	if err != nil {
		return nil, mslerr.Wrap(mslerr.X509CertParseError, err)
	}
	return c, nil
}

// AuthData is {"x509certificate": string}, the string being the Base64 form of
// the certificate in every encoding.
func (d X509Data) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"x509certificate": base64.StdEncoding.EncodeToString([]byte(d.der))}, nil
}

var withoutSpace = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")

// Parse reads {"x509certificate": string}. Errors: mslerr.X509CertInvalid if it is
// not Base64, mslerr.X509CertParseError if it is no certificate.
func (X509) Parse(authdata framing.Object) (Data, error) {
	text, err := member[string](authdata, "x509certificate")
	if err != nil {
		return nil, err
	}
	der, err := base64.StdEncoding.Strict().DecodeString(withoutSpace.Replace(text))
	if err != nil {
		return nil, mslerr.Wrap(mslerr.X509CertInvalid, err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.X509CertParseError, err)
	}
	d, err := NewX509Data(c)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Context verifies for everybody whose certificate is valid now and signed by one
// of the roots, and signs for ourselves. Errors: mslerr.X509CertExpired,
// mslerr.X509CertNotYetValid, mslerr.X509CertVerificationFailed, and
// mslerr.InvalidPublicKey if the key is not RSA.
func (s X509) Context(ctx context.Context, d Data, p Policy) (mslcrypto.Context, error) {
	entity, ok := d.(X509Data)
	if !ok {
		return nil, wrongData(s, d)
	}
	if err := p.Check(ctx, entity.identity, x509Name); err != nil {
		return nil, err
	}
	c, err := entity.Certificate()
	if err != nil {
		return nil, err
	}
	if err := s.verify(c); err != nil {
		return nil, err
	}
	public, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, mslerr.New(mslerr.InvalidPublicKey, "the certificate's key is %s, not RSA", c.PublicKeyAlgorithm)
	}
	signing := &mslcrypto.RSASigning{Public: public}
	if s.Private != nil && entity == s.Self {
		signing.Private = s.Private
	}
	return signing, nil
}

// verify checks validity, then the signature of a root.
func (s X509) verify(c *x509.Certificate) error {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	switch at := now(); {
	case at.After(c.NotAfter):
		return mslerr.New(mslerr.X509CertExpired, "at %s", c.NotAfter)
	case at.Before(c.NotBefore):
		return mslerr.New(mslerr.X509CertNotYetValid, "before %s", c.NotBefore)
	}
	for _, root := range s.Roots {
		if string(root.RawSubject) == string(c.RawIssuer) && c.CheckSignatureFrom(root) == nil {
			return nil
		}
	}
	return mslerr.New(mslerr.X509CertVerificationFailed, "no trusted authority signed the certificate")
}
