package message

import (
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/compress"
)

// Capabilities is what the sender of a message can receive (spec 04 section
// 3.1). Nil capabilities were not announced. A value is not changed once made.
type Capabilities struct {
	Compression []compress.Algorithm
	Languages   []string // BCP 47 tags, most preferred first
	Formats     []framing.Format
}

// Intersect is what both sides can receive: the capabilities of the answer to
// a message that announced c, sent by somebody with those of own. Languages
// stay in the order of c, algorithms and formats in that of own, the first
// being the one to use. It is nil if either side announced nothing.
func (c *Capabilities) Intersect(own *Capabilities) *Capabilities {
	if c == nil || own == nil {
		return nil
	}
	return &Capabilities{
		Compression: common(own.Compression, c.Compression, compress.Algorithm.Name),
		Languages:   common(c.Languages, own.Languages, func(s string) string { return s }),
		Formats:     common(own.Formats, c.Formats, framing.Format.Name),
	}
}

func common[T any](ordered, other []T, name func(T) string) []T {
	var list []T
	for _, e := range ordered {
		if slices.ContainsFunc(other, func(o T) bool { return name(o) == name(e) }) {
			list = append(list, e)
		}
	}
	return list
}

// Format is the format to send in: the first one, or JSON, which every stack
// knows.
func (c *Capabilities) Format() framing.Format {
	if c == nil || len(c.Formats) == 0 {
		return framing.JSON
	}
	return c.Formats[0]
}

// Algorithm is the compression to use when sending; nil means none.
func (c *Capabilities) Algorithm() compress.Algorithm {
	if c == nil || len(c.Compression) == 0 {
		return nil
	}
	return c.Compression[0]
}

// object encodes c. All three members are always there, perhaps empty.
//
//	{"compressionalgos":["GZIP"],"languages":["en-US"],"encoderformats":["JSON"]}
func (c *Capabilities) object() framing.Object {
	return framing.Object{
		"compressionalgos": array(c.Compression, compress.Algorithm.Name),
		"languages":        array(c.Languages, func(s string) string { return s }),
		"encoderformats":   array(c.Formats, framing.Format.Name),
	}
}

func array[T any](list []T, name func(T) string) framing.Array {
	a := make(framing.Array, len(list))
	for i, e := range list {
		a[i] = name(e)
	}
	return a
}

// parseCapabilities drops names it does not know, and takes a member that is
// no array for an empty one, as the other stacks do.
func parseCapabilities(o framing.Object, known []compress.Algorithm) (*Capabilities, error) {
	c := new(Capabilities)
	var err error
	if c.Languages, err = names(o, "languages"); err != nil {
		return nil, err
	}
	algorithms, err := names(o, "compressionalgos")
	if err != nil {
		return nil, err
	}
	for _, name := range algorithms {
		if a, ok := compress.ByName(known, name); ok {
			c.Compression = append(c.Compression, a)
		}
	}
	formats, err := names(o, "encoderformats")
	if err != nil {
		return nil, err
	}
	for _, name := range formats {
		if f, ok := framing.ByName(name); ok {
			c.Formats = append(c.Formats, f)
		}
	}
	return c, nil
}

func names(o framing.Object, member string) ([]string, error) {
	a, _, err := framing.Opt[framing.Array](o, member)
	if err != nil {
		return nil, nil
	}
	return framing.Elements[string](a)
}
