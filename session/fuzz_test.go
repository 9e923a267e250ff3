package session

import (
	"context"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/transport"
)

// headerData is the plaintext of "headerdata" in a header that is not encrypted.
func headerData(t testing.TB, raw []byte) []byte {
	t.Helper()
	o, err := framing.JSON.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	b, err := framing.Get[[]byte](o, "headerdata")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// header puts header data of an entity into a header.
func header(t testing.TB, n *message.Network, data []byte) []byte {
	t.Helper()
	scheme, _ := schemeOf(n, n.Self.Scheme())
	c, err := scheme.Context(context.Background(), n.Self, entityauth.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := c.Sign(data, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if signature == nil {
		signature = []byte{}
	}
	o := framing.Object{"headerdata": data, "signature": signature}
	if o["entityauthdata"], err = entityauth.Object(n.Self, framing.JSON); err != nil {
		t.Fatal(err)
	}
	raw, err := framing.JSON.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// recorded are the headers of a first contact by X25519, which keeps them short.
func recorded(f *testing.F, edit func(*world)) (w *world, request, response []byte) {
	w = newWorld(f)
	w.initiator.Algorithms.KEMs = []uint16{keyx.KEMX25519}
	edit(w)
	record := func(to *[]byte) rewrite {
		return func(n int, unit []byte) [][]byte {
			if n == 0 {
				*to = append(*to, unit...)
			}
			return pass(n, unit)
		}
	}
	a, b := middle(f, record(&request), record(&response))
	client, server, err1, err2 := w.connect(context.Background(), a, b)
	if err1 != nil || err2 != nil {
		f.Fatal(err1, err2)
	}
	end(client, server)
	w.holder.held = nil
	return w, headerData(f, request), headerData(f, response)
}

// FuzzAccept gives a responder the header data of somebody who signs nothing:
// an error or, as nothing confirms it, an error.
func FuzzAccept(f *testing.F) {
	w, request, _ := recorded(f, func(w *world) { w.initiator.Network = nobody("anonymous") })
	f.Add(request)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxHeader/2 {
			return // a pipe holds no more, and nobody reads yet
		}
		a, b := transport.Pipe()
		if _, err := a.Write(header(t, w.initiator.Network, data)); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if s, err := Accept(t.Context(), b, w.responder); err == nil {
			end(s)
			t.Error("a session with nobody")
		}
	})
}

// FuzzDial answers an initiator with any header data that the service signed.
func FuzzDial(f *testing.F) {
	w, _, response := recorded(f, func(*world) {})
	f.Add(response)
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := framing.Decode(data)
		if err != nil {
			return
		}
		a, b := transport.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer b.Close()
			r := framing.NewReader(b, framing.Limits{})
			defer r.Close()
			raw, _, err := r.Object()
			if err != nil {
				return
			}
			q, err := framing.Decode(headerData(t, raw))
			if err != nil {
				return
			}
			id, _ := framing.Get[int64](q, "messageid")
			o["messageid"] = message.NextID(id)
			if data, err = framing.JSON.Append(nil, o); err == nil {
				_, _ = b.Write(header(t, w.responder.Network, data))
			}
		}()
		if s, err := Dial(t.Context(), a, w.initiator); err == nil {
			end(s)
			t.Error("a session with nobody")
		}
		<-done
		if w.holder.count() != 0 {
			t.Error("a token is stored")
		}
	})
}
