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
// with all keys at hand, and then lets our server and our client take the place of
// the recorded ones.
var conversationLists = map[string]runner{
	"description": nil,
	"conversations": func(r *run, list json.RawMessage) {
		var conversations []conversation
		if err := json.Unmarshal(list, &conversations); err != nil {
			r.t.Fatal(err)
		}
		for _, c := range conversations {
			c.open(r)
			c.replay(r)
		}
	},
}

type conversation struct {
	Conversation, Mode string
	Connections        []connection // where there are no steps
	Steps              []step
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
	IssuerKeys                   string
	SessionData                  *struct {
		Identity                    string
		EncryptionKey, SignatureKey []byte
	}
}

// replay runs our server against the recorded client, and our client against the
// recorded server where the conversation says what the client's application did.
// Each compares what it writes with what was recorded at its place.
func (c *conversation) replay(r *run) {
	side := func(name string, play func(*replay) error) {
		r.one(c.Conversation+"/"+name, func(t *testing.T) error {
			p, err := c.newReplay(t, r)
			if err != nil {
				return err
			}
			err = play(p)
			if name == "server" {
				r.messages += p.messages // once
			}
			r.opened += p.opened
			r.compared += p.compared
			r.unequal += len(p.unequal)
			for _, d := range p.unequal {
				t.Error(d)
			}
			if why, ok := errors.AsType[errUnopened](err); ok {
				r.unopened = append(r.unopened, c.Conversation+": "+string(why))
				return nil
			}
			return err
		})
	}
	side("server", (*replay).serve)
	if len(c.Steps) > 0 {
		side("client", func(p *replay) error { return p.request(c.Steps) })
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

// direction opens one side of a connection.
func (k *connection) direction(t *testing.T, n *message.Network, wire []byte, want []openedObject) error {
	t.Helper()
	messages, err := cut(wire)
	if err != nil {
		return err
	}
	for _, m := range messages {
		n, err := k.message(t, n, m, want)
		if err != nil {
			return err
		}
		want = want[n:]
	}
	if len(want) > 0 {
		return fmt.Errorf("%d objects less than wanted", len(want))
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
	return err
}

// header compares the plaintext of a header, and what was parsed of its tokens.
func (k *connection) header(t *testing.T, h *message.Header, want openedObject) error {
	t.Helper()
	data, err := headerData(h)
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
	return nil, fmt.Errorf("compression %q is not known", p.CompressionAlgo)
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
