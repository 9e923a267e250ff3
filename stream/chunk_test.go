package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

var testKeys = mslcrypto.SessionKeys{
	Encryption: bytes.Repeat([]byte{1}, mslcrypto.EncryptionKeySize),
	Signature:  bytes.Repeat([]byte{2}, mslcrypto.SignatureKeySize),
}

func testContext(t testing.TB) mslcrypto.Context {
	t.Helper()
	c, err := mslcrypto.NewSession(testKeys, mslcrypto.SessionKeyID("me", 1))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ends gives both ends of the body of message 7.
func ends(t testing.TB, f framing.Format) (*message.Sealed, *message.Header) {
	c := testContext(t)
	return &message.Sealed{Format: f, MessageID: 7, PayloadContext: c},
		&message.Header{Format: f, MessageID: 7, PayloadContext: c}
}

func read(r io.Reader, h *message.Header, c ChunkReaderConfig) ([]byte, error) {
	return io.ReadAll(NewChunkReader(framing.NewReader(r, framing.Limits{}), h, c))
}

// objects cuts a stream into its objects.
func objects(t testing.TB, wire []byte) [][]byte {
	t.Helper()
	r := framing.NewReader(bytes.NewReader(wire), framing.Limits{})
	var list [][]byte
	for {
		raw, _, err := r.Object()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, raw)
	}
}

func wantCode(t *testing.T, err error, code mslerr.Code) {
	t.Helper()
	var e *mslerr.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v, want %v", err, code)
	}
	if !e.HasMessageID || e.MessageID != 7 {
		t.Errorf("error %v does not name message 7", err)
	}
}

func write(t testing.TB, h *message.Sealed, c ChunkWriterConfig, parts ...string) []byte {
	t.Helper()
	var wire bytes.Buffer
	w := NewChunkWriter(&wire, h, c)
	for _, p := range parts {
		if _, err := io.WriteString(w, p); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return wire.Bytes()
}

func TestChunksCarryWhatWasWritten(t *testing.T) {
	for _, f := range framing.Formats() {
		t.Run(f.Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				var c ChunkWriterConfig
				c.Size = rapid.IntRange(1, 300).Draw(t, "size")
				if algorithms := compress.Defaults(); rapid.Bool().Draw(t, "compress") {
					c.Compression = rapid.SampledFrom(algorithms).Draw(t, "algorithm")
				}
				ctx, _ := mslcrypto.NewSession(testKeys, "k")
				id := rapid.Int64Range(0, message.MaxID).Draw(t, "id")
				var wire, want bytes.Buffer
				w := NewChunkWriter(&wire, &message.Sealed{Format: f, MessageID: id, PayloadContext: ctx}, c)
				for _, p := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 700)).Draw(t, "writes") {
					want.Write(p)
					if n, err := w.Write(p); n != len(p) || err != nil {
						t.Fatalf("Write: %d, %v", n, err)
					}
					if rapid.Bool().Draw(t, "flush") {
						if err := w.Flush(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				wire.WriteString("{}") // the next message
				r := framing.NewReader(iotest.HalfReader(&wire), framing.Limits{})
				h := &message.Header{MessageID: id, PayloadContext: ctx}
				got, err := io.ReadAll(iotest.OneByteReader(NewChunkReader(r, h, ChunkReaderConfig{})))
				if err != nil || !bytes.Equal(got, want.Bytes()) {
					t.Fatalf("read %d bytes, %v; want %d", len(got), err, want.Len())
				}
				if next, _, err := r.Object(); string(next) != "{}" || err != nil {
					t.Fatalf("after the message: %q, %v", next, err)
				}
			})
		})
	}
}

