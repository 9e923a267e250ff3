package mux

import "time"

// A window is the credit given to the peer, of a stream or of the channel. It
// counts bytes when they are received and gives them back when they are read or
// discarded.
type window struct {
	size, most uint64 // bytes that may be under way or unread: now, and at most
	limit      uint64 // what the peer was told or is being told, a running total
	received   uint64
	freed      uint64

	at   time.Duration // of the last update, on the Mux's clock; 0: none yet
	mark uint64        // freed at that time
}

func newWindow(size, most uint64) window {
	return window{size: size, most: max(size, most), limit: size}
}

// left is how many bytes the peer may still send.
func (w *window) left() uint64 { return w.limit - w.received }

// receive counts n bytes, no more than are left.
func (w *window) receive(n int) { w.received += uint64(n) }

// A need says how much the peer needs more credit.
type need uint8

const (
	needNone need = iota
	needSoon      // half of the window is used up: credit goes with the next record
	needNow       // three quarters are
)

// free gives n bytes back and says whether the peer is to be told.
func (w *window) free(n int) need {
	w.freed += uint64(n)
	switch left := w.limit - w.freed; {
	case left > w.size/2:
		return needNone
	case left > w.size/4:
		return needSoon
	}
	return needNow
}

// raise raises the limit, which is about to be told. If the peer may need a larger
// window, it gets one.
func (w *window) raise(t, roundTrip time.Duration) uint64 {
	if w.at > 0 && t > w.at && w.size < w.most {
		// Half a window per round trip is what the peer must always have left:
		// the update of the other half is under way meanwhile.
		rate := float64(w.freed-w.mark) / float64(t-w.at)
		enough := min(4*rate*float64(roundTrip), float64(w.most))
		w.size = max(w.size, min(2*w.size, uint64(enough)))
	}
	w.at, w.mark = t, w.freed
	w.limit = max(w.limit, w.freed+w.size)
	return w.limit
}
