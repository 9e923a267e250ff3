package session

import (
	"testing"

	"github.com/mslgo/msl/transport"
)

// transports are those that sessions are tested over: in a browser nobody listens.
func transports(f func(name, url string)) { f("pipe", "") }

func sockets(testing.TB) (listen, dial *transport.Options) { return nil, nil }
