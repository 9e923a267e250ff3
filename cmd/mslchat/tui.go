package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/textinput"
	"charm.land/bubbles/v2/viewport"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

// runTUI runs a chat on the terminal interface, which gives the terminal back
// as it was, whatever ends it.
func (a *app) runTUI(ctx context.Context, run func(ctx context.Context, s screen, inputs <-chan input, say func(string, ...any)) error) error {
	chatting, stop := context.WithCancel(ctx)
	defer stop()
	inputs := make(chan input, maxInputs)
	t := newTUI(a.home.identity.Fingerprint(), inputs)
	p := tea.NewProgram(t, tea.WithContext(ctx), tea.WithoutSignalHandler())
	show := tuiScreen{p}
	ended := make(chan error, 1)
	go func() {
		err := run(chatting, show, inputs, func(format string, args ...any) {
			p.Send(eventMsg{"", wire.Event{Type: wire.Notice, Text: fmt.Sprintf(format, args...)}})
		})
		ended <- err
		p.Quit()
	}()
	_, err := p.Run()
	close(inputs) // the person is gone: leave in good order, but soon
	defer time.AfterFunc(leaveTime, stop).Stop()
	cerr := <-ended
	if ctx.Err() == nil && errors.Is(cerr, context.Canceled) {
		cerr = nil
	}
	if errors.Is(err, tea.ErrProgramKilled) {
		err = nil // stopped from outside, or by us
	}
	if err = errors.Join(err, cerr); err == nil && !t.quit && len(t.lines) > 0 {
		a.say("%s", ansi.Strip(t.lines[len(t.lines)-1])) // why it ended, which nobody could read
	}
	return err
}

// leaveTime is what leaving may take, of a room or of trying to come back to it.
const leaveTime = 2 * time.Second

// maxInputs is how many lines wait while there is no connection, and maxLines
// how many lines the transcript has.
const (
	maxInputs = 64
	maxLines  = 2000
)

// tuiScreen gives what happens to the interface.
type tuiScreen struct{ p *tea.Program }

type eventMsg struct {
	room  string
	event wire.Event
}

func (s tuiScreen) show(room string, e wire.Event) error {
	s.p.Send(eventMsg{room, e})
	return nil
}

func (s tuiScreen) status(st status) { s.p.Send(st) }

// tui is the interface: the transcript, a status line, the line that is typed.
type tui struct {
	self       string // our fingerprint
	inputs     chan<- input
	transcript viewport.Model
	field      textinput.Model
	lines      []string // as they came
	wrapped    []string // as they are shown: each may be several
	status     status
	names      map[string]bool
	width      int
	quit       bool
}

var (
	faint     = lipgloss.NewStyle().Faint(true)
	statusBar = lipgloss.NewStyle().Reverse(true)
)

func newTUI(self string, inputs chan<- input) *tui {
	field := textinput.New()
	field.Prompt = "> "
	field.Placeholder = "say something, or /help"
	field.CharLimit = wire.MaxText / 4 // characters have up to 4 bytes
	field.SetVirtualCursor(true)
	view := viewport.New()
	return &tui{self: self, inputs: inputs, transcript: view, field: field, names: make(map[string]bool)}
}

// Init implements tea.Model.
func (t *tui) Init() tea.Cmd { return t.field.Focus() }

// Update implements tea.Model.
func (t *tui) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		t.width = msg.Width
		t.transcript.SetWidth(msg.Width)
		t.transcript.SetHeight(max(1, msg.Height-2))
		t.field.SetWidth(max(1, msg.Width-4))
		for i, line := range t.lines {
			t.wrapped[i] = t.wrap(line)
		}
		t.transcript.SetContentLines(t.shown())
		t.transcript.GotoBottom()
		return t, nil
	case eventMsg:
		t.event(msg.room, msg.event)
		return t, nil
	case status:
		if msg.text != t.status.text {
			t.note("%s", msg.text)
		}
		t.status = msg
		return t, nil
	case tea.KeyPressMsg:
		switch msg.String() {
		case "ctrl+c", "ctrl+d":
			return t, t.leave()
		case "pgup":
			t.transcript.PageUp()
			return t, nil
		case "pgdown":
			t.transcript.PageDown()
			return t, nil
		case "enter":
			text := strings.TrimSpace(t.field.Value())
			t.field.Reset()
			return t, t.entered(text)
		}
	}
	var cmd tea.Cmd
	t.field, cmd = t.field.Update(msg)
	return t, cmd
}

// leave is what the person wants.
func (t *tui) leave() tea.Cmd {
	t.quit = true
	return tea.Quit
}

