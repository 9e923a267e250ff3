package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/session/frame"
)

func TestRekeyStates(t *testing.T) {
	type step struct {
		from rekeyState
		e    rekeyEvent
	}
	good := map[step]rekeyState{
		{canOffer, rekeyBegins}:         rekeyMaking,
		{rekeyMaking, rekeyMade}:        rekeyOffering,
		{rekeyMaking, rekeyFailed}:      canOffer,
		{rekeyOffering, rekeyLeft}:      rekeyOffered,
		{rekeyOffered, gotRekeyDone}:    rekeySwitching,
		{rekeySwitching, rekeyLeft}:     canOffer,
		{canAnswer, gotRekey}:           rekeyAnswering,
		{rekeyAnswering, rekeyLeft}:     rekeyAnswered,
		{rekeyAnswered, gotRekeySwitch}: canAnswer,
		{canOffer, gotRekeyAsk}:         canOffer,
		{rekeyMaking, gotRekeyAsk}:      rekeyMaking,
		{rekeyOffering, gotRekeyAsk}:    rekeyOffering,
		{rekeyOffered, gotRekeyAsk}:     rekeyOffered,
		{rekeySwitching, gotRekeyAsk}:   rekeySwitching,
	}
	for s := range rekeyStates {
		for e := range rekeyEvents {
			want, may := good[step{s, e}]
			if !may {
				want = s
			}
			if got, ok := s.next(e); got != want || ok != may {
				t.Errorf("state %d, event %d: %d, %v", s, e, got, ok)
			}
		}
	}
}

// fakeKeys stands for the link of a rekey.
type fakeKeys struct{ send, receive [][]byte }

func (f *fakeKeys) SwitchSend(secret []byte) { f.send = append(f.send, bytes.Clone(secret)) }

func (f *fakeKeys) SwitchReceive(secret []byte) error {
	f.receive = append(f.receive, bytes.Clone(secret))
	return nil
}

func (f *fakeKeys) Wake() {}

// rekeys are both sides' rekeys of one channel, without a link between.
func rekeys(t *testing.T, signed bool) (i, r *rekey, ik, rk *fakeKeys) {
	t.Helper()
	client, server := newEntity(0x00), newEntity(0x20)
	ik, rk = &fakeKeys{}, &fakeKeys{}
	i = &rekey{rekeySettings: rekeySettings{client.network(), keyx.KEMX25519, server.name(), signed, signed}}
	r = &rekey{rekeySettings: rekeySettings{server.network(), keyx.KEMX25519, client.name(), signed, signed}}
	hq, hp := vectorHashes()
	for _, side := range []struct {
		r         *rekey
		keys      *fakeKeys
		initiator bool
	}{{i, ik, true}, {r, rk, false}} {
		e, _ := firstEpoch(hq, hp, vectorKeys(), span(0x80, 32))
		side.r.init(side.initiator, side.keys, &epochs{newest: e}, -1)
		t.Cleanup(side.r.stop)
	}
	return i, r, ik, rk
}

// pass gives the frame that waits at from to to.
func (r *rekey) pass(t *testing.T, to *rekey, edit func(typ uint64, b []byte) []byte) error {
	t.Helper()
	typ, b := body(t, r.append(nil, 1<<16))
	if edit != nil {
		b = edit(typ, b)
	}
	rest, err := to.handle(typ, b)
	if err == nil && len(rest) > 0 {
		t.Fatalf("%d bytes are left of frame %x", len(rest), typ)
	}
	return err
}

func wantCode(t *testing.T, what string, err error, code frame.Code) {
	t.Helper()
	if v, ok := errors.AsType[*frame.Error](err); !ok || v.Code != code {
		t.Errorf("%s: %v, want %v", what, err, code)
	}
}

func TestRekeyFrames(t *testing.T) {
	for _, signed := range []bool{true, false} {
		i, r, ik, rk := rekeys(t, signed)
		for n := range uint32(3) {
			i.begin()
			if err := i.pass(t, r, nil); err != nil {
				t.Fatal(err)
			}
			// Until the switch the initiator may attach with either epoch.
			old := func(*epoch) {}
			if !r.epochs.use(n, old) || !r.epochs.use(n+1, old) {
				t.Error("an attach key is gone before the switch")
			}
			if err := r.pass(t, i, nil); err != nil {
				t.Fatal(err)
			}
			if i.epochs.use(n, old) || !i.epochs.use(n+1, old) {
				t.Error("the initiator attaches with the old epoch")
			}
			if err := i.pass(t, r, nil); err != nil {
				t.Fatal(err)
			}
			if r.epochs.use(n, old) {
				t.Error("the old attach key survives the switch")
			}
			if len(ik.send) != int(n)+1 || !bytes.Equal(ik.send[n], rk.receive[n]) || !bytes.Equal(rk.send[n], ik.receive[n]) || bytes.Equal(ik.send[n], rk.send[n]) {
				t.Fatal("both sides have different keys")
			}
			if !bytes.Equal(i.epochs.newest.attach, r.epochs.newest.attach) || i.epochs.newest.th != r.epochs.newest.th {
				t.Fatal("both sides have different epochs")
			}
			if r.epochs.newest.i2r != nil || i.epochs.newest.r2i != nil {
				t.Error("a direction's secret is kept")
			}
		}
	}
}

