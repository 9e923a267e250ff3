package quic

import (
	"net"
	"sync"

	quicgo "github.com/quic-go/quic-go"
)

// A socket is a UDP socket that ends with its last user: a listener, and each
// connection that goes over it.
type socket struct {
	quicgo.Transport
	udp net.PacketConn

	mu    sync.Mutex
	users int // guarded by mu
}

// newSocket has one user, who must release it.
func newSocket(udp net.PacketConn) *socket {
	return &socket{Transport: quicgo.Transport{Conn: udp}, udp: udp, users: 1}
}

// use adds a user; only who is one may call it.
func (s *socket) use() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
}

func (s *socket) release() error {
	s.mu.Lock()
	s.users--
	last := s.users == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	err := s.Close()
	if err2 := s.udp.Close(); err == nil {
		err = err2
	}
	return err
}
