package compress

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/mslgo/msl/mslerr"
)

// A few kilobytes become many megabytes in who asks no limit.
func TestW18Bomb(t *testing.T) {
	const size = 32 << 20
	bomb, err := GZIP.Compress(nil, make([]byte, size))
	if err != nil {
		t.Fatal(err)
	}
	naive, err := gzip.NewReader(bytes.NewReader(bomb))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, naive); n != size || err != nil || len(bomb) > size/500 {
		t.Fatalf("the attack does not work: %d bytes from %d, %v", n, len(bomb), err)
	}
	out, err := GZIP.Decompress(nil, bomb, Limit(len(bomb)))
	if !errors.Is(err, mslerr.UncompressionError) || len(out) > 0 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}
