package framing

import (
	"sync"
	"sync/atomic"
)

// SmallBuffer is how long the smallest buffers are, for few bytes that may be
// kept for long.
const SmallBuffer = 256

// The size classes of buffers. All from 16 KiB on have room for the headers
// and tags of a batch of that many bytes of plaintext.
var classes = [...]int{SmallBuffer, 4 << 10, 16<<10 + 2<<10, 64<<10 + 8<<10, 256<<10 + 8<<10}

const (
	leastRead = 1 // the smallest class that is worth a Read
	largest   = len(classes) - 1
)

var pools [len(classes)]sync.Pool

var buffersInUse atomic.Int64

// BuffersInUse is how many buffers were taken and are not yet given back, in
// the whole program. Tests assert that it returns to what it was.
func BuffersInUse() int64 { return buffersInUse.Load() }

// A Buffer is memory from a pool, shared by counting references: whoever holds
// one calls [Buffer.Release] once, and the last returns the memory. Retain and
// Release may be called concurrently; who may touch which bytes of B is for the
// holders to agree on.
type Buffer struct {
	// B is the memory, at least as long as was asked for. Holders may
	// re-slice their copies of it at will.
	B []byte

	memory []byte // B as it was when it was made
	class  int    // -1: larger than any class, not pooled
	refs   atomic.Int32
}

// GetBuffer returns a buffer with at least size bytes and one reference. Its
// bytes are not zeroed.
func GetBuffer(size int) *Buffer {
	buffersInUse.Add(1)
	class := classFor(size)
	var b *Buffer
	switch {
	case class < 0:
		b = &Buffer{memory: make([]byte, size), class: class}
	default:
		b, _ = pools[class].Get().(*Buffer)
		if b == nil {
			b = &Buffer{memory: make([]byte, classes[class]), class: class}
		}
	}
	b.B = b.memory
	b.refs.Store(1)
	return b
}

// classFor returns the smallest class of at least size bytes, -1 if there is none.
func classFor(size int) int {
	for i, c := range classes {
		if size <= c {
			return i
		}
	}
	return -1
}

// Retain adds a reference.
func (b *Buffer) Retain() {
	if b.refs.Add(1) <= 1 {
		panic("framing: Retain of a released Buffer")
	}
}

// Release gives up a reference. After the last one B must not be touched.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0:
		buffersInUse.Add(-1)
		b.B = nil
		if b.class >= 0 {
			pools[b.class].Put(b)
		}
	case n < 0:
		panic("framing: Buffer released twice")
	}
}

// shared reports whether anybody but the caller holds a reference.
func (b *Buffer) shared() bool { return b.refs.Load() > 1 }
