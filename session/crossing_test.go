package session

import (
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
)

// A gate holds what one side sends.
type gate struct {
	mu    sync.Mutex
	until chan struct{} // nil: open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until != nil {
		close(g.until)
		g.until = nil
	}
}

func (g *gate) pass(_ int, unit []byte) [][]byte {
	g.mu.Lock()
	until := g.until
	g.mu.Unlock()
	if until != nil {
		<-until
	}
	return [][]byte{unit}
}

// Each frame of a rekey is held on its way while one side, or both, close.
func TestRekeyCrossesClose(t *testing.T) {
	steps := []struct {
		name string
		hold func(i2r, r2i *gate, client, server *Session, rekey func(*Session))
	}{
		{"REKEY", func(i2r, _ *gate, client, _ *Session, rekey func(*Session)) {
			i2r.close()
			rekey(client)
		}},
		{"REKEY_DONE", func(_, r2i *gate, client, _ *Session, rekey func(*Session)) {
			r2i.close()
			rekey(client)
		}},
		{"REKEY_SWITCH", func(i2r, r2i *gate, client, _ *Session, rekey func(*Session)) {
			r2i.close()
			rekey(client)
			synctest.Wait()
			i2r.close()
			r2i.open()
		}},
		{"REKEY_ASK", func(_, r2i *gate, _, server *Session, rekey func(*Session)) {
			r2i.close()
			rekey(server)
		}},
	}
	for _, step := range steps {
		for _, closers := range []string{"initiator", "responder", "both"} {
			t.Run(step.name+" and "+closers, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.initiator.Limits.Durable, w.responder.Limits.Durable = -1, -1
					var i2r, r2i gate
					a, b := middle(t, i2r.pass, r2i.pass)
					client, server, err1, err2 := w.connect(t.Context(), a, b)
					if err := errors.Join(err1, err2); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					var running sync.WaitGroup
					step.hold(&i2r, &r2i, client, server, func(s *Session) {
						running.Go(func() { _ = s.Rekey(t.Context()) })
						synctest.Wait()
					})
					synctest.Wait()
					for _, s := range []*Session{client, server} {
						if closers == "both" || (s == client) == (closers == "initiator") {
							running.Go(func() {
								if err := s.Close(); err != nil {
									t.Errorf("Close: %v", err)
								}
							})
						}
					}
					synctest.Wait()
					i2r.open()
					r2i.open()
					running.Wait()
					for _, s := range []*Session{client, server} {
						<-s.link.Done()
						if err := s.Err(); !errors.Is(err, net.ErrClosed) {
							t.Errorf("ended with %v", err)
						}
					}
				})
			})
		}
	}
}
