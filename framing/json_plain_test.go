package framing

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestPlain compares with looking at one byte after the other, for every kind
// of byte at every kind of place.
func TestPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := bytes.Repeat([]byte("Base64+/"), rapid.IntRange(0, 5*plainBlock/8).Draw(t, "words"))
		d = d[:len(d)-rapid.IntRange(0, min(len(d), 7)).Draw(t, "less")]
		for range rapid.IntRange(0, 3).Draw(t, "others") {
			if len(d) > 0 {
				d[rapid.IntRange(0, len(d)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			}
		}
		want := 0
		for want < len(d) && d[want] >= 0x20 && d[want] < 0x80 && d[want] != '"' && d[want] != '\\' {
			want++
		}
		if got := plain(d); got != want {
			t.Fatalf("plain(%d bytes) = %d, want %d", len(d), got, want)
		}
	})
	for _, at := range []int{0, 63, 64, plainStart + plainBlock - 1, plainStart + plainBlock} {
		for c := range 256 {
			d := bytes.Repeat([]byte{'A'}, 3*plainBlock)
			d[at] = byte(c)
			want := at
			if c >= 0x20 && c < 0x80 && c != '"' && c != '\\' {
				want = len(d)
			}
			if got := plain(d); got != want {
				t.Fatalf("byte %#x at %d: %d, want %d", c, at, got, want)
			}
		}
	}
}
