package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/session"
)

// screen shows a chat: lines, or the terminal interface. Its methods are
// called from one goroutine at a time.
type screen interface {
	// show shows an event of a room.
	show(room string, e wire.Event) error
	// status shows where we are; the zero Info means that we are not connected.
	status(s status)
}

// status is what the status line tells.
type status struct {
	room, nick, url string
	text            string // of the connection
	peer            string // the fingerprint of the other side
	info            session.Info
}

// input is what a person wants. Only one field is set.
type input struct {
	say  string
	room string // go there
	file string // send it to the room
}

// errLost says that the stream of a chat ended and nobody wanted it.
var errLost = errors.New("the chat was cut off")

// lingerTime is what the other side gets to finish when we have said all, and
// graceTime what we get when it has. The one is longer, for what is on its way.
const (
	lingerTime = 5 * time.Second
	graceTime  = time.Second
)

// chat is one stream of a room or with a peer.
type chat struct {
	st     wire.Stream
	events *wire.Reader
	room   string // as it is shown
	nick   string // of the other side, in a chat between two
	screen screen
	seen   uint64       // the newest message
	echo   atomic.Int64 // lines that were said and have not come back from the hub
}

// welcome reads the answer to opening the stream.
func (c *chat) welcome() error {
	e, err := c.events.Next()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errLost, err)
	case e.Type == wire.Error:
		return e.Err()
	case e.Type != wire.Welcome:
		return fmt.Errorf("the answer was %q", e.Type)
	}
	return c.screen.show(c.room, e)
}

// read shows what comes until the stream ends.
func (c *chat) read() error {
	for {
		e, err := c.events.Next()
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		switch e.Type {
		case wire.Error:
			return e.Err()
		case wire.Say: // between two
			if c.nick == "" || e.Text == "" {
				continue
			}
			e.Type, e.Nick, e.Time = wire.Message, c.nick, time.Now()
		case wire.Message, wire.History:
			c.seen = max(c.seen, e.Seq)
			if e.Own {
				c.echo.Add(-1)
			}
		}
		if err := c.screen.show(c.room, e); err != nil {
			return &screenError{err}
		}
	}
}

// screenError says that nothing can be shown any more.
type screenError struct{ error }

func (e *screenError) Unwrap() error { return e.error }

// say writes a line.
func (c *chat) say(text string) error {
	c.echo.Add(1)
	if err := wire.Write(c.st, wire.Event{Type: wire.Say, Text: text}); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

// pump is the chat until a side ends it. handle is given what is not said; if
// it returns true the stream ends, and pump returns nil. At the end of inputs
// the other side gets a moment to finish, and pump returns io.EOF. If a hub ends
// it, that is errLost; if a peer does, we get a moment to finish.
func (c *chat) pump(ctx context.Context, inputs <-chan input, handle func(input) (end bool)) error {
	var readErr error // once reading is over
	read := make(chan struct{})
	go func() {
		defer close(read)
		readErr = c.read()
	}()
	wait := func() error {
		err := c.st.CloseWrite()
		timer := time.NewTimer(lingerTime)
		defer timer.Stop()
		select {
		case <-read:
			return readErr
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			err = errors.Join(err, io.EOF)
		}
		wire.Abort(c.st)
		<-read
		return err
	}
	reading := read
	var grace <-chan time.Time // when the peer has said all
	for {
		select {
		case in, more := <-inputs:
			switch {
			case !more && reading == nil:
				return io.EOF
			case !more:
				return wait()
			case in.say != "":
				if err := c.say(in.say); err != nil {
					wire.Abort(c.st)
					<-read
					return better(readErr, err)
				}
			case handle(in):
				if err := wait(); err != io.EOF {
					return err
				}
				return nil
			}
		case <-reading:
			if readErr == io.EOF && c.nick != "" {
				reading, grace = nil, time.After(graceTime)
				continue
			}
			c.st.Close()
			return better(readErr, errLost)
		case <-grace:
			return io.EOF
		case <-ctx.Done():
			wire.Abort(c.st)
			<-read
			return ctx.Err()
		}
	}
}

// better is the error of reading, or err if that is only the end.
func better(read, err error) error {
	if read == io.EOF {
		return err
	}
	return read
}
