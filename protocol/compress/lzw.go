package compress

import (
	"math"
	"math/bits"
	"slices"
	"sync"

	"github.com/mslgo/msl/mslerr"
)

// LZW is MSL's own LZW (spec 04 section 4.2); package compress/lzw, GIF, TIFF
// and Unix compress are all different. It has no header, no clear code, no end
// code and no greatest width:
//
//   - codes 0-255 are the single bytes, each code but the first adds one string
//     to the dictionary, from 256 on, without end;
//   - code k (k = 0, 1, ...) takes bitlength(255+k) bits, most significant bit
//     first, with no gap to the one before;
//   - the last byte is filled with zero bits. What is left of the input when
//     there is less than a code is padding.
var LZW Algorithm = lzwAlgorithm{}

type lzwAlgorithm struct{}

func (lzwAlgorithm) Name() string { return "LZW" }

// lzwWidth is the width of code k.
func lzwWidth(k int) int { return bits.Len(uint(255 + k)) }

// The dictionary grows with the data, one entry for each code. Those that large
// data left behind are not kept.
const (
	lzwKeep  = 1 << 18 // entries
	lzwTable = 1 << 12 // slots that an encoder begins with
)

// lzwEncoder finds strings by their prefix's code and their last byte.
type lzwEncoder struct {
	prefix []int32 // by code-256
	last   []byte
	table  []int32 // open addressing: index into prefix plus one, 0 if free; a power of two long
}

var lzwEncoders = sync.Pool{New: func() any { return &lzwEncoder{table: make([]int32, lzwTable)} }}

// find returns the slot where the string of that prefix and last byte is or belongs.
func (e *lzwEncoder) find(prefix int32, last byte) int {
	mask := len(e.table) - 1
	slot := int((uint64(prefix)<<8|uint64(last))*0x9E3779B97F4A7C15>>32) & mask
	for {
		i := e.table[slot] - 1
		if i < 0 || e.prefix[i] == prefix && e.last[i] == last {
			return slot
		}
		slot = (slot + 1) & mask
	}
}

// add puts a new string into the slot that find returned.
func (e *lzwEncoder) add(slot int, prefix int32, last byte) {
	e.prefix = append(e.prefix, prefix)
	e.last = append(e.last, last)
	e.table[slot] = int32(len(e.prefix))
	if len(e.prefix) <= len(e.table)/2 {
		return
	}
	e.table = slices.Grow(e.table[:0], 2*len(e.table))[:2*len(e.table)]
	clear(e.table)
	for i := range e.prefix {
		e.table[e.find(e.prefix[i], e.last[i])] = int32(i + 1)
	}
}

func (lzwAlgorithm) Compress(dst, src []byte) ([]byte, error) {
	if len(src) == 0 {
		return dst, nil
	}
	if len(src) > math.MaxInt32-256 { // a code might not fit
		return nil, mslerr.New(mslerr.CompressionError, "%d bytes are over LZW's limit of %d", len(src), math.MaxInt32-256)
	}
	e := lzwEncoders.Get().(*lzwEncoder)
	e.prefix, e.last = e.prefix[:0], e.last[:0]
	e.table = e.table[:lzwTable]
	clear(e.table)
	w := bitWriter{out: dst}
	k := 0
	code := int32(src[0]) // of the longest string in the dictionary so far
	for _, c := range src[1:] {
		slot := e.find(code, c)
		if i := e.table[slot]; i > 0 {
			code = 256 + i - 1
			continue
		}
		w.write(uint64(code), lzwWidth(k))
		k++
		e.add(slot, code, c)
		code = int32(c)
	}
	w.write(uint64(code), lzwWidth(k))
	if cap(e.table) <= lzwKeep {
		lzwEncoders.Put(e)
	}
	return w.close(), nil
}

// bitWriter packs codes, most significant bit first.
type bitWriter struct {
	out  []byte
	bits uint64 // the lowest n are not yet written
	n    int    // less than 8 between calls
}

func (w *bitWriter) write(code uint64, width int) {
	w.bits = w.bits<<width | code
	for w.n += width; w.n >= 8; {
		w.n -= 8
		w.out = append(w.out, byte(w.bits>>w.n))
	}
}

func (w *bitWriter) close() []byte {
	if w.n > 0 {
		w.out = append(w.out, byte(w.bits<<(8-w.n)))
	}
	return w.out
}

var lzwDecoders = sync.Pool{New: func() any { return new([]int) }}

func (lzwAlgorithm) Decompress(dst, src []byte, limit int) ([]byte, error) {
	// Every string of the dictionary is a piece of the output: entry 256+k is
	// what code k gave and the byte after it. So where the output of each code
	// begins is all there is to remember.
	pooled := lzwDecoders.Get().(*[]int)
	starts := (*pooled)[:0]
	defer func() {
		if cap(starts) <= lzwKeep {
			*pooled = starts
			lzwDecoders.Put(pooled)
		}
	}()

	out := slices.Grow(dst, min(limit, 2*len(src)))
	var acc uint64 // the lowest n bits of it are not yet used
	n, at := 0, 0
	for k := 0; ; k++ {
		width := lzwWidth(k)
		for n < width && at < len(src) {
			acc = acc<<8 | uint64(src[at])
			at++
			n += 8
		}
		if n < width {
			return out, nil
		}
		n -= width
		code := int(acc >> n & (1<<width - 1))

		begin := len(out)
		room := limit - (begin - len(dst))
		switch entry := code - 256; {
		case code < 256:
			if room < 1 {
				return nil, overLimit(limit)
			}
			out = append(out, byte(code))
		case entry < k-1:
			from, to := starts[entry], starts[entry+1]+1
			if to-from > room {
				return nil, overLimit(limit)
			}
			out = append(out, out[from:to]...)
		case entry == k-1: // the string that this very code completes
			from := starts[entry]
			if begin-from+1 > room {
				return nil, overLimit(limit)
			}
			out = append(out, out[from:]...)
			out = append(out, out[begin])
		default:
			return nil, corrupt("LZW")
		}
		starts = append(starts, begin)
	}
}
