// Package transfer sends and receives files over streams, as package wire
// describes them. Neither end holds more of a file than one buffer, and nothing
// appears under a file's name before it is whole and its SHA-256 is right.
package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

// bufferSize is what an end of a transfer holds of a file.
const bufferSize = 256 << 10

// Result is what became of a file at one receiver.
type Result struct {
	Nick string // "" if there is no hub between
	Err  error  // nil: it holds the same bytes
}

// Sum is the SHA-256 of a file, in hexadecimal.
func Sum(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	hash := sha256.New()
	if _, err := copyBuffered(hash, f); err != nil {
		return "", errors.Join(ctx.Err(), err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Send sends size bytes of file over a stream that was opened for it, from where
// the other side wants them, and all of them to progress, and returns their
// SHA-256, in hexadecimal, and what became of them. The error is a *wire.Refusal
// if nobody took the file.
func Send(st wire.Stream, file io.Reader, size int64, progress io.Writer) (sum string, results []Result, err error) {
	events := wire.NewReader(st)
	e, err := events.Next()
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("waiting for an answer: %w", err)
	case e.Type == wire.Refused || e.Type == wire.Error:
		return "", nil, e.Err()
	case e.Type != wire.Accepted:
		return "", nil, fmt.Errorf("the answer was %q", e.Type)
	case e.Offset < 0 || e.Offset > size:
		wire.Abort(st)
		return "", nil, fmt.Errorf("the other side wants a file of %d bytes from byte %d on", size, e.Offset)
	}
	hash := sha256.New()
	sent, err := copyBuffered(io.MultiWriter(hash, progress), io.LimitReader(file, e.Offset))
	if err == nil && sent == e.Offset {
		var rest int64
		rest, err = copyBuffered(io.MultiWriter(hash, st, progress), io.LimitReader(file, size-sent))
		sent += rest
	}
	if err == nil && sent < size {
		wire.Abort(st)
		return "", nil, fmt.Errorf("the file shrank from %d to %d bytes", size, sent)
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	if err == nil {
		err = errors.Join(wire.Write(st, wire.Event{Type: wire.End, SHA256: sum}), st.CloseWrite())
	}
	// If writing failed, the other side may have said why.
	for {
		e, rerr := events.Next()
		if errors.Is(rerr, io.EOF) {
			break
		}
		if rerr != nil {
			err = errors.Join(err, rerr)
			break
		}
		switch r := (Result{Nick: e.Nick}); {
		case e.Type == wire.Failed:
			r.Err = e.Err()
			results = append(results, r)
		case e.Type == wire.Done && e.SHA256 != sum:
			r.Err = fmt.Errorf("its SHA-256 is %s, not %s", e.SHA256, sum)
			results = append(results, r)
		case e.Type == wire.Done:
			results = append(results, r)
		}
	}
	if len(results) > 0 {
		return sum, results, nil
	}
	if err == nil {
		err = errors.New("the other side did not say what became of it")
	}
	wire.Abort(st)
	return "", nil, err
}

// copyBuffered copies with one buffer and no shortcuts, so that every byte
// passes all writers.
func copyBuffered(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, bufferSize))
}
