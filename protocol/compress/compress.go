// Package compress holds the compression algorithms of payload chunks and
// service tokens (spec 03 section 5, spec 04 section 4.2): GZIP, MSL's LZW, and
// LZ4, which is used only where both sides announce it.
//
// Compress secrets together with what another party chooses, and the length
// tells of the secret. Whether to compress at all is for the application.
package compress

import (
	"math"
	"slices"

	"github.com/mslgo/msl/mslerr"
)

// An Algorithm compresses data that is independent of any before it. Algorithms
// may be used concurrently.
type Algorithm interface {
	// Name is the name in capabilities and in "compressionalgo".
	Name() string
	// Compress appends the compressed form of src to dst. Failures are
	// [mslerr.CompressionError].
	Compress(dst, src []byte) ([]byte, error)
	// Decompress appends the original of src to dst, and fails once that is
	// more than limit bytes. Failures are [mslerr.UncompressionError].
	Decompress(dst, src []byte, limit int) ([]byte, error)
}

// MaxRatio is how many times the compressed length the original may be: other
// stacks refuse more.
const MaxRatio = 200

// Limit is what to give [Algorithm.Decompress] for data of that length.
func Limit(compressedLen int) int {
	if compressedLen > math.MaxInt/MaxRatio {
		return math.MaxInt
	}
	return compressedLen * MaxRatio
}

// Defaults returns all algorithms, in the order of preference.
func Defaults() []Algorithm { return []Algorithm{GZIP, LZW, LZ4} }

// ByName returns the algorithm of that name among those known.
func ByName(known []Algorithm, name string) (Algorithm, bool) {
	i := slices.IndexFunc(known, func(a Algorithm) bool { return a.Name() == name })
	if i < 0 {
		return nil, false
	}
	return known[i], true
}

// Choose returns the first of the known algorithms that the other side
// announced. Names that are not known are ignored.
func Choose(known []Algorithm, announced []string) (Algorithm, bool) {
	for _, a := range known {
		if slices.Contains(announced, a.Name()) {
			return a, true
		}
	}
	return nil, false
}

// Smaller appends the compressed form of src to dst if it is worth sending:
// strictly smaller, and not by so much that the other side takes it for a bomb.
// Otherwise it returns dst as it is, and false: send src itself.
func Smaller(a Algorithm, dst, src []byte) ([]byte, bool, error) {
	out, err := a.Compress(dst, src)
	if err != nil {
		return dst, false, err
	}
	if n := len(out) - len(dst); n >= len(src) || len(src) > Limit(n) {
		return dst, false, nil
	}
	return out, true, nil
}

func overLimit(limit int) error {
	return mslerr.New(mslerr.UncompressionError, "decompressed data is over the limit of %d bytes", limit)
}

func corrupt(name string) error {
	return mslerr.New(mslerr.UncompressionError, "malformed %s data", name)
}
