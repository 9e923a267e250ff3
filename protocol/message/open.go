package message

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

// OpenOptions is what the receiver of a message knows beforehand. The zero
// value is a server's, who knows nothing.
type OpenOptions struct {
	// RequestID is the ID of the outstanding request that the message answers;
	// nil if it is not an answer.
	RequestID *int64
	// Remote is the expected sender; it is not compared where it is empty, and
	// not with a master token that is opaque to us.
	Remote token.Entity

	// Offers are the outstanding key requests. A response evaluates them, and
	// erases them whatever the outcome.
	Offers []keyx.Offer
	// Parties is what was given when the offers were made; the responder is
	// filled in from the answer.
	Parties keyx.Parties

	// Holder finds the session keys of master tokens that others issued. Nil:
	// there are none.
	Holder token.Holder
}

// Read waits for the next header of a stream and returns its bytes, which are
// one whole object. The error is io.EOF if the stream ended before it began; an
// object that is cut short or malformed is mslerr.ParseError, and other errors
// are those of the connection.
func Read(r *framing.Reader) ([]byte, error) {
	raw, _, err := r.Object()
	var (
		syntax *framing.SyntaxError
		limit  *framing.LimitError
	)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &syntax) || errors.As(err, &limit) {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	return raw, err
}

// Receive opens a message and makes all checks of classic MSL, those that cost
// little first: [Network.Open], [Network.Check], [Network.Authenticate].
func (n *Network) Receive(ctx context.Context, raw []byte, o OpenOptions) (*Header, error) {
	h, err := n.Open(ctx, raw, o)
	if err != nil {
		return nil, err
	}
	if err := n.Check(ctx, h); err != nil {
		return nil, err
	}
	if err := n.Authenticate(ctx, h); err != nil {
		return nil, err
	}
	return h, nil
}

// Open verifies, decrypts and parses one header (spec 04 section 6, steps A to
// J without F, and N). Its credentials are not looked at, and nothing is asked
// of the [token.Issuer]: that is done by [Network.Check], which a channel's
// set-up replaces by checks of its own, and by [Network.Authenticate].
//
// An error header is returned as an error, an *[ErrorHeader]. All other errors
// are *[mslerr.Error] with Remote unset, and name the message ID if it could be
// read. raw is kept.
func (n *Network) Open(ctx context.Context, raw []byte, o OpenOptions) (*Header, error) {
	if limit := n.Limits.withDefaults().Header; len(raw) > limit {
		return nil, mslerr.Wrap(mslerr.ParseError, &framing.LimitError{Limit: "header size", Max: limit})
	}
	if len(raw) == 0 {
		return nil, mslerr.New(mslerr.MessageDataMissing, "no header")
	}
	format, err := framing.Detect(raw[0])
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	object, err := framing.DecodeShared(raw)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	switch {
	case object["headerdata"] != nil:
		h, err := n.openHeader(ctx, &Header{Raw: raw, Format: format}, object, o)
		return h, protocolError(err)
	case object["errordata"] != nil:
		e, err := n.openError(ctx, &ErrorHeader{Raw: raw, Format: format}, object, o)
		if err != nil {
			return nil, protocolError(err)
		}
		return nil, e
	}
	return nil, mslerr.New(mslerr.ParseError, "neither a header nor an error header")
}

// protocolError makes every failure an *mslerr.Error: one of a store or of the
// context is an internal failure, and never accepted on doubt.
func protocolError(err error) error {
	if err == nil {
		return nil
	}
	return mslerr.Wrap(mslerr.InternalException, err)
}

