package session

import (
	"time"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/stream"
)

// Info says who is at the other side of a session, and how it is protected.
type Info struct {
	Entity     token.Entity  // the other side, authenticated
	User       token.User    // who is logged in, see [Session.Login]; "" for none
	Suite      stream.Suite  // what seals the records
	KEM        uint16        // HPKE's number of what gave the keys
	Transport  string        // the URL of the present connection; "" if it has none
	RoundTrip  time.Duration // smoothed; 0 if not yet known
	Reconnects int           // how often the session has got another connection
	Early      bool          // at a responder: early data was accepted
	Resumed    bool          // set up with a master token, not by first contact
}
