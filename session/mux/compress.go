package mux

import (
	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/session/frame"
)

const (
	compressFrom = 64       // fewer bytes are hardly ever worth it
	compressMost = 64 << 10 // bytes in one block: LZ4 looks back no farther
	compressRoom = 4 << 10  // data that the record's end would cut shorter leaves as it is

	// After so many blocks in a row that did not get smaller, only every
	// retryEvery-th is tried.
	missesInRow = 4
	retryEvery  = 16
)

// SetCompress says whether what is written from now on is compressed where that
// makes it smaller. See [StreamOptions.Compress] for when not to.
func (s *Stream) SetCompress(on bool) {
	s.m.mu.Lock()
	s.send.compress, s.send.misses = on, 0
	s.m.mu.Unlock()
}

// appendCompressed appends a STREAM frame with COMPRESSED of the next n bytes, or
// fewer, that wait. It returns how many; 0, and dst as it was, if they are better
// sent as they are. The lock is held meanwhile, as the bytes may be a writer's
// own, who can give up at any time.
func (m *Mux) appendCompressed(dst []byte, s *Stream, n int, fin bool) (_ []byte, raw int) {
	h := &s.send
	src := h.peek(int(min(uint64(n), compressMost, m.config.PeerMaxRecord)))
	if len(src) < compressFrom {
		return dst, 0
	}
	if h.misses >= missesInRow && h.misses%retryEvery != 0 {
		h.misses++
		return dst, 0
	}
	scratch := framing.GetBuffer(len(src) + len(src)/255 + 16) // as long as a block can get
	defer scratch.Release()
	block, err := compress.AppendLZ4Block(scratch.B[:0], src)
	if err != nil || frame.VarintLen(uint64(len(src)))+len(block) >= len(src) {
		h.misses++
		return dst, 0
	}
	h.misses = 0
	dst = frame.AppendCompressedHeader(dst, s.id, len(src), len(block), fin && len(src) == n)
	h.left(len(src))
	return append(dst, block...), len(src)
}

// decompress replaces the data of a COMPRESSED frame by what it stands for, which
// lies in the Buffer that it returns. All bounds are checked before memory is
// taken. Only who reads the connection receives, so they hold until it does.
func (m *Mux) decompress(f *frame.Stream) (*framing.Buffer, error) {
	size, block, err := frame.ParseVarint(f.Data)
	if err != nil {
		return nil, err
	}
	if err := m.checkRaw(f.ID, size); err != nil {
		return nil, err
	}
	buf := framing.GetBuffer(int(size))
	f.Data = buf.B[:size:size]
	if compress.LZ4Block(f.Data, block) != nil {
		buf.Release()
		return nil, frame.Violation(frame.CodeCompression, "block on stream %d does not give %d bytes", f.ID, size)
	}
	return buf, nil
}

// checkRaw reports what is wrong with a raw length on a stream.
func (m *Mux) checkRaw(id, size uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.findOpen(id)
	switch {
	case err != nil:
		return err
	case m.config.NoCompression:
		return frame.Violation(frame.CodeCompression, "stream %d is compressed, which is refused here", id)
	case size == 0 || size > m.config.MaxRecord:
		return frame.Violation(frame.CodeCompression, "raw length %d on stream %d is not 1 to %d", size, id, m.config.MaxRecord)
	}
	return m.checkCredit(s, size)
}
