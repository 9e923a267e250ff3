package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

// acceptTimeout is how long a receiver may take to say whether it wants a file.
const acceptTimeout = 30 * time.Second

// receiver is a session that takes files.
type receiver struct {
	nick, room string
	session    wire.Session
	end        func() error // ends the stream that lists it
}

// receive lists the session among those that take files while the stream is open.
func (h *Hub) receive(s wire.Session, st *wire.Opened) error {
	rc := &receiver{nick: st.Meta[wire.MetaNick], room: wire.Fold(st.Meta[wire.MetaRoom]), session: s, end: st.CloseRead}
	if rc.room != "" {
		if err := wire.CheckName("room", rc.room); err != nil {
			return err
		}
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return errClosing
	}
	if n := len(h.receivers); n >= maxReceivers {
		h.mu.Unlock()
		return wire.Refuse(wire.CodeLimit, "this hub has %d who receive files, more are not allowed", n)
	}
	h.receivers[rc] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.receivers, rc)
		h.mu.Unlock()
	}()
	if err := wire.Write(st, wire.Event{Type: wire.Welcome, Nick: rc.nick}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, st) // until a side is done
	return errors.Join(err, st.CloseWrite())
}

// find returns those who are to receive a file, or why there are none.
func (h *Hub) find(s wire.Session, to, room string) ([]*receiver, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*receiver
	for rc := range h.receivers {
		if to != "" && wire.Fold(rc.nick) == wire.Fold(to) || to == "" && rc.room == wire.Fold(room) && rc.session != s {
			found = append(found, rc)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case to == "":
		return nil, wire.Refuse(wire.CodeNobody, "nobody in the room %q receives files: \"mslchat recv --room %[1]s\" does", room)
	case h.users.online(to):
		return nil, wire.Refuse(wire.CodeNobody, "%s is here, but receives no files: \"mslchat recv --nick %[1]s\" does", to)
	}
	return nil, wire.Refuse(wire.CodeNobody, "nobody by the name %q is here to receive files", to)
}

// relay passes a file on to those it is for, as it comes: as fast as the slowest
// of them reads, and nothing of it is kept.
func (h *Hub) relay(ctx context.Context, s wire.Session, st *wire.Opened) error {
	to, room := st.Meta[wire.MetaTo], st.Meta[wire.MetaRoom]
	if (to == "") == (room == "") {
		return wire.Refuse(wire.CodeInvalid, "a file is for a nick or for a room")
	}
	if err := wire.CheckName("name", to+room); err != nil {
		return err
	}
	found, err := h.find(s, to, room)
	if err != nil {
		return err
	}
	meta := maps.Clone(st.Meta)
	copies, err := offer(ctx, found, meta)
	if err != nil {
		return err
	}
	defer copies.close()
	if err := wire.Write(st, wire.Event{Type: wire.Accepted, Offset: copies.offset()}); err != nil {
		return err
	}
	if room != "" {
		h.tell(room, fmt.Sprintf("%s sends %q", meta[wire.MetaNick], wire.Clean(meta[wire.MetaName])))
	}
	if _, err := io.Copy(copies, st); err != nil {
		if !errors.Is(err, errNoneLeft) {
			copies.reset()
			return err
		}
		if err := st.CloseRead(); err != nil {
			return err
		}
	}
	for _, e := range copies.results() {
		st.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := wire.Write(st, e); err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

// tell gives a notice to a room, if there is one.
func (h *Hub) tell(name, text string) {
	h.mu.Lock()
	r := h.rooms[wire.Fold(name)]
	h.mu.Unlock()
	if r != nil {
		r.notice(text)
	}
}

// copyTo is a file's stream to one receiver.
type copyTo struct {
	nick   string
	st     wire.Stream
	events *wire.Reader
	has    int64 // bytes that it has of what comes next: they are left out
	err    error // writing failed
}

// fanout writes to several receivers; those that fail are left out.
type fanout []*copyTo

// offer opens a stream to each receiver and returns those that accept; if there
// is none, the reason of one.
func offer(ctx context.Context, found []*receiver, meta map[string]string) (fanout, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	copies, errs := make(fanout, len(found)), make([]error, len(found))
	var asking sync.WaitGroup
	for i, rc := range found {
		asking.Go(func() { copies[i], errs[i] = rc.offer(ctx, meta) })
	}
	asking.Wait()
	var accepted fanout
	for _, c := range copies {
		if c != nil {
			accepted = append(accepted, c)
		}
	}
	if len(accepted) > 0 {
		return accepted, nil
	}
	for i, err := range errs {
		return nil, wire.Refuse(wire.CodeRefused, "%s does not take it: %v", found[i].nick, err)
	}
	return nil, wire.Refuse(wire.CodeNobody, "nobody is there")
}

func (rc *receiver) offer(ctx context.Context, meta map[string]string) (*copyTo, error) {
	st, err := rc.session.Open(ctx, wire.LabelFile, meta)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { wire.Abort(st) })
	c := &copyTo{nick: rc.nick, st: st, events: wire.NewReader(st)}
	e, err := c.events.Next()
	if !stop() {
		return nil, fmt.Errorf("no answer within %v", acceptTimeout)
	}
	switch {
	case err == nil && e.Type == wire.Accepted && e.Offset >= 0:
		c.has = e.Offset
		return c, nil
	case err == nil && e.Type == wire.Refused:
		err = e.Err()
	case err == nil:
		err = fmt.Errorf("it answered %q", e.Type)
	}
	wire.Abort(st)
	return nil, err
}

// offset is where the file goes on for the one that has least of it.
func (f fanout) offset() int64 {
	least := f[0].has
	for _, c := range f {
		least = min(least, c.has)
	}
	for _, c := range f {
		c.has -= least
	}
	return least
}

// errNoneLeft says that all receivers have failed.
var errNoneLeft = errors.New("hub: no receiver is left")

// Write writes to all receivers.
func (f fanout) Write(p []byte) (int, error) {
	left := 0
	for _, c := range f {
		if c.err != nil {
			continue
		}
		had := min(c.has, int64(len(p)))
		c.has -= had
		c.st.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, c.err = c.st.Write(p[had:]); c.err == nil {
			left++
		}
	}
	if left == 0 {
		return 0, errNoneLeft
	}
	return len(p), nil
}

// results ends the copies and returns what became of each.
func (f fanout) results() []wire.Event {
	results := make([]wire.Event, len(f))
	for _, c := range f {
		if c.err == nil {
			c.err = c.st.CloseWrite()
		}
	}
	for i, c := range f {
		c.st.SetReadDeadline(time.Now().Add(writeTimeout))
		e, err := c.events.Next()
		switch {
		case err == nil && (e.Type == wire.Done || e.Type == wire.Failed):
		case errors.Join(err, c.err) == nil:
			e = wire.Failed.Of(fmt.Errorf("it answered %q", e.Type))
		default:
			wire.Abort(c.st)
			e = wire.Failed.Of(fmt.Errorf("the hub lost it: %w", errors.Join(c.err, err)))
		}
		e.Nick = c.nick
		results[i] = e
	}
	return results
}

// reset ends all copies as incomplete.
func (f fanout) reset() {
	for _, c := range f {
		wire.Abort(c.st)
	}
}

func (f fanout) close() {
	for _, c := range f {
		c.st.Close()
	}
}
