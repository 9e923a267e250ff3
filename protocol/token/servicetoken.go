package token

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// ServiceToken carries data of a service, perhaps bound to an entity or a user
// (spec 03 section 4). Tokens are immutable.
type ServiceToken struct {
	Name              string
	MasterTokenSerial int64 // -1: not bound
	UserIDTokenSerial int64 // -1: not bound
	Encrypted         bool

	tokendata, signature []byte
	verified             bool
	data                 []byte
	known                bool // data is known: verified, or empty
}

// ServiceContexts are the application's crypto contexts by token name; "" is
// the one for all other names.
type ServiceContexts map[string]mslcrypto.Context

// ServiceTokenSpec is what a new service token is to say.
type ServiceTokenSpec struct {
	Name        string
	Data        []byte // empty: asks the receiver to delete the token
	MasterToken *MasterToken
	UserIDToken *UserIDToken
	Encrypt     bool
	Compression string // algorithm's name; "": none
}

// MintServiceToken makes a token with the context for its name.
func MintServiceToken(s ServiceTokenSpec, contexts ServiceContexts, f framing.Format) (*ServiceToken, error) {
	panic("unbuilt")
}

// ParseServiceToken reads a token; mt and uit are those of its message and must
// be what the token is bound to.
func ParseServiceToken(o framing.Object, mt *MasterToken, uit *UserIDToken, contexts ServiceContexts) (*ServiceToken, error) {
	panic("unbuilt")
}

// Object is the token as it travels: the received bytes, unchanged.
func (t *ServiceToken) Object() framing.Object { panic("unbuilt") }

// Verified says whether the application's context for the name made it.
func (t *ServiceToken) Verified() bool { return t.verified }

// Data returns what the token carries. It is known only of a verified token, or
// when it is empty (W-21).
func (t *ServiceToken) Data() (data []byte, known bool) { return t.data, t.known }

// Deleted says whether the token asks to delete its like.
func (t *ServiceToken) Deleted() bool { return t.known && len(t.data) == 0 }
