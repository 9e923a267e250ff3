package classic

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/internal/recent"
	"github.com/mslgo/msl/stream"
)

// A Party is one side of a network towards one remote: a client towards its
// service, a peer towards another, or a server towards everybody, who keeps
// nothing of any of them (spec 09 section 3). The exported fields are not changed
// while it is in use. It may be used concurrently and is not copied.
type Party struct {
	// Network is who we are and what we accept.
	Network *message.Network
	// Holder keeps what the remote gives us. A server has none.
	Holder token.Holder

	// Expected is who the remote must be. The zero value is a server's, who
	// takes whoever authenticates, or means that nobody is known yet: see Pin.
	Expected token.Entity
	// Pin is called with the first one that proves who it is, before anything
	// of its answer is kept, if Expected is the zero value. Nil: a remote that
	// is not known is not trusted.
	Pin func(ctx context.Context, e token.Entity) error

	// Admit is asked about everybody who sends a request or a handshake, once
	// authenticated and before anything is answered. An error refuses: a
	// *mslerr.Error as it is, another as [message.Header.EntityRejected]. Nil
	// admits everybody.
	Admit func(ctx context.Context, h *message.Header) error

	// Reauthenticate gives other entity authentication data, of the same scheme,
	// after the remote rejected what we have (ENTITYDATA_REAUTH). Nil: there is none.
	Reauthenticate func(ctx context.Context, rejected error) (entityauth.Data, error)

	// Channel is the "channel" member of answers with a key exchange: what
	// shows that a channel could have been had. Nil: none.
	Channel framing.Object

	// Slot is the renewal slot towards the remote, shared with the set-up of
	// channels. Nil: one of its own.
	Slot *Slot

	Limits Limits

	// Sent and Received see the headers that pass, for debugging. They are not
	// to be changed, and hold secrets. Nil: nobody looks.
	Sent     func(*message.HeaderSpec)
	Received func(*message.Header, *message.ErrorHeader)

	clock Clock
	own   Slot // if Slot is nil

	mu       sync.Mutex
	self     entityauth.Data // from Reauthenticate; nil: Network's
	pinned   token.Entity
	errors   recent.Set[digest]    // error headers that were acted upon (W-05)
	pushes   recent.Set[messageID] // pushes that were received (W-03)
	contacts recent.Set[contact]   // first contacts that were answered (W-02)
}

// digest is the SHA-256 of an error header.
type digest = [sha256.Size]byte

// messageID is the ID of a message under a master token of this serial number,
// -1 for none.
type messageID struct{ serial, id int64 }

// contact is a message under entity authentication data.
type contact struct {
	entity token.Entity
	id     int64
}

// Limits bounds what a request and a message cost. Zero fields mean the default.
type Limits struct {
	// Repeat is how much data of a request is kept until it is answered, in
	// bytes, to be sent again if it must. Default 1 MiB; negative: none. A
	// request that sent more and is refused fails.
	Repeat int
	// Chunk is the data of one chunk that we send, in bytes. Default
	// stream.DefaultChunkSize.
	Chunk int
	// MaxChunk and MaxTotal bound received messages: see
	// [stream.ChunkReaderConfig].
	MaxChunk int
	MaxTotal int64
}

func (l Limits) repeat() int {
	switch {
	case l.Repeat < 0:
		return 0
	case l.Repeat == 0:
		return 1 << 20
	}
	return l.Repeat
}

func (l Limits) chunk() int {
	if l.Chunk <= 0 {
		return stream.DefaultChunkSize
	}
	return l.Chunk
}

func (p *Party) slot() *Slot {
	if p.Slot != nil {
		return p.Slot
	}
	return &p.own
}

// network is Network with our present entity authentication data.
func (p *Party) network() *message.Network {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.self == nil {
		return p.Network
	}
	n := *p.Network
	n.Self = p.self
	return &n
}

// expected is who the remote must be, as far as it is known.
func (p *Party) expected() token.Entity {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pinned != (token.Entity{}) {
		return p.pinned
	}
	return p.Expected
}

// now is our own time, remoteNow the estimated one of the remote.
func (p *Party) now() time.Time {
	if p.Network.Clock != nil {
		return p.Network.Clock()
	}
	return time.Now()
}

func (p *Party) remoteNow() time.Time { return p.clock.Now(p.now()) }
