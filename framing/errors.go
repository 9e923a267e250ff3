package framing

import "fmt"

// A SyntaxError says where and how bytes break the rules of their encoding. It
// never quotes them: they may be a secret.
type SyntaxError struct {
	Offset int // bytes from the beginning of the object
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("framing: %s at byte %d", e.Reason, e.Offset)
}

// A LimitError says which limit the other side exceeded, or, when encoding,
// which one this side would.
type LimitError struct {
	Limit string // such as "object size"
	Max   int    // the greatest value allowed
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("framing: %s is over the limit of %d", e.Limit, e.Max)
}
