package observe

import (
	"log/slog"
	"time"
)

// An Event is one thing that happened in a session. Names are in two parts, of
// which the first is what it concerns; docs/operations.md has the list.
type Event struct {
	Time    time.Time
	Trace   string // names the session from its set-up's beginning, in this program only
	Channel string // the channel's ID in hexadecimal; "" until it is settled
	Role    Role
	Name    string
	Data    []slog.Attr
}

// Names of events.
const (
	EventSetUpBegun     = "setup:begun"
	EventSetUpStep      = "setup:step"
	EventSetUpFailed    = "setup:failed"
	EventSessionOpened  = "session:opened"
	EventSessionState   = "session:state"
	EventSessionTraffic = "session:traffic"
	EventSessionClosed  = "session:closed"
	EventKeyUpdated     = "key:updated"
	EventKeyRekeyed     = "key:rekeyed"
	EventLost           = "connection:lost"
	EventAttached       = "connection:attached"
	EventAttachFailed   = "connection:attach_failed"
	EventStreamOpened   = "stream:opened"
	EventStreamReset    = "stream:reset"
	EventStreamClosed   = "stream:closed"
)
