package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/pair"
	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

func meta(name string, size int) map[string]string {
	return map[string]string{wire.MetaName: name, wire.MetaSize: strconv.Itoa(size), wire.MetaNick: "ann"}
}

// exchange sends data as name into dir.
func exchange(t *testing.T, dir, name string, data []byte) (path, sum string, results []Result) {
	t.Helper()
	a, b := pair.Streams()
	done := make(chan error, 1)
	go func() {
		o, err := ReadOffer(meta(name, len(data)))
		if err == nil {
			path, sum, err = Receive(b, o, dir, io.Discard)
		}
		done <- err
	}()
	sent, results, err := Send(a, bytes.NewReader(data), int64(len(data)), io.Discard)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(data); sent != sum || sum != hex.EncodeToString(want[:]) {
		t.Errorf("sums %s, %s, want %x", sent, sum, want)
	}
	return path, sum, results
}

func TestFileArrives(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, bufferSize, 3*bufferSize + 7} {
		data := bytes.Repeat([]byte{byte(size), 1, 2}, size/3+1)[:size]
		path, _, results := exchange(t, dir, "f.bin", data)
		if len(results) != 1 || results[0].Err != nil {
			t.Errorf("%d bytes: %+v", size, results)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
	}
	for _, name := range []string{"f.bin", "f (1).bin", "f (2).bin", "f (3).bin"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	noParts(t, dir, 4)
}

func noParts(t *testing.T, dir string, want int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != want {
		t.Errorf("%d files, want %d: %v, %v", len(entries), want, entries, err)
	}
}

func TestWrongSumIsNotKept(t *testing.T) {
	dir := t.TempDir()
	a, b := pair.Streams()
	go func() {
		io.WriteString(a, "hello")
		wire.Write(a, wire.Event{Type: wire.End, SHA256: strings.Repeat("0", 64)})
		a.CloseWrite()
	}()
	_, _, err := Receive(b, Offer{Name: "f", Size: 5}, dir, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("error: %v", err)
	}
	events := wire.NewReader(a)
	for _, want := range []wire.Type{wire.Accepted, wire.Failed} {
		if e, err := events.Next(); err != nil || e.Type != want {
			t.Errorf("%+v, %v; want %s", e, err, want)
		}
	}
	noParts(t, dir, 0)
}

func TestCutFileIsNotKept(t *testing.T) {
	for name, end := range map[string]func(wire.Stream){
		"end":   func(st wire.Stream) { st.CloseWrite() },
		"reset": func(st wire.Stream) { st.Reset(wire.ResetAborted) },
	} {
		dir := t.TempDir()
		a, b := pair.Streams()
		go func() {
			io.WriteString(a, "hel")
			end(a)
		}()
		if _, _, err := Receive(b, Offer{Name: "f", Size: 5}, dir, io.Discard); err == nil {
			t.Errorf("%s: kept", name)
		}
		noParts(t, dir, 0)
	}
}

func TestShrunkenFileIsReset(t *testing.T) {
	dir := t.TempDir()
	a, b := pair.Streams()
	done := make(chan error, 1)
	go func() {
		_, _, err := Receive(b, Offer{Name: "f", Size: 9}, dir, io.Discard)
		done <- err
	}()
	if _, _, err := Send(a, strings.NewReader("hello"), 9, io.Discard); err == nil || !strings.Contains(err.Error(), "shrank") {
		t.Errorf("sender: %v", err)
	}
	if err := <-done; err == nil {
		t.Error("the receiver kept it")
	}
}

func TestRefusalReachesTheSender(t *testing.T) {
	a, b := pair.Streams()
	go Refuse(b, wire.Refuse(wire.CodeRefused, "no thanks"))
	_, _, err := Send(a, strings.NewReader("x"), 1, io.Discard)
	if r := (*wire.Refusal)(nil); !errors.As(err, &r) || r.Text != "no thanks" {
		t.Errorf("error: %v", err)
	}
}

func TestFailureOfTheReceiverReachesTheSender(t *testing.T) {
	a, b := pair.Streams()
	go func() {
		wire.Write(b, wire.Event{Type: wire.Accepted})
		wire.Write(b, wire.Failed.Of(wire.Refuse(wire.CodeLimit, "disk full")))
		b.CloseRead()
		b.CloseWrite()
	}()
	_, results, err := Send(a, bytes.NewReader(make([]byte, 8<<20)), 8<<20, io.Discard)
	if err != nil || len(results) != 1 || results[0].Err == nil || results[0].Err.Error() != "disk full" {
		t.Errorf("%+v, %v", results, err)
	}
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"a.txt": "a.txt", "../../etc/passwd": "passwd", `C:\x\y.doc`: "y.doc", "..": "file", "": "file", "/": "file",
		".bashrc": "bashrc", "a\x1b[31m\n.txt": "a[31m.txt", "a\u202etxt.exe": "atxt.exe", "x:y": "x_y", "CON": "file-CON", "nul.txt": "file-nul.txt",
		"end. ": "end", " lead": "lead", "日本.txt": "日本.txt", "b\xff": "b_",
		strings.Repeat("a", 300) + ".tar": strings.Repeat("a", 236) + ".tar",
	} {
		if got := SafeName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	f.Add("../x")
	f.Add("CON.txt")
	f.Add(". .")
	f.Fuzz(func(t *testing.T, name string) {
		got := SafeName(name)
		if got == "" || len(got) > 255 || filepath.Base(got) != got || !filepath.IsLocal(got) || got[0] == '.' || wire.Clean(got) != got {
			t.Fatalf("%q: %q", name, got)
		}
	})
}

func TestReadOffer(t *testing.T) {
	if o, err := ReadOffer(meta("d/a", 7)); err != nil || o != (Offer{Name: "a", Size: 7, From: "ann"}) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, size := range []string{"", "-1", "x", "99999999999999999999"} {
		if _, err := ReadOffer(map[string]string{wire.MetaSize: size}); err == nil {
			t.Errorf("size %q was taken", size)
		}
	}
	for _, sum := range []string{"../../x", "ab", strings.Repeat("A", 64), strings.Repeat("a", 66)} {
		if _, err := ReadOffer(map[string]string{wire.MetaSize: "1", wire.MetaSHA256: sum}); err == nil {
			t.Errorf("SHA-256 %q was taken", sum)
		}
	}
}

// counted is a stream that counts what is written, and is reset after so many bytes.
type counted struct {
	wire.Stream
	n, most int64
}

func (c *counted) Write(p []byte) (int, error) {
	if c.n+int64(len(p)) > c.most {
		n, _ := c.Stream.Write(p[:c.most-c.n])
		c.n += int64(n)
		time.Sleep(time.Second) // of the bubble: what was written is read
		wire.Abort(c.Stream)
		return n, errors.New("cut")
	}
	n, err := c.Stream.Write(p)
	c.n += int64(n)
	return n, err
}

// attempt sends data, of which at most so many bytes pass.
func attempt(t *testing.T, dir string, data []byte, most int64) (path string, passed, shown int64, err error) {
	t.Helper()
	sum := sha256.Sum256(data)
	m := meta("f.bin", len(data))
	m[wire.MetaSHA256] = hex.EncodeToString(sum[:])
	o, err := ReadOffer(m)
	if err != nil {
		t.Fatal(err)
	}
	a, b := pair.Streams()
	defer a.Close()
	defer b.Close()
	received := make(chan error, 1)
	go func() {
		var err error
		path, _, err = Receive(b, o, dir, io.Discard)
		b.Close()
		received <- err
	}()
	c := &counted{Stream: a, most: most}
	var bar bar
	_, results, err := Send(c, bytes.NewReader(data), int64(len(data)), &bar)
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return path, c.n, int64(bar), errors.Join(err, <-received)
}

type bar int64

func (b *bar) Write(p []byte) (int, error) { *b += bar(len(p)); return len(p), nil }

// What was cut off goes on where it was, and nothing before travels again.
func TestCutFileGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := make([]byte, 5*bufferSize+3)
		rand.NewChaCha8([32]byte{1}).Read(data)
		const end = 1 << 10 // is longer than an "end" event
		for _, seed := range []uint64{1, 2, 3, 4} {
			dir := t.TempDir()
			r := rand.New(rand.NewPCG(seed, 0))
			passed := int64(0)
			for range 2 {
				n := r.Int64N(2 * bufferSize)
				path, sent, _, err := attempt(t, dir, data, n)
				if err == nil || path != "" || sent != n {
					t.Fatalf("cut after %d bytes: %d passed, %q, %v", n, sent, path, err)
				}
				passed += sent
				noParts(t, dir, 1)
			}
			path, sent, shown, err := attempt(t, dir, data, int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if rest := int64(len(data)) - passed; sent < rest || sent > rest+end {
				t.Errorf("%d bytes passed of %d that were missing", sent, rest)
			}
			if shown != int64(len(data)) {
				t.Errorf("progress of %d bytes", shown)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
			noParts(t, dir, 1)
		}
	})
}

