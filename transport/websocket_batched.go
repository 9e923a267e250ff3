//go:build !js

package transport

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	maskSize = MaxBatch + 64 // how much of a message is masked, and written, in one go: a batch and its header
	tlsSize  = 16 << 10      // of a TLS record
)

var maskBuffers = sync.Pool{New: func() any { return new([maskSize]byte) }}

// A batchedConn is a WebSocket of form Batched. The library has made the
// handshake; the frames are the package's own, which wait for whatever part of
// them a socket does not take, and are read without a buffer between.
//
// A message that has begun has said how long it is: what is written next, by
// whatever call, goes on in it. Its borders mean nothing else.
type batchedConn struct {
	ending
	conn   net.Conn      // TCP: its deadlines and its end
	top    io.ReadWriter // the same, or TLS on it
	socket socket        // of conn, if that is top
	url    string
	client bool
	copies bool // what is written: to mask it, or to bring a header and data into one TLS record
	block  send
	try    send // nil: every write may block

	in      frameReader
	earlyMu sync.Mutex // guards early
	early   []byte     // what came with the handshake

	writeMu sync.Mutex // guards what follows, and the order of writes
	out     []byte     // goes before anything else: a header, or control frames
	outBuf  [maxFrameHeader + maxControl]byte
	left    int // bytes of data that the message wants yet
	key     maskKey
	pos     int // in the message
	pieces  net.Buffers
	piece   [2][]byte

	pongMu   sync.Mutex // guards pong and pongSize
	pong     [maxControl]byte
	pongSize int
	pongDue  atomic.Bool
}

// send writes head and body. If it returns less than their length and no error, no
// more can be written without blocking.
type send func(head, body []byte) (int, error)

// newBatched makes a Conn that runs over w, for which the library made the
// handshake. early is what has been read of it.
func newBatched(w *wire, early []byte, client bool, url string) (Conn, *ending, error) {
	if len(early) == 0 {
		early = nil // nor its memory
	}
	c := &batchedConn{
		ending: ending{done: make(chan struct{})},
		conn:   w.Conn, top: w.top, url: url, client: client, early: early,
	}
	c.in = frameReader{client: client, limit: MaxBatch + maxRecord, control: c.control}
	c.block = func(head, body []byte) (int, error) {
		n, err := c.top.Write(head)
		if err == nil && len(body) > 0 {
			var m int
			m, err = c.top.Write(body)
			n += m
		}
		return n, err
	}
	tcp, ok := w.top.(*net.TCPConn)
	c.copies = client || !ok
	if !ok {
		return c, &c.ending, nil
	}
	if err := c.socket.init(tcp); err != nil {
		return nil, nil, err
	}
	if !client {
		c.block = func(head, body []byte) (int, error) {
			c.piece = [2][]byte{head, body}
			c.pieces = c.piece[:]
			n, err := c.pieces.WriteTo(tcp)
			return int(n), err
		}
	}
	return c.polled(), &c.ending, nil
}

func (c *batchedConn) Form() Form                         { return Batched }
func (c *batchedConn) URL() string                        { return c.url }
func (c *batchedConn) LocalAddr() net.Addr                { return c.conn.LocalAddr() }
func (c *batchedConn) RemoteAddr() net.Addr               { return c.conn.RemoteAddr() }
func (c *batchedConn) SetReadDeadline(t time.Time) error  { return c.conn.SetReadDeadline(t) }
func (c *batchedConn) SetWriteDeadline(t time.Time) error { return c.conn.SetWriteDeadline(t) }
func (c *batchedConn) SetDeadline(t time.Time) error      { return c.conn.SetDeadline(t) }

// Read gives the bytes of binary messages, one after the other.
func (c *batchedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.ended() {
			return 0, c.err
		}
		n := c.takeEarly(p)
		if n == 0 {
			var err error
			if n, err = c.top.Read(p); n == 0 && err != nil {
				return 0, c.readFailed(err)
			}
		}
		n, err := c.decode(p[:n])
		if n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			return 0, err
		}
	}
}

func (c *batchedConn) takeEarly(p []byte) int {
	c.earlyMu.Lock()
	defer c.earlyMu.Unlock()
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n
}

// readFailed ends the connection. A WebSocket ends with a CLOSE: an end
// without is an error.
func (c *batchedConn) readFailed(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return c.fail(err)
}

// decode puts the data of b to its front.
func (c *batchedConn) decode(b []byte) (int, error) {
	n, err := c.in.decode(b)
	if err == nil {
		return n, nil
	}
	code := websocket.StatusMessageTooBig
	if bad, ok := errors.AsType[*frameError](err); ok {
		code = bad.code
	}
	c.close(code, err)
	return n, c.err
}

// control handles a control frame. It writes without blocking, if that can be.
func (c *batchedConn) control(opcode byte, p []byte) error {
	switch opcode {
	case opPing:
		c.pongMu.Lock()
		c.pongSize = copy(c.pong[:], p)
		c.pongMu.Unlock()
		c.pongDue.Store(true)
		c.answer()
	case opClose:
		reason, ok := closeReason(p)
		if !ok {
			return protocolError("CLOSE with an invalid reason")
		}
		c.close(reason.Code, explain(reason, 0))
		return c.err
	}
	return nil
}

