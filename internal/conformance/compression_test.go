package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/mslgo/msl/protocol/compress"
)

var compressionLists = map[string]runner{
	"description": nil, "max_deflate_ratio": nil,
	"lzw":                   compression(compress.LZW, true),
	"gzip":                  compression(compress.GZIP, false),
	"lzw_decompress_cases":  decompression(compress.LZW),
	"gzip_decompress_cases": decompression(compress.GZIP),
}

// compressionCase is data and its compressed form.
type compressionCase struct {
	Case, Note         string
	Input              []byte
	InputZeros         int `json:"input_zeros"`
	Compressed         *[]byte
	CompressedSHA256   string `json:"compressed_sha256"`
	CompressedLength   int    `json:"compressed_length"`
	InputSHA256        string `json:"input_sha256"`
	InputGenerator     string `json:"input_generator"`
	CompressCallResult string `json:"compress_call_result"`
	Result             result[[]byte]
}

// compression runs cases both ways; if exact, compressing gives the peer's bytes.
func compression(a compress.Algorithm, exact bool) runner {
	return func(r *run, list json.RawMessage) {
		each(r, list, func(c *compressionCase) string { return c.Case }, func(t *testing.T, c *compressionCase) error {
			if c.Compressed == nil {
				return c.digests(a)
			}
			input := c.Input
			if c.InputZeros > 0 {
				input = make([]byte, c.InputZeros)
			}
			// The ratio is for hostile data; here it is enough to have the input's size.
			out, err := a.Decompress(nil, *c.Compressed, len(input))
			if err != nil {
				return err
			}
			if !bytes.Equal(out, input) {
				return errors.New("decompressing gives other data")
			}
			if out, err = a.Compress(nil, input); err != nil {
				return err
			}
			if exact && !bytes.Equal(out, *c.Compressed) {
				return errors.New("compressing gives other bytes")
			}
			if back, err := a.Decompress(nil, out, len(input)); err != nil || !bytes.Equal(back, input) {
				return errors.New("what we compress does not decompress")
			}
			_, smaller, err := compress.Smaller(a, nil, input)
			if err != nil {
				return err
			}
			if c.CompressCallResult != "" && smaller != (c.CompressCallResult == "used") && len(input) <= compress.Limit(len(*c.Compressed)) {
				return errors.New("another opinion on whether compressing is worth it")
			}
			return nil
		})
	}
}

var javaRandom = regexp.MustCompile(`java\.util\.Random\((\d+)\)\.nextBytes\((\d+)\)`)

// digests compares what is too long for the file, and made by a generator.
func (c *compressionCase) digests(a compress.Algorithm) error {
	m := javaRandom.FindStringSubmatch(c.InputGenerator)
	if m == nil {
		return fmt.Errorf("input generator %q is not known", c.InputGenerator)
	}
	seed, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return err
	}
	input := javaBytes(seed, n)
	if digest(input) != c.InputSHA256 {
		return errors.New("the generator gives other input")
	}
	out, err := a.Compress(nil, input)
	if err != nil {
		return err
	}
	if len(out) != c.CompressedLength || digest(out) != c.CompressedSHA256 {
		return errors.New("compressing gives other bytes")
	}
	if out, err = a.Decompress(nil, out, n); err != nil || !bytes.Equal(out, input) {
		return errors.New("decompressing gives other data")
	}
	return nil
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// javaBytes is the linear congruential generator that Java specifies.
func javaBytes(seed int64, n int) []byte {
	const multiplier, mask = 0x5DEECE66D, 1<<48 - 1
	state := (seed ^ multiplier) & mask
	b := make([]byte, 0, n+3)
	for len(b) < n {
		state = (state*multiplier + 0xB) & mask
		b = binary.LittleEndian.AppendUint32(b, uint32(state>>16))
	}
	return b[:n]
}

// decompression runs odd and hostile data.
func decompression(a compress.Algorithm) runner {
	return func(r *run, list json.RawMessage) {
		var ratio int
		if err := json.Unmarshal(r.members["max_deflate_ratio"], &ratio); err != nil {
			r.t.Fatal(err)
		}
		each(r, list, func(c *compressionCase) string { return c.Case }, func(t *testing.T, c *compressionCase) error {
			out, err := a.Decompress(nil, *c.Compressed, ratio*len(*c.Compressed))
			return c.Result.compare(out, err, func(got, want []byte) error {
				if !bytes.Equal(got, want) {
					return errors.New("other data")
				}
				return nil
			})
		})
	}
}