// One Write for each chunk; every flush makes one, and closing one even if empty.
func TestChunkBoundaries(t *testing.T) {
	sealed, _ := ends(t, framing.JSON)
	for _, tt := range []struct {
		size   int
		parts  []string
		chunks int
	}{
		{0, nil, 1},
		{0, []string{""}, 1},
		{0, []string{"a", "b"}, 3},
		{4, []string{"12345678"}, 3},
		{4, []string{"123456"}, 3},
	} {
		got := objects(t, write(t, sealed, ChunkWriterConfig{Size: tt.size}, tt.parts...))
		if len(got) != tt.chunks {
			t.Errorf("%q in chunks of %d: %d chunks, want %d", tt.parts, tt.size, len(got), tt.chunks)
		}
	}
	var writes int
	w := NewChunkWriter(writerFunc(func(p []byte) (int, error) { writes++; return len(p), nil }), sealed, ChunkWriterConfig{Size: 2})
	_, _ = w.Write([]byte("12345"))
	_ = w.Close()
	if writes != 3 {
		t.Errorf("%d writes for 3 chunks", writes)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWriterStaysBroken(t *testing.T) {
	sealed, _ := ends(t, framing.JSON)
	broken := errors.New("broken")
	w := NewChunkWriter(writerFunc(func([]byte) (int, error) { return 0, broken }), sealed, ChunkWriterConfig{Size: 4})
	if n, err := w.Write([]byte("123456789")); n != 0 || err != broken {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := w.Flush(); err != broken {
		t.Errorf("Flush: %v", err)
	}
	if err := w.Close(); err != broken {
		t.Errorf("Close: %v", err)
	}
	var b bytes.Buffer
	w = NewChunkWriter(&b, sealed, ChunkWriterConfig{})
	if err := errors.Join(w.Close(), w.Close()); err != nil || len(objects(t, b.Bytes())) != 1 {
		t.Errorf("closing twice: %v, %q", err, b.Bytes())
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a closed writer wrote")
	}
}

func TestCompressionOnlyWhereItHelps(t *testing.T) {
	sealed, header := ends(t, framing.JSON)
	text := bytes.Repeat([]byte("compress me, "), 50)
	zeros := make([]byte, 200000) // would be over the ratio that others accept
	for _, a := range compress.Defaults() {
		var o opener
		for _, tt := range []struct {
			data       []byte
			compressed bool
		}{{text, true}, {[]byte("x"), false}, {zeros, false}, {nil, false}} {
			wire := write(t, sealed, ChunkWriterConfig{Size: len(zeros), Compression: a}, string(tt.data))
			o = opener{context: sealed.PayloadContext}
			inner, err := o.unseal(&scratch{object: objects(t, wire)[0]})
			if err != nil {
				t.Fatal(err)
			}
			if _, compressed := inner[memberCompression]; compressed != tt.compressed {
				t.Errorf("%s: %d bytes compressed: %v, want %v", a.Name(), len(tt.data), compressed, tt.compressed)
			}
			if got, err := read(bytes.NewReader(wire), header, ChunkReaderConfig{}); err != nil || !bytes.Equal(got, tt.data) {
				t.Errorf("%s: read %d bytes, %v", a.Name(), len(got), err)
			}
		}
	}
}

// What was decrypted before a bad chunk is delivered first, then the error, and
// then the error again.
func TestBadChunks(t *testing.T) {
	sealed, header := ends(t, framing.JSON)
	good := objects(t, write(t, sealed, ChunkWriterConfig{}, "one", "two"))
	other := *sealed
	other.MessageID = 8
	alien := objects(t, write(t, &other, ChunkWriterConfig{}, "one", "two"))
	flipped := bytes.Clone(good[1])
	at := bytes.Index(flipped, []byte(`"signature":"`)) + len(`"signature":"`)
	if flipped[at]++; flipped[at] == 'Z'+1 || flipped[at] == 'z'+1 || flipped[at] == '9'+1 || flipped[at] < '0' {
		flipped[at] = 'A'
	}
	for _, tt := range []struct {
		name   string
		second []byte
		code   mslerr.Code
	}{
		{"repeated", good[0], mslerr.PayloadSequenceNumberMismatch},
		{"skipped", good[2], mslerr.PayloadSequenceNumberMismatch},
		{"of another message", alien[1], mslerr.PayloadMessageIDMismatch},
		{"forged", flipped, mslerr.PayloadVerificationFailed},
		{"a header", []byte(`{"headerdata":"AA=="}`), mslerr.ParseError},
		{"no object", []byte(`[]`), mslerr.ParseError},
		{"cut short", good[1][:len(good[1])-3], mslerr.ParseError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wire := append(bytes.Clone(good[0]), tt.second...)
			r := NewChunkReader(framing.NewReader(bytes.NewReader(wire), framing.Limits{}), header, ChunkReaderConfig{})
			got, err := io.ReadAll(r)
			if string(got) != "one" {
				t.Errorf("read %q before the error", got)
			}
			wantCode(t, err, tt.code)
			if n, again := r.Read(make([]byte, 1)); n != 0 || again != err {
				t.Errorf("then: %d, %v", n, again)
			}
		})
	}
}

func sealInner(t testing.TB, c mslcrypto.Context, inner framing.Object) []byte {
	t.Helper()
	plaintext, err := framing.JSON.Append(nil, inner)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := c.Encrypt(plaintext, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := c.Sign(payload, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := framing.JSON.Append(nil, framing.Object{"payload": payload, "signature": signature})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestChunkFields(t *testing.T) {
	_, header := ends(t, framing.JSON)
	gz, err := compress.GZIP.Compress(nil, make([]byte, 1<<19))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change framing.Object
		code   mslerr.Code
	}{
		{"sequence number missing", framing.Object{"sequencenumber": nil}, mslerr.ParseError},
		{"sequence number negative", framing.Object{"sequencenumber": -1}, mslerr.PayloadSequenceNumberOutOfRange},
		{"sequence number too great", framing.Object{"sequencenumber": message.MaxID + 1}, mslerr.PayloadSequenceNumberOutOfRange},
		{"sequence starts at 0", framing.Object{"sequencenumber": 0}, mslerr.PayloadSequenceNumberMismatch},
		{"message ID missing", framing.Object{"messageid": nil}, mslerr.ParseError},
		{"message ID negative", framing.Object{"messageid": -1}, mslerr.PayloadMessageIDOutOfRange},
		{"message ID too great", framing.Object{"messageid": message.MaxID + 1}, mslerr.PayloadMessageIDOutOfRange},
		{"end is text", framing.Object{"endofmsg": "true"}, mslerr.ParseError},
		{"no data member", framing.Object{"data": nil}, mslerr.ParseError},
		{"empty, not last", framing.Object{"data": []byte{}, "endofmsg": nil}, mslerr.PayloadDataMissing},
		{"unknown compression", framing.Object{"compressionalgo": "ZSTD"}, mslerr.UnidentifiedCompression},
		{"not what it says", framing.Object{"compressionalgo": "GZIP"}, mslerr.UncompressionError},
		{"bomb", framing.Object{"compressionalgo": "GZIP", "data": gz}, mslerr.UncompressionError},
		{"over the chunk limit", framing.Object{"data": make([]byte, 2000)}, mslerr.ParseError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := framing.Object{"sequencenumber": 1, "messageid": 7, "endofmsg": true, "data": []byte("x")}
			maps.Copy(inner, tt.change)
			raw := sealInner(t, header.PayloadContext, inner)
			_, err := read(bytes.NewReader(raw), header, ChunkReaderConfig{MaxChunk: 1000})
			wantCode(t, err, tt.code)
		})
	}
	// Empty data is never decompressed, whatever it claims to be.
	raw := sealInner(t, header.PayloadContext, framing.Object{
		"sequencenumber": 1, "messageid": 7, "endofmsg": true, "data": []byte{}, "compressionalgo": "GZIP"})
	if got, err := read(bytes.NewReader(raw), header, ChunkReaderConfig{}); len(got) != 0 || err != nil {
		t.Errorf("empty compressed chunk: %q, %v", got, err)
	}
}

func TestTotalLimit(t *testing.T) {
	sealed, header := ends(t, framing.JSON)
	wire := write(t, sealed, ChunkWriterConfig{}, "12345", "67890")
	if got, err := read(bytes.NewReader(wire), header, ChunkReaderConfig{MaxTotal: 10}); len(got) != 10 || err != nil {
		t.Errorf("at the limit: %q, %v", got, err)
	}
	got, err := read(bytes.NewReader(wire), header, ChunkReaderConfig{MaxTotal: 9})
	var limit *framing.LimitError
	if string(got) != "12345" || !errors.As(err, &limit) || limit.Max != 9 {
		t.Errorf("over the limit: %q, %v", got, err)
	}
}

func TestTruncation(t *testing.T) {
	sealed, header := ends(t, framing.JSON)
	wire := write(t, sealed, ChunkWriterConfig{}, "one")
	first := objects(t, wire)[0]
	for n := range len(wire) {
		got, err := read(bytes.NewReader(wire[:n]), header, ChunkReaderConfig{})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %v", n, len(wire), err)
		}
		if want := n >= len(first); (len(got) > 0) != want {
			t.Fatalf("cut at %d: read %q", n, got)
		}
	}
	if got, err := read(bytes.NewReader(nil), header, ChunkReaderConfig{MayBeAbsent: true}); len(got) != 0 || err != nil {
		t.Errorf("no chunks where there may be none: %q, %v", got, err)
	}
	if _, err := read(bytes.NewReader(first), header, ChunkReaderConfig{MayBeAbsent: true}); err != io.ErrUnexpectedEOF {
		t.Errorf("a first chunk and no last: %v", err)
	}
	// What the connection says is passed on as it is.
	broken := errors.New("broken")
	if _, err := read(io.MultiReader(bytes.NewReader(first), iotest.ErrReader(broken)), header, ChunkReaderConfig{}); err != broken {
		t.Errorf("broken connection: %v", err)
	}
}

func TestHandshake(t *testing.T) {
	sealed, header := ends(t, framing.JSON)
	empty := write(t, sealed, ChunkWriterConfig{})
	full := write(t, sealed, ChunkWriterConfig{}, "data")
	flag, legacy := *header, *header
	flag.Handshake = true
	legacy.Renewable, legacy.KeyRequests = true, make([]keyx.Request, 1)
	renewable := *header
	renewable.Renewable = true
	for i, tt := range []struct {
		h    *message.Header
		wire []byte
		want bool
		body string
		left int
	}{
		{&flag, empty, true, "", len(empty)},
		{header, empty, false, "", 0},
		{&renewable, empty, false, "", 0},
		{&legacy, empty, true, "", 0},
		{&legacy, full, false, "data", 0},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			src := bytes.NewReader(tt.wire)
			b := NewChunkReader(framing.NewReader(src, framing.Limits{}), tt.h, ChunkReaderConfig{})
			for range 2 { // asking again changes nothing
				if got, err := b.Handshake(); got != tt.want || err != nil {
					t.Fatalf("Handshake: %v, %v", got, err)
				}
			}
			if body, err := io.ReadAll(b); string(body) != tt.body || err != nil {
				t.Errorf("body %q, %v", body, err)
			}
			if src.Len() != tt.left {
				t.Errorf("%d bytes left unread, want %d", src.Len(), tt.left)
			}
		})
	}
	b := NewChunkReader(framing.NewReader(bytes.NewReader(full[:10]), framing.Limits{}), &legacy, ChunkReaderConfig{})
	_, first := b.Handshake()
	_, second := b.Read(make([]byte, 1))
	wantCode(t, first, mslerr.ParseError)
	wantCode(t, second, mslerr.ParseError)
}

