package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestEventsTravel(t *testing.T) {
	sent := []Event{
		{Type: Message, Seq: 3, Time: time.Unix(1700000000, 0).UTC(), Nick: "ann", Text: "grüß <Gott> & \"mehr\""},
		{Type: Welcome, Names: []string{"ann", "bob"}},
		{Type: Done, SHA256: strings.Repeat("0", 64)},
	}
	var b bytes.Buffer
	for _, e := range sent {
		if err := Write(&b, e); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(&b)
	for i, want := range sent {
		got, err := r.Next()
		if err != nil || got.Type != want.Type || got.Text != want.Text || got.Nick != want.Nick || got.Seq != want.Seq ||
			!got.Time.Equal(want.Time) || len(got.Names) != len(want.Names) || got.SHA256 != want.SHA256 {
			t.Errorf("%d: %+v, %v; want %+v", i, got, err, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestLargestMessageFitsALine(t *testing.T) {
	for _, c := range []string{`"`, "<", "\xff"} {
		var b bytes.Buffer
		text := Cut(Clean(strings.Repeat(c, MaxText)), MaxText)
		if err := Write(&b, Event{Type: Message, Seq: 1 << 60, Time: time.Now(), Nick: strings.Repeat("n", MaxName), Text: text}); err != nil {
			t.Fatal(err)
		}
		if e, err := NewReader(&b).Next(); err != nil || e.Text != text {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func TestReaderRefusesWhatIsNoEvent(t *testing.T) {
	for name, line := range map[string]string{
		"long": `{"type":"say","text":"` + strings.Repeat("x", MaxLine) + "\"}\n",
		"cut":  `{"type":"say"`,
		"json": "hello\n",
	} {
		if e, err := NewReader(strings.NewReader(line)).Next(); err == nil || err == io.EOF {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func TestEventsAreClean(t *testing.T) {
	e, err := NewReader(strings.NewReader(`{"type":"message","nick":"a\u001b[2Jb","text":"1\u0007\u009b31m\u202e2\r\n3\t4"}` + "\n")).Next()
	if err != nil || e.Nick != "a[2Jb" || e.Text != "131m23 4" {
		t.Errorf("%q %q %v", e.Nick, e.Text, err)
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "Ann-1", "Jürgen", "x_y.z", "7", "日本", strings.Repeat("a", MaxName)} {
		if err := CheckName("nick", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-a", ".", "..", "a b", "a/b", "a\x1b", "a\n", "\xff", "a\u202e", strings.Repeat("a", MaxName+1)} {
		err := CheckName("nick", bad)
		if r := (*Refusal)(nil); !errors.As(err, &r) || r.Code != CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCut(t *testing.T) {
	for n, want := range []string{"", "a", "a", "aü", "aüb", "aüb"} {
		if got := Cut("aüb", n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"type":"say","text":"x"}` + "\n"))
	f.Add([]byte(`{"names":["a"],"time":"2026-01-01T00:00:00Z"}` + "\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data))
		for {
			e, err := r.Next()
			if err != nil {
				return
			}
			if Clean(e.Text) != e.Text || Clean(e.Nick) != e.Nick {
				t.Fatalf("not clean: %q %q", e.Text, e.Nick)
			}
		}
	})
}
