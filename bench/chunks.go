package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/stream"
)

// The classic JSON encoding, in this process alone: payload chunks of 64 KiB
// against the cryptography and Base64 that they cannot do without.
const (
	cellChunks  = "classic encode, verify"
	cellEncode  = "classic encode"
	cellVerify  = "classic verify"
	peerRaw     = "AES-CBC + HMAC-SHA256 + Base64"
	peerChunks  = "msl chunks, JSON"
	chunkData   = 64 << 10
	chunkPhases = 4
)

// chunks measures one round.
func (r *Run) chunks(sample time.Duration) error {
	keys := mslcrypto.SymmetricKeys{
		Encryption: mslcrypto.Key(pattern[:16]), Signature: mslcrypto.Key(pattern[16:48]), Wrapping: mslcrypto.Key(pattern[48:64]),
	}
	c, err := mslcrypto.NewSymmetric("bench", keys)
	if err != nil {
		return err
	}
	wire, err := encodeChunk(c)
	if err != nil {
		return err
	}
	raw, err := newRawChunk()
	if err != nil {
		return err
	}
	for _, m := range []struct {
		cell, peer string
		do         func() error
	}{
		{cellEncode, peerRaw, raw.encode},
		{cellEncode, peerChunks, chunkEncoder(c)},
		{cellVerify, peerRaw, raw.verify},
		{cellVerify, peerChunks, func() error { return verifyChunk(c, wire) }},
	} {
		speed, err := throughput(sample/chunkPhases, m.do)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", m.peer, m.cell, err)
		}
		r.Results.add(m.cell, m.peer, Sample{Metrics: map[string]float64{metricRate: speed}})
	}
	return nil
}

// throughput calls do, which does one chunk, again and again.
func throughput(sample time.Duration, do func() error) (float64, error) {
	start := time.Now()
	for n := 1; ; n++ {
		if err := do(); err != nil {
			return 0, err
		}
		if took := time.Since(start); took >= sample {
			return float64(n) * chunkData / (1 << 20) / took.Seconds(), nil
		}
	}
}

func chunkEncoder(c mslcrypto.Context) func() error {
	w := stream.NewChunkWriter(io.Discard, &message.Sealed{Format: framing.JSON, MessageID: 1, PayloadContext: c}, stream.ChunkWriterConfig{})
	return func() error {
		_, err := w.Write(pattern[:chunkData])
		return err
	}
}

// encodeChunk is a whole message's payload: one full chunk and the empty last one.
func encodeChunk(c mslcrypto.Context) ([]byte, error) {
	var wire bytes.Buffer
	w := stream.NewChunkWriter(&wire, &message.Sealed{Format: framing.JSON, MessageID: 1, PayloadContext: c}, stream.ChunkWriterConfig{})
	if _, err := w.Write(pattern[:chunkData]); err != nil {
		return nil, err
	}
	err := w.Close()
	return wire.Bytes(), err
}

func verifyChunk(c mslcrypto.Context, wire []byte) error {
	f := framing.NewReader(bytes.NewReader(wire), framing.Limits{})
	defer f.Close()
	r := stream.NewChunkReader(f, &message.Header{Format: framing.JSON, MessageID: 1, PayloadContext: c}, stream.ChunkReaderConfig{})
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, pattern[:chunkData]) {
		err = fmt.Errorf("bench: a chunk of %d bytes is wrong", len(got))
	}
	return err
}

// rawChunk does the same steps on the same number of bytes: the data in Base64
// within JSON, encrypted, in Base64 within the envelope, authenticated, in
// Base64 within the chunk.
type rawChunk struct {
	block                   cipher.Block
	key                     []byte
	data                    []byte
	plain, envelope         []byte
	text, sealed, outer     []byte
	mac                     []byte
	readData, readEncrypted []byte
}

func newRawChunk() (*rawChunk, error) {
	block, err := aes.NewCipher(pattern[:16])
	if err != nil {
		return nil, err
	}
	e := base64.StdEncoding
	r := &rawChunk{block: block, key: pattern[16:48], data: pattern[:chunkData]}
	r.text = make([]byte, e.EncodedLen(chunkData))
	r.plain = make([]byte, len(r.text)/aes.BlockSize*aes.BlockSize+aes.BlockSize)
	r.sealed = make([]byte, len(r.plain))
	r.envelope = make([]byte, e.EncodedLen(len(r.sealed)))
	r.outer = make([]byte, e.EncodedLen(len(r.envelope)))
	r.readData = make([]byte, len(r.outer))
	r.readEncrypted = make([]byte, len(r.outer))
	return r, r.encode()
}

func (r *rawChunk) encode() error {
	e := base64.StdEncoding
	e.Encode(r.text, r.data)
	copy(r.plain, r.text)
	cipher.NewCBCEncrypter(r.block, pattern[:aes.BlockSize]).CryptBlocks(r.sealed, r.plain)
	e.Encode(r.envelope, r.sealed)
	h := hmac.New(sha256.New, r.key)
	h.Write(r.envelope)
	r.mac = h.Sum(r.mac[:0])
	e.Encode(r.outer, r.envelope)
	return nil
}

func (r *rawChunk) verify() error {
	e := base64.StdEncoding
	n, err := e.Decode(r.readData, r.outer)
	if err != nil {
		return err
	}
	h := hmac.New(sha256.New, r.key)
	h.Write(r.readData[:n])
	if !hmac.Equal(h.Sum(nil), r.mac) {
		return fmt.Errorf("bench: the raw chunk's code is wrong")
	}
	if n, err = e.Decode(r.readEncrypted, r.readData[:n]); err != nil {
		return err
	}
	p := r.readEncrypted[:n]
	cipher.NewCBCDecrypter(r.block, pattern[:aes.BlockSize]).CryptBlocks(p, p)
	if n, err = e.Decode(r.readData, p[:len(r.text)]); err != nil {
		return err
	}
	if !bytes.Equal(r.readData[:n], r.data) {
		return fmt.Errorf("bench: the raw chunk is wrong")
	}
	return nil
}
