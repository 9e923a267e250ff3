package classic

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/protocol/token"
)

func TestSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Slot
		turn, _, err := s.Acquire(t.Context())
		if err != nil || turn == nil || s.Try() != nil {
			t.Fatal("the free slot was not taken, or twice")
		}
		mt := &token.MasterToken{Serial: 7}
		type result struct {
			turn *Turn
			mt   *token.MasterToken
		}
		results := make(chan result, 3)
		for range 3 {
			go func() {
				turn, mt, _ := s.Acquire(t.Context())
				results <- result{turn, mt}
			}()
		}
		synctest.Wait()
		turn.Publish(mt)
		turn.Publish(nil) // only the first counts
		for range 3 {
			if r := <-results; r.turn != nil || r.mt != mt {
				t.Errorf("a waiter got %+v", r)
			}
		}
		turn = s.Try()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		turn.Publish(nil)
		var none *Turn
		none.Publish(mt) // who holds nothing gives nothing back
		if s.Try() == nil {
			t.Error("the slot is not free")
		}
	})
}

func TestClock(t *testing.T) {
	var c Clock
	local := time.Now()
	remote := local.Add(-10 * time.Hour)
	if !c.Now(local).IsZero() {
		t.Error("knows the time from nowhere")
	}
	c.Learn(remote, local, false) // answers nothing: a replay could say anything
	if !c.Now(local).IsZero() {
		t.Error("believes what answers nothing")
	}
	c.Learn(remote, local, true)
	if got := c.Now(local.Add(time.Hour)); !got.Equal(remote.Add(time.Hour)) {
		t.Errorf("an hour later it is %v, want %v", got, remote.Add(time.Hour))
	}
	c.Learn(remote.Add(100*time.Hour), local, false)
	if got := c.Now(local); !got.Equal(remote.Add(maxClockStep)) {
		t.Errorf("moved to %v", got)
	}
	c.Learn(remote.Add(-100*time.Hour), local, false)
	if got := c.Now(local); !got.Equal(remote) {
		t.Errorf("moved to %v", got)
	}
	c.Learn(time.Time{}, local, true) // no timestamp
	if got := c.Now(local); !got.Equal(remote) {
		t.Errorf("moved to %v", got)
	}
}
