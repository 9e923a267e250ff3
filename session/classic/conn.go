package classic

import (
	"context"
	"io"
	"net"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// An Opener gives a new exchange for each message of a trusted services network: each
// retry needs one of its own (spec 09 section 8).
type Opener interface {
	Open(ctx context.Context) (transport.Exchange, error)
}

// OpenFunc is a function as an [Opener].
type OpenFunc func(ctx context.Context) (transport.Exchange, error)

// Open calls f.
func (f OpenFunc) Open(ctx context.Context) (transport.Exchange, error) { return f(ctx) }

// Over is a connection as an exchange that never ends. On a connection of form Single each
// message becomes a binary message of its own.
func Over(conn transport.Conn) transport.Exchange {
	if m, ok := conn.(transport.MessageConn); ok && conn.Form() == transport.Single {
		return &framed{MessageConn: m}
	}
	return duplex{conn}
}

// duplex needs no mark at the end of a message: its last chunk says it.
type duplex struct{ transport.Conn }

func (duplex) CloseWrite() error { return nil }

// framed is a connection that shows the borders of messages.
type framed struct {
	transport.MessageConn
	w io.WriteCloser // of the message being written; nil: none
}

func (f *framed) Write(p []byte) (int, error) {
	if f.w == nil {
		var err error
		if f.w, err = f.WriteMessage(context.Background()); err != nil {
			return 0, err
		}
	}
	return f.w.Write(p)
}

func (f *framed) CloseWrite() error {
	if f.w == nil {
		return nil
	}
	w := f.w
	f.w = nil
	return w.Close()
}

// A Conn is what messages travel on, with what was read from it too far, and what
// is still to be read of the last message. It is for one request at a time.
type Conn struct {
	stream transport.Exchange
	reader *framing.Reader
	shared bool  // peer to peer: all messages of both sides
	err    error // why no header can be read any more

	last  *stream.ChunkReader // body of the last message; nil: it could not be opened
	loose bool                // its chunks are left to be skipped

	sending *pump // of the last message that was written; nil: it has no body
}

// NewConn makes a Conn of an exchange, from which reader, if it is not nil, has
// read before. In a peer to peer network it is shared by all messages of both
// sides, and has to be duplex.
func NewConn(s transport.Exchange, reader *framing.Reader, shared bool) *Conn {
	if reader == nil {
		reader = framing.NewReader(s, framing.Limits{})
	} else {
		reader.SetLimits(framing.Limits{})
	}
	return &Conn{stream: s, reader: reader, shared: shared}
}

// Close ends the connection. It is called by who made it.
func (c *Conn) Close() error { return c.stream.Close() }

// maxSkipped is how many chunks are skipped behind a message that we refused.
const maxSkipped = 1 << 14

// readHeader returns the next header's bytes. What is left of the message before
// is read to its end first. Behind it one stray chunk is taken, which must be of
// that message: a stack may end its reply to a handshake with one, or not (spec
// 04 section 7.4), and old ones are late with it (D3). Behind a message that we
// refused all are skipped.
func (c *Conn) readHeader() (raw []byte, err error) {
	if c.err != nil {
		return nil, c.err
	}
	defer func() {
		if c.err = err; err != nil {
			c.err = net.ErrClosed // the reader cannot go on
		}
	}()
	if c.last != nil && !c.loose {
		if _, err := io.Copy(io.Discard, c.last); err != nil {
			return nil, err
		}
	}
	for n := 0; ; n++ {
		raw, err := message.Read(c.reader)
		if err != nil {
			return nil, err
		}
		stray, err := c.stray(raw)
		switch {
		case err != nil:
			return nil, err
		case !stray:
			return raw, nil
		case c.last != nil && n >= 1 || n >= maxSkipped:
			return nil, mslerr.New(mslerr.ParseError, "%d chunks of no message", n+1)
		}
	}
}

// stray says whether raw is a chunk of the message before.
func (c *Conn) stray(raw []byte) (bool, error) {
	if c.last != nil {
		return c.last.Absorb(raw)
	}
	if !c.loose {
		return false, nil
	}
	object, err := framing.Decode(raw)
	if err != nil {
		return false, mslerr.Wrap(mslerr.ParseError, err)
	}
	return object["payload"] != nil && object["headerdata"] == nil && object["errordata"] == nil, nil
}

// body begins to read the message with this header. A reply to a handshake may
// have no chunks, and nobody waits for them.
func (c *Conn) body(h *message.Header, l Limits, n *message.Network, reply bool) *stream.ChunkReader {
	c.last = stream.NewChunkReader(c.reader, h, stream.ChunkReaderConfig{
		MaxChunk: l.MaxChunk, MaxTotal: l.MaxTotal, Algorithms: n.Algorithms(), MayBeAbsent: reply,
	})
	c.loose = reply
	return c.last
}

// refuse notes that the chunks that follow belong to a message that could not
// be opened or was refused.
func (c *Conn) refuse() { c.last, c.loose = nil, true }

// guard closes the connection at the end of ctx. The result ends that, and
// reports whether it was in time.
func (c *Conn) guard(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.stream.Close() })
}

// write writes a header, behind the whole of the message before: that can still be
// on its way when the other side, who need not wait for the one chunk of a reply
// to its handshake, has long answered. A message without a body ends with it.
func (c *Conn) write(raw []byte, end bool) error {
	if err := c.sending.wait(); err != nil {
		return err
	}
	c.sending = nil
	if _, err := c.stream.Write(raw); err != nil {
		return err
	}
	if end {
		return c.stream.CloseWrite()
	}
	return nil
}
