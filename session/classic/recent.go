package classic

import (
	"crypto/sha256"

	"github.com/mslgo/msl/protocol/token"
)

// maxRecent is how many values are remembered.
const maxRecent = 4096

// recent remembers the latest values that it was given.
type recent[T comparable] struct {
	known map[T]bool
	ring  []T
	next  int
}

// add reports whether v is new.
func (r *recent[T]) add(v T) bool {
	if r.known[v] {
		return false
	}
	if r.known == nil {
		r.known = make(map[T]bool)
	}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, v)
	} else {
		delete(r.known, r.ring[r.next])
		r.ring[r.next] = v
		r.next = (r.next + 1) % maxRecent
	}
	r.known[v] = true
	return true
}

type digest = [sha256.Size]byte

// messageID is the ID of a message under a master token of this serial number,
// -1 for none.
type messageID struct{ serial, id int64 }

// contact is a message under entity authentication data.
type contact struct {
	entity token.Entity
	id     int64
}
