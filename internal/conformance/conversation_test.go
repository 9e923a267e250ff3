package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
)

// conversationLists opens what went over each connection, in both directions,
// with all keys at hand. That each side does what it did there is another matter:
// it needs a client and a server.
var conversationLists = map[string]runner{
	"description": nil,
	"conversations": func(r *run, list json.RawMessage) {
		var conversations []conversation
		if err := json.Unmarshal(list, &conversations); err != nil {
			r.t.Fatal(err)
		}
		for _, c := range conversations {
			c.open(r)
			r.one(c.Conversation+"/replay", func(*testing.T) error { return errNotYet("replaying a conversation needs a client and a server") })
		}
	},
}

type conversation struct {
	Conversation, Mode string
	Connections        []connection // where there are no steps
	Steps              []struct {
		Step        string
		Connections []connection
	}
}

// connection is what went over one connection.
type connection struct {
	ToServer       []byte         `json:"client_to_server"`
	ToClient       []byte         `json:"server_to_client"`
	ToServerOpened []openedObject `json:"client_to_server_opened"`
	ToClientOpened []openedObject `json:"server_to_client_opened"`
}

type openedObject struct {
	Kind                           string
	EntityAuthData                 any
	HeaderData, ErrorData, Payload any
	MasterToken                    *openedToken
	KeyResponseToken               *openedToken `json:"keyresponse_mastertoken"`
}

// openedToken is a master token as far as the peer's helper opened it.
type openedToken struct {
	SequenceNumber, SerialNumber int64
	SessionData                  *struct {
		Identity                    string
		EncryptionKey, SignatureKey []byte
	}
}

func (c *conversation) open(r *run) {
	n := omniscient(r)
	n.PeerToPeer = strings.HasPrefix(c.Mode, "peer-to-peer")
	open := func(step string, connections []connection) {
		for i, k := range connections {
			name := fmt.Sprintf("%s/%s connection %d", c.Conversation, step, i)
			r.one(name+" to server", func(t *testing.T) error { return k.direction(t, n, k.ToServer, k.ToServerOpened) })
			r.one(name+" to client", func(t *testing.T) error { return k.direction(t, n, k.ToClient, k.ToClientOpened) })
		}
	}
	open("", c.Connections)
	for _, s := range c.Steps {
		open(s.Step+" ", s.Connections)
	}
}

// omniscient is a reader who has the keys of everybody.
func omniscient(r *run) *message.Network {
	k := r.keys
	var rings []mslcrypto.Context
	for _, issuer := range slices.Sorted(maps.Keys(k.TokenKeys)) {
		rings = append(rings, k.TokenKeys[issuer].context(r.t, issuer))
	}
	ring := token.NewKeys(rings[0], rings[1:]...)
	clock := func() time.Time { return vectorsTime }
	return &message.Network{
		EntityAuth: k.entityAuth(r.t, ring, nil, clock), UserAuth: k.userAuth(ring), KeyExchange: k.keyExchange(r.t, ring),
		TokenKeys: ring, ServiceContexts: serviceContexts(r.t, k.ServiceTokens), Clock: clock,
	}
}

// direction opens one side of a connection. An object with "payload" belongs to
// the message before it, any other begins a new one.
func (k *connection) direction(t *testing.T, n *message.Network, wire []byte, want []openedObject) error {
	t.Helper()
	var messages [][]byte
	r := framing.NewReader(bytes.NewReader(wire), framing.Limits{})
	count := 0
	for {
		raw, _, err := r.Object()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		o, err := framing.Decode(raw)
		if err != nil {
			return err
		}
		count++
		if o["payload"] == nil || len(messages) == 0 {
			messages = append(messages, nil)
		}
		last := &messages[len(messages)-1]
		*last = append(*last, raw...)
	}
	if count != len(want) {
		return fmt.Errorf("%d objects, want %d", count, len(want))
	}
	for _, m := range messages {
		n, err := k.message(t, n, m, want)
		if err != nil {
			return err
		}
		want = want[n:]
	}
	return nil
}