// openHeader reads
//
//	{"entityauthdata": object, or "mastertoken": object, "headerdata": binary, "signature": binary}
func (n *Network) openHeader(ctx context.Context, h *Header, object framing.Object, o OpenOptions) (*Header, error) {
	// Steps B and C. The data of an ignored identity is not even parsed.
	var err error
	if mt, ok, e := opt[framing.Object](object, "mastertoken"); e != nil {
		return nil, e
	} else if ok {
		err = n.underMasterToken(ctx, h, mt, o)
	} else {
		var r *remote
		if r, err = n.remote(ctx, object); err == nil {
			h.EntityAuth, h.HeaderContext, h.Protection = r.data, r.context, r.protection
			h.Sender, h.named = entityauth.EntityOf(r.data), r.named
		}
	}
	if err != nil {
		return nil, err
	}
	failure := mslerr.MessageEntityDataBasedVerificationFailed
	if h.MasterToken != nil {
		failure = mslerr.MessageMasterTokenBasedVerificationFailed
	}
	plaintext, err := unseal(h.HeaderContext, object, "headerdata", failure)
	if err != nil {
		return nil, err
	}
	h.PayloadContext = h.HeaderContext

	// Step D: from here on an error names the message.
	if h.MessageID, err = messageID(plaintext); err != nil {
		return nil, err
	}
	if err := n.parseHeader(ctx, h, plaintext, o); err != nil {
		return nil, mslerr.WithMessageID(err, h.MessageID)
	}
	return h, nil
}

// underMasterToken finds the context of a header under a master token (spec 04
// section 2.1). Who issues tokens takes only those that are its own, whatever
// it has in store (W-07); who does not, only those it was given.
func (n *Network) underMasterToken(ctx context.Context, h *Header, object framing.Object, o OpenOptions) error {
	t, err := token.ParseMasterToken(object, n.TokenKeys)
	if err != nil {
		return err
	}
	h.MasterToken = t
	h.Protection = Protection{true, true, true, true}
	if n.TokenKeys != nil {
		if !t.Verified() {
			return mslerr.New(mslerr.MasterTokenUntrusted, "not made with our token keys")
		}
		h.Sender = entityOfToken(t)
		h.HeaderContext, err = sessionContext(t.Identity(), t, t.SessionKeys())
		return err
	}
	if o.Holder != nil {
		if h.Held, err = o.Holder.Find(ctx, t); err != nil {
			return err
		}
	}
	if h.Held == nil {
		return mslerr.New(mslerr.MasterTokenUntrusted, "not a token that we hold")
	}
	h.HeaderContext, err = heldContext(h.Held)
	return err
}

// A remote is who sent a header, by its entity authentication data.
type remote struct {
	data       entityauth.Data
	named      token.Entity // as the header names it: a PROVISIONED entity has no name yet
	context    mslcrypto.Context
	protection Protection
}

func (n *Network) remote(ctx context.Context, object framing.Object) (*remote, error) {
	authdata, ok, err := opt[framing.Object](object, "entityauthdata")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mslerr.New(mslerr.MessageEntityNotFound, "neither entity authentication data nor a master token")
	}
	data, scheme, err := n.EntityAuth.Parse(authdata)
	if err != nil {
		return nil, err
	}
	r := &remote{data: data, named: entityauth.EntityOf(data), protection: protectionOf(scheme)}
	r.context, err = scheme.Context(ctx, data, n.EntityPolicy)
	return r, err
}

func protectionOf(s entityauth.Scheme) Protection {
	return Protection{s.Encrypts(), s.Protects(), s.Encrypts(), s.Protects()}
}

// unseal verifies and decrypts the binary member of that name, which holds an
// encoded object.
func unseal(c mslcrypto.Context, object framing.Object, member string, failure mslerr.Code) (framing.Object, error) {
	data, err := get[[]byte](object, member)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, mslerr.New(mslerr.HeaderDataMissing, "%s is empty", member)
	}
	signature, err := get[[]byte](object, "signature")
	if err != nil {
		return nil, err
	}
	ok, err := c.Verify(data, signature)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mslerr.New(failure, "wrong signature")
	}
	plaintext, err := c.Decrypt(data)
	if err != nil {
		return nil, err
	}
	o, err := framing.DecodeOwned(plaintext)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	return o, nil
}

