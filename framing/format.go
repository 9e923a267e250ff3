// Package framing turns bytes into objects and sealed records, and back.
//
// An [Object] is MSL's data model (spec 01 section 1); a [Format] is one
// encoding of it. A [Reader] cuts the byte stream of a connection into whole
// objects and records and is the only one that reads from it. A [Buffer] is
// pooled memory that several records share.
package framing

// A Format is one encoding of objects. Its encodings are recognised by their
// first byte (spec 01 section 2). Formats hold no state and may be used
// concurrently.
type Format interface {
	// Name is the name in capabilities, such as "JSON".
	Name() string
	// Identifier is the first byte of every encoding.
	Identifier() byte
	// Append appends the encoding of o to dst. A value that cannot be encoded
	// is a *[MemberError].
	Append(dst []byte, o Object) ([]byte, error)
	// Parse decodes data, which is one whole object. The result shares no
	// memory with data. Errors are *[SyntaxError] and *[LimitError].
	Parse(data []byte) (Object, error)
	// NewScanner returns a scanner that finds the end of one object in a stream.
	NewScanner(limits Limits) Scanner
}

// A Scanner finds where one object ends. It is given the bytes of a stream as
// they come, beginning with the object's first.
type Scanner interface {
	// Scan takes the next bytes and says how many of them belong to the
	// object, and whether it is complete. It checks only what it needs to:
	// bytes that pass may still fail to parse.
	Scan(p []byte) (n int, done bool, err error)
}

// Limits bounds what is read from the other side. Zero fields mean the default.
type Limits struct {
	// Object is the greatest size of one encoded object, in bytes.
	// Default 10 MiB, which is what other stacks accept.
	Object int
	// Depth is how deep objects and arrays may nest, the outermost object
	// counted. Default and maximum 64; to be read by the C++ stack, stay
	// within 6 when writing.
	Depth int
}

const (
	defaultObject = 10 << 20
	maxDepth      = 64
	// maxValues bounds the memory that one parsed object takes: a value costs
	// 2 bytes on the wire and up to 100 in memory. No MSL object comes near.
	maxValues = 1 << 16
)

func (l Limits) withDefaults() Limits {
	if l.Object <= 0 {
		l.Object = defaultObject
	}
	if l.Depth <= 0 || l.Depth > maxDepth {
		l.Depth = maxDepth
	}
	return l
}

var formats = [...]Format{JSON, CBOR}

// Formats returns the formats there are. The first is the default: JSON, which
// every stack knows.
func Formats() []Format { return append([]Format(nil), formats[:]...) }

// Detect returns the format whose encodings begin with b. A receiver never
// negotiates: it detects (spec 01 section 2.1).
func Detect(b byte) (Format, error) {
	for _, f := range formats {
		if f.Identifier() == b {
			return f, nil
		}
	}
	return nil, &SyntaxError{Reason: "unidentified encoder format"}
}

// ByName returns the format of that name in capabilities.
func ByName(name string) (Format, bool) {
	for _, f := range formats {
		if f.Name() == name {
			return f, true
		}
	}
	return nil, false
}

// Decode decodes one encoded blob in whatever format it is. Keep the bytes if
// they are to be verified or sent on: encoding again need not give the same.
func Decode(data []byte) (Object, error) {
	if len(data) == 0 {
		return nil, &SyntaxError{Reason: "nothing to decode"}
	}
	f, err := Detect(data[0])
	if err != nil {
		return nil, err
	}
	return f.Parse(data)
}

// DecodeOwned is [Decode] for whoever gives data away: binary of CBOR stays where
// it is in data.
func DecodeOwned(data []byte) (Object, error) {
	if len(data) > 0 && data[0] == CBOR.Identifier() {
		return parseCBOR(data, true)
	}
	return Decode(data)
}

// DecodeShared is [Decode] for whoever only asks for members, with [Get],
// [Opt], [Elements] and [Binary], and is done before data changes: binary
// of CBOR and the strings of JSON, most of which are binary in Base64, stay
// where they are in data. The latter have a type of their own, so the object is
// good for nothing else.
func DecodeShared(data []byte) (Object, error) {
	if len(data) > 0 && data[0] == JSON.Identifier() {
		return parseJSON(data, true)
	}
	return DecodeOwned(data)
}