// event puts what happened into the transcript.
func (t *tui) event(room string, e wire.Event) {
	switch e.Type {
	case wire.Message, wire.History:
		at := ""
		if !e.Time.IsZero() {
			at = faint.Render(e.Time.Local().Format("15:04")) + " "
		}
		t.add(at + colour(e.Nick).Render(e.Nick) + " " + e.Text)
		return
	case wire.Welcome:
		t.names = make(map[string]bool)
		for _, n := range e.Names {
			t.names[n] = true
		}
	case wire.Joined:
		t.names[e.Nick] = true
	case wire.Left:
		delete(t.names, e.Nick)
	}
	if text := describe(room, e); text != "" {
		t.note("%s", text)
	}
}

// colour is the one of a nick, always the same.
func colour(nick string) lipgloss.Style {
	h := fnv.New32a()
	h.Write([]byte(nick))
	return lipgloss.NewStyle().Bold(true).Foreground(lipgloss.ANSIColor(1 + h.Sum32()%6))
}

// note puts something that nobody said into the transcript.
func (t *tui) note(format string, args ...any) {
	t.add(faint.Render("* " + wire.Clean(fmt.Sprintf(format, args...))))
}

func (t *tui) add(line string) {
	t.lines, t.wrapped = append(t.lines, line), append(t.wrapped, t.wrap(line))
	if n := len(t.lines) - maxLines; n > 0 {
		t.lines, t.wrapped = slices.Delete(t.lines, 0, n), slices.Delete(t.wrapped, 0, n)
	}
	bottom := t.transcript.AtBottom()
	t.transcript.SetContentLines(t.shown())
	if bottom { // who reads further up stays there
		t.transcript.GotoBottom()
	}
}

// wrap breaks a line between words.
func (t *tui) wrap(line string) string {
	if t.width == 0 {
		return line
	}
	return lipgloss.Wrap(line, t.width, "")
}

func (t *tui) shown() []string { return strings.Split(strings.Join(t.wrapped, "\n"), "\n") }

var help = []string{
	"/names            who is here",
	"/room NAME        go to another room",
	"/send FILE        send a file to all who receive in this room",
	"/id               fingerprints, and how the connection is protected",
	"/quit, ctrl-C     leave",
	"//                a line that begins with /",
	"page up, down     scroll",
}

// entered does what a person typed.
func (t *tui) entered(text string) tea.Cmd {
	if text == "" {
		return nil
	}
	if !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") {
		t.want(input{say: wire.Clean(strings.TrimPrefix(text, "/"))})
		if t.status.room == directRoom {
			t.event(directRoom, wire.Event{Type: wire.Message, Nick: t.status.nick, Time: time.Now(), Text: wire.Clean(strings.TrimPrefix(text, "/"))})
		}
		return nil
	}
	command, arg, _ := strings.Cut(text, " ")
	arg = strings.TrimSpace(arg)
	switch command {
	case "/help":
		for _, line := range help {
			t.note("%s", line)
		}
	case "/quit":
		return t.leave()
	case "/names":
		t.note("here: %s", strings.Join(slices.Sorted(maps.Keys(t.names)), ", "))
	case "/id":
		t.note("you are %s", t.self)
		if t.status.peer != "" {
			t.note("the other side is %s", t.status.peer)
			t.note("encrypted: %s", security(t.status.info))
		}
	case "/room":
		if err := wire.CheckName("room", arg); err != nil {
			t.note("%v", err)
			return nil
		}
		t.want(input{room: wire.Fold(arg)})
	case "/send":
		if arg == "" {
			t.note("which file? /send FILE")
			return nil
		}
		t.want(input{file: arg})
	default:
		t.note("there is no %s; /help lists what there is", command)
	}
	return nil
}

// want hands over what is wanted; a chat without a connection takes some of it.
func (t *tui) want(in input) {
	select {
	case t.inputs <- in:
	default:
		t.note("not sent: %d lines wait for the connection", maxInputs)
	}
}

// View implements tea.Model.
func (t *tui) View() tea.View {
	bar := statusBar.Width(t.width).MaxHeight(1).Render(cut(t.statusLine(), t.width))
	v := tea.NewView(t.transcript.View() + "\n" + bar + "\n" + t.field.View())
	v.AltScreen = true
	v.WindowTitle = "mslchat"
	return v
}

// statusLine says where we are, with whom, and how it is protected.
func (t *tui) statusLine() string {
	s := t.status
	if s.peer == "" {
		return " not connected · " + s.url
	}
	return fmt.Sprintf(" %s · %d here · %s · encrypted: %s · %s", s.room, len(t.names), s.nick, security(s.info), s.peer)
}

// cut shortens a line to a width.
func cut(line string, width int) string {
	if lipgloss.Width(line) <= width {
		return line
	}
	runes := []rune(line)
	for len(runes) > 0 && lipgloss.Width(string(runes)) > width-1 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
