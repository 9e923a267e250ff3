//go:build unix && !solaris && !aix

package transfer

import (
	"os"
	"syscall"
)

// lock locks a file until it is closed, unless somebody else has.
func lock(f *os.File) bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }
