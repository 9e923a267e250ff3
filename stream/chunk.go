package stream

import (
	"sync"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// A payload chunk is an object whose binary member holds another, encrypted:
//
//	{"payload": binary, "signature": binary}
//	{"sequencenumber": int, "messageid": int, "endofmsg": true, "compressionalgo": string, "data": binary}
//
// "endofmsg" stands in the last chunk only, "compressionalgo" only where data is
// compressed.
const (
	memberPayload     = "payload"
	memberSignature   = "signature"
	memberSequence    = "sequencenumber"
	memberMessageID   = "messageid"
	memberEnd         = "endofmsg"
	memberCompression = "compressionalgo"
	memberData        = "data"
)

// firstSequence is the number of a message's first chunk.
const firstSequence = 1

// chunk is the content of a chunk.
type chunk struct {
	data []byte
	end  bool
}

// opener opens the chunks of one message, in order.
type opener struct {
	context    mslcrypto.Context
	messageID  int64
	algorithms []compress.Algorithm
	limit      int   // of the data of one chunk, decompressed
	sequence   int64 // of the next chunk

	plaintext []byte // of the last chunk; memory for the next
}

// A scratch is memory that is needed while a chunk is opened. There is one for
// each chunk being opened, and none for readers that wait.
type scratch struct{ object, payload []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// open verifies, decrypts and decompresses the next chunk, which is s.object
// (spec 04 section 6.1). Its data is appended to dst or has memory of its own.
func (o *opener) open(dst []byte, s *scratch) (chunk, error) {
	var c chunk
	inner, err := o.unseal(s)
	if err != nil {
		return c, err
	}
	sequence, err := get[int64](inner, memberSequence)
	if err != nil {
		return c, err
	}
	id, err := get[int64](inner, memberMessageID)
	if err != nil {
		return c, err
	}
	if c.end, _, err = opt[bool](inner, memberEnd); err != nil {
		return c, err
	}
	name, compressed, err := opt[string](inner, memberCompression)
	if err != nil {
		return c, err
	}
	var algorithm compress.Algorithm
	if compressed {
		var known bool
		if algorithm, known = compress.ByName(o.algorithms, name); !known {
			return c, mslerr.New(mslerr.UnidentifiedCompression, "%q", name)
		}
	}
	if c.data, err = framing.AppendBinary(dst, inner, memberData); err != nil {
		return c, mslerr.Wrap(mslerr.ParseError, err)
	}
	switch {
	case sequence < 0 || sequence > message.MaxID:
		return c, mslerr.New(mslerr.PayloadSequenceNumberOutOfRange, "%d", sequence)
	case id < 0 || id > message.MaxID:
		return c, mslerr.New(mslerr.PayloadMessageIDOutOfRange, "%d", id)
	case id != o.messageID:
		return c, mslerr.New(mslerr.PayloadMessageIDMismatch, "a chunk of message %d", id)
	case sequence != o.sequence:
		return c, mslerr.New(mslerr.PayloadSequenceNumberMismatch, "chunk %d instead of %d", sequence, o.sequence)
	case len(c.data) == 0 && !c.end:
		return c, mslerr.New(mslerr.PayloadDataMissing, "an empty chunk that is not the last")
	case len(c.data) > o.limit:
		return c, mslerr.Wrap(mslerr.ParseError, &framing.LimitError{Limit: "chunk data", Max: o.limit})
	}
	if algorithm != nil && len(c.data) > 0 {
		limit := min(o.limit, compress.Limit(len(c.data)))
		if c.data, err = algorithm.Decompress(nil, c.data, limit); err != nil {
			return c, err
		}
	}
	o.sequence = message.NextID(o.sequence)
	return c, nil
}

// unseal gives the object inside, which shares memory with s and o.plaintext.
func (o *opener) unseal(s *scratch) (framing.Object, error) {
	object, err := framing.DecodeShared(s.object)
	if err != nil {
		return nil, err
	}
	if s.payload, err = framing.AppendBinary(s.payload[:0], object, memberPayload); err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	signature, err := get[[]byte](object, memberSignature)
	if err != nil {
		return nil, err
	}
	ok, err := o.context.Verify(s.payload, signature)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mslerr.New(mslerr.PayloadVerificationFailed, "wrong signature of chunk %d", o.sequence)
	}
	if o.plaintext, err = mslcrypto.DecryptTo(o.context, o.plaintext, s.payload); err != nil {
		return nil, err
	}
	inner, err := framing.DecodeShared(o.plaintext)
	if err != nil {
		return nil, mslerr.Wrap(mslerr.ParseError, err)
	}
	return inner, nil
}

// get and opt read members; one that does not fit is a parse error.
func get[T framing.Value](o framing.Object, name string) (T, error) {
	v, err := framing.Get[T](o, name)
	if err != nil {
		err = mslerr.Wrap(mslerr.ParseError, err)
	}
	return v, err
}

func opt[T framing.Value](o framing.Object, name string) (T, bool, error) {
	v, ok, err := framing.Opt[T](o, name)
	if err != nil {
		err = mslerr.Wrap(mslerr.ParseError, err)
	}
	return v, ok, err
}
