package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
	"github.com/mslgo/msl/stream"
)

var messageLists = map[string]runner{
	"description": nil, "reader_clock": nil,
	"accepted": func(r *run, list json.RawMessage) {
		each(r, list, func(c *messageCase) string { return c.Case }, func(t *testing.T, c *messageCase) error { return c.accepted(t, r) })
	},
	"rejected": func(r *run, list json.RawMessage) {
		each(r, list, func(c *messageCase) string { return c.Case }, func(t *testing.T, c *messageCase) error { return c.rejected(t, r) })
	},
}

// messageCase is a whole message and who reads it.
type messageCase struct {
	Case, Note, Reader string
	Message            []byte
	Objects            int
	Opened             []opened
	Extra              secrets
	Expect             result[map[string]any]
}

// opened is the peer's own view of an object, all keys at hand.
type opened struct {
	Payload json.RawMessage
}

// reader is the network of a reader, and what it knows beforehand.
func (c *messageCase) reader(t *testing.T, r *run, now time.Time) (*message.Network, message.OpenOptions, error) {
	t.Helper()
	k := r.keys
	clock := func() time.Time { return now }
	n := &message.Network{Service: "conformance", ServiceContexts: serviceContexts(t, k.ServiceTokens), Clock: clock}
	var o message.OpenOptions
	switch c.Reader {
	case "server", "peer B":
		n.TokenKeys = k.tokenKeys(t, "msl.server")
	case "peer A":
		n.TokenKeys = k.tokenKeys(t, "msl.peer")
	case "client":
	default:
		return nil, o, fmt.Errorf("unknown reader %q", c.Reader)
	}
	n.PeerToPeer = c.Reader == "peer A" || c.Reader == "peer B"
	var session func(*token.MasterToken) mslcrypto.Context
	if s := c.Extra.SessionKeys; s != nil {
		held := holder{keys: mslcrypto.SessionKeys{Encryption: s.EncryptionKey, Signature: s.SignatureKey}, identity: c.Extra.ClientIdentity}
		o.Holder = held
		session = held.context
	}
	if n.TokenKeys != nil {
		n.Issuer = c.issuer(t)
	}
	n.EntityAuth = k.entityAuth(t, n.TokenKeys, session, clock)
	n.UserAuth = k.userAuth(n.TokenKeys)
	n.KeyExchange = k.keyExchange(t, n.TokenKeys)
	if q := c.Extra.KeyRequestData; q != nil {
		scheme, offers, err := c.Extra.requester(t, *q, new(keyx.MemoryRepository))
		if err != nil {
			return nil, o, err
		}
		n.KeyExchange, o.Offers = keyx.Schemes{scheme}, offers
		o.Parties.Identity = c.Extra.ClientIdentity
	}
	return n, o, nil
}

// The special state of a reader stands in the case's name.
var (
	revokes     = regexp.MustCompile(`reader revokes ([^ )]+)`)
	largestSeen = regexp.MustCompile(`largest seen \((\d+)\)`)
)

