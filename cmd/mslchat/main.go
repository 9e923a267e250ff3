// Command mslchat is a chat in rooms or between two, and sends files, over MSL
// for Go. Its manual is docs/mslchat.md.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

// commands is the command line.
type commands struct {
	Home  string `help:"Directory of what is yours: identity, pins, tokens. Default: mslchat in your configuration directory." placeholder:"DIR" env:"MSLCHAT_HOME"`
	Plain bool   `help:"Lines in, lines out, for scripts; the default if this is not a terminal."`
	TLSCA string `name:"tls-ca" help:"Whose certificates to trust when dialling wss://, in PEM. Default: the system's." placeholder:"FILE"`

	Local  localCommand `cmd:"" default:"withargs" help:"Start a hub on this machine and join its room \"lobby\": what mslchat alone does."`
	Serve  serveCommand `cmd:"" help:"Be a hub."`
	Join   joinCommand  `cmd:"" help:"Join a room of a hub."`
	Direct struct {
		Listen directListenCommand `cmd:"" help:"Wait for the other one."`
		Dial   directDialCommand   `cmd:"" help:"Call the other one."`
	} `cmd:"" help:"Chat between two, without a hub."`
	Send sendCommand `cmd:"" help:"Send files through a hub, or directly with --peer."`
	Recv recvCommand `cmd:"" help:"Receive files from a hub, or directly with --peer."`
	ID   idCommand   `cmd:"" name:"id" help:"Print the fingerprint of your identity."`
}

// app is what the commands work with.
type app struct {
	home     *home
	tls      *tls.Config // for dialling wss
	in       io.Reader
	out, err io.Writer
	terminal bool // in and out are one, and --plain is not asked for
	name     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string) int {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		terminal: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())),
		name:     programName(),
	}
	var c commands
	parser := kong.Must(&c,
		kong.Name("mslchat"),
		kong.Description("Chat in rooms or between two, and send files, over Message Security Layer channels."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(a.err, "mslchat: %v\nTry: %s --help\n", err, a.name)
		return exitUsage
	}
	a.terminal = a.terminal && !c.Plain
	if a.tls, err = authorities(c.TLSCA); err == nil {
		a.home, err = openHome(c.Home)
	}
	if err == nil {
		err = command.Run(a)
	}
	return a.exit(ctx, err)
}

// programName is what a person types to start this program again.
func programName() string {
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		return "go run ./cmd/mslchat" // as the README says
	}
	return filepath.Base(os.Args[0])
}

// say tells the person something that is no line of the chat.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}