// parseHeader reads the plaintext of "headerdata" (spec 04 section 3).
func (n *Network) parseHeader(ctx context.Context, h *Header, o framing.Object, opts OpenOptions) error {
	// Step N as far as the ID goes: a wrong answer must not use up our offers.
	if opts.RequestID != nil && h.MessageID != NextID(*opts.RequestID) {
		return mslerr.New(mslerr.UnexpectedResponseMessageID, "not the answer to the outstanding request")
	}
	if err := n.checkSender(h.EntityAuth, h.MasterToken, opts.Remote); err != nil {
		return err
	}
	var err error
	if h.Timestamp, err = timestamp(o); err != nil {
		return err
	}
	if err := n.parseTokens(h, o); err != nil {
		return err
	}
	if err := n.parseFlags(h, o); err != nil {
		return err
	}
	if h.Held != nil {
		if err := n.checkReflection(h, o); err != nil {
			return err
		}
	}
	if h.KeyResponse != nil {
		return n.complete(ctx, h, opts)
	}
	return nil
}

// parseTokens does steps E, G and I, and reads the credentials of F.
func (n *Network) parseTokens(h *Header, o framing.Object) error {
	if r, ok, err := opt[framing.Object](o, "keyresponsedata"); err != nil {
		return err
	} else if ok {
		if h.KeyResponse, err = n.KeyExchange.ParseResponse(r, n.TokenKeys); err != nil {
			return err
		}
	}
	if n.PeerToPeer {
		if t, ok, err := opt[framing.Object](o, "peermastertoken"); err != nil {
			return err
		} else if ok {
			if h.PeerMT, err = token.ParseMasterToken(t, n.TokenKeys); err != nil {
				return err
			}
		}
	}
	var answered *token.MasterToken
	if h.KeyResponse != nil {
		answered = h.KeyResponse.Token
	}
	v, p := n.verification(h.MasterToken, h.PeerMT, answered)
	var err error
	if h.Tokens, err = n.tokens(o, "useridtoken", "servicetokens", v); err != nil {
		return err
	}
	if h.Tokens.UserID != nil {
		h.User = h.Tokens.UserID.User()
	}
	if n.PeerToPeer {
		if h.Peer, err = n.tokens(o, "peeruseridtoken", "peerservicetokens", p); err != nil {
			return err
		}
	}
	c, ok, err := opt[framing.Object](o, "userauthdata")
	if err != nil || !ok {
		return err
	}
	if !h.HeaderEncrypted {
		return mslerr.New(mslerr.UnencryptedMessageWithUserAuthData, "credentials in an unencrypted header")
	}
	h.Credentials, _, err = n.UserAuth.Parse(c)
	return err
}

// tokens reads one set of tokens, which must be bound to t.
func (n *Network) tokens(o framing.Object, userID, service string, t *token.MasterToken) (Tokens, error) {
	var set Tokens
	if u, ok, err := opt[framing.Object](o, userID); err != nil {
		return set, err
	} else if ok {
		if set.UserID, err = token.ParseUserIDToken(u, t, n.TokenKeys); err != nil {
			return set, err
		}
	}
	a, _, err := opt[framing.Array](o, service)
	if err != nil {
		return set, err
	}
	if limit := n.Limits.withDefaults().ServiceTokens; len(a) > limit {
		return set, mslerr.Wrap(mslerr.ParseError, &framing.LimitError{Limit: "number of service tokens", Max: limit})
	}
	objects, err := framing.Elements[framing.Object](a)
	if err != nil {
		return set, mslerr.Wrap(mslerr.ParseError, err)
	}
	for _, s := range objects {
		st, err := token.ParseServiceToken(s, t, set.UserID, n.ServiceContexts)
		if err != nil {
			return set, err
		}
		set.Service = append(set.Service, st)
	}
	return set, nil
}

