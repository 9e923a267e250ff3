package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
)

// sight is a message as somebody sees it who has the keys of everybody.
type sight struct {
	entity   any             // entity authentication data; nil under a master token
	header   *message.Header // nil: an error header
	err      *message.ErrorHeader
	members  map[string]any // of the header data, or of the error data
	body     bool           // it has chunks
	data     []byte
	compress []string // the algorithms of its chunks, without repetition
}

// cut splits what went one way over a connection into messages: an object with
// "payload" belongs to the message before it, any other begins a new one.
func cut(wire []byte) ([][]byte, error) {
	var messages [][]byte
	r := framing.NewReader(bytes.NewReader(wire), framing.Limits{})
	for {
		raw, _, err := r.Object()
		if err == io.EOF {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		o, err := framing.Decode(raw)
		if err != nil {
			return messages, err
		}
		if o["payload"] == nil || len(messages) == 0 {
			messages = append(messages, nil)
		}
		last := &messages[len(messages)-1]
		*last = append(*last, raw...)
	}
}

// see opens a message with all keys. identity is whom its new master token names.
func see(t *testing.T, n *message.Network, wire []byte, identity string) (*sight, error) {
	t.Helper()
	r := framing.NewReader(bytes.NewReader(wire), framing.Limits{})
	raw, err := message.Read(r)
	if err != nil {
		return nil, err
	}
	h, err := n.Open(t.Context(), raw, message.OpenOptions{Parties: keyx.Parties{Identity: identity}})
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok {
		return &sight{err: e, entity: entityAuthData(t, e.EntityAuth), members: viewErrorData(e).(map[string]any)}, nil
	}
	if err != nil {
		return nil, err
	}
	s := &sight{header: h}
	if h.EntityAuth != nil {
		s.entity = entityAuthData(t, h.EntityAuth)
	}
	plaintext, err := headerData(h)
	if err != nil {
		return nil, err
	}
	s.members = plain(t, plaintext).(map[string]any)
	body := stream.NewChunkReader(r, h, stream.ChunkReaderConfig{MayBeAbsent: true, Algorithms: n.Algorithms()})
	if s.data, err = io.ReadAll(body); err != nil {
		return nil, err
	}
	return s, s.chunks(wire)
}

// headerData is the plaintext of a header.
func headerData(h *message.Header) (framing.Object, error) {
	outer, err := framing.Decode(h.Raw)
	if err != nil {
		return nil, err
	}
	ciphertext, err := framing.Get[[]byte](outer, "headerdata")
	if err != nil {
		return nil, err
	}
	plaintext, err := h.HeaderContext.Decrypt(ciphertext)
	if err != nil {
		return nil, err
	}
	return framing.Decode(plaintext)
}

// chunks looks how the body is compressed.
func (s *sight) chunks(wire []byte) error {
	r := framing.NewReader(bytes.NewReader(wire), framing.Limits{})
	for first := true; ; first = false {
		raw, _, err := r.Object()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			continue
		}
		s.body = true
		outer, err := framing.Decode(raw)
		if err != nil {
			return err
		}
		ciphertext, err := framing.Get[[]byte](outer, "payload")
		if err != nil {
			return err
		}
		plaintext, err := s.header.PayloadContext.Decrypt(ciphertext)
		if err != nil {
			return err
		}
		inner, err := framing.Decode(plaintext)
		if err != nil {
			return err
		}
		if name, _, err := framing.Opt[string](inner, "compressionalgo"); err != nil {
			return err
		} else if data, _ := inner["data"].([]byte); len(data) > 0 && !slices.Contains(s.compress, name) {
			s.compress = append(s.compress, name)
		}
	}
}

