package transport

import "net"

// NetConn makes a Conn, of form [Stream], of a connection that was made
// otherwise. A Conn is returned as it is.
func NetConn(c net.Conn) Conn {
	switch c := c.(type) {
	case Conn:
		return c
	case *net.TCPConn:
		if conn, err := newTCPConn(c, ""); err == nil {
			return conn
		}
	}
	return netConn{c}
}

type netConn struct{ net.Conn }

func (netConn) Form() Form  { return Stream }
func (netConn) URL() string { return "" }
