package file

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// ErrWrongKey says that the file was made with another key.
var ErrWrongKey = errors.New("store/file: not the key with which the file was made")

// A DamagedError says that the file, or one record in it, is not what a store
// wrote. The operation did not change it.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("store/file: %s is damaged: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// A BusyError says that other operations held the file for too long. It is a
// net.Error and an [os.ErrDeadlineExceeded].
type BusyError struct {
	Path   string
	Waited time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("store/file: %s is in use by others for more than %v", e.Path, e.Waited)
}

// Is reports whether target is [os.ErrDeadlineExceeded].
func (e *BusyError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// Timeout is true.
func (e *BusyError) Timeout() bool { return true }

// Temporary is true.
func (e *BusyError) Temporary() bool { return true }