// A part that is not the file's beginning is found out, and goes.
func TestWrongPartIsRemoved(t *testing.T) {
	data := []byte("hello, hello, hello")
	sum := sha256.Sum256(data)
	for _, begun := range []string{"help, ", "hello, hello, hullo", "more than there is of it"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ".mslchat-"+hex.EncodeToString(sum[:])+".part"), []byte(begun), 0o600); err != nil {
			t.Fatal(err)
		}
		if path, _, _, err := attempt(t, dir, data, 1<<20); err == nil || path != "" {
			t.Errorf("%q: kept", begun)
		}
		noParts(t, dir, 0)
		if path, _, _, err := attempt(t, dir, data, 1<<20); err != nil {
			t.Errorf("%q: again: %q, %v", begun, path, err)
		}
	}
}

// Two that receive one file at once do not write into one part.
func TestPartIsNotShared(t *testing.T) {
	dir, sum := t.TempDir(), strings.Repeat("a", 64)
	first, resumable, err := openPart(dir, sum)
	if err != nil || !resumable {
		t.Fatalf("%v, %v", resumable, err)
	}
	second, resumable, err := openPart(dir, sum)
	if err != nil || resumable || second.Name() == first.Name() {
		t.Errorf("%s, %v, %v", second.Name(), resumable, err)
	}
	second.Close()
	// Who waits for a part that gets its name does not get that file.
	late, err := os.OpenFile(first.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(first.Name(), filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if claim(late) {
		t.Error("claimed a finished file")
	}
	late.Close()
}

func TestOffsetOutsideTheFile(t *testing.T) {
	for _, offset := range []int64{-1, 6} {
		a, b := pair.Streams()
		go func() {
			wire.Write(b, wire.Event{Type: wire.Accepted, Offset: offset})
			b.CloseWrite()
		}()
		if _, _, err := Send(a, strings.NewReader("hello"), 5, io.Discard); err == nil || !strings.Contains(err.Error(), "from byte") {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
}
