package framing

// A Format is one encoding of objects. Its encodings are recognised by their
// first byte (spec 01 section 2). Formats hold no state and may be used
// concurrently.
type Format interface {
	// Name is the name in capabilities, such as "JSON".
	Name() string
	// Identifier is the first byte of every encoding.
	Identifier() byte
	// Append appends the encoding of o to dst.
	Append(dst []byte, o Object) ([]byte, error)
	// Parse decodes data, which is one whole object.
	Parse(data []byte) (Object, error)
	// NewScanner returns a scanner that finds the end of one object in a stream.
	NewScanner(limits Limits) Scanner
}

// A Scanner finds where one object ends. It is given the bytes of a stream as
// they come, beginning with the object's first.
type Scanner interface {
	// Scan takes the next bytes and says how many of them belong to the
	// object, and whether it is complete.
	Scan(p []byte) (n int, done bool, err error)
}

// Limits bounds what is read from the other side. Zero fields mean the default.
type Limits struct {
	// Object is the greatest size of one encoded object, in bytes.
	// Default 10 MiB, which is what other stacks accept.
	Object int
	// Depth is how deep objects and arrays may nest. Default 64.
	Depth int
}
