package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

func testTUI(t *testing.T) (*tui, chan input) {
	t.Helper()
	inputs := make(chan input, 2)
	m := newTUI("ed25519:me", inputs)
	m.Init()
	m.Update(tea.WindowSizeMsg{Width: 60, Height: 12})
	m.Update(status{room: "lobby", nick: "ann", url: "tcp://h:1", text: "connected", peer: "ed25519:hub"})
	return m, inputs
}

// enter types a line.
func enter(m *tui, text string) tea.Cmd {
	for _, r := range text {
		m.Update(tea.KeyPressMsg{Code: r, Text: string(r)})
	}
	_, cmd := m.Update(tea.KeyPressMsg{Code: tea.KeyEnter})
	return cmd
}

func screenOf(m *tui) string { return ansi.Strip(m.View().Content) }

func TestTUIShowsWhatHappens(t *testing.T) {
	m, _ := testTUI(t)
	for _, e := range []wire.Event{
		{Type: wire.Welcome, Nick: "ann", Names: []string{"ann", "bob"}},
		{Type: wire.Joined, Nick: "cid"},
		{Type: wire.Message, Nick: "bob", Text: "hello ann", Time: time.Now()},
		{Type: wire.Left, Nick: "bob"},
		{Type: wire.Notice, Text: "watch this"},
	} {
		m.Update(eventMsg{"lobby", e})
	}
	got := screenOf(m)
	for _, want := range []string{"in lobby as ann, with: ann, bob", "cid joined lobby", "bob hello ann", "bob left lobby", "watch this", "lobby · 2 here · ann · encrypted"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not shown:\n%s", want, got)
		}
	}
	m.Update(status{url: "tcp://h:1", text: "lost"})
	if got := screenOf(m); !strings.Contains(got, "not connected · tcp://h:1") {
		t.Errorf("the loss is not shown:\n%s", got)
	}
	for _, size := range [][2]int{{10, 3}, {1, 1}, {200, 50}} {
		m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		for line := range strings.Lines(screenOf(m)) {
			if w := ansi.StringWidth(strings.TrimRight(line, "\n")); w > max(size[0], 6) {
				t.Errorf("%v: a line is %d wide", size, w)
			}
		}
	}
}

func TestTUITranscriptIsBounded(t *testing.T) {
	m, _ := testTUI(t)
	for i := range maxLines + 10 {
		m.add(fmt.Sprint("line ", i))
	}
	if len(m.lines) != maxLines || len(m.wrapped) != maxLines || m.lines[0] != "line 10" {
		t.Errorf("%d lines, %d wrapped, first %q", len(m.lines), len(m.wrapped), m.lines[0])
	}
}

func TestTUICommands(t *testing.T) {
	for line, want := range map[string]input{
		"hello":         {say: "hello"},
		"//not a room":  {say: "/not a room"},
		"/room Garden":  {room: "garden"},
		"/send a b.txt": {file: "a b.txt"},
	} {
		m, inputs := testTUI(t)
		if enter(m, line) != nil || len(inputs) != 1 {
			t.Fatalf("%q: nothing was wanted", line)
		}
		if got := <-inputs; got != want {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
	for line, want := range map[string]string{
		"/help":     "/room NAME",
		"/id":       "you are ed25519:me",
		"/names":    "here: ",
		"/room a/b": "not allowed",
		"/send":     "which file",
		"/nonsense": "there is no /nonsense",
	} {
		m, inputs := testTUI(t)
		enter(m, line)
		if got := screenOf(m); len(inputs) != 0 || !strings.Contains(got, want) {
			t.Errorf("%q: %q is not shown:\n%s", line, want, got)
		}
	}
	m, inputs := testTUI(t)
	if cmd := enter(m, "/quit"); cmd == nil || cmd() != tea.Quit() {
		t.Error("/quit does not quit")
	}
	if _, cmd := m.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}); cmd == nil || cmd() != tea.Quit() {
		t.Error("ctrl-C does not quit")
	}
	for range cap(inputs) + 1 {
		enter(m, "x")
	}
	if got := screenOf(m); !strings.Contains(got, "not sent") {
		t.Errorf("a line that had no place was lost in silence:\n%s", got)
	}
}