// Who has the traffic secrets puts its own share and enc into the frames. With
// signatures it cannot; without it stays in the middle for ever.
func TestX10ActiveAttackerDuringRekey(t *testing.T) {
	attack := func(t *testing.T, signed bool) (atResponder, atInitiator error, healed bool) {
		i, r, ik, rk := rekeys(t, signed)
		hq, hp := vectorHashes()
		stolen := func() *epoch { // everything of the epoch
			e, _ := firstEpoch(hq, hp, vectorKeys(), span(0x80, 32))
			return e
		}
		mine, err := newShare(keyx.KEMX25519)
		if err != nil {
			t.Fatal(err)
		}
		var theirs []byte
		i.begin()
		atResponder = i.pass(t, r, func(_ uint64, b []byte) []byte {
			f, _, err := frame.ParseRekey(b)
			if err != nil {
				t.Fatal(err)
			}
			theirs = bytes.Clone(f.Share)
			f.Share = mine.public
			_, b = body(t, frame.AppendRekey(nil, f))
			return b
		})
		// Towards the initiator it can answer in any case.
		enc, x, err := encapsulate(keyx.KEMX25519, theirs, stolen().rekeyInfo())
		if err != nil {
			t.Fatal(err)
		}
		done := frame.RekeyDone{Epoch: 1, Enc: enc}
		if atResponder == nil {
			_, b := body(t, r.append(nil, 1<<16))
			f, _, err := frame.ParseRekeyDone(b)
			if err != nil {
				t.Fatal(err)
			}
			done.EntityAuth, done.Signature = f.EntityAuth, f.Signature
			y, err := mine.decapsulate(f.Enc, stolen().rekeyInfo())
			if err != nil {
				t.Fatal(err)
			}
			healed = !bytes.Equal(stolen().next(keyx.KEMX25519, mine.public, f.Enc, y).r2i, rk.send[0])
		} else {
			done.EntityAuth, done.Signature, err = sign(t.Context(), newEntity(0x66).network(), labelRekeyR2I, digest{})
			if err != nil {
				t.Fatal(err)
			}
		}
		_, b := body(t, frame.AppendRekeyDone(nil, done))
		_, atInitiator = i.handle(frame.TypeRekeyDone, b)
		if atInitiator == nil {
			e := stolen().next(keyx.KEMX25519, theirs, enc, x)
			healed = healed || !bytes.Equal(e.r2i, ik.receive[0])
		}
		return atResponder, atInitiator, healed
	}
	t.Run("signed", func(t *testing.T) {
		atResponder, atInitiator, _ := attack(t, true)
		wantCode(t, "responder", atResponder, frame.CodeKeys)
		wantCode(t, "initiator", atInitiator, frame.CodeKeys)
	})
	t.Run("unsigned", func(t *testing.T) {
		atResponder, atInitiator, healed := attack(t, false)
		if atResponder != nil || atInitiator != nil || healed {
			t.Errorf("the attack is not what the test thinks: %v, %v, %v", atResponder, atInitiator, healed)
		}
	})
}

