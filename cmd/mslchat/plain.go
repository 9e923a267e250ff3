package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

// plain is the chat as lines: those of others go to out, what is about the chat
// to err.
type plain struct {
	out, err io.Writer
	last     string // the status that was said last
}

func (p *plain) show(room string, e wire.Event) error {
	switch e.Type {
	case wire.Message, wire.History:
		if e.Own {
			return nil
		}
		_, err := fmt.Fprintf(p.out, "[%s] %s: %s\n", room, e.Nick, e.Text)
		return err
	default:
		if text := describe(room, e); text != "" {
			fmt.Fprintln(p.err, "*", text)
		}
	}
	return nil
}

func (p *plain) status(s status) {
	if s.text != p.last {
		p.last = s.text
		fmt.Fprintln(p.err, "*", s.text)
	}
}

// describe says in words what happened, "" for nothing worth a word.
func describe(room string, e wire.Event) string {
	switch e.Type {
	case wire.Welcome:
		if len(e.Names) == 0 {
			return ""
		}
		return fmt.Sprintf("in %s as %s, with: %s", room, e.Nick, strings.Join(e.Names, ", "))
	case wire.Joined:
		return e.Nick + " joined " + room
	case wire.Left:
		if e.Text != "" {
			return fmt.Sprintf("%s left %s: %s", e.Nick, room, e.Text)
		}
		return e.Nick + " left " + room
	case wire.Notice:
		return e.Text
	}
	return ""
}

// lines reads what is to be said. The channel is closed at the end of r if there
// was a line; without any, as from /dev/null, who reads it only listens.
func lines(ctx context.Context, r io.Reader) <-chan input {
	inputs := make(chan input)
	go func() {
		any := false
		for text := range split(r) {
			select {
			case inputs <- input{say: text}:
				any = true
			case <-ctx.Done():
				return
			}
		}
		if any {
			close(inputs)
		}
	}()
	return inputs
}

// split returns the lines of r that are not empty, longer ones in pieces of
// wire.MaxText bytes.
func split(r io.Reader) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		in := bufio.NewReaderSize(r, wire.MaxText)
		rest := ""
		for {
			piece, err := in.ReadSlice('\n')
			text := rest + string(piece)
			rest = ""
			if errors.Is(err, bufio.ErrBufferFull) || len(text) > wire.MaxText {
				cut := wire.Cut(text, wire.MaxText)
				if !utf8.ValidString(cut) { // the last character may be cut
					cut = wire.Cut(cut, len(cut)-incomplete(cut))
				}
				text, rest = cut, text[len(cut):]
			}
			text = wire.Cut(wire.Clean(strings.TrimRight(text, "\r\n")), wire.MaxText)
			if text != "" && !yield(text) {
				return
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				if rest = wire.Clean(strings.TrimRight(rest, "\r\n")); rest != "" {
					yield(rest)
				}
				return
			}
		}
	}
}

// incomplete is how many bytes at the end begin a character.
func incomplete(s string) int {
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		if b := s[len(s)-n]; utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRuneInString(s[len(s)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