// parseFlags does step H.
func (n *Network) parseFlags(h *Header, o framing.Object) error {
	var err error
	if h.NonReplayableID, h.NonReplayable, err = opt[int64](o, "nonreplayableid"); err != nil {
		return err
	}
	if h.NonReplayable && !validID(h.NonReplayableID) {
		return mslerr.New(mslerr.NonReplayableIDOutOfRange, "%d", h.NonReplayableID)
	}
	if h.Renewable, err = get[bool](o, "renewable"); err != nil {
		return err
	}
	if h.Handshake, _, err = opt[bool](o, "handshake"); err != nil {
		return err
	}
	if c, ok, err := opt[framing.Object](o, "capabilities"); err != nil {
		return err
	} else if ok {
		if h.Capabilities, err = parseCapabilities(c, n.Algorithms()); err != nil {
			return mslerr.Wrap(mslerr.ParseError, err)
		}
	}
	requests, _, err := opt[framing.Array](o, "keyrequestdata")
	if err != nil {
		return err
	}
	if h.KeyRequests, err = n.KeyExchange.ParseRequests(requests); err != nil {
		return err
	}
	h.Channel, _, err = opt[framing.Object](o, "channel")
	return err
}

// complete is step J.
func (n *Network) complete(ctx context.Context, h *Header, o OpenOptions) error {
	parties := o.Parties
	parties.Responder = h.named
	var err error
	if h.KeyResult, err = n.KeyExchange.Complete(ctx, o.Offers, h.KeyResponse, parties); err != nil {
		return err
	}
	if n.PeerToPeer {
		return nil // the new keys are for what we send from now on
	}
	h.PayloadEncrypted, h.PayloadProtected = true, true
	h.PayloadContext, err = sessionContext(o.Parties.Identity, h.KeyResponse.Token, h.KeyResult.Keys)
	return err
}

// checkSender is step N for the identity. A client compares nothing with a
// master token: whoever has the session keys is the service.
func (n *Network) checkSender(d entityauth.Data, t *token.MasterToken, want token.Entity) error {
	var sender token.Entity
	switch {
	case d != nil:
		sender = entityauth.EntityOf(d)
	case t != nil && t.Verified():
		sender = entityOfToken(t)
	default:
		return nil
	}
	if want.Identity != "" && sender.Identity != want.Identity || want.Scheme != "" && sender.Scheme != want.Scheme {
		return mslerr.New(mslerr.MessageSenderMismatch, "not the expected entity")
	}
	return nil
}

// checkReflection refuses a client's own messages, which come back under keys
// that both directions share (W-04).
func (n *Network) checkReflection(h *Header, o framing.Object) error {
	sender, _, _ := framing.Opt[string](o, "sender")
	if sender != "" && sender == h.Held.Self.Identity ||
		h.NonReplayable || len(h.KeyRequests) > 0 || h.Credentials != nil {
		return mslerr.New(mslerr.UnexpectedLocalMessageSender, "a client's message under its own master token")
	}
	return nil
}

// messageID is step D.
func messageID(o framing.Object) (int64, error) {
	id, err := get[int64](o, "messageid")
	if err != nil {
		return 0, err
	}
	if !validID(id) {
		return 0, mslerr.New(mslerr.MessageIDOutOfRange, "%d", id)
	}
	return id, nil
}

func timestamp(o framing.Object) (time.Time, error) {
	t, ok, err := opt[int64](o, "timestamp")
	if err != nil || !ok {
		return time.Time{}, err
	}
	return time.Unix(t, 0), nil
}

// get and opt read members; a member that does not fit is a parse error.
func get[T framing.Value](o framing.Object, name string) (T, error) {
	v, err := framing.Get[T](o, name)
	return v, parseError(err)
}

func opt[T framing.Value](o framing.Object, name string) (T, bool, error) {
	v, ok, err := framing.Opt[T](o, name)
	return v, ok, parseError(err)
}

func parseError(err error) error {
	if _, ok := errors.AsType[*framing.MemberError](err); ok {
		return mslerr.Wrap(mslerr.ParseError, err)
	}
	return err
}
