package stream

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/compress"
	"github.com/mslgo/msl/protocol/message"
)

// The attacker has text of its own put beside a secret and sees how long the
// chunk gets. Compressed, a right guess is shorter; by default nothing shows.
func TestW06CompressedGuess(t *testing.T) {
	sealed, _ := ends(t, framing.JSON)
	length := func(c compress.Algorithm, guess string) int {
		secret := "session=5f1c0a77e2d94b68; filler that both have and that is long enough to be worth compressing; "
		return len(write(t, sealed, ChunkWriterConfig{Compression: c}, secret+secret+guess))
	}
	right, wrong := "session=5f1c0a77e2d94b68; fi", "session=QZvKx#PwYmJ@!uTg; GH"
	if naive := compress.GZIP; length(naive, right) >= length(naive, wrong) {
		t.Fatal("the attack does not work")
	}
	if length(nil, right) != length(nil, wrong) {
		t.Error("the length tells a right guess from a wrong one")
	}
	if announced := new(message.Network).Capabilities().Compression; len(announced) != 0 {
		t.Errorf("%v is announced by default", announced)
	}
}

// The attacker cuts a message between two chunks.
func TestW08Truncation(t *testing.T) {
	sealed, header := ends(t, framing.JSON)
	wire := write(t, sealed, ChunkWriterConfig{Size: 10}, "pay 1000 t", "o nobody")
	cut := objects(t, wire)[0]
	// Naive: what verifies is data, and the end of the stream is the end.
	naive := func(wire []byte) (data []byte) {
		o := opener{context: header.PayloadContext, messageID: 7, limit: 100, sequence: firstSequence}
		for _, object := range objects(t, wire) {
			c, err := o.open(nil, &scratch{object: object})
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, c.data...)
		}
		return data
	}
	if got := naive(cut); string(got) != "pay 1000 t" {
		t.Fatalf("the attack does not work: %q", got)
	}
	if _, err := read(bytes.NewReader(cut), header, ChunkReaderConfig{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut between chunks: %v", err)
	}
	if _, err := read(bytes.NewReader(nil), header, ChunkReaderConfig{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("without any chunk: %v", err)
	}
}
