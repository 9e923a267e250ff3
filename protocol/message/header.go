package message

import (
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// A Header is a message header as received: verified and decrypted, its tokens
// parsed (spec 04 sections 2 and 3). How far it is to be trusted says [Protection];
// what else must be asked of it, [Network.Check].
type Header struct {
	Raw    []byte // as received, not to be changed
	Format framing.Format

	// Sender is who sent it, by EntityAuth or by MasterToken: one of the two is
	// set. It is zero where only an opaque master token would tell, as at a
	// client; then Held.From says whose keys these are.
	Sender      token.Entity
	EntityAuth  entityauth.Data
	MasterToken *token.MasterToken
	// Held is MasterToken as our store has it; nil if it is one of our own issue.
	Held *token.Held

	MessageID       int64
	Timestamp       time.Time // the sender's clock; zero if not given
	Renewable       bool      // the sender wants its tokens renewed in the answer
	Handshake       bool      // the message carries no data, by its flag
	NonReplayable   bool
	NonReplayableID int64 // if NonReplayable

	Capabilities *Capabilities // nil: none announced
	KeyRequests  []keyx.Request
	KeyResponse  *keyx.Response
	// KeyResult is what the exchange of KeyResponse gave, its requester alone.
	KeyResult *keyx.Result

	// Credentials are looked at by [Network.Authenticate] only.
	Credentials userauth.Data
	// User is known from Credentials, or from a user ID token of our issue.
	User token.User

	Tokens Tokens             // the sender's, besides MasterToken
	Peer   Tokens             // peer to peer: those the answer is to be sent with
	PeerMT *token.MasterToken // peer to peer: likewise

	// Channel is the "channel" member, opaque here; nil if there is none.
	Channel framing.Object

	Protection
	// HeaderContext opened the header, PayloadContext opens its chunks.
	HeaderContext, PayloadContext mslcrypto.Context

	named token.Entity // who the header says it is from, zero under a master token
}

// Tokens is a set of tokens that belong together: all are bound to one master
// token, or to none.
type Tokens struct {
	UserID  *token.UserIDToken
	Service []*token.ServiceToken
}

// Protection says what the crypto contexts of a message do.
type Protection struct {
	HeaderEncrypted, HeaderProtected   bool
	PayloadEncrypted, PayloadProtected bool
}

// entityOfToken is the entity that a master token of our own issue names.
func entityOfToken(t *token.MasterToken) token.Entity {
	scheme, _, _ := framing.Opt[string](t.IssuerData(), issuerDataScheme)
	return token.Entity{Scheme: scheme, Identity: t.Identity()}
}

// verification gives the master token that the tokens of the sender's set must
// be bound to, and the one for the peer set (spec 04 section 3):
//
//	              no keyresponsedata | trusted services        | peer to peer
//	sender's set  header's token     | keyresponsedata's token | header's token
//	peer set      peermastertoken    | –                       | keyresponsedata's token
func (n *Network) verification(header, peer, answered *token.MasterToken) (v, p *token.MasterToken) {
	switch {
	case answered == nil:
		return header, peer
	case n.PeerToPeer:
		return header, answered
	}
	return answered, nil
}
