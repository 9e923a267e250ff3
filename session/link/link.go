// Package link carries one channel's records over successive connections: record
// numbers, retention until acknowledgement and its two accounts, ACK, key
// generations, liveness, CLOSE, and the fencing of an earlier connection.
//
// A Link forms each record when it can leave: it asks its sources for frames by
// class and seals what they give in the same buffer, which it keeps until the
// record is acknowledged. Nothing here knows of streams.
package link

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
)

// A Source gives frames for records and takes those of records that were opened.
// A Link has two: the session's own frames (AUTH, REKEY, CONTROL) and the
// streams'. Link itself has PADDING, PING, PONG, ACK, KEY_UPDATE and CLOSE.
//
// A source calls Link.Wake when something begins to wait, never while it holds
// a lock that its methods take.
type Source interface {
	// Waiting says what waits to be sent. It is cheap and may be called at any
	// time from any goroutine.
	Waiting() frame.Class

	// AppendFrames gives the frames of record number seq: it appends whole
	// frames, at most room bytes, to dst. Frames above the class most are left
	// waiting. It returns the class of what it appended. One goroutine at a
	// time; it must not block on anything that waits for the network.
	AppendFrames(dst []byte, room int, most frame.Class, seq uint64) ([]byte, frame.Class)

	// HandleFrame handles the first frame of b, whose type has been read and
	// cut off, and returns what follows it in the record. b lies in buf: who
	// keeps bytes of it retains buf. Called by the reading goroutine in order;
	// it must not wait for anything that is sent.
	HandleFrame(typ uint64, b []byte, buf *framing.Buffer) (rest []byte, err error)

	// BatchEnd is called by the reading goroutine when all that has arrived is
	// handled and it is about to wait: readers of bulk are woken here, once.
	BatchEnd()

	// Acked tells that all records with numbers below n are acknowledged.
	Acked(n uint64)
}
