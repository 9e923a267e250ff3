package compress

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"

	"github.com/mslgo/msl/mslerr"
)

// LZ4 is fast. Classic MSL does not know it: it is used only where both sides
// announce it. Its layout:
//
//	bytes 0-3   length of the original, big endian
//	rest        one block of the LZ4 block format; nothing if the length is 0
var LZ4 Algorithm = lz4Algorithm{}

type lz4Algorithm struct{}

const lz4Header = 4

var lz4Compressors = sync.Pool{New: func() any { return new(lz4.Compressor) }}

func (lz4Algorithm) Name() string { return "LZ4" }

func (lz4Algorithm) Compress(dst, src []byte) ([]byte, error) {
	if len(src) > math.MaxInt32 {
		return nil, mslerr.New(mslerr.CompressionError, "%d bytes are over LZ4's limit of %d", len(src), math.MaxInt32)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(src)))
	return AppendLZ4Block(dst, src)
}

func (lz4Algorithm) Decompress(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < lz4Header {
		return nil, corrupt("LZ4")
	}
	size := int64(binary.BigEndian.Uint32(src))
	if size > int64(limit) {
		return nil, overLimit(limit)
	}
	// A block gives at most 255 bytes for each of its own: do not take memory
	// for one that cannot be as long as it says.
	if block := src[lz4Header:]; size > 255*int64(len(block)) || size == 0 && len(block) > 0 {
		return nil, corrupt("LZ4")
	}
	out := slices.Grow(dst, int(size))[:len(dst)+int(size)]
	if err := LZ4Block(out[len(dst):], src[lz4Header:]); err != nil {
		return nil, err
	}
	return out, nil
}

// AppendLZ4Block appends src as a bare block of the LZ4 block format to dst;
// nothing if src is empty.
func AppendLZ4Block(dst, src []byte) ([]byte, error) {
	if len(src) == 0 {
		return dst, nil
	}
	bound := lz4.CompressBlockBound(len(src))
	out := slices.Grow(dst, bound)
	c := lz4Compressors.Get().(*lz4.Compressor)
	defer lz4Compressors.Put(c)
	n, err := c.CompressBlock(src, out[len(dst):len(dst)+bound])
	if err != nil {
		return nil, mslerr.Wrap(mslerr.CompressionError, err)
	}
	return out[:len(dst)+n], nil
}

// LZ4Block decompresses a bare block, which must give exactly len(dst) bytes.
func LZ4Block(dst, src []byte) error {
	if n, err := lz4.UncompressBlock(src, dst); err != nil || n != len(dst) {
		return corrupt("LZ4")
	}
	return nil
}
