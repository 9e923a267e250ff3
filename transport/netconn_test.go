package transport

import (
	"io"
	"net"
	"testing"
)

func TestNetConnKeepsWhatTheConnectionCan(t *testing.T) {
	a, b := Pipe()
	defer a.Close()
	defer b.Close()
	if NetConn(a) != a {
		t.Error("a Conn was wrapped again")
	}

	c, s := net.Pipe()
	conn := NetConn(c)
	defer conn.Close()
	go func() {
		io.WriteString(s, "hello")
		s.Close()
	}()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" || conn.Form() != Stream || conn.URL() != "" {
		t.Errorf("read %q, %v; form %v, URL %q", got, err, conn.Form(), conn.URL())
	}
}