// compare says where a message that we wrote differs from the one that was
// recorded at its place. Both belong to exchange with the message request; nil:
// none. Keys, ciphertexts, and the serial numbers of user ID tokens are random:
// of what is new in a message, what was decided is compared.
func (s *sight) compare(t *testing.T, want, request *sight) error {
	t.Helper()
	if (s.err != nil) != (want.err != nil) {
		return fmt.Errorf("%v, want %v", s, want)
	}
	if err := same(s.entity, want.entity); err != nil {
		return fmt.Errorf("entity authentication data%w", err)
	}
	got, wanted := maps.Clone(s.members), maps.Clone(want.members)
	if want.err != nil && request == nil { // the recorded server could not see which message it refused
		delete(got, "messageid")
		delete(wanted, "messageid")
	}
	for name, v := range wanted {
		if g, ok := got[name]; ok {
			got[name], wanted[name] = s.decided(t, name, g, request), want.decided(t, name, v, request)
		}
	}
	if err := same(any(got), any(wanted)); err != nil {
		return fmt.Errorf("header data%w", err)
	}
	if want.err != nil {
		return nil
	}
	if err := sameToken(s.header.MasterToken, want.header.MasterToken); err != nil {
		return fmt.Errorf("master token: %w", err)
	}
	if !bytes.Equal(s.data, want.data) {
		return fmt.Errorf("data %.40q, want %.40q", s.data, want.data)
	}
	// Who replies to a handshake may end the message with a chunk, or not (spec 04 section 7.4).
	reply := request != nil && request.header != nil && request.header.Handshake
	if s.body != want.body && !reply {
		return fmt.Errorf("there are chunks: %v, want %v", s.body, want.body)
	}
	if !slices.Equal(s.compress, want.compress) {
		return fmt.Errorf("data is compressed by %q, want %q", s.compress, want.compress)
	}
	return nil
}

func (s *sight) id() int64 {
	if s.err != nil {
		return s.err.MessageID
	}
	return s.header.MessageID
}

func (s *sight) String() string {
	if s.err != nil {
		return "error " + s.err.Error()
	}
	return fmt.Sprintf("message %d", s.header.MessageID)
}

// sameToken compares the numbers of two master tokens: one is of the recorded
// issuer, the other perhaps of ours.
func sameToken(got, want *token.MasterToken) error {
	if (got == nil) != (want == nil) {
		return fmt.Errorf("there is one: %v, want %v", got != nil, want != nil)
	}
	if got != nil && (got.Serial != want.Serial || got.Sequence != want.Sequence) {
		return fmt.Errorf("numbers %d, %d, want %d, %d", got.Serial, got.Sequence, want.Serial, want.Sequence)
	}
	return nil
}

// named are the members of key data that are no keys.
var named = []string{"keyid", "keypairid", "mechanism", "parametersid"}

// decided is the value of a member, and of what is random in it only that it is there.
func (s *sight) decided(t *testing.T, name string, v any, request *sight) any {
	t.Helper()
	switch name {
	case "errormsg", "usermsg":
		return true // the words are free
	case "keyrequestdata":
		return list(v.([]any), func(q any) any { return keyData(q.(map[string]any)) })
	case "keyresponsedata":
		o := keyData(v.(map[string]any))
		mt := s.header.KeyResponse.Token
		o["mastertoken"] = []any{mt.Serial, mt.Sequence, mt.RenewalWindow.Unix(), mt.Expiration.Unix(), mt.Identity()}
		return o
	case "useridtoken":
		return decidedUser(t, s.header.Tokens.UserID, v, request)
	case "peeruseridtoken":
		return decidedUser(t, s.header.Peer.UserID, v, request)
	case "servicetokens":
		return decidedService(t, s.header.Tokens)
	case "peerservicetokens":
		return decidedService(t, s.header.Peer)
	}
	return v
}

// keyData is a key request or response without its keys.
func keyData(q map[string]any) map[string]any {
	shown := make(map[string]any)
	data, _ := q["keydata"].(map[string]any)
	for name, v := range data {
		if !slices.Contains(named, name) {
			v = "random"
		}
		shown[name] = v
	}
	return map[string]any{"scheme": q["scheme"], "keydata": shown}
}

// decidedUser is a user ID token: the very same as in the request, or what a new
// one says.
func decidedUser(t *testing.T, u *token.UserIDToken, v any, request *sight) any {
	t.Helper()
	if request != nil && request.header != nil {
		for _, name := range []string{"useridtoken", "peeruseridtoken"} {
			if old, ok := request.members[name]; ok && same(v, old) == nil {
				return v
			}
		}
	}
	return []any{"new", string(u.User()), u.MasterTokenSerial, u.RenewalWindow.Unix(), u.Expiration.Unix()}
}

// decidedService is what is known of service tokens. The tokens are a set.
func decidedService(t *testing.T, set message.Tokens) any {
	t.Helper()
	var views []string
	for _, s := range set.Service {
		v := viewServiceToken(t, s).(map[string]any)
		if s.UserIDTokenSerial != -1 && set.UserID != nil && s.UserIDTokenSerial == set.UserID.Serial {
			v["uitserialnumber"] = "that of the user ID token"
		}
		views = append(views, encoded(normal("", v)))
	}
	slices.Sort(views)
	return strings.Join(views, "\n")
}
