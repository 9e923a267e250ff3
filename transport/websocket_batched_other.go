//go:build !unix && !js

package transport

func (c *batchedConn) polled() Conn { return c }
