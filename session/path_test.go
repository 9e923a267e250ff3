package session

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/transport"
)

// What an attacker on the path, or a flood of initiators, can try.

func TestStrippedOrReorderedSuites(t *testing.T) {
	for name, edit := range map[string]func(framing.Array) framing.Array{
		"stripped":  func(a framing.Array) framing.Array { return a[1:] },
		"reordered": func(a framing.Array) framing.Array { slices.Reverse(a); return a },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.initiator.Network = nobody("anonymous") // else the signature would tell
			a, b := middle(t, func(n int, unit []byte) [][]byte {
				if n == 0 {
					unit = editHeader(t, unit, func(h framing.Object) {
						c := member(t, h, "channel")
						list, _ := framing.Get[framing.Array](c, "suites")
						c["suites"] = edit(list)
					})
				}
				return pass(n, unit)
			}, pass)
			dialErr, acceptErr := w.attempt(t, a, b)
			if !errors.Is(dialErr, ErrChannelLost) || acceptErr == nil {
				t.Errorf("Dial: %v, Accept: %v", dialErr, acceptErr)
			}
		})
	}
}

func TestSwappedShare(t *testing.T) {
	w := newWorld(t)
	w.initiator.Network = nobody("anonymous")
	w.initiator.Algorithms.KEMs = []uint16{keyx.KEMX25519}
	mine, err := newShare(keyx.KEMX25519)
	if err != nil {
		t.Fatal(err)
	}
	a, b := middle(t, func(n int, unit []byte) [][]byte {
		if n == 0 {
			unit = editHeader(t, unit, func(h framing.Object) {
				list, _ := framing.Get[framing.Array](h, "keyrequestdata")
				member(t, list[0].(framing.Object), "keydata")["publickey"] = mine.public
			})
		}
		return pass(n, unit)
	}, pass)
	dialErr, acceptErr := w.attempt(t, a, b)
	if !errors.Is(dialErr, ErrChannelLost) || acceptErr == nil {
		t.Errorf("Dial: %v, Accept: %v", dialErr, acceptErr)
	}
}

func TestReplayedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, name := range []string{"first contact", "resumed"} {
			var recorded [][]byte
			a, b := middle(t, func(n int, unit []byte) [][]byte {
				recorded = append(recorded, bytes.Clone(unit))
				return pass(n, unit)
			}, pass)
			if err := errors.Join(w.attempt(t, a, b)); err != nil {
				t.Fatal(err)
			}
			confirmed := w.issuer.confirmations()

			// The whole of it once more, to the same server.
			c, d := transport.Pipe()
			defer c.Close()
			for _, unit := range recorded {
				if _, err := c.Write(unit); err != nil {
					t.Fatal(err)
				}
			}
			go func() { // the answer goes somewhere
				for buf := make([]byte, 4096); ; {
					if _, err := c.Read(buf); err != nil {
						return
					}
				}
			}()
			s, err := Accept(t.Context(), d, w.responder)
			if err == nil {
				end(s)
				t.Errorf("%s: a replay is accepted", name)
			}
			if w.issuer.confirmations() != confirmed {
				t.Errorf("%s: a replay confirmed something", name)
			}
		}
	})
}

func TestReflectedRecord(t *testing.T) {
	w := newWorld(t)
	var record []byte
	ready := make(chan struct{})
	a, b := middle(t, func(n int, unit []byte) [][]byte {
		if n == 1 {
			<-ready
			return [][]byte{record}
		}
		return pass(n, unit)
	}, func(n int, unit []byte) [][]byte {
		if n == 1 {
			record = bytes.Clone(unit)
			close(ready)
		}
		return pass(n, unit)
	})
	_, acceptErr := w.attempt(t, a, b)
	if !errors.Is(acceptErr, ErrChannelLost) {
		t.Errorf("Accept: %v", acceptErr)
	}
	if w.issuer.confirmations() != 0 {
		t.Error("a reflected record confirmed the set-up")
	}
}

func TestSlowHeader(t *testing.T) {
	for _, sent := range []string{"", `{"headerdata":"`} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			a, b := transport.Pipe()
			defer a.Close()
			if _, err := a.Write([]byte(sent)); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_, err := Accept(t.Context(), b, w.responder)
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 10*time.Second {
				t.Errorf("%v after %v", err, time.Since(begun))
			}
		})
	}
}

// An initiator that takes the answer and confirms nothing.
func TestUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.firstContact(t)
		older, confirmed := w.holder.count(), w.issuer.confirmations()
		w.initiator.Fresh = true
		a, b := middle(t, func(n int, unit []byte) [][]byte {
			if n > 0 {
				return nil
			}
			return pass(n, unit)
		}, func(n int, unit []byte) [][]byte {
			if n > 0 {
				return nil
			}
			return pass(n, unit)
		})
		begun := time.Now()
		dialErr, acceptErr := w.attempt(t, a, b)
		if !errors.Is(acceptErr, os.ErrDeadlineExceeded) || time.Since(begun) < 10*time.Second {
			t.Errorf("Accept: %v after %v", acceptErr, time.Since(begun))
		}
		if dialErr == nil || w.holder.count() != older || w.issuer.confirmations() != confirmed {
			t.Errorf("Dial: %v; tokens of an unconfirmed set-up count", dialErr)
		}
	})
}

// The end of the dial's context ends the set-up, and only that.
func TestContextOfDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := transport.Pipe()
		defer b.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Dial(ctx, a, w.initiator); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody answers: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, b = transport.Pipe()
		client, server, err1, err2 := w.connect(ctx, a, b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		echo(t, client, server)
		end(client, server)
	})
}

func TestHeaderFlood(t *testing.T) {
	t.Run("too many at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.responder.Unconfirmed = 2
			release := make(chan struct{})
			w.responder.Admit = func(context.Context, Info) error { <-release; return errors.New("no") }
			done := make(chan struct{})
			for range 2 {
				go func() {
					_, _ = w.direct(t)
					done <- struct{}{}
				}()
			}
			synctest.Wait()
			w.refused(t, mslerr.TransientFailure)
			close(release)
			<-done
			<-done
			w.responder.Admit = nil
			w.firstContact(t)
		})
	})
	t.Run("too long", func(t *testing.T) {
		w := newWorld(t)
		a, b := transport.Pipe()
		got := make(chan error, 1)
		go func() {
			_, err := Accept(context.Background(), b, w.responder)
			got <- err
		}()
		long := []byte(`{"headerdata":"` + strings.Repeat("A", 1<<20))
		_, _ = a.Write(long)
		var limit *framing.LimitError
		go func() {
			for buf := make([]byte, 4096); ; {
				if _, err := a.Read(buf); err != nil {
					a.Close()
					return
				}
			}
		}()
		if err := <-got; !errors.As(err, &limit) || limit.Max != maxHeader {
			t.Errorf("error %v", err)
		}
	})
}
