package session

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/stream"
)

// What somebody can do with a connection that was recorded.

// tape keeps the units of one direction.
func tape(units *[][]byte) rewrite {
	return func(n int, unit []byte) [][]byte {
		*units = append(*units, bytes.Clone(unit))
		return pass(n, unit)
	}
}

// A record of another channel under the same token, in the place where it was,
// ends the channel, and no application sees it.
func TestRecordOfAnotherChannel(t *testing.T) {
	w := newWorld(t)
	w.firstContact(t)
	begin := func(i2r rewrite) (client, server *Session) {
		a, b := middle(t, i2r, pass)
		client, server, err1, err2 := w.connect(t.Context(), a, b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(client, server) })
		return client, server
	}
	var units [][]byte
	client, server := begin(tape(&units))
	say(t, client, "once")
	if got := heard(t, server); got != "once" {
		t.Fatalf("heard %q", got)
	}
	end(client, server)
	const second = 2 // the header, the first record, and what is exchanged
	client, server = begin(func(n int, unit []byte) [][]byte {
		if n == second {
			unit = units[second]
		}
		return pass(n, unit)
	})
	// The record may be one that answers before anything is said, and the
	// channel lost by then.
	if st, err := client.OpenStream(t.Context()); err == nil {
		_, _ = io.WriteString(st, "twice")
		_ = st.CloseWrite()
	}
	<-server.Done()
	if !errors.Is(server.Err(), ErrChannelLost) {
		t.Errorf("server: %v", server.Err())
	}
	if st, err := server.AcceptStream(t.Context()); err == nil {
		t.Errorf("the application got %v", st)
	}
}

// Who recorded a resumed session and learns its session keys later cannot read
// it: the secret of the share is missing.
func TestForwardSecrecy(t *testing.T) {
	w := newWorld(t)
	w.firstContact(t)
	keys := w.newest().Keys
	var log bytes.Buffer
	w.initiator.KeyLog = &log
	var sent, answered [][]byte
	a, b := middle(t, tape(&sent), tape(&answered))
	if err := errors.Join(w.attempt(t, a, b)); err != nil {
		t.Fatal(err)
	}
	if w.newest().Keys.Encryption == nil || !bytes.Equal(w.newest().Keys.Encryption, keys.Encryption) {
		t.Fatal("the token was replaced")
	}
	opens := func(secret []byte) bool {
		for suite := stream.AES128GCM; suite.Valid(); suite++ {
			o, err := stream.NewOpener(suite, secret, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.Open(bytes.Clone(sent[1])); err == nil {
				return true
			}
		}
		return false
	}
	var id, logged string
	if _, err := fmt.Sscanf(log.String(), "MSL_I2R_SECRET_0 %s %s", &id, &logged); err != nil {
		t.Fatal(err)
	}
	secret, err := hex.DecodeString(logged)
	if err != nil || !opens(secret) {
		t.Fatalf("the session's own secret does not open its record: %v", err)
	}
	for name, x := range map[string]mslcrypto.Key{
		"nothing": nil,
		"zeros":   make(mslcrypto.Key, xSize),
		"keys":    mslcrypto.Key(bytes.Clone(keys.Signature)),
	} {
		e, _ := firstEpoch(headerHash(sent[0]), headerHash(answered[0]), keys, x)
		if opens(e.i2r) {
			t.Errorf("session keys and %s open what was recorded", name)
		}
	}
}
