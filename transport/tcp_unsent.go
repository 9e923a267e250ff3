//go:build linux || darwin

package transport

import "syscall"

// SetUnsentLowWater implements [UnsentLimiter].
func (s *socket) SetUnsentLowWater(n int) error {
	var err error
	if failed := s.raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowWater, n)
	}); failed != nil {
		return failed
	}
	if err != nil {
		return s.opError("setsockopt", err)
	}
	return nil
}
