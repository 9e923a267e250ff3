package compress

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/mslerr"
)

type vector struct {
	Case       string
	Input      []byte
	InputZeros int `json:"input_zeros"`
	Compressed []byte
	Call       string `json:"compress_call_result"`
	SHA256     string `json:"compressed_sha256"`
	InputSHA   string `json:"input_sha256"`
	InputLen   int    `json:"input_length"`
	Result     struct {
		OK    *[]byte
		Error *struct{ Name string }
	}
}

func vectors(t *testing.T) (v struct {
	LZW            []vector
	LZWDecompress  []vector `json:"lzw_decompress_cases"`
	GZIP           []vector
	GZIPDecompress []vector `json:"gzip_decompress_cases"`
	Ratio          int      `json:"max_deflate_ratio"`
}) {
	b, err := os.ReadFile("testdata/lzw.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLZWVectors(t *testing.T) {
	v := vectors(t)
	if v.Ratio != MaxRatio || len(v.LZW) < 20 {
		t.Fatal(v.Ratio, len(v.LZW))
	}
	for _, c := range v.LZW {
		t.Run(c.Case, func(t *testing.T) {
			switch {
			case c.InputZeros > 0:
				c.Input = make([]byte, c.InputZeros)
			case c.SHA256 != "":
				c.Input = javaRandom(4, c.InputLen)
				if s := sha256.Sum256(c.Input); hex.EncodeToString(s[:]) != c.InputSHA {
					t.Fatal("input")
				}
			}
			got, err := LZW.Compress([]byte("x"), c.Input)
			if err != nil || got[0] != 'x' {
				t.Fatal(err)
			}
			got = got[1:]
			if s := sha256.Sum256(got); c.SHA256 != "" {
				if hex.EncodeToString(s[:]) != c.SHA256 {
					t.Fatal("digest")
				}
			} else if !bytes.Equal(got, c.Compressed) {
				t.Fatalf("%x, want %x", got, c.Compressed)
			}
			back, err := LZW.Decompress([]byte("x"), got, len(c.Input))
			if err != nil || !bytes.Equal(back[1:], c.Input) {
				t.Fatal(len(back), err)
			}
			_, used, err := Smaller(LZW, nil, c.Input)
			if err != nil || c.Call != "" && used != (c.Call == "used") {
				t.Errorf("used %v, want %q: %v", used, c.Call, err)
			}
		})
	}
}

// javaRandom is java.util.Random(seed).nextBytes, with which a vector was made.
func javaRandom(seed int64, n int) []byte {
	const mask = 1<<48 - 1
	s := (seed ^ 0x5DEECE66D) & mask
	b := make([]byte, 0, n+3)
	for len(b) < n {
		s = (s*0x5DEECE66D + 0xB) & mask
		v := int32(s >> 16)
		b = append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return b[:n]
}

// The vectors that spec 03 section 5 and spec 04 section 4.2 print.
func TestLZWSpecVectors(t *testing.T) {
	for in, want := range map[string]string{
		"a": "61", "aa": "613080", "aaa": "618000", "ababab": "6131402000",
		"TOBEORNOTTOBEORTOBEORNOT": "54279088a4f291389e548040a090981c160e",
		strings.Repeat("\x00", 16): "00804060503000", "abababab": "613140204620", "aaaaaaa": "6180404c20", "": "",
	} {
		got, err := LZW.Compress(nil, []byte(in))
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%q: %x, want %s", in, got, want)
		}
	}
	in := make([]byte, 3000)
	for i := range in {
		in[i] = byte((i*i*7 + i*13) >> 3)
	}
	got, err := LZW.Compress(nil, in)
	digest := sha256.Sum256([]byte(hex.EncodeToString(got)))
	if err != nil || len(got) != 3377 || hex.EncodeToString(got[:20]) != "000101818140f0a46c452a99cf69154b09bafa0c" ||
		hex.EncodeToString(digest[:]) != "2b81066c07839fb84207997187853aa8f044d1246e23578e5017f5eb76a528d1" {
		t.Errorf("%d bytes, %x", len(got), got[:20])
	}
}

func TestLZWWidth(t *testing.T) {
	for k, want := range map[int]int{0: 8, 1: 9, 256: 9, 257: 10, 768: 10, 769: 11, 1792: 11, 1793: 12, 65281: 17} {
		if got := lzwWidth(k); got != want {
			t.Errorf("%d: %d, want %d", k, got, want)
		}
	}
}

func TestDecompressVectors(t *testing.T) {
	v := vectors(t)
	for _, c := range v.GZIP {
		got, err := GZIP.Decompress(nil, c.Compressed, Limit(len(c.Compressed)))
		if err != nil || !bytes.Equal(got, c.Input) {
			t.Errorf("%s: %v", c.Case, err)
		}
	}
	for a, cases := range map[Algorithm][]vector{LZW: v.LZWDecompress, GZIP: v.GZIPDecompress} {
		for _, c := range cases {
			t.Run(a.Name()+"/"+c.Case, func(t *testing.T) {
				got, err := a.Decompress(nil, c.Compressed, Limit(len(c.Compressed)))
				if c.Result.OK != nil {
					if err != nil || !bytes.Equal(got, *c.Result.OK) {
						t.Fatalf("%x, %v", got, err)
					}
				} else if c.Result.Error == nil || !errors.Is(err, mslerr.UncompressionError) {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, a := range Defaults() {
		t.Run(a.Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				alphabet := rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "alphabet")
				rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
				in := make([]byte, rapid.IntRange(0, 5000).Draw(t, "length"))
				for i := range in {
					in[i] = alphabet[rng.IntN(len(alphabet))]
				}
				prefix := []byte("prefix")
				c, err := a.Compress(prefix, in)
				if err != nil || !bytes.HasPrefix(c, prefix) {
					t.Fatal(err)
				}
				c = c[len(prefix):]
				got, err := a.Decompress(prefix, c, len(in))
				if err != nil || string(got) != "prefix"+string(in) {
					t.Fatal(err)
				}
				if len(in) > 0 {
					if _, err := a.Decompress(nil, c, len(in)-1); !errors.Is(err, mslerr.UncompressionError) {
						t.Fatalf("limit: %v", err)
					}
				}
			})
		})
	}
}

func TestLarge(t *testing.T) {
	in := append(javaRandom(1, 1<<20), make([]byte, 1<<20)...)
	for _, a := range Defaults() {
		for range 2 { // the second time with what the pool kept
			c, err := a.Compress(nil, in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Decompress(nil, c, len(in))
			if err != nil || !bytes.Equal(got, in) {
				t.Fatal(a.Name(), err)
			}
		}
	}
}

func TestGZIPMembers(t *testing.T) {
	one, _ := GZIP.Compress(nil, []byte("one"))
	two, _ := GZIP.Compress(nil, []byte("two"))
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	for _, c := range []struct {
		name, want string // want "": refused
		in         []byte
	}{
		{"two members", "onetwo", join(one, two)},
		{"bytes behind two", "onetwo", join(one, two, []byte{0})},
		{"half a magic number behind", "one", join(one, []byte{0x1f})},
		{"cut inside the second", "", join(one, two[:len(two)-1])},
		{"cut inside the first", "", one[:len(one)-9]},
		{"checksum", "", join(one[:len(one)-8], []byte{1, 2, 3, 4}, one[len(one)-4:])},
		{"nothing", "", nil},
	} {
		got, err := GZIP.Decompress(nil, c.in, 100)
		if c.want == "" {
			if !errors.Is(err, mslerr.UncompressionError) {
				t.Errorf("%s: %q %v", c.name, got, err)
			}
		} else if err != nil || string(got) != c.want {
			t.Errorf("%s: %q %v", c.name, got, err)
		}
	}
	if _, err := GZIP.Decompress(nil, join(one, two), 5); !errors.Is(err, mslerr.UncompressionError) {
		t.Error("the limit is that of all members", err)
	}
	if got, err := GZIP.Decompress(nil, join(one, two), 6); err != nil || string(got) != "onetwo" {
		t.Error(got, err)
	}
}

func TestLZ4Refuses(t *testing.T) {
	good, _ := LZ4.Compress(nil, bytes.Repeat([]byte("abc"), 50))
	for name, in := range map[string][]byte{
		"nothing": nil, "half a header": {0, 0}, "no block": {0, 0, 0, 1}, "block for nothing": {0, 0, 0, 0, 0},
		"length too great": append([]byte{0, 0, 0, 151}, good[4:]...), "length too small": append([]byte{0, 0, 0, 149}, good[4:]...),
		"cut": good[:len(good)-1], "offset before the beginning": {0, 0, 0, 5, 0x10, 'a', 9, 0, 0},
		"claims 2 GiB": {0x7f, 0xff, 0xff, 0xff, 1, 2, 3},
	} {
		if _, err := LZ4.Decompress(nil, in, math.MaxInt32); !errors.Is(err, mslerr.UncompressionError) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := LZ4.Decompress(nil, []byte{0, 0, 0, 0}, 0); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func TestSmaller(t *testing.T) {
	for _, a := range Defaults() {
		text := []byte(strings.Repeat("the quick brown fox ", 20))
		dst := []byte("head")
		out, ok, err := Smaller(a, dst, text)
		if err != nil || !ok || len(out) >= len(dst)+len(text) || !bytes.HasPrefix(out, dst) {
			t.Error(a.Name(), ok, err)
		}
		for name, in := range map[string][]byte{"random": javaRandom(7, 500), "empty": nil, "short": []byte("a")} {
			if out, ok, err := Smaller(a, dst, in); err != nil || ok || string(out) != "head" {
				t.Error(a.Name(), name, ok, err)
			}
		}
		// What is sent compressed is never taken for a bomb.
		for _, n := range []int{1 << 10, 1 << 16, 1 << 20} {
			zeros := make([]byte, n)
			c, ok, err := Smaller(a, nil, zeros)
			if err != nil {
				t.Fatal(err)
			}
			if full, _ := a.Compress(nil, zeros); ok != (n <= MaxRatio*len(full)) {
				t.Error(a.Name(), n, len(full), ok)
			}
			if ok {
				if _, err := a.Decompress(nil, c, Limit(len(c))); err != nil {
					t.Error(a.Name(), n, err)
				}
			}
		}
	}
}

func TestNames(t *testing.T) {
	known := Defaults()
	for i, name := range []string{"GZIP", "LZW", "LZ4"} {
		if a, ok := ByName(known, name); !ok || a != known[i] || a.Name() != name {
			t.Error(name)
		}
	}
	for _, name := range []string{"gzip", "", "ZSTD"} {
		if _, ok := ByName(known, name); ok {
			t.Error(name)
		}
	}
	if _, ok := ByName(known[:1], "LZW"); ok {
		t.Error("LZW is not in the list")
	}
	if a, ok := Choose(known, []string{"ZSTD", "LZ4", "LZW"}); !ok || a != LZW {
		t.Error(a)
	}
	if _, ok := Choose(known, []string{"ZSTD"}); ok {
		t.Error("ZSTD")
	}
}

// Hostile input takes no more memory than its limit allows.
func TestBombMemory(t *testing.T) {
	for _, a := range Defaults() {
		c, err := a.Compress(nil, make([]byte, 64<<20))
		if err != nil {
			t.Fatal(err)
		}
		const limit = 1 << 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := a.Decompress(nil, c, limit); !errors.Is(err, mslerr.UncompressionError) {
			t.Error(a.Name(), err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 6*limit {
			t.Errorf("%s took %d bytes for a limit of %d", a.Name(), n, limit)
		}
	}
}

func FuzzGZIP(f *testing.F) { fuzz(f, GZIP) }
func FuzzLZW(f *testing.F)  { fuzz(f, LZW) }
func FuzzLZ4(f *testing.F)  { fuzz(f, LZ4) }

// FuzzLZ4Block decompresses anything into memory of any size.
func FuzzLZ4Block(f *testing.F) {
	block, err := AppendLZ4Block(nil, bytes.Repeat([]byte("ab"), 300))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block, uint16(600))
	f.Add([]byte{0}, uint16(0))
	f.Add([]byte{}, uint16(1))
	f.Add([]byte{0x10, 'a', 1, 0, 0}, uint16(0))
	f.Fuzz(func(t *testing.T, in []byte, size uint16) {
		whole := make([]byte, int(size)+64)
		if err := LZ4Block(whole[:size:size], in); err != nil && !errors.Is(err, mslerr.UncompressionError) {
			t.Fatal(err)
		}
		if !bytes.Equal(whole[size:], make([]byte, 64)) {
			t.Fatal("written behind the end")
		}
	})
}

// fuzz decompresses anything, and compresses it too.
func fuzz(f *testing.F, a Algorithm) {
	for _, s := range []string{"", "a", "\xff\xff\xff", strings.Repeat("ab", 300)} {
		c, _ := a.Compress(nil, []byte(s))
		f.Add([]byte(s))
		f.Add(c)
		f.Add(append(c, c...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		limit := Limit(len(in))
		if out, err := a.Decompress(nil, in, limit); err == nil {
			if len(out) > limit {
				t.Fatalf("%d bytes, limit %d", len(out), limit)
			}
		} else if !errors.Is(err, mslerr.UncompressionError) {
			t.Fatal(err)
		}
		c, err := a.Compress(nil, in)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := a.Decompress(nil, c, len(in)); err != nil || !bytes.Equal(back, in) {
			t.Fatal(err)
		}
	})
}

func text(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("message security layer provides a flexible secure communication protocol over untrusted networks between entities")
	var b []byte
	for len(b) < n {
		b = append(append(b, words[rng.IntN(len(words))]...), ' ')
	}
	return b[:n]
}

func BenchmarkCompress(b *testing.B) {
	in := text(64 << 10)
	for _, a := range Defaults() {
		b.Run(a.Name(), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = a.Compress(buf[:0], in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecompress(b *testing.B) {
	in := text(64 << 10)
	for _, a := range Defaults() {
		b.Run(a.Name(), func(b *testing.B) {
			c, err := a.Compress(nil, in)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				if buf, err = a.Decompress(buf[:0], c, Limit(len(c))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
