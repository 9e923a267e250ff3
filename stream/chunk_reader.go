package stream

import (
	"errors"
	"io"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/message"
)

// ChunkReaderConfig changes how a [ChunkReader] works. The zero value is good.
type ChunkReaderConfig struct {
	// MaxChunk is the most data that one chunk may have, decompressed, in
	// bytes. Default 10 MiB. The size of a chunk on the wire is bounded by the
	// limits of the [framing.Reader].
	MaxChunk int
	// MaxTotal is the most data that the message may have, in bytes. 0: no limit,
	// for readers that do not keep it all.
	MaxTotal int64
	// Algorithms that chunks may be compressed with. Default [compress.Defaults].
	Algorithms []compress.Algorithm
	// MayBeAbsent says that the message may have no chunks at all, as automatic
	// replies to handshakes do (spec 04 section 1.1): a stream that ends before
	// the first chunk is then an empty message, and not a truncated one.
	MayBeAbsent bool
}

// A ChunkReader reads the body of one message. Each chunk is verified before
// any of its data is given out, and all data before the first bad chunk is given
// out before the error.
//
// A stream that ends before the message does is io.ErrUnexpectedEOF: what was
// read must not be acted upon (W-08). Other errors of the stream are passed on;
// what is wrong with a chunk is an *mslerr.Error with the header's message ID.
// Errors stay. After the last chunk nothing more is read: what follows belongs
// to the next message. It is for one goroutine at a time.
type ChunkReader struct {
	r      *framing.Reader
	h      *message.Header
	c      ChunkReaderConfig
	opener opener
	data   []byte // of the current chunk, not yet given out
	memory []byte // of all the current chunk's data, for the next one's
	total  int64
	err    error // what to say when data is given out
}

// NewChunkReader returns a reader of the body of the message with this header,
// which was the last thing read from r. The body of a handshake is empty, and r
// is not touched for it.
func NewChunkReader(r *framing.Reader, h *message.Header, c ChunkReaderConfig) *ChunkReader {
	if c.MaxChunk <= 0 {
		c.MaxChunk = 10 << 20
	}
	if c.Algorithms == nil {
		c.Algorithms = compress.Defaults()
	}
	b := &ChunkReader{r: r, h: h, c: c, opener: opener{
		context: h.PayloadContext, messageID: h.MessageID,
		algorithms: c.Algorithms, limit: c.MaxChunk, sequence: firstSequence,
	}}
	if h.Handshake {
		b.err = io.EOF
	}
	return b
}

// Read gives out data of one chunk. It waits for the next one if there is none left.
func (b *ChunkReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.await(); err != nil {
		return 0, err
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// WriteTo writes the rest of the body to w, chunk by chunk as they pass.
func (b *ChunkReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := b.await(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(b.data)
		total += int64(n)
		b.data = b.data[n:]
		if err != nil {
			return total, err
		}
	}
}

// Handshake reports whether the message is a handshake: one that its sender's
// stack wrote, whose data nobody waits for. Older stacks do not set the flag;
// theirs is renewable, with key requests, and has an empty body of one chunk
// (spec 04 section 6.1). Only for such a header it waits for the first chunk.
// A failure to read it is also that of the next Read.
func (b *ChunkReader) Handshake() (bool, error) {
	if b.h.Handshake {
		return true, nil
	}
	if !b.h.Renewable || len(b.h.KeyRequests) == 0 {
		return false, nil
	}
	if b.opener.sequence == firstSequence {
		if err := b.await(); err != nil && err != io.EOF {
			return false, err
		}
	}
	return b.total == 0 && b.err == io.EOF && b.opener.sequence == firstSequence+1, nil
}

// Absorb checks a leftover of this message: the chunk that the other side may
// send, or not, behind its reply to a handshake (spec 04 section 7.4). It
// reports false for an object that is no chunk but begins the next message.
func (b *ChunkReader) Absorb(raw []byte) (bool, error) {
	object, err := framing.DecodeShared(raw)
	if err != nil {
		return false, b.failure(err)
	}
	if object[memberPayload] == nil || object["headerdata"] != nil || object["errordata"] != nil {
		return false, nil
	}
	if _, err := b.opener.open(nil, &scratch{object: raw}); err != nil {
		return true, b.failure(err)
	}
	return true, nil
}

// await makes sure that there is data, or gives the error.
func (b *ChunkReader) await() error {
	for len(b.data) == 0 {
		if b.err != nil {
			return b.err
		}
		if err := b.next(); err != nil {
			b.err = err
		}
	}
	return nil
}

// next reads one chunk.
func (b *ChunkReader) next() error {
	switch _, err := b.r.Peek(); {
	case err == io.EOF && b.c.MayBeAbsent && b.opener.sequence == firstSequence:
		return io.EOF
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return b.failure(err)
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	var err error
	if s.object, _, err = b.r.AppendObject(s.object[:0]); err != nil {
		return b.failure(err)
	}
	c, err := b.opener.open(b.memory[:0], s)
	if err != nil {
		return b.failure(err)
	}
	b.memory = c.data
	if b.c.MaxTotal > 0 && int64(len(c.data)) > b.c.MaxTotal-b.total {
		return b.failure(&framing.LimitError{Limit: "message data", Max: int(b.c.MaxTotal)})
	}
	b.total += int64(len(c.data))
	b.data = c.data
	if c.end {
		b.err = io.EOF
	}
	return nil
}

// failure names the message that is at fault. Errors of the connection are no
// failures of the message.
func (b *ChunkReader) failure(err error) error {
	var (
		protocol *mslerr.Error
		syntax   *framing.SyntaxError
		limit    *framing.LimitError
	)
	switch {
	case errors.As(err, &protocol):
	case errors.As(err, &syntax), errors.As(err, &limit), errors.Is(err, io.ErrUnexpectedEOF):
		err = mslerr.Wrap(mslerr.ParseError, err)
	default:
		return err
	}
	return mslerr.WithMessageID(err, b.h.MessageID)
}
