//go:build !unix

package transport

import "net"

// A socket has no calls of its own on this operating system.
type socket struct{}

func (*socket) init(*net.TCPConn) error { return nil }
