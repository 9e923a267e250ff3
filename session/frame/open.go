package frame

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// Limits of STREAM_OPEN.
const (
	MaxUrgency    = 7       // the least urgent, RFC 9218
	MaxLabel      = 255     // bytes
	MaxMetadata   = 16      // entries
	MaxKey        = 64      // bytes, at least 1
	MaxValue      = 1024    // bytes
	MaxStreamOpen = 4 << 10 // bytes, the whole frame
)

var (
	errLabel    = &Error{CodeProtocol, "label above 255 bytes"}
	errMetadata = &Error{CodeProtocol, "more than 16 metadata entries"}
	errKey      = &Error{CodeProtocol, "metadata key not of 1 to 64 bytes"}
	errKeyOrder = &Error{CodeProtocol, "metadata keys not rising"}
	errValue    = &Error{CodeProtocol, "metadata value above 1024 bytes"}
	errOpenSize = &Error{CodeProtocol, "STREAM_OPEN above 4096 bytes"}
)

// Metadata is the encoded metadata of a stream: v n, n x (s key, s value), keys
// rising and unique. Nil stands for none.
type Metadata []byte

// NewMetadata encodes m. The error names the limit that m breaks.
func NewMetadata(m map[string]string) (Metadata, error) {
	if len(m) == 0 {
		return nil, nil
	}
	if len(m) > MaxMetadata {
		return nil, fmt.Errorf("frame: %d metadata entries, the limit is %d", len(m), MaxMetadata)
	}
	b := AppendVarint(nil, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		if len(k) == 0 || len(k) > MaxKey {
			return nil, fmt.Errorf("frame: metadata key of %d bytes, the limits are 1 and %d", len(k), MaxKey)
		}
		if len(v) > MaxValue {
			return nil, fmt.Errorf("frame: metadata value of %d bytes, the limit is %d", len(v), MaxValue)
		}
		b = append(AppendVarint(b, uint64(len(k))), k...)
		b = append(AppendVarint(b, uint64(len(v))), v...)
	}
	return b, nil
}

// Map decodes the metadata; nil if there is none.
func (m Metadata) Map() map[string]string {
	if len(m) == 0 {
		return nil
	}
	n, b, err := ParseVarint(m)
	if err != nil || n == 0 {
		return nil
	}
	out := make(map[string]string, min(n, MaxMetadata))
	for range n {
		var k, v []byte
		if k, b, err = parseBytes(b, MaxKey, errKey); err != nil {
			break
		}
		if v, b, err = parseBytes(b, MaxValue, errValue); err != nil {
			break
		}
		out[string(k)] = string(v)
	}
	return out
}

// parseMetadata finds where the metadata that b begins with ends, and checks it.
func parseMetadata(b []byte) (m Metadata, rest []byte, err error) {
	n, rest, err := ParseVarint(b)
	if err != nil {
		return nil, nil, err
	}
	if n > MaxMetadata {
		return nil, nil, errMetadata
	}
	var last, key []byte
	for range n {
		if key, rest, err = parseBytes(rest, MaxKey, errKey); err != nil {
			return nil, nil, err
		}
		if len(key) == 0 {
			return nil, nil, errKey
		}
		if bytes.Compare(key, last) <= 0 { // the first is above the empty key
			return nil, nil, errKeyOrder
		}
		last = key
		if _, rest, err = parseBytes(rest, MaxValue, errValue); err != nil {
			return nil, nil, err
		}
	}
	return Metadata(b[:len(b)-len(rest)]), rest, nil
}

// StreamOpen is the body of STREAM_OPEN (06: v id, b flags, s label, metadata).
// Bits 0 to 2 of the flags are the urgency, bit 3 says incremental (RFC 9218).
type StreamOpen struct {
	ID          uint64
	Urgency     uint8 // 0 the most urgent, 7 the least
	Incremental bool
	Label       []byte
	Metadata    Metadata
}

// Len is the length of the frame.
func (o *StreamOpen) Len() int {
	return 1 + VarintLen(o.ID) + 1 + VarintLen(uint64(len(o.Label))) + len(o.Label) + max(1, len(o.Metadata))
}

// Check returns an error that names the limit that o breaks, if it breaks one.
func (o *StreamOpen) Check() error {
	switch {
	case o.Urgency > MaxUrgency:
		return fmt.Errorf("frame: urgency %d, the limit is %d", o.Urgency, MaxUrgency)
	case len(o.Label) > MaxLabel:
		return fmt.Errorf("frame: label of %d bytes, the limit is %d", len(o.Label), MaxLabel)
	}
	// With the longest ID, as it is not known before it leaves.
	if n := o.Len() - VarintLen(o.ID) + 8; n > MaxStreamOpen {
		return fmt.Errorf("frame: label and metadata make a frame of %d bytes, the limit is %d", n, MaxStreamOpen)
	}
	return nil
}

// AppendStreamOpen appends STREAM_OPEN; o has passed Check.
func AppendStreamOpen(dst []byte, o *StreamOpen) []byte {
	flags := o.Urgency & openUrgency
	if o.Incremental {
		flags |= openIncremental
	}
	dst = append(AppendVarint(AppendVarint(dst, TypeStreamOpen), o.ID), flags)
	dst = append(AppendVarint(dst, uint64(len(o.Label))), o.Label...)
	if len(o.Metadata) == 0 {
		return AppendVarint(dst, 0)
	}
	return append(dst, o.Metadata...)
}

// ParseStreamOpen reads the body of STREAM_OPEN and checks all its limits; label
// and metadata lie in b.
func ParseStreamOpen(b []byte) (o StreamOpen, rest []byte, err error) {
	size := len(b)
	if o.ID, b, err = ParseVarint(b); err != nil {
		return StreamOpen{}, nil, err
	}
	if len(b) == 0 {
		return StreamOpen{}, nil, errShort
	}
	flags := b[0]
	if flags&^(openUrgency|openIncremental) != 0 {
		return StreamOpen{}, nil, errFlags
	}
	o.Urgency, o.Incremental = flags&openUrgency, flags&openIncremental != 0
	if o.Label, b, err = parseBytes(b[1:], MaxLabel, errLabel); err != nil {
		return StreamOpen{}, nil, err
	}
	if o.Metadata, rest, err = parseMetadata(b); err != nil {
		return StreamOpen{}, nil, err
	}
	if 1+size-len(rest) > MaxStreamOpen {
		return StreamOpen{}, nil, errOpenSize
	}
	return o, rest, nil
}
