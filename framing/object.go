package framing

import "fmt"

// Object is an MSL object: members by name, in no order. Values are string,
// int64 (int is accepted when encoding), float64, bool, []byte ("binary"),
// [Object] and [Array]. A nil value removes the member: null is never encoded.
// An empty value is not an absent one: []byte{} and a nil []byte are both
// encoded as empty binary.
//
// Names are case-sensitive. Which member is binary is a matter of the schema:
// in JSON it is a Base64 string, and [Get] with []byte decodes it.
type Object map[string]any

// Array is an ordered list of the values an [Object] may hold. A null that was
// read is a nil element; it cannot be written.
type Array []any

// A MemberError says which member of an object is missing or has another type
// than the schema wants. The layers above give it MSL's error code.
type MemberError struct {
	Member  string
	Missing bool
	Want    string // the type asked for
}

func (e *MemberError) Error() string {
	if e.Missing {
		return fmt.Sprintf("framing: member %q is missing", e.Member)
	}
	return fmt.Sprintf("framing: member %q is not %s", e.Member, e.Want)
}
