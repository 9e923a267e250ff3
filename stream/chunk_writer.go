package stream

import (
	"errors"
	"io"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/message"
)

// DefaultChunkSize is the data of one chunk, in bytes, unless it is flushed before.
const DefaultChunkSize = 64 << 10

// maxChunkSize keeps a chunk, whose data is in Base64 three times over, within
// what other stacks take for one object.
const maxChunkSize = 1 << 20

// ChunkWriterConfig changes how a [ChunkWriter] works. The zero value is good.
type ChunkWriterConfig struct {
	// Size is the data of one chunk, in bytes: 1 to 1 MiB. Default
	// [DefaultChunkSize]; a greater value counts as 1 MiB.
	Size int
	// Compression is used for every chunk that it makes smaller. Only what both
	// sides announced may be set (spec 04 section 3.1), and see
	// [message.Network] for the danger. Default: none.
	Compression compress.Algorithm
}

// A ChunkWriter writes the body of one message. It holds back less than a chunk
// of data; Flush sends it, Close ends the message. After an error it cannot be
// used any more. It is for one goroutine at a time.
type ChunkWriter struct {
	w        io.Writer
	h        *message.Sealed
	c        ChunkWriterConfig
	sequence int64
	held     []byte
	closed   bool
	err      error // of everything from now on

	compressed, plaintext, wire []byte // used again for every chunk
}

// errClosed is what a closed writer says.
var errClosed = errors.New("stream: write after the end of the message")

// NewChunkWriter returns a writer of the body of the message with this header,
// which is to be written to w before. w gets one Write for each chunk.
func NewChunkWriter(w io.Writer, h *message.Sealed, c ChunkWriterConfig) *ChunkWriter {
	if c.Size <= 0 {
		c.Size = DefaultChunkSize
	}
	c.Size = min(c.Size, maxChunkSize)
	return &ChunkWriter{w: w, h: h, c: c, sequence: firstSequence}
}

// Write sends p as far as it fills whole chunks, and holds the rest.
func (w *ChunkWriter) Write(p []byte) (int, error) {
	n := 0
	for w.err == nil && n < len(p) {
		rest := p[n:]
		if len(w.held) == 0 && len(rest) >= w.c.Size {
			// A whole chunk is not copied, but sent from where it is.
			if w.err = w.send(rest[:w.c.Size], false); w.err == nil {
				n += w.c.Size
			}
			continue
		}
		taken := min(len(rest), w.c.Size-len(w.held))
		w.held = append(w.held, rest[:taken]...)
		n += taken
		if len(w.held) == w.c.Size {
			w.err = w.Flush()
		}
	}
	return n, w.err
}

// Flush sends what is held, if anything, as a chunk of its own.
func (w *ChunkWriter) Flush() error {
	if w.err != nil || len(w.held) == 0 {
		return w.err
	}
	w.err = w.send(w.held, false)
	w.held = w.held[:0]
	return w.err
}

// Close sends the last chunk, with what is held, and even if that is nothing.
// It does not close the underlying writer. Closing again does nothing.
func (w *ChunkWriter) Close() error {
	switch {
	case w.closed:
		return nil
	case w.err != nil:
		return w.err
	}
	if w.err = w.send(w.held, true); w.err != nil {
		return w.err
	}
	w.held, w.closed, w.err = nil, true, errClosed
	return nil
}

// send writes one chunk.
func (w *ChunkWriter) send(data []byte, end bool) error {
	wire, err := w.seal(data, end)
	if err != nil {
		return mslerr.WithMessageID(err, w.h.MessageID)
	}
	if _, err := w.w.Write(wire); err != nil {
		return err
	}
	w.sequence = message.NextID(w.sequence)
	return nil
}

// seal compresses, encrypts, signs and encodes one chunk.
func (w *ChunkWriter) seal(data []byte, end bool) ([]byte, error) {
	if data == nil {
		data = []byte{} // the member must be there
	}
	inner := framing.Object{memberSequence: w.sequence, memberMessageID: w.h.MessageID, memberData: data}
	if end {
		inner[memberEnd] = true
	}
	if w.c.Compression != nil && len(data) > 0 {
		out, smaller, err := compress.Smaller(w.c.Compression, w.compressed[:0], data)
		if err != nil {
			return nil, err
		}
		if w.compressed = out; smaller {
			inner[memberData], inner[memberCompression] = out, w.c.Compression.Name()
		}
	}
	var err error
	if w.plaintext, err = w.h.Format.Append(w.plaintext[:0], inner); err != nil {
		return nil, mslerr.Wrap(mslerr.EncodeError, err)
	}
	payload, err := w.h.PayloadContext.Encrypt(w.plaintext, w.h.Format)
	if err != nil {
		return nil, err
	}
	signature, err := w.h.PayloadContext.Sign(payload, w.h.Format)
	if err != nil {
		return nil, err
	}
	if signature == nil {
		signature = []byte{}
	}
	outer := framing.Object{memberPayload: payload, memberSignature: signature}
	if w.wire, err = w.h.Format.Append(w.wire[:0], outer); err != nil {
		return nil, mslerr.Wrap(mslerr.EncodeError, err)
	}
	return w.wire, nil
}
