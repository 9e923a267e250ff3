package session

import (
	"context"
	"errors"
	"testing"

	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/transport"
)

// body cuts the type off a frame.
func body(t *testing.T, b []byte) (uint64, []byte) {
	t.Helper()
	typ, rest, err := frame.ParseType(b)
	if err != nil {
		t.Fatal(err)
	}
	return typ, rest
}

func TestAuthFrame(t *testing.T) {
	client, server := newEntity(0x00), newEntity(0x20)
	hq, hp := vectorHashes()
	e, _ := firstEpoch(hq, hp, vectorKeys(), span(0x80, 32))
	good, err := makeAuth(t.Context(), client.network(), labelAuthI2R, e.th)
	if err != nil {
		t.Fatal(err)
	}
	other := e.th
	other[0] ^= 1
	fresh := func() *control {
		return &control{expected: true, verify: verifyAuth(t.Context(), server.network(), labelAuthI2R, e.th, client.name())}
	}
	for name, make := range map[string]func() ([]byte, error){
		"another transcript": func() ([]byte, error) { return makeAuth(t.Context(), client.network(), labelAuthI2R, other) },
		"another direction":  func() ([]byte, error) { return makeAuth(t.Context(), client.network(), labelAuthR2I, e.th) },
		"another entity":     func() ([]byte, error) { return makeAuth(t.Context(), newEntity(9).network(), labelAuthI2R, e.th) },
		"an entity of NONE": func() ([]byte, error) {
			return makeAuth(t.Context(), nobody(client.name().Identity), labelAuthI2R, e.th)
		},
		"no JSON": func() ([]byte, error) { return frame.AppendAuth(nil, []byte("x"), nil), nil },
	} {
		b, err := make()
		if err != nil {
			t.Fatal(err)
		}
		typ, b := body(t, b)
		if _, err := fresh().HandleFrame(typ, b, nil); frame.CodeOf(err) != frame.CodeAuth {
			t.Errorf("%s: %v", name, err)
		}
	}

	c := fresh()
	typ, b := body(t, append(good, 0x55))
	rest, err := c.HandleFrame(typ, b, nil)
	if err != nil || len(rest) != 1 || c.firstRecord() != nil {
		t.Fatalf("%d bytes left, %v", len(rest), err)
	}
	if _, err := c.HandleFrame(typ, b, nil); frame.CodeOf(err) != frame.CodeAuth {
		t.Errorf("AUTH in a later record: %v", err)
	}
	if err := fresh().firstRecord(); frame.CodeOf(err) != frame.CodeAuth {
		t.Errorf("announced and missing: %v", err)
	}

	// It leaves in the first record that has room, once.
	c = &control{auth: good}
	if c.Waiting() != frame.Control {
		t.Error("AUTH does not wait")
	}
	if b, class := c.AppendFrames(nil, len(good)-1, frame.Data, 0); len(b) != 0 || class != frame.None {
		t.Error("AUTH was cut")
	}
	if b, class := c.AppendFrames(nil, len(good), frame.Control, 0); len(b) != len(good) || class != frame.Control {
		t.Error("AUTH does not leave")
	}
	if c.Waiting() != frame.None {
		t.Error("AUTH waits twice")
	}
}

// Frames that have no place close the channel with their own code.
func TestMisplacedFrames(t *testing.T) {
	for _, f := range []struct {
		name  string
		frame []byte
		code  Code
	}{
		{"REKEY", frame.AppendRekey(nil, frame.Rekey{Epoch: 1}), frame.CodeKeys},
		{"REKEY_DONE", frame.AppendRekeyDone(nil, frame.RekeyDone{Epoch: 1}), frame.CodeKeys},
		{"REKEY_SWITCH", frame.AppendRekeySwitch(nil, 1), frame.CodeKeys},
		{"REKEY_ASK", frame.AppendRekeyAsk(nil), frame.CodeKeys},
		{"CONTROL", frame.AppendControl(nil, frame.ControlPart{Fin: true, Response: true, Data: []byte("{}")}), frame.CodeControl},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			a, b := transport.Pipe()
			got := make(chan accepted, 1)
			go func() {
				s, err := Accept(t.Context(), b, w.responder)
				got <- accepted{s, err}
			}()
			i := &initiator{Initiator: w.initiator, conn: a}
			for _, step := range []func(context.Context) error{
				i.begin, i.expect, i.chooseToken, i.makeRequest, i.sendRequest, i.readResponse, i.checkResponder, i.checkChannel, i.deriveKeys,
			} {
				if err := step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			// The frame takes AUTH's place.
			s, err := newSession(setup{
				initiator: true, conn: a, epoch: i.epoch, exporter: i.exporter,
				suite: i.response.suite, own: i.request.offer, peer: i.response.offer,
				control: &control{auth: f.frame},
			})
			if err != nil {
				t.Fatal(err)
			}
			_ = s.confirmed(t.Context(), i.reader)
			<-s.Done()
			if !errors.Is(s.Err(), &Error{Code: f.code}) {
				t.Errorf("the sender sees %v", s.Err())
			}
			if server := <-got; !errors.Is(server.err, &Error{Code: f.code}) {
				t.Errorf("Accept: %v", server.err)
			}
			if w.issuer.confirmations() != 0 {
				t.Error("a violation confirmed the set-up")
			}
			end(s)
		})
	}
}
