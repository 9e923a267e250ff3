//go:build linux || darwin

package transport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// writev writes two pieces, either of which may be empty, in one call.
func writev(fd int, pieces *[2][]byte) (int, error) {
	if len(pieces[0]) == 0 {
		return syscall.Write(fd, pieces[1])
	}
	if len(pieces[1]) == 0 {
		return syscall.Write(fd, pieces[0])
	}
	return unix.Writev(fd, pieces[:])
}