func TestAbsorb(t *testing.T) {
	sealed, header := ends(t, framing.JSON)
	wire := write(t, sealed, ChunkWriterConfig{})
	other := *sealed
	other.MessageID = 8
	b := NewChunkReader(framing.NewReader(nil, framing.Limits{}), header, ChunkReaderConfig{})
	for _, raw := range []string{`{"headerdata":"AA=="}`, `{"errordata":"AA=="}`, `{"headerdata":"AA==","payload":"AA=="}`} {
		if ours, err := b.Absorb([]byte(raw)); ours || err != nil {
			t.Errorf("Absorb(%s): %v, %v", raw, ours, err)
		}
	}
	if ours, err := b.Absorb(write(t, &other, ChunkWriterConfig{})); !ours || !errors.Is(err, mslerr.PayloadMessageIDMismatch) {
		t.Errorf("another message's chunk: %v, %v", ours, err)
	}
	if ours, err := b.Absorb(wire); !ours || err != nil {
		t.Errorf("our chunk: %v, %v", ours, err)
	}
	if ours, err := b.Absorb(wire); !ours || !errors.Is(err, mslerr.PayloadSequenceNumberMismatch) {
		t.Errorf("our chunk again: %v, %v", ours, err)
	}
}

func FuzzChunkReader(f *testing.F) {
	sealed, header := ends(f, framing.JSON)
	f.Add(write(f, sealed, ChunkWriterConfig{Compression: compress.GZIP}, "one", string(make([]byte, 100))))
	f.Add([]byte(`{"payload":"AA==","signature":""}`))
	cbor, _ := framing.ByName("CBOR")
	sealed.Format = cbor
	f.Add(write(f, sealed, ChunkWriterConfig{}, "one"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		_, _ = read(bytes.NewReader(wire), header, ChunkReaderConfig{MaxTotal: 1 << 20})
	})
}

// FuzzChunk gets past the signature, to the inside of a chunk.
func FuzzChunk(f *testing.F) {
	f.Add([]byte(`{"sequencenumber":1,"messageid":7,"endofmsg":true,"compressionalgo":"LZW","data":"YQ=="}`))
	f.Add([]byte(`{"sequencenumber":1e3,"messageid":9007199254740993,"data":""}`))
	_, header := ends(f, framing.JSON)
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		payload, err := header.PayloadContext.Encrypt(plaintext, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := header.PayloadContext.Sign(payload, framing.JSON)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := framing.JSON.Append(nil, framing.Object{"payload": payload, "signature": signature})
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(bytes.NewReader(raw), header, ChunkReaderConfig{})
		if err == nil && len(got) > 200*len(plaintext) {
			t.Errorf("%d bytes of data from %d", len(got), len(plaintext))
		}
	})
}
