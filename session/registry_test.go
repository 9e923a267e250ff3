package session

import (
	"slices"
	"testing"
	"time"
)

// Closed channels are forgotten in any order: they are remembered no longer
// than they were durable.
func TestClosedChannelsAreForgotten(t *testing.T) {
	g := &registry{byID: make(map[channelID]*channel)}
	for i := range byte(5) {
		id := channelID{i}
		g.byID[id] = &channel{id: id, epochs: &epochs{newest: new(epoch)}, expiry: time.NewTimer(time.Hour)}
		g.closed = append(g.closed, id)
	}
	left := slices.Clone(g.closed)
	for _, i := range []byte{0, 3, 4, 1, 2} {
		c := g.byID[channelID{i}]
		g.forget(c)
		g.forget(c) // its timer was about to
		left = slices.DeleteFunc(left, func(id channelID) bool { return id == c.id })
		if !slices.Equal(g.closed, left) || len(g.byID) != len(left) {
			t.Fatalf("after %d: %v of %d, not %v", i, g.closed, len(g.byID), left)
		}
	}
}
