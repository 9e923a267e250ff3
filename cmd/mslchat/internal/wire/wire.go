// Package wire is what the programs of mslchat say to each other: one stream for
// each purpose, told apart by its label, with what it needs to begin in its
// metadata.
//
//	label     metadata                    bytes
//	room      room, nick, after           events both ways, between a member and the hub
//	talk      nick                        events both ways, between two
//	receive   nick, room                  events from the hub: who opened it takes files while it is open
//	file      name, size, sha256, nick, to|room   a file, see below
//
// An event is a line of JSON, see [Event]. A file's stream carries, from the
// sender, once the other side has said "accepted": size bytes, an "end" event
// with their SHA-256, and the stream's end. In the other direction run events:
// "accepted" or "refused", then, when the file is whole, for each that received
// it "done" with the SHA-256 of what it holds, or "failed". A hub opens streams of
// the same form to those who receive.
//
// Who still has the beginning of a file with the "sha256" of the metadata says
// with "accepted" how long that is, and the bytes from this offset on follow. A hub
// says the least offset of those who receive, and leaves out for each what it has.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Service is the name that hubs answer to.
const Service = "mslchat"

// Labels of streams.
const (
	LabelRoom    = "room"
	LabelTalk    = "talk"
	LabelReceive = "receive"
	LabelFile    = "file"
)

// Keys of streams' metadata.
const (
	MetaRoom  = "room"
	MetaNick  = "nick"  // who opened the stream; on a file that a hub passes on, who sent it
	MetaAfter = "after" // the last message that was seen: history begins behind it
	MetaTo    = "to"    // the nick that a file is for
	MetaName  = "name"  // of a file
	MetaSize  = "size"  // of a file, in bytes, decimal

	MetaSHA256 = "sha256" // of a file, hexadecimal, lower case; not needed
)

// Type says what an [Event] is.
type Type string

// Types of events.
const (
	Say     Type = "say"     // a line of the one who writes: Text
	Welcome Type = "welcome" // the answer to room, talk and receive: Nick; Names in a room
	History Type = "history" // a message from before: as Message
	Message Type = "message" // a line of a member: Seq, Time, Nick, Text; Own if it was the reader's
	Joined  Type = "joined"  // a member came: Nick
	Left    Type = "left"    // a member went: Nick, perhaps Text
	Notice  Type = "notice"  // the hub has something to say: Text
	Error   Type = "error"   // the hub ends the stream: Code, Text

	Accepted Type = "accepted" // the file may come: Offset
	Refused  Type = "refused"  // it may not: Code, Text
	End      Type = "end"      // the file's bytes are complete: SHA256
	Done     Type = "done"     // the file was kept: Nick, SHA256
	Failed   Type = "failed"   // it was not: Nick, Text
)

// Codes say for programs why something was refused.
const (
	CodeInvalid = "invalid" // a name or a number that cannot be
	CodeTaken   = "taken"   // the nick belongs to another identity
	CodeLimit   = "limit"   // there is too much of something
	CodeNobody  = "nobody"  // nobody is there to receive
	CodeRefused = "refused" // the one who would receive does not want it
)

// Event is one line: a JSON object of at most [MaxLine] bytes, and '\n'.
type Event struct {
	Type   Type      `json:"type"`
	Seq    uint64    `json:"seq,omitempty"` // of a room's messages, growing
	Time   time.Time `json:"time,omitzero"`
	Nick   string    `json:"nick,omitempty"`
	Text   string    `json:"text,omitempty"`
	Own    bool      `json:"own,omitempty"`
	Names  []string  `json:"names,omitempty"`
	Code   string    `json:"code,omitempty"`
	SHA256 string    `json:"sha256,omitempty"` // hexadecimal, lower case
	Offset int64     `json:"offset,omitempty"` // in bytes
}

// Bounds in bytes.
const (
	MaxLine = 16 << 10
	MaxText = 4 << 10 // of a message
	MaxName = 32      // of a nick or a room
)

// Stream is what is needed of a session's streams.
type Stream interface {
	net.Conn
	CloseWrite() error
	CloseRead() error
	Reset(code uint64) error
}

// ResetAborted is the code of streams that a side gave up on.
const ResetAborted = 1

// Abort gives up on a stream. That it has ended already is no error.
func Abort(st Stream) { _ = st.Reset(ResetAborted) }

// Opened is a stream that the other side opened.
type Opened struct {
	Stream
	Label string
	Meta  map[string]string
}

// Session is what is needed of sessions.
type Session interface {
	// Open opens a stream.
	Open(ctx context.Context, label string, meta map[string]string) (Stream, error)
	// Accept waits for a stream of the other side.
	Accept(ctx context.Context) (*Opened, error)
	// Peer is the fingerprint of the other side.
	Peer() string
}

// Reader reads events.
type Reader struct{ r *bufio.Reader }

// NewReader returns a Reader of r, of which it may read ahead.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, MaxLine+1)} }

// Next returns the next event, cleaned: what it says may be shown on a
// terminal. Its error is io.EOF at the end, between events.
func (r *Reader) Next() (Event, error) {
	line, err := r.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return Event{}, fmt.Errorf("wire: a line has more than %d bytes", MaxLine)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return Event{}, io.ErrUnexpectedEOF
	case err != nil:
		return Event{}, err
	}
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("wire: a line is no event: %w", err)
	}
	e.Type = Type(Clean(string(e.Type)))
	e.Nick, e.Text, e.Code, e.SHA256 = Clean(e.Nick), Clean(e.Text), Clean(e.Code), Clean(e.SHA256)
	for i, n := range e.Names {
		e.Names[i] = Clean(n)
	}
	return e, nil
}

// Write writes an event.
func Write(w io.Writer, e Event) error {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // it would make a full message too long
	if err := enc.Encode(e); err != nil {
		return fmt.Errorf("wire: encoding an event: %w", err)
	}
	_, err := w.Write(line.Bytes())
	return err
}

// A Refusal is a "no" of the other side, with its reason.
type Refusal struct {
	Code string // one of the codes of this package
	Text string
}

// Error implements error: the reason.
func (r *Refusal) Error() string { return r.Text }

// Refuse makes a [Refusal].
func Refuse(code, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// Of is the event of this type that tells err to the other side.
func (e Type) Of(err error) Event {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return Event{Type: e, Code: r.Code, Text: r.Text}
	}
	return Event{Type: e, Text: err.Error()}
}

// Err is the error that the event tells: of types Error, Refused and Failed.
func (e Event) Err() error { return &Refusal{e.Code, e.Text} }