// message opens one message and returns how many objects it has.
func (k *connection) message(t *testing.T, n *message.Network, wire []byte, want []openedObject) (objects int, err error) {
	t.Helper()
	r := framing.NewReader(bytes.NewReader(wire), framing.Limits{})
	raw, err := message.Read(r)
	if err != nil {
		return 0, err
	}
	var o message.OpenOptions
	if mt := want[0].KeyResponseToken; mt != nil && mt.SessionData != nil {
		o.Parties.Identity = mt.SessionData.Identity // the issuer's keys open the token, so no offers are needed
	}
	h, err := n.Open(t.Context(), raw, o)
	if e, ok := errors.AsType[*message.ErrorHeader](err); ok {
		return 1, errors.Join(
			same(entityAuthData(t, e.EntityAuth), want[0].EntityAuthData),
			same(viewErrorData(e), want[0].ErrorData))
	}
	if err != nil {
		return len(want), k.refused(err)
	}
	if err := k.header(t, h, want[0]); err != nil {
		return 0, err
	}
	var data, wantData []byte
	for objects = 1; objects < len(want) && want[objects].Kind == "payload"; objects++ {
		d, err := payloadData(t, n, want[objects])
		if err != nil {
			return 0, err
		}
		wantData = append(wantData, d...)
	}
	body := stream.NewChunkReader(r, h, stream.ChunkReaderConfig{MayBeAbsent: true, Algorithms: n.Algorithms()})
	if data, err = io.ReadAll(body); err != nil {
		return 0, err
	}
	if !bytes.Equal(data, wantData) {
		return 0, errors.New("other application data")
	}
	return objects, nil
}

// refused says whether the peer refused the message with the same error: then it
// is the point of the conversation.
func (k *connection) refused(err error) error {
	var e *mslerr.Error
	if !errors.As(err, &e) || len(k.ToClientOpened) == 0 || k.ToClientOpened[0].ErrorData == nil {
		return err
	}
	answer, _ := k.ToClientOpened[0].ErrorData.(map[string]any)
	if normal("", answer["internalcode"]) == fmt.Sprint(int64(e.Code)+mslerr.WireOffset) {
		return nil
	}
	return unbuilt(err)
}

// header compares the plaintext of a header, and what was parsed of its tokens.
func (k *connection) header(t *testing.T, h *message.Header, want openedObject) error {
	t.Helper()
	outer, err := framing.Decode(h.Raw)
	if err != nil {
		return err
	}
	ciphertext, err := framing.Get[[]byte](outer, "headerdata")
	if err != nil {
		return err
	}
	plaintext, err := h.HeaderContext.Decrypt(ciphertext)
	if err != nil {
		return err
	}
	data, err := framing.Decode(plaintext)
	if err != nil {
		return err
	}
	if err := same(plain(t, data), want.HeaderData); err != nil {
		return fmt.Errorf("header data: %w", err)
	}
	if h.EntityAuth != nil {
		if err := same(entityAuthData(t, h.EntityAuth), want.EntityAuthData); err != nil {
			return fmt.Errorf("entity authentication data: %w", err)
		}
	}
	if err := want.MasterToken.compare(h.MasterToken); err != nil {
		return fmt.Errorf("master token: %w", err)
	}
	if h.KeyResponse == nil {
		return want.KeyResponseToken.compare(nil)
	}
	if err := want.KeyResponseToken.compare(h.KeyResponse.Token); err != nil {
		return fmt.Errorf("master token of the key response: %w", err)
	}
	return nil
}

func (o *openedToken) compare(mt *token.MasterToken) error {
	if (o == nil) != (mt == nil) {
		return fmt.Errorf("there is one: %v, want %v", mt != nil, o != nil)
	}
	if o == nil {
		return nil
	}
	if mt.Sequence != o.SequenceNumber || mt.Serial != o.SerialNumber {
		return fmt.Errorf("numbers %d, %d, want %d, %d", mt.Serial, mt.Sequence, o.SerialNumber, o.SequenceNumber)
	}
	if s := o.SessionData; s != nil {
		keys := mt.SessionKeys()
		if mt.Identity() != s.Identity || !bytes.Equal(keys.Encryption, s.EncryptionKey) || !bytes.Equal(keys.Signature, s.SignatureKey) {
			return errors.New("other identity or keys inside")
		}
	}
	return nil
}

// payloadData is the data of a chunk, decompressed.
func payloadData(t *testing.T, n *message.Network, o openedObject) ([]byte, error) {
	t.Helper()
	raw, err := json.Marshal(o.Payload)
	if err != nil {
		return nil, err
	}
	var p struct {
		Data            []byte
		CompressionAlgo string
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	if p.CompressionAlgo == "" || len(p.Data) == 0 {
		return p.Data, nil
	}
	for _, a := range n.Algorithms() {
		if a.Name() == p.CompressionAlgo {
			return a.Decompress(nil, p.Data, 1<<20)
		}
	}
	return nil, errNotYet("compression " + p.CompressionAlgo)
}

// viewErrorData is the plaintext of an error header.
func viewErrorData(e *message.ErrorHeader) any {
	v := map[string]any{"messageid": e.MessageID, "errorcode": int(e.Response)}
	addTime(v, e.Timestamp)
	addText(v, "errormsg", e.Text)
	addText(v, "usermsg", e.UserMessage)
	if e.InternalCode >= 0 {
		v["internalcode"] = e.InternalCode
	}
	return v
}