// answer sends the PONG that is due, of several only the last. If somebody is
// writing, or a message is not whole, that one who writes next will.
func (c *batchedConn) answer() {
	for c.pongDue.Load() && !c.ended() && c.writeMu.TryLock() {
		_, err := c.put(nil, c.quick())
		whole := c.left == 0 && len(c.out) == 0
		c.writeMu.Unlock()
		if err != nil {
			_ = c.fail(err) // Read tells it
		}
		if err != nil || !whole {
			return
		}
	}
}

// quick writes without blocking, if that can be.
func (c *batchedConn) quick() send {
	if c.try != nil {
		return c.try
	}
	return c.block
}

// Write sends p as one binary message, or goes on in one that a TryWrite began.
func (c *batchedConn) Write(p []byte) (int, error) { return c.write(p, c.block) }

func (c *batchedConn) write(p []byte, send send) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.writeMu.Lock()
	n, err := c.put(p, send)
	c.writeMu.Unlock()
	switch {
	case c.outlives(err):
		return n, err
	case err != nil:
		return n, c.failWrite(err)
	}
	c.answer() // the reader found writeMu locked
	return n, nil
}

// outlives reports whether err is a deadline that leaves the connection as it was,
// see [TryWriter].
func (c *batchedConn) outlives(err error) bool {
	return c.try != nil && !c.ended() && errors.Is(err, os.ErrDeadlineExceeded)
}

// put writes p, or as much of it as send does. Holds writeMu.
func (c *batchedConn) put(p []byte, send send) (n int, err error) {
	for {
		if c.ended() {
			if n < len(p) {
				err = net.ErrClosed
			}
			return n, err
		}
		if c.left == 0 && len(c.out) == 0 {
			switch {
			case c.pongDue.Swap(false):
				c.pongMu.Lock()
				c.appendControl(opPong, c.pong[:c.pongSize])
				c.pongMu.Unlock()
			case n < len(p):
				c.begin(len(p) - n)
			default:
				return n, nil
			}
		}
		body := p[n:min(len(p), n+c.left)]
		if len(c.out) == 0 && len(body) == 0 {
			return n, nil // the message goes on with the next write
		}
		m, all, err := c.step(body, send)
		n += m
		if err != nil || !all {
			return n, err
		}
	}
}

// begin begins a message of length bytes.
func (c *batchedConn) begin(length int) {
	var key *maskKey
	if c.client {
		key = &c.key
		_, _ = rand.Read(key[:]) // never fails
	}
	c.out = appendFrameHeader(c.outBuf[:0], opBinary, length, key)
	c.left, c.pos = length, 0
}

// appendControl appends a control frame to what goes before anything else. Not inside of a message.
func (c *batchedConn) appendControl(opcode byte, p []byte) {
	if len(c.out) == 0 {
		c.out = c.outBuf[:0]
	}
	var key *maskKey
	if c.client {
		key = new(maskKey)
		_, _ = rand.Read(key[:])
	}
	c.out = append(appendFrameHeader(c.out, opcode, len(p), key), p...)
	if key != nil {
		sent := c.out[len(c.out)-len(p):]
		mask(sent, sent, *key, 0)
	}
}

// step writes what goes before and then a part of body, which the message wants. It
// returns how much of body has been taken, and whether more may follow.
func (c *batchedConn) step(body []byte, send send) (n int, all bool, err error) {
	head := c.out
	var total int
	switch {
	case !c.copies || len(body) == 0 || !c.client && len(head) == 0:
		total, err = send(head, body)
		all = total == len(head)+len(body)
	default:
		buf := maskBuffers.Get().(*[maskSize]byte)
		room := buf[:]
		if !c.client {
			room = buf[:tlsSize]
		}
		begun := copy(room, head)
		if c.client {
			body = body[:min(len(body), len(room)-begun)]
			mask(room[begun:], body, c.key, c.pos)
		} else {
			body = body[:copy(room[begun:], body)]
		}
		room = room[:begun+len(body)]
		total, err = send(room, nil)
		all = total == len(room)
		maskBuffers.Put(buf)
	}
	n = max(total-len(head), 0)
	c.out = head[total-n:]
	c.left -= n
	c.pos += n
	return n, all, err
}

// Close sends a CLOSE if no write is under way, for at most a second, and closes. A
// Read or Write that is blocked returns at once.
func (c *batchedConn) Close() error {
	if c.end(net.ErrClosed) {
		c.finish(websocket.StatusNormalClosure, c.block)
	}
	return nil
}

// close is Close by the reader, who does not wait, if that can be.
func (c *batchedConn) close(code websocket.StatusCode, cause error) {
	if c.end(cause) {
		c.finish(code, c.quick())
	}
}

func (c *batchedConn) finish(code websocket.StatusCode, send send) {
	if c.writeMu.TryLock() {
		if c.left == 0 {
			c.conn.SetReadDeadline(time.Unix(1, 0))
			c.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
			var p []byte
			if code != websocket.StatusNoStatusRcvd {
				p = binary.BigEndian.AppendUint16(p, uint16(code))
			}
			c.appendControl(opClose, p)
			_, _, _ = c.step(nil, send)
		}
		c.writeMu.Unlock()
	}
	c.conn.Close()
}

// fail ends the connection because of err, if it has not ended, and tells why it
// ended.
func (c *batchedConn) fail(err error) error {
	if c.end(explain(err, MaxBatch+maxRecord)) {
		c.conn.Close()
	}
	return c.err
}

// failWrite is fail for a write, where the peer's end is an error.
func (c *batchedConn) failWrite(err error) error {
	if err = c.fail(err); err == io.EOF {
		return net.ErrClosed
	}
	return err
}
