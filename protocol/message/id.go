package message

import (
	"crypto/rand"
	"encoding/binary"
)

// MaxID is the greatest message ID and the greatest integer that MSL carries
// anywhere. It is itself a legal value (spec 04 section 5).
const MaxID = 1 << 53

// RandomID draws the ID of a fresh request: uniform in 0 to 2^53-1, since the
// other stacks never draw 2^53 either.
func RandomID() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return int64(binary.BigEndian.Uint64(b[:]) & (MaxID - 1))
}

// NextID is the ID of the answer to the message with this ID. 0 follows [MaxID].
func NextID(id int64) int64 {
	if id == MaxID {
		return 0
	}
	return id + 1
}

// PreviousID is the ID of the message that one with this ID answers.
func PreviousID(id int64) int64 {
	if id == 0 {
		return MaxID
	}
	return id - 1
}

func validID(id int64) bool { return id >= 0 && id <= MaxID }
