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

// free gives n bytes back. It reports true if half of the window is used up, so
// that the limit was raised and the peer has to be told.
func (w *window) free(n int, now, roundTrip func() time.Duration) bool {
	w.freed += uint64(n)
	if w.limit-w.freed > w.size/2 {
		return false
	}
	t := now()
	if w.at > 0 && t > w.at && w.size < w.most {
		// Half a window per round trip is what the peer must always have left:
		// the update of the other half is under way meanwhile.
		rate := float64(w.freed-w.mark) / float64(t-w.at)
		need := min(4*rate*float64(roundTrip()), float64(w.most))
		w.size = max(w.size, min(2*w.size, uint64(need)))
	}
	w.at, w.mark = t, w.freed
	w.limit = max(w.limit, w.freed+w.size)
	return true
}
