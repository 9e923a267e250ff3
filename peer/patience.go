package peer

import (
	"io"
	"net"
	"time"

	"github.com/mslgo/msl/transport"
)

// idle is how long a connection may wait for the next request, with its header.
const idle = 2 * time.Minute

// defaultTimeout is of [Server.Timeout].
const defaultTimeout = 2 * time.Minute

// deadline is when what begins now has to be done; zero: never.
func deadline(timeout time.Duration) time.Time {
	if timeout == 0 {
		timeout = defaultTimeout
	}
	if timeout < 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// patientReader is the body of a request: each chunk of it has to come in time. It
// takes the deadline off again, since who waits for the next request is idle.
type patientReader struct {
	io.Reader
	conn    net.Conn
	timeout time.Duration
}

func (r *patientReader) Read(p []byte) (int, error) {
	if err := r.conn.SetReadDeadline(deadline(r.timeout)); err != nil {
		return 0, err
	}
	n, err := r.Reader.Read(p)
	_ = r.conn.SetReadDeadline(time.Time{}) // it fails when the connection is closed
	return n, err
}

// patientExchange takes each Write of an answer off in time.
type patientExchange struct {
	transport.Exchange
	conn    net.Conn
	timeout time.Duration
}

func (e *patientExchange) Write(p []byte) (int, error) {
	if err := e.conn.SetWriteDeadline(deadline(e.timeout)); err != nil {
		return 0, err
	}
	return e.Exchange.Write(p)
}
