package classic

import (
	"context"
	"io"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/protocol/userauth"
)

// A Message is what the application states about a message that it sends: spec
// 09's message context (section 4). The zero value is an empty message that
// must be encrypted, protected and cannot be replayed.
type Message struct {
	// Body is the application's data, read once and as it comes: what each Read
	// returns is a chunk of its own. If it is an io.Closer, it is closed when it
	// is not needed any more, which must end a Read that waits. Nil: no data.
	Body io.Reader

	// InsecurePlaintext lets the data go unencrypted where there are no keys,
	// for everybody to read.
	InsecurePlaintext bool
	// InsecureUnprotected lets it go without a signature, for everybody to
	// change; it implies InsecurePlaintext.
	InsecureUnprotected bool
	// AllowReplay lets the message go without a non-replayable ID: whoever
	// recorded it can have it processed again (W-02). Answers never have one.
	AllowReplay bool
	// WantTokens asks for a master token, and for a user ID token if User is
	// set, although the data could go without.
	WantTokens bool

	// LocalUser is our name of the user for whom the message is sent; "" for
	// none. Credentials are asked for when they have no user ID token yet.
	LocalUser   string
	Credentials userauth.Source

	// User is the receiver's user, who is to be given a user ID token with an
	// answer if they have none; "" for none.
	User token.User

	// Repeat is how much data is kept until the message is answered, in bytes, to
	// be sent again if it must; 0: as the Party's Limits say, negative: none.
	Repeat int

	// ServiceTokens may change the service tokens of the message. It is called
	// for each message that is built, also for the handshakes and retries of
	// one request. Nil changes nothing.
	ServiceTokens func(ctx context.Context, set *ServiceTokens, handshake bool) error
}

// encrypted, protected and nonReplayable are what the data needs.
func (m *Message) encrypted() bool     { return !m.InsecurePlaintext && !m.InsecureUnprotected }
func (m *Message) protected() bool     { return !m.InsecureUnprotected }
func (m *Message) nonReplayable() bool { return !m.AllowReplay }
