//go:build unix

package transport

import (
	"net"
	"testing"
)

// Of a TCP connection that was made otherwise the socket's own calls are kept.
func TestNetConnKeepsTryWrite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tcp := NetConn(dialled)
	defer tcp.Close()
	if _, ok := tcp.(TryWriter); !ok {
		t.Error("TCP lost TryWrite")
	}
}
