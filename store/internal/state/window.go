package state

import (
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

// Sizes of the window of non-replayable IDs (spec 03 section 8).
const (
	windowAhead = 65536 // how far beyond the largest an ID may be
	catchUp     = 6     // how far behind it a sender can recover from by itself
	windowSeen  = 64    // how far behind it we know which IDs came
)

// Window says which non-replayable IDs were accepted. The zero value has
// accepted none but 0: IDs begin at 1.
type Window struct {
	Largest int64
	// Seen has bit i set if Largest-i was accepted. Bit 0 is meant to be set
	// and may be missing in the zero value.
	Seen uint64
}

// Accept claims id: mslerr.NonReplayableIDOutOfRange, mslerr.MessageReplayed,
// mslerr.MessageReplayedUnrecoverable. An unseen ID of the last 64 is accepted,
// so that messages sent at the same time may overtake each other.
func (w *Window) Accept(id int64) error {
	if id < 0 || id > token.MaxNumber {
		return mslerr.New(mslerr.NonReplayableIDOutOfRange, "%d", id)
	}
	if behind := w.Largest - id; 0 <= behind && behind < windowSeen {
		bit := uint64(1) << behind
		if behind > 0 && w.Seen&bit == 0 {
			w.Seen |= bit
			return nil
		}
	}
	switch {
	case w.Largest-catchUp < id && id <= w.Largest:
		return mslerr.New(mslerr.MessageReplayed, "ID %d, largest %d", id, w.Largest)
	case id-windowAhead > w.Largest,
		id < w.Largest && id >= w.Largest-token.MaxNumber+windowAhead:
		return mslerr.New(mslerr.MessageReplayedUnrecoverable, "ID %d, largest %d", id, w.Largest)
	}
	if id > w.Largest {
		w.Seen = (w.Seen|1)<<(id-w.Largest) | 1
	} else { // wrapped
		w.Seen = 1
	}
	w.Largest = id
	return nil
}
