package compress

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/mslgo/msl/mslerr"
)

// GZIP is RFC 1952. It writes one member; it reads several, joined, and ignores
// what follows a complete member and does not begin another.
var GZIP Algorithm = gzipAlgorithm{}

type gzipAlgorithm struct{}

type gzipReader struct {
	gzip.Reader
	src bytes.Reader
}

var (
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}
)

func (gzipAlgorithm) Name() string { return "GZIP" }

func (gzipAlgorithm) Compress(dst, src []byte) ([]byte, error) {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	sink := appender{dst}
	w.Reset(&sink)
	if _, err := w.Write(src); err != nil {
		return nil, mslerr.Wrap(mslerr.CompressionError, err)
	}
	if err := w.Close(); err != nil {
		return nil, mslerr.Wrap(mslerr.CompressionError, err)
	}
	return sink.out, nil
}

// appender is a writer that appends.
type appender struct{ out []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.out = append(a.out, p...)
	return len(p), nil
}

func (gzipAlgorithm) Decompress(dst, src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzipReader)
	defer func() {
		r.src.Reset(nil)
		gzipReaders.Put(r)
	}()
	r.src.Reset(src)
	limit = min(limit, math.MaxInt-1) // room for one more in an int
	if err := r.Reset(&r.src); err != nil {
		return nil, corrupt("GZIP")
	}
	out := slices.Grow(dst, min(limit, 4*len(src)))
	for {
		r.Multistream(false)
		var err error
		if out, err = r.member(out, len(dst), limit); err != nil {
			return nil, err
		}
		if r.Reset(&r.src) != nil { // the end, or bytes that begin no member
			return out, nil
		}
	}
}

// member appends one member to out, whose first base bytes do not count.
func (r *gzipReader) member(out []byte, base, limit int) ([]byte, error) {
	for {
		// One byte more than allowed shows that there is more.
		room := limit - (len(out) - base) + 1
		if len(out) == cap(out) {
			out = slices.Grow(out, min(room, max(len(out), 512)))
		}
		n, err := r.Read(out[len(out) : len(out)+min(cap(out)-len(out), room)])
		out = out[:len(out)+n]
		switch {
		case n == room:
			return nil, overLimit(limit)
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, corrupt("GZIP")
		}
	}
}
