// Package recent remembers what came of late, so that what comes again costs a
// look-up instead of the work.
package recent

// Most is how many values a [Set] remembers.
const Most = 4096

// A Set remembers the latest values that it was given, the oldest out. The zero
// value is empty.
type Set[T comparable] struct {
	known map[T]bool
	ring  []T
	next  int
}

// Add reports whether v is new.
func (s *Set[T]) Add(v T) bool {
	if s.known[v] {
		return false
	}
	if s.known == nil {
		s.known = make(map[T]bool)
	}
	if len(s.ring) < Most {
		s.ring = append(s.ring, v)
	} else {
		delete(s.known, s.ring[s.next])
		s.ring[s.next] = v
		s.next = (s.next + 1) % Most
	}
	s.known[v] = true
	return true
}
