package message

import (
	"context"
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// A HeaderSpec is what a header is to say. The zero value is a request under
// our entity authentication data that asks for nothing and can be replayed.
type HeaderSpec struct {
	Format    framing.Format // nil: JSON
	MessageID *int64         // nil: a random one

	// Under is the master token to send under, with its session keys: one
	// that names us, or at a server its client. Nil: our entity authentication
	// data.
	Under *token.Held

	Renewable       bool // asks for new tokens; only with the renewal slot (spec 09 section 5.2)
	Handshake       bool // carries no data; needs Renewable and KeyRequests
	NonReplayableID *int64

	Capabilities *Capabilities // nil: none announced
	KeyRequests  []keyx.Offer
	KeyResponse  *KeyResponse

	Credentials userauth.Data // only where [Network.Protection] has the header encrypted
	Tokens      Tokens

	PeerMT *token.MasterToken // peer to peer only, like Peer
	Peer   Tokens

	Channel framing.Object // the "channel" member; nil: none
}

// A KeyResponse is the answer to a key request, with the new master token.
type KeyResponse struct {
	Answer *keyx.Answer
	Token  *token.MasterToken
}

// Sealed is a header ready to be sent.
type Sealed struct {
	Raw       []byte // to be sent as it is, and kept so where something is bound to it
	Format    framing.Format
	MessageID int64
	// Capabilities as announced: they govern how the payload is compressed.
	Capabilities *Capabilities

	Protection
	HeaderContext, PayloadContext mslcrypto.Context
}

// Protection says how a header of this spec and its payload would be protected,
// so that nothing is put there that must not be.
func (n *Network) Protection(s *HeaderSpec) (Protection, error) {
	if s.Under != nil {
		return Protection{true, true, true, true}, nil
	}
	scheme, err := n.selfScheme()
	if err != nil {
		return Protection{}, err
	}
	p := protectionOf(scheme)
	if s.KeyResponse != nil && !n.PeerToPeer {
		p.PayloadEncrypted, p.PayloadProtected = true, true
	}
	return p, nil
}

// Seal makes a header (spec 04 sections 2 and 3). It refuses what the receiver
// would have to refuse, with the same codes, and credentials in the clear.
func (n *Network) Seal(ctx context.Context, s HeaderSpec) (*Sealed, error) {
	out := &Sealed{Format: s.Format, Capabilities: s.Capabilities}
	if out.Format == nil {
		out.Format = framing.JSON
	}
	if s.MessageID != nil {
		out.MessageID = *s.MessageID
	} else {
		out.MessageID = n.requestID()
	}
	var err error
	if out.Protection, err = n.Protection(&s); err != nil {
		return nil, err
	}
	if err := n.validate(&s, out); err != nil {
		return nil, err
	}
	object := framing.Object{}
	if s.Under != nil {
		object["mastertoken"] = s.Under.Token.Object()
		out.HeaderContext, err = heldContext(s.Under)
	} else {
		_, out.HeaderContext, err = n.self(ctx)
		if err == nil {
			object["entityauthdata"], err = entityauth.Object(n.Self, out.Format)
		}
	}
	if err != nil {
		return nil, err
	}
	out.PayloadContext = out.HeaderContext
	if s.KeyResponse != nil && !n.PeerToPeer {
		if out.PayloadContext, err = heldContext(own(s.KeyResponse.Token)); err != nil {
			return nil, err
		}
	}
	data, err := n.headerData(&s, out)
	if err != nil {
		return nil, err
	}
	out.Raw, err = seal(out.HeaderContext, object, "headerdata", data, out.Format)
	return out, err
}

// validate makes the checks of spec 04 section 3 for senders.
func (n *Network) validate(s *HeaderSpec, out *Sealed) error {
	if !validID(out.MessageID) {
		return mslerr.New(mslerr.MessageIDOutOfRange, "%d", out.MessageID)
	}
	if s.NonReplayableID != nil {
		switch {
		case s.Under == nil:
			return mslerr.New(mslerr.NonReplayableMessageRequiresMasterToken, "no master token to send under")
		case !validID(*s.NonReplayableID):
			return mslerr.New(mslerr.NonReplayableIDOutOfRange, "%d", *s.NonReplayableID)
		case s.Handshake:
			return mslerr.New(mslerr.InternalException, "a handshake is never non-replayable")
		}
	}
	if s.Handshake && (!s.Renewable || len(s.KeyRequests) == 0) {
		return mslerr.New(mslerr.HandshakeDataMissing, "a handshake asks for keys")
	}
	if s.Credentials != nil && (!out.HeaderEncrypted || !out.HeaderProtected) {
		return mslerr.New(mslerr.UnencryptedMessageWithUserAuthData, "credentials need an encrypted and protected header")
	}
	if !n.PeerToPeer && (s.PeerMT != nil || s.Peer.UserID != nil || s.Peer.Service != nil) {
		return mslerr.New(mslerr.InternalException, "peer tokens are for peer to peer networks")
	}
	var under, answered *token.MasterToken
	if s.Under != nil {
		under = s.Under.Token
	}
	if s.KeyResponse != nil {
		answered = s.KeyResponse.Token
	}
	v, p := n.verification(under, s.PeerMT, answered)
	if err := s.Tokens.boundTo(v); err != nil {
		return err
	}
	return s.Peer.boundTo(p)
}

// boundTo checks that the set is bound to t, or not at all.
func (set Tokens) boundTo(t *token.MasterToken) error {
	if u := set.UserID; u != nil && (t == nil || !u.BoundTo(t)) {
		return mslerr.New(mslerr.UserIDTokenMasterTokenMismatch, "user ID token of another master token")
	}
	for _, s := range set.Service {
		if s.MasterTokenSerial != -1 && (t == nil || s.MasterTokenSerial != t.Serial) {
			return mslerr.New(mslerr.ServiceTokenMasterTokenMismatch, "service token %q of another master token", s.Name)
		}
		if s.UserIDTokenSerial != -1 && (set.UserID == nil || s.UserIDTokenSerial != set.UserID.Serial) {
			return mslerr.New(mslerr.ServiceTokenUserIDTokenMismatch, "service token %q of another user ID token", s.Name)
		}
	}
	return nil
}

// headerData is the plaintext of "headerdata".
func (n *Network) headerData(s *HeaderSpec, out *Sealed) (framing.Object, error) {
	o := framing.Object{
		"messageid":     out.MessageID,
		"timestamp":     n.now().Unix(),
		"renewable":     s.Renewable,
		"handshake":     s.Handshake,
		"nonreplayable": s.NonReplayableID != nil, // for older stacks, like "sender"
	}
	if s.NonReplayableID != nil {
		o["nonreplayableid"] = *s.NonReplayableID
	}
	if s.Under != nil {
		o["sender"] = n.name(s.Under)
	}
	if s.Capabilities != nil {
		o["capabilities"] = s.Capabilities.object()
	}
	if len(s.KeyRequests) > 0 {
		requests := make(framing.Array, len(s.KeyRequests))
		for i, r := range s.KeyRequests {
			requests[i] = keyx.RequestObject(r)
		}
		o["keyrequestdata"] = requests
	}
	if s.KeyResponse != nil {
		o["keyresponsedata"] = keyx.ResponseObject(s.KeyResponse.Answer, s.KeyResponse.Token)
	}
	if s.Credentials != nil {
		var err error
		if o["userauthdata"], err = userauth.Object(s.Credentials, out.Format); err != nil {
			return nil, err
		}
	}
	s.Tokens.put(o, "useridtoken", "servicetokens")
	if s.PeerMT != nil {
		o["peermastertoken"] = s.PeerMT.Object()
	}
	s.Peer.put(o, "peeruseridtoken", "peerservicetokens")
	if s.Channel != nil {
		o["channel"] = s.Channel
	}
	return o, nil
}

// name is what we call ourselves under a master token, "" if we have no name:
// old stacks want it to be the one in a token that names us.
func (n *Network) name(h *token.Held) string {
	if !h.Token.Verified() && h.Self.Identity != "" {
		return h.Self.Identity
	}
	if n.Self == nil {
		return ""
	}
	return n.Self.Identity()
}

func (set Tokens) put(o framing.Object, userID, service string) {
	if set.UserID != nil {
		o[userID] = set.UserID.Object()
	}
	if len(set.Service) > 0 {
		a := make(framing.Array, len(set.Service))
		for i, s := range set.Service {
			a[i] = s.Object()
		}
		o[service] = a
	}
}

// plaintexts are buffers for what a header says, before it is encrypted.
var plaintexts = sync.Pool{New: func() any { return new([]byte) }}

// seal encrypts data, signs what that gives, and encodes the whole object.
func seal(c mslcrypto.Context, object framing.Object, member string, data framing.Object, f framing.Format) ([]byte, error) {
	memory := plaintexts.Get().(*[]byte)
	plaintext, err := f.Append((*memory)[:0], data)
	defer func() {
		clear(plaintext) // it may have credentials
		*memory = plaintext[:0]
		plaintexts.Put(memory)
	}()
	if err != nil {
		return nil, mslerr.Wrap(mslerr.EncodeError, err)
	}
	ciphertext, err := c.Encrypt(plaintext, f)
	if err != nil {
		return nil, err
	}
	signature, err := c.Sign(ciphertext, f)
	if err != nil {
		return nil, err
	}
	if signature == nil {
		signature = []byte{} // the member must be there
	}
	object[member], object["signature"] = ciphertext, signature
	raw, err := f.Append(nil, object)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.EncodeError, err)
	}
	return raw, nil
}
