package classic

import (
	"testing"

	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/userauth"
)

var login = Message{LocalUser: "me", Credentials: userauth.Static(password{"alice", "right"}), AllowReplay: true}

// Chart 18.1: first contact, the data goes along.
func TestFirstContact(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-1"))
	w.must(login, "hello")
	w.wantChart(
		"C> [EAD] R kreq userauth",
		"S> [EAD] UIT kresp",
	)
	w.must(login, "again")
	w.wantChart("C> [MT1] UIT", "S> [MT1] UIT")
}

// Chart 18.2: keys first.
func TestHandshakeFirst(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("somebody"))
	w.must(login, "hello")
	w.wantChart(
		"C> [EAD] R H kreq",
		"S> [EAD] kresp",
		"C> [MT1] R userauth",
		"S> [MT1] UIT",
	)
}
