//go:build unix && !linux && !darwin

package transport

import "syscall"

// writev writes two pieces, either of which may be empty.
func writev(fd int, pieces *[2][]byte) (int, error) {
	written := 0
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		n, err := syscall.Write(fd, p)
		written += max(n, 0)
		if written > 0 && err != nil {
			return written, nil // the next call tells it
		}
		if err != nil || n < len(p) {
			return written, err
		}
	}
	return written, nil
}
