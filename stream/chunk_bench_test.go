package stream

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"testing"

	"github.com/mslgo/msl/framing"
)

var benchFormats = framing.Formats()

func BenchmarkChunkWriter(b *testing.B) {
	for _, f := range benchFormats {
		b.Run(f.Name(), func(b *testing.B) {
			sealed, _ := ends(b, f)
			data := make([]byte, DefaultChunkSize)
			w := NewChunkWriter(io.Discard, sealed, ChunkWriterConfig{})
			b.SetBytes(DefaultChunkSize)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkChunkReader reads messages of one chunk and of many.
func BenchmarkChunkReader(b *testing.B) {
	for _, f := range benchFormats {
		for _, chunks := range []int{1, 50} {
			b.Run(fmt.Sprintf("%s/%d", f.Name(), chunks), func(b *testing.B) {
				sealed, header := ends(b, f)
				size := chunks * DefaultChunkSize
				wire := write(b, sealed, ChunkWriterConfig{}, string(make([]byte, size)))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				src := new(bytes.Reader)
				for b.Loop() {
					src.Reset(wire)
					r := framing.NewReader(src, framing.Limits{})
					body := NewChunkReader(r, header, ChunkReaderConfig{})
					if n, err := body.WriteTo(io.Discard); err != nil || n != int64(size) {
						b.Fatal(n, err)
					}
					r.Close()
				}
			})
		}
	}
}

// BenchmarkRaw is the cryptography and Base64 that one chunk in JSON cannot do
// without, and nothing else: the measure for the others.
func BenchmarkRaw(b *testing.B) {
	block, _ := aes.NewCipher(testKeys.Encryption)
	iv := make([]byte, aes.BlockSize)
	data := make([]byte, DefaultChunkSize)
	inner := make([]byte, base64.StdEncoding.EncodedLen(len(data)))
	inner = inner[:len(inner)&^15]
	envelope := make([]byte, base64.StdEncoding.EncodedLen(len(inner)))
	outer := make([]byte, base64.StdEncoding.EncodedLen(len(envelope)))
	b.Run("write", func(b *testing.B) {
		b.SetBytes(DefaultChunkSize)
		for b.Loop() {
			base64.StdEncoding.Encode(inner[:cap(inner)], data)
			cipher.NewCBCEncrypter(block, iv).CryptBlocks(inner, inner)
			base64.StdEncoding.Encode(envelope, inner)
			mac := hmac.New(sha256.New, testKeys.Signature)
			mac.Write(envelope)
			mac.Sum(nil)
			base64.StdEncoding.Encode(outer, envelope)
		}
	})
	// The decoders need valid input, so each step works on a copy of its own.
	text := bytes.Repeat([]byte{'A'}, len(outer)&^3)
	b.Run("read", func(b *testing.B) {
		b.SetBytes(DefaultChunkSize)
		for b.Loop() {
			n, _ := base64.StdEncoding.Decode(outer, text)
			mac := hmac.New(sha256.New, testKeys.Signature)
			mac.Write(outer[:n])
			mac.Sum(nil)
			n, _ = base64.StdEncoding.Decode(envelope, text[:n&^3])
			n &^= 15
			cipher.NewCBCDecrypter(block, iv).CryptBlocks(envelope[:n], envelope[:n])
			_, _ = base64.StdEncoding.Decode(inner[:cap(inner)], text[:n&^3])
		}
	})
}
