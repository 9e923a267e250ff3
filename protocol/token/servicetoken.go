package token

import (
	"bytes"
	"fmt"
	"log/slog"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// ServiceToken carries data of a service, perhaps bound to an entity or a user
// (spec 03 section 4). Tokens are immutable.
//
//	tokendata  {"name": string, "mtserialnumber": int, "uitserialnumber": int,
//	            "encrypted": bool, "compressionalgo": string, "servicedata": binary}
//
// The serial numbers are absent where it is not bound, compressionalgo where it
// is not compressed. servicedata is compressed first and encrypted then; empty,
// it is neither.
type ServiceToken struct {
	Name              string
	MasterTokenSerial int64 // -1: not bound
	UserIDTokenSerial int64 // -1: not bound
	Encrypted         bool

	sealed
	verified bool
	data     []byte
	known    bool // data is known: verified, or empty
}

const (
	memberName        = "name"
	memberEncrypted   = "encrypted"
	memberCompression = "compressionalgo"
	memberServiceData = "servicedata"

	unbound int64 = -1

	// maxServiceData bounds decompressed data beside [compress.MaxRatio]: 10 MiB,
	// the limit on whole objects.
	maxServiceData = 10 << 20
)

// serviceAlgorithms are the compression algorithms of service tokens. They are
// not negotiated, so they are those that every stack knows.
var serviceAlgorithms = []compress.Algorithm{compress.GZIP, compress.LZW}

// ServiceContexts are the application's crypto contexts by token name; "" is
// the one for all other names.
type ServiceContexts map[string]mslcrypto.Context

// context is the one for a name, nil if there is none.
func (c ServiceContexts) context(name string) mslcrypto.Context {
	if context, ok := c[name]; ok {
		return context
	}
	return c[""]
}

// ServiceTokenSpec is what a new service token is to say.
type ServiceTokenSpec struct {
	Name        string
	Data        []byte       // empty: asks the receiver to delete the token
	MasterToken *MasterToken // to bind to; nil: none
	UserIDToken *UserIDToken // to bind to, and bound to MasterToken itself if there is one; nil: none
	Encrypt     bool
	Compression string // algorithm's name, GZIP or LZW; "": none
}

// MintServiceToken makes a token with the context for its name. Data is
// compressed only if that makes it shorter. A token that asks for deletion needs
// no context and is neither encrypted nor signed. Errors:
// mslerr.InternalException, mslerr.UnsupportedCompression.
func MintServiceToken(s ServiceTokenSpec, contexts ServiceContexts, f framing.Format) (*ServiceToken, error) {
	t := &ServiceToken{
		Name:              s.Name,
		MasterTokenSerial: unbound,
		UserIDTokenSerial: unbound,
		Encrypted:         s.Encrypt && len(s.Data) > 0,
		verified:          true,
		data:              bytes.Clone(s.Data),
		known:             true,
	}
	tokendata := framing.Object{memberName: t.Name, memberEncrypted: t.Encrypted}
	if s.MasterToken != nil {
		t.MasterTokenSerial = s.MasterToken.Serial
		tokendata[memberMasterTokenSerial] = t.MasterTokenSerial
	}
	if s.UserIDToken != nil {
		if s.MasterToken != nil && !s.UserIDToken.BoundTo(s.MasterToken) {
			return nil, internal("service token bound to a user ID token of another master token")
		}
		t.UserIDTokenSerial = s.UserIDToken.Serial
		tokendata[memberUserIDTokenSerial] = t.UserIDTokenSerial
	}
	context := contexts.context(s.Name)
	if len(s.Data) == 0 {
		context = mslcrypto.Null{}
	}
	if context == nil {
		return nil, internal("no crypto context for service token %.64q", s.Name)
	}
	servicedata, err := t.pack(s.Compression, tokendata, context, f)
	if err != nil {
		return nil, err
	}
	tokendata[memberServiceData] = servicedata
	if t.sealed, err = seal(tokendata, context, f); err != nil {
		return nil, err
	}
	return t, nil
}

// pack compresses and encrypts the data, and notes the compression in tokendata.
func (t *ServiceToken) pack(compression string, tokendata framing.Object, c mslcrypto.Context, f framing.Format) ([]byte, error) {
	if len(t.data) == 0 {
		return []byte{}, nil
	}
	packed := t.data
	if compression != "" {
		algorithm, known := compress.ByName(serviceAlgorithms, compression)
		if !known {
			return nil, mslerr.New(mslerr.UnsupportedCompression, "%.64q", compression)
		}
		smaller, ok, err := compress.Smaller(algorithm, nil, packed)
		if err != nil {
			return nil, err
		}
		if ok {
			packed = smaller
			tokendata[memberCompression] = compression
		}
	}
	if t.Encrypted {
		return c.Encrypt(packed, f)
	}
	return packed, nil
}

// ParseServiceToken reads a token; mt and uit are those of its message and must
// be what the token is bound to: mslerr.ServiceTokenMasterTokenMismatch,
// mslerr.ServiceTokenUserIDTokenMismatch. A token that no context of the
// application made is not verified, which is no error.
func ParseServiceToken(o framing.Object, mt *MasterToken, uit *UserIDToken, contexts ServiceContexts) (*ServiceToken, error) {
	if o[memberTokenData] == nil {
		return nil, &mslerr.Error{Code: mslerr.ServiceTokenTokenDataMissing}
	}
	t := new(ServiceToken)
	var err error
	if t.sealed, err = parseSealed(o, mslerr.ServiceTokenTokenDataMissing); err != nil {
		return nil, err
	}
	servicedata, compression, err := t.parseTokenData()
	if err != nil {
		return nil, err
	}
	context := contexts.context(t.Name)
	if context != nil {
		if t.verified, err = context.Verify(t.tokendata, t.signature); err != nil {
			return nil, err
		}
	}
	switch {
	case len(servicedata) == 0:
		t.known = true // also when not verified: a deletion is not signed
	case t.verified:
		if t.data, err = t.unpack(servicedata, compression, context); err != nil {
			return nil, err
		}
		t.known = true
	}
	if t.MasterTokenSerial != unbound && (mt == nil || mt.Serial != t.MasterTokenSerial) {
		return nil, mslerr.New(mslerr.ServiceTokenMasterTokenMismatch, "bound to serial number %d", t.MasterTokenSerial)
	}
	if t.UserIDTokenSerial != unbound && (uit == nil || uit.Serial != t.UserIDTokenSerial) {
		return nil, mslerr.New(mslerr.ServiceTokenUserIDTokenMismatch, "bound to serial number %d", t.UserIDTokenSerial)
	}
	return t, nil
}

// parseTokenData checks each member as it comes, in the order of spec 03
// section 4.1.
func (t *ServiceToken) parseTokenData() (servicedata []byte, compression compress.Algorithm, err error) {
	fail := func(err error) ([]byte, compress.Algorithm, error) {
		return nil, nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	o, err := framing.Decode(t.tokendata)
	if err != nil {
		return fail(err)
	}
	if t.Name, err = framing.Get[string](o, memberName); err != nil {
		return fail(err)
	}
	if t.MasterTokenSerial, err = getBinding(o, memberMasterTokenSerial, mslerr.ServiceTokenMasterTokenSerialNumberOutOfRange); err != nil {
		return fail(err)
	}
	if t.UserIDTokenSerial, err = getBinding(o, memberUserIDTokenSerial, mslerr.ServiceTokenUserIDTokenSerialNumberOutOfRange); err != nil {
		return fail(err)
	}
	if t.Encrypted, err = framing.Get[bool](o, memberEncrypted); err != nil {
		return fail(err)
	}
	name, compressed, err := framing.Opt[string](o, memberCompression)
	if err != nil {
		return fail(err)
	}
	if compressed {
		if compression, compressed = compress.ByName(serviceAlgorithms, name); !compressed {
			return nil, nil, mslerr.New(mslerr.UnidentifiedCompression, "%.64q", name)
		}
	}
	if servicedata, err = framing.Get[[]byte](o, memberServiceData); err != nil {
		return fail(err)
	}
	return servicedata, compression, nil
}

// getBinding reads a serial number that may be absent.
func getBinding(o framing.Object, name string, outOfRange mslerr.Code) (int64, error) {
	if o[name] == nil {
		return unbound, nil
	}
	return getNumber(o, name, mslerr.ParseError, outOfRange)
}

// unpack undoes pack.
func (t *ServiceToken) unpack(servicedata []byte, compression compress.Algorithm, c mslcrypto.Context) ([]byte, error) {
	data := servicedata
	var err error
	if t.Encrypted {
		if data, err = c.Decrypt(data); err != nil {
			return nil, err
		}
	}
	if compression == nil {
		return data, nil
	}
	return compression.Decompress(nil, data, min(compress.Limit(len(data)), maxServiceData))
}

// Verified says whether the application's context for the name made it.
func (t *ServiceToken) Verified() bool { return t.verified }

// Data returns what the token carries. It is known only of a verified token, or
// when it is empty (W-21). It must not be modified.
func (t *ServiceToken) Data() (data []byte, known bool) { return t.data, t.known }

// Deleted says whether the token asks to delete its like.
func (t *ServiceToken) Deleted() bool { return t.known && len(t.data) == 0 }

// Equal compares name and binding, not data: of equal tokens the newer one
// replaces the other. Only nil equals nil.
func (t *ServiceToken) Equal(o *ServiceToken) bool {
	if t == nil || o == nil {
		return t == o
	}
	return t.Name == o.Name && t.MasterTokenSerial == o.MasterTokenSerial && t.UserIDTokenSerial == o.UserIDTokenSerial
}

// String names the token by its name and the numbers it is bound to.
func (t *ServiceToken) String() string {
	return fmt.Sprintf("service token %q %d/%d", t.Name, t.MasterTokenSerial, t.UserIDTokenSerial)
}

// Format prints no more than String, whatever the verb.
func (t *ServiceToken) Format(f fmt.State, _ rune) { printNumbers(f, t) }

// LogValue logs the name of the token and the numbers it is bound to.
func (t *ServiceToken) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", t.Name),
		slog.Int64("mtserial", t.MasterTokenSerial), slog.Int64("uitserial", t.UserIDTokenSerial))
}