func TestRekeyViolations(t *testing.T) {
	editRekey := func(edit func(*frame.Rekey)) func(uint64, []byte) []byte {
		return func(_ uint64, b []byte) []byte {
			f, _, _ := frame.ParseRekey(b)
			edit(&f)
			return frame.AppendRekey(nil, f)[1:]
		}
	}
	for name, edit := range map[string]func(*frame.Rekey){
		"another epoch":      func(f *frame.Rekey) { f.Epoch++ },
		"the epoch of now":   func(f *frame.Rekey) { f.Epoch-- },
		"another KEM":        func(f *frame.Rekey) { f.KEM = keyx.KEMMLKEM768X25519 },
		"another share":      func(f *frame.Rekey) { f.Share[0] ^= 1 },
		"no signature":       func(f *frame.Rekey) { f.EntityAuth, f.Signature = nil, nil },
		"half a signature":   func(f *frame.Rekey) { f.Signature = f.Signature[1:] },
		"no identity beside": func(f *frame.Rekey) { f.EntityAuth = nil },
	} {
		i, r, _, _ := rekeys(t, true)
		i.begin()
		wantCode(t, name, i.pass(t, r, editRekey(edit)), frame.CodeKeys)
	}
	t.Run("a bad signature where none is required", func(t *testing.T) {
		i, r, _, _ := rekeys(t, true)
		r.signed = false
		i.begin()
		wantCode(t, "REKEY", i.pass(t, r, editRekey(func(f *frame.Rekey) { f.Signature[3] ^= 1 })), frame.CodeKeys)
	})
	t.Run("a share that is no key", func(t *testing.T) {
		i, r, _, _ := rekeys(t, false)
		i.begin()
		wantCode(t, "REKEY", i.pass(t, r, editRekey(func(f *frame.Rekey) { f.Share = f.Share[1:] })), frame.CodeKeys)
	})
	t.Run("wrong sender or place", func(t *testing.T) {
		i, r, _, _ := rekeys(t, true)
		for _, k := range []struct {
			name string
			to   *rekey
			b    []byte
		}{
			{"REKEY to the initiator", i, frame.AppendRekey(nil, frame.Rekey{Epoch: 1, KEM: keyx.KEMX25519})},
			{"REKEY_DONE to nobody who asked", i, frame.AppendRekeyDone(nil, frame.RekeyDone{Epoch: 1})},
			{"REKEY_DONE to the responder", r, frame.AppendRekeyDone(nil, frame.RekeyDone{Epoch: 1})},
			{"REKEY_SWITCH to the initiator", i, frame.AppendRekeySwitch(nil, 1)},
			{"REKEY_SWITCH before all", r, frame.AppendRekeySwitch(nil, 0)},
			{"REKEY_ASK to the responder", r, frame.AppendRekeyAsk(nil)},
		} {
			typ, b := body(t, k.b)
			_, err := k.to.handle(typ, b)
			wantCode(t, k.name, err, frame.CodeKeys)
		}
	})
	t.Run("second REKEY at once", func(t *testing.T) {
		i, r, _, _ := rekeys(t, true)
		i.begin()
		again := bytes.Clone(i.frame)
		if err := i.pass(t, r, nil); err != nil {
			t.Fatal(err)
		}
		typ, b := body(t, again)
		_, err := r.handle(typ, b)
		wantCode(t, "REKEY", err, frame.CodeKeys)
	})
}

func TestRekeyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, r, _, _ := rekeys(t, false)
		defer i.stop()
		defer r.stop()
		for n := range 9 {
			i.begin()
			err := i.pass(t, r, nil)
			if n == 8 {
				wantCode(t, "ninth REKEY", err, frame.CodeAbuse)
				break
			}
			if err := errors.Join(err, r.pass(t, i, nil), i.pass(t, r, nil)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := i.handle(frame.TypeRekeyAsk, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second - 1)
		_, err := i.handle(frame.TypeRekeyAsk, nil)
		wantCode(t, "REKEY_ASK", err, frame.CodeAbuse)
	})
}

func TestRekeyByTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.initiator.Limits.Idle, w.responder.Limits.Idle = -1, -1
		client, server := w.sessions(t)
		time.Sleep(3*time.Hour + 30*time.Minute)
		synctest.Wait()
		if i, r := client.epochs.number(), server.epochs.number(); i != 3 || r != 3 {
			t.Errorf("epochs %d and %d after three hours", i, r)
		}
		echo(t, client, server)
		end(client, server)
	})
}

func TestRekeyOnDemand(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if resumed {
				w.firstContact(t)
			}
			client, server := w.sessions(t)
			for n := range uint32(3) {
				if err := client.Rekey(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := server.Rekey(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if i, r := client.epochs.number(), server.epochs.number(); i != 2*n+2 || r != i {
					t.Errorf("epochs %d and %d", i, r)
				}
				echo(t, client, server)
			}
			if !client.control.rekey.signed || !server.control.rekey.signed {
				t.Error("a rekey need not be signed")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := server.Rekey(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("with a context that has ended: %v", err)
			}
			end(client, server)
			if err := client.Rekey(t.Context()); err != client.Err() {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// Rekeys from both sides while bulk goes both ways.
func TestCrossingRekeyWithBulk(t *testing.T) {
	w := newWorld(t)
	client, server := w.sessions(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	st, err := client.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	other, err := server.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	pump := func(from io.Writer, to io.Reader, seed byte, closeWrite func() error) {
		sent, received := sha256.New(), sha256.New()
		wg.Go(func() {
			source := io.TeeReader(rand.NewChaCha8([32]byte{seed}), sent)
			buf := make([]byte, 50_000)
			for {
				select {
				case <-stop:
					_ = closeWrite()
					return
				default:
				}
				n, _ := source.Read(buf)
				if _, err := from.Write(buf[:n]); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			n, err := io.Copy(received, to)
			if err != nil || n == 0 {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
		t.Cleanup(func() {
			if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
				t.Error("other bytes arrived")
			}
		})
	}
	pump(st, other, 1, st.CloseWrite)
	pump(other, st, 2, other.CloseWrite)
	var both sync.WaitGroup
	for _, s := range []*Session{client, server} {
		both.Go(func() {
			for range 3 {
				if err := s.Rekey(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	close(stop)
	wg.Wait()
	if n := client.epochs.number(); n < 3 {
		t.Errorf("epoch %d", n)
	}
}