func (c *messageCase) issuer(t *testing.T) *issuer {
	t.Helper()
	i := new(issuer)
	if m := revokes.FindStringSubmatch(c.Case); m != nil {
		i.revoked = m[1]
	}
	if m := largestSeen.FindStringSubmatch(c.Case); m != nil {
		var err error
		if i.largest, err = strconv.ParseInt(m[1], 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// received is a message as this implementation reads it.
type received struct {
	header    *message.Header
	err       *message.ErrorHeader
	handshake bool
	data      []byte
}

// read reads the message. inPayload says where an error comes from.
func (c *messageCase) read(t *testing.T, n *message.Network, o message.OpenOptions) (m received, inPayload bool, err error) {
	t.Helper()
	r := framing.NewReader(bytes.NewReader(c.Message), framing.Limits{})
	return readMessage(t, n, o, r)
}

func readMessage(t *testing.T, n *message.Network, o message.OpenOptions, r *framing.Reader) (m received, inPayload bool, err error) {
	t.Helper()
	raw, err := message.Read(r)
	if err != nil {
		return m, false, err
	}
	if m.header, err = n.Receive(t.Context(), raw, o); err != nil {
		if errors.As(err, &m.err) {
			return m, false, nil
		}
		return m, false, err
	}
	body := stream.NewChunkReader(r, m.header, stream.ChunkReaderConfig{Algorithms: n.Algorithms()})
	if m.handshake, err = body.Handshake(); err != nil {
		return m, true, err
	}
	m.data, err = io.ReadAll(body)
	return m, true, err
}

func (c *messageCase) accepted(t *testing.T, r *run) error {
	now, err := c.clock(r)
	if err != nil {
		return err
	}
	n, o, err := c.reader(t, r, now)
	if err != nil {
		return err
	}
	m, _, err := c.read(t, n, o)
	// A message that just stops is reported, where the peer takes it for whole (W-08).
	if errors.Is(err, io.ErrUnexpectedEOF) && !c.ends(t) {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := c.countObjects(); err != nil {
		return err
	}
	if c.Expect.OK == nil {
		return errors.New("the vectors give no outcome")
	}
	got, want := c.view(t, m, now), *c.Expect.OK
	if err := c.ownWays(t, m, got, want); err != nil {
		return err
	}
	return same(any(got), any(want))
}

// ends says whether the message has a last chunk.
func (c *messageCase) ends(t *testing.T) bool {
	t.Helper()
	for _, o := range c.Opened {
		var p struct{ EndOfMsg bool }
		if len(o.Payload) == 0 {
			continue
		}
		if err := json.Unmarshal(o.Payload, &p); err != nil {
			t.Fatal(err)
		}
		if p.EndOfMsg {
			return true
		}
	}
	return false
}

func (c *messageCase) clock(r *run) (time.Time, error) {
	var seconds int64
	err := json.Unmarshal(r.members["reader_clock"], &seconds)
	return time.Unix(seconds, 0), err
}

func (c *messageCase) countObjects() error {
	r := framing.NewReader(bytes.NewReader(c.Message), framing.Limits{})
	n := 0
	for {
		if _, _, err := r.Object(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		n++
	}
	if n != c.Objects {
		return fmt.Errorf("%d objects, want %d", n, c.Objects)
	}
	return nil
}

// ownWays checks and takes out what is compared in another way: the identity of
// a PROVISIONED entity is made up by its reader, and the peer encrypted
// MT_PROTECTED data again.
func (c *messageCase) ownWays(t *testing.T, m received, got, want map[string]any) error {
	t.Helper()
	if m.header == nil {
		return nil
	}
	switch d := m.header.EntityAuth.(type) {
	case *entityauth.ProvisionedData:
		if got["identity"] == "" {
			return errors.New("the PROVISIONED entity has no identity")
		}
		want["identity"] = got["identity"]
	case *entityauth.MTProtectedData:
		delete(got, "entityauthdata")
		delete(want, "entityauthdata")
		if want["identity"] != d.Inner().Identity() {
			return fmt.Errorf("inside MT_PROTECTED there is %q", d.Inner().Identity())
		}
	}
	return nil
}

// view is a message as the vectors describe it.
func (c *messageCase) view(t *testing.T, m received, now time.Time) map[string]any {
	t.Helper()
	if e := m.err; e != nil {
		v := map[string]any{
			"type": "error", "identity": e.Sender.Identity, "entityauthdata": entityAuthData(t, e.EntityAuth),
			"messageid": e.MessageID, "errorcode": int(e.Response), "errorcodename": e.Response.String(), "internalcode": e.InternalCode,
		}
		addTime(v, e.Timestamp)
		addText(v, "errormsg", e.Text)
		addText(v, "usermsg", e.UserMessage)
		return v
	}
	h := m.header
	v := map[string]any{
		"type": "message", "messageid": h.MessageID, "renewable": h.Renewable, "handshake": h.Handshake,
		"header_encrypts": h.HeaderEncrypted, "payload_encrypted": h.PayloadEncrypted, "payload_integrity": h.PayloadProtected,
		"counts_as_handshake": m.handshake, "applicationdata": base64Of(m.data), "applicationdata_length": len(m.data),
	}
	addTime(v, h.Timestamp)
	addText(v, "identity", h.Sender.Identity)
	addText(v, "user", string(h.User))
	if h.EntityAuth != nil {
		v["entityauthdata"] = entityAuthData(t, h.EntityAuth)
	}
	addMasterToken(t, v, "mastertoken", h.MasterToken, now)
	addMasterToken(t, v, "peermastertoken", h.PeerMT, now)
	if h.NonReplayable {
		v["nonreplayableid"] = h.NonReplayableID
	}
	if c := h.Capabilities; c != nil {
		v["capabilities"] = map[string]any{
			"compressionalgos": list(c.Compression, func(a compress.Algorithm) any { return a.Name() }),
			"encoderformats":   list(c.Formats, func(f framing.Format) any { return f.Name() }),
			"languages":        list(c.Languages, func(s string) any { return s }),
		}
	}
	addTokens(t, v, "useridtoken", "servicetokens", h.Tokens)
	addTokens(t, v, "peeruseridtoken", "peerservicetokens", h.Peer)
	if h.Credentials != nil {
		o, err := userauth.Object(h.Credentials, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		v["userauthdata"] = plain(t, o)
	}
	addKeyExchange(t, v, h, now)
	return v
}

// addKeyExchange adds the key requests as they were sent, since a parsed one does
// not show what it was, and the key response.
func addKeyExchange(t *testing.T, v map[string]any, h *message.Header, now time.Time) {
	t.Helper()
	if len(h.KeyRequests) > 0 {
		outer, err := framing.Decode(h.Raw)
		if err != nil {
			t.Fatal(err)
		}
		ciphertext, err := framing.Get[[]byte](outer, "headerdata")
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := h.HeaderContext.Decrypt(ciphertext)
		if err != nil {
			t.Fatal(err)
		}
		data, err := framing.Decode(plaintext)
		if err != nil {
			t.Fatal(err)
		}
		v["keyrequestdata"] = plain(t, data).(map[string]any)["keyrequestdata"]
		for i, q := range v["keyrequestdata"].([]any) {
			if scheme := q.(map[string]any)["scheme"]; scheme != h.KeyRequests[i].Scheme() {
				t.Errorf("key request %d is %s, want %v", i, h.KeyRequests[i].Scheme(), scheme)
			}
		}
	}
	if q := h.KeyResponse; q != nil {
		v["keyresponsedata"] = plain(t, framing.Object{"mastertoken": q.Token.Object(), "scheme": q.Scheme, "keydata": q.KeyData})
		addMasterToken(t, v, "keyresponse_mastertoken", q.Token, now)
	}
}

func list[T any](from []T, f func(T) any) []any {
	to := make([]any, len(from))
	for i, e := range from {
		to[i] = f(e)
	}
	return to
}

func addTime(v map[string]any, at time.Time) {
	if !at.IsZero() {
		v["timestamp"] = at.Unix()
	}
}

func addText(v map[string]any, name, text string) {
	if text != "" {
		v[name] = text
	}
}

func addMasterToken(t *testing.T, v map[string]any, name string, mt *token.MasterToken, now time.Time) {
	t.Helper()
	if mt != nil {
		v[name] = viewMasterToken(t, mt, now)
	}
}

func addTokens(t *testing.T, v map[string]any, userID, service string, set message.Tokens) {
	t.Helper()
	if set.UserID != nil {
		v[userID] = viewUserIDToken(t, set.UserID)
	}
	if len(set.Service) > 0 {
		v[service] = list(set.Service, func(s *token.ServiceToken) any { return viewServiceToken(t, s) })
	}
}

func entityAuthData(t *testing.T, d entityauth.Data) any {
	t.Helper()
	o, err := entityauth.Object(d, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return plain(t, o)
}

func (c *messageCase) rejected(t *testing.T, r *run) error {
	now, err := c.clock(r)
	if err != nil {
		return err
	}
	n, o, err := c.reader(t, r, now)
	if err != nil {
		return err
	}
	_, inPayload, err := c.read(t, n, o)
	if mayAccept(c.Note) {
		// Who accepts the header may still find fault with what follows it.
		var e *mslerr.Error
		if err == nil || errors.As(err, &e) {
			return nil
		}
	}
	if c.Expect.Error == nil {
		return errors.New("the vectors give no error")
	}
	return c.Expect.Error.compare(err, inPayload)
}

// issuer is the issuer of a reader of vectors: nothing happened before, but what
// the case says.
type issuer struct {
	token.Issuer
	revoked string
	largest int64 // non-replayable ID accepted so far
}

func (i *issuer) Revoked(_ context.Context, e token.Entity, _ int64, _ token.User, _ int64) error {
	if i.revoked != "" && e.Identity == i.revoked {
		return mslerr.New(mslerr.MasterTokenIdentityRevoked, "revoked")
	}
	return nil
}

func (i *issuer) Renewable(context.Context, token.Entity, int64, int64) error { return nil }

func (i *issuer) Confirm(context.Context, token.Entity, int64, int64) error { return nil }

// AcceptNonReplayable applies spec 04 section 3.3.
func (i *issuer) AcceptNonReplayable(_ context.Context, _ string, _ token.Entity, _, id int64) error {
	const window, old = 65536, 6
	l := i.largest
	switch {
	case id <= l && id > l-old:
		return mslerr.New(mslerr.MessageReplayed, "%d after %d", id, l)
	case id > l+window, id < l && id >= l-message.MaxID+window:
		return mslerr.New(mslerr.MessageReplayedUnrecoverable, "%d after %d", id, l)
	}
	i.largest = id
	return nil
}

// holder has the session keys of every master token: a reader has only one.
type holder struct {
	token.Holder
	keys     mslcrypto.SessionKeys
	identity string
}

func (h holder) Find(_ context.Context, t *token.MasterToken) (*token.Held, error) {
	return &token.Held{Token: t, Keys: h.keys, Self: token.Entity{Identity: h.identity}}, nil
}

func (h holder) context(t *token.MasterToken) mslcrypto.Context {
	c, err := mslcrypto.NewSession(h.keys, mslcrypto.SessionKeyID(h.identity, t.Sequence))
	if err != nil {
		return nil
	}
	return c
}
