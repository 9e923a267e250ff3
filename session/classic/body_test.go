package classic

import (
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
)

// Sent again, a body has the same chunks, whatever was read when; and what is kept
// is bounded.
func TestBodyRepeats(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		reads := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 300), 0, 30).Draw(rt, "reads")
		limit := rapid.IntRange(1, 5000).Draw(rt, "limit")
		readers := make([]io.Reader, len(reads))
		total := 0
		for i, p := range reads {
			readers[i] = &once{p}
			total += len(p) + chunkCost
		}
		b := newBody(iotest.DataErrReader(io.MultiReader(readers...)), Limits{Chunk: 100}, limit)
		defer b.close()
		var first []string
		for n := rapid.IntRange(0, 100).Draw(rt, "sent at first"); len(first) < n; {
			data, err := b.chunk(t.Context(), len(first))
			if err == io.EOF {
				break
			}
			if err != nil {
				rt.Fatal(err)
			}
			first = append(first, string(data))
			b.sent(len(first) - 1)
		}
		for i := 0; ; i++ {
			data, err := b.chunk(t.Context(), i)
			if _, ok := errors.AsType[*framing.LimitError](err); ok {
				if total <= limit {
					rt.Fatalf("%d bytes are over the limit of %d", total, limit)
				}
				if b.repeatable() == nil {
					rt.Fatal("repeatable, but it was not")
				}
				return
			}
			if err == io.EOF {
				if i < len(first) {
					rt.Fatalf("%d chunks instead of %d", i, len(first))
				}
				return
			}
			if i < len(first) && string(data) != first[i] || len(data) > 100 || len(data) == 0 {
				rt.Fatalf("chunk %d differs", i)
			}
			b.sent(i)
		}
	})
}

// once gives its data in one piece as far as it fits.
type once struct{ p []byte }

func (o *once) Read(p []byte) (int, error) {
	if len(o.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, o.p)
	o.p = o.p[n:]
	return n, nil
}
