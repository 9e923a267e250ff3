package session

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/session/frame"
)

// idleWatch closes a session that has had no stream for long. It looks once in
// a while instead of following every stream: a session ends after once to twice
// its time.
type idleWatch struct {
	used atomic.Bool // a stream was asked for since the last look

	mu    sync.Mutex // guards all below
	timer *time.Timer
	ended bool
}

// watchIdle begins the watch. d < 0: there is none.
func (s *Session) watchIdle(d time.Duration) {
	if d < 0 {
		return
	}
	w := &s.idle
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.used.Store(true)
	w.timer = time.AfterFunc(d, func() {
		busy := s.mux.Streams() > 0
		if w.used.Swap(busy) || busy {
			w.again(d)
		} else {
			s.link.CloseWithError(&frame.Error{Code: frame.CodeIdle, Reason: "no streams"})
		}
	})
}

// again looks once more after d, unless the watch has ended.
func (w *idleWatch) again(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.timer.Reset(d)
	}
}

// stop ends the watch.
func (w *idleWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
