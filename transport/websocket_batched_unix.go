//go:build unix

package transport

// A polledConn is a batchedConn over a socket, which is read and written without
// blocking too.
type polledConn struct {
	*batchedConn
	*socket // the rest of what it can
}

func (c *batchedConn) polled() Conn {
	c.try = c.socket.tryWritev
	return polledConn{c, &c.socket}
}

// TryWrite implements [TryWriter]. What it does not take must be written next: the
// message has begun that holds it.
func (c polledConn) TryWrite(p []byte) (int, error) { return c.write(p, c.try) }

// TryRead implements [TryReader].
func (c polledConn) TryRead(p []byte) (n int, err error) {
	for n < len(p) {
		if c.ended() {
			return n, orNil(n, c.err)
		}
		got := c.takeEarly(p[n:])
		if got == 0 {
			if got, err = c.socket.TryRead(p[n:]); err != nil {
				return n, orNil(n, c.readFailed(err))
			}
		}
		more := got == len(p)-n // there may be
		got, err = c.decode(p[n : n+got])
		n += got
		if err != nil || !more {
			break
		}
	}
	return n, orNil(n, err)
}

// orNil is err, if n is 0: with bytes it is told the next time.
func orNil(n int, err error) error {
	if n > 0 {
		return nil
	}
	return err
}

// WaitRead implements [WaitReader]. A frame that holds no data ends it too.
func (c polledConn) WaitRead() error {
	c.earlyMu.Lock()
	early := len(c.early) > 0
	c.earlyMu.Unlock()
	if early {
		return nil
	}
	err := c.socket.WaitRead()
	if err == nil || c.outlives(err) {
		return err
	}
	return c.fail(err)
}
