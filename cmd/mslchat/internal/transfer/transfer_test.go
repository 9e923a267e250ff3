package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
	if o, err := ReadOffer(meta("d/a", 7)); err != nil || o != (Offer{"a", 7, "ann"}) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, size := range []string{"", "-1", "x", "99999999999999999999"} {
		if _, err := ReadOffer(map[string]string{wire.MetaSize: size}); err == nil {
			t.Errorf("size %q was taken", size)
		}
	}
}
