package nats

import (
	"fmt"
	"os"
	"time"
)

// An UnavailableError says that the store did not answer in time, or that others
// changed the record all the time: whether a change was made is not known. It is
// a net.Error and an [os.ErrDeadlineExceeded].
type UnavailableError struct {
	Waited time.Duration
	Err    error // the last that went wrong
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("store/nats: no answer within %v: %v", e.Waited, e.Err)
}

// Unwrap returns the last error.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Is reports whether target is [os.ErrDeadlineExceeded].
func (e *UnavailableError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// Timeout is true.
func (e *UnavailableError) Timeout() bool { return true }

// Temporary is true.
func (e *UnavailableError) Temporary() bool { return true }

// A BucketError says why a bucket that exists cannot be used.
type BucketError struct{ Bucket, Reason string }

func (e *BucketError) Error() string {
	return fmt.Sprintf("store/nats: bucket %q cannot be used: %s", e.Bucket, e.Reason)
}

// A DamagedError says that a record is not what a store wrote.
type DamagedError struct {
	Key string
	Err error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("store/nats: record %s is damaged: %v", e.Key, e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }
