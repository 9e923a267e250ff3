//go:build !linux

package link

// yieldProcessor does nothing where there is no such call.
func yieldProcessor() {}
