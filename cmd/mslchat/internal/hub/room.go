package hub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

const (
	maxMembers = 256
	maxQueue   = 2*keep + 112 // events that wait for a member

	// What a room carries per second, and at once. Who says more waits.
	messageRate  = 500
	messageBurst = 200
)

// room is where what one says goes to all.
type room struct {
	name string
	log  *slog.Logger
	pace *rate.Limiter

	mu      sync.Mutex
	members []*member
	past    *history
}

// member is a stream in a room. The queue is closed when it leaves it.
type member struct {
	nick  string
	queue chan wire.Event
	why   error // it had to leave; set before the queue is closed
}

func newRoom(name string, past *history, log *slog.Logger) *room {
	return &room{name: name, log: log, pace: rate.NewLimiter(messageRate, messageBurst), past: past}
}

func newMember(nick string) *member {
	return &member{nick: nick, queue: make(chan wire.Event, maxQueue)}
}

func (r *room) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members) == 0
}

// enter takes a member in and gives it the history behind the message after.
func (r *room) enter(m *member, after uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) >= maxMembers {
		return wire.Refuse(wire.CodeLimit, "the room %q has %d members, more are not allowed", r.name, len(r.members))
	}
	if !r.has(m.nick) {
		r.send(wire.Event{Type: wire.Joined, Time: now(), Nick: m.nick}, nil)
	}
	r.members = append(r.members, m)
	m.queue <- wire.Event{Type: wire.Welcome, Nick: m.nick, Names: r.names()}
	for _, e := range r.past.after(after) {
		m.queue <- e
	}
	return nil
}

// leave is the end of a member, unless it was dropped before. It is told why,
// if that is a refusal.
func (r *room) leave(m *member, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.members, m); i >= 0 {
		m.why = why
		r.remove(i, "")
	}
}

// remove is called with mu held.
func (r *room) remove(i int, why string) {
	m := r.members[i]
	r.members = slices.Delete(r.members, i, i+1)
	close(m.queue)
	if !r.has(m.nick) {
		r.send(wire.Event{Type: wire.Left, Time: now(), Nick: m.nick, Text: why}, nil)
	}
}

// listen reads what the member says until it is done.
func (r *room) listen(ctx context.Context, m *member, st io.Reader) error {
	events := wire.NewReader(st)
	for {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Type != wire.Say {
			continue // a newer program may say more
		}
		if err := r.say(ctx, m, e.Text); err != nil {
			return err
		}
	}
}

// close sends all members away.
func (r *room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(wire.Event{Type: wire.Notice, Time: now(), Text: "the hub is shutting down"}, nil)
	for _, m := range r.members {
		close(m.queue)
	}
	r.members = nil
}

// say is a message of m to all. It waits while the room carries too much.
func (r *room) say(ctx context.Context, m *member, text string) error {
	if err := r.pace.Wait(ctx); err != nil {
		return err
	}
	if len(text) > wire.MaxText {
		return wire.Refuse(wire.CodeLimit, "a message of %d bytes is too long, %d are allowed", len(text), wire.MaxText)
	}
	if text == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.members, m) {
		return errDropped
	}
	e := wire.Event{Type: wire.Message, Time: now(), Nick: m.nick, Text: text}
	if err := r.past.add(&e); err != nil {
		r.log.Error("mslchat: history is not kept", "room", r.name, "error", err)
	}
	r.send(e, m)
	return nil
}

// notice tells all something.
func (r *room) notice(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(wire.Event{Type: wire.Notice, Time: now(), Text: text}, nil)
}

// send queues an event for all; members whose queue is full are dropped, so
// that none holds up the others or the memory. It is called with mu held.
func (r *room) send(e wire.Event, from *member) {
	var slow []*member
	for _, m := range r.members {
		e.Own = m == from
		select {
		case m.queue <- e:
		default:
			slow = append(slow, m)
		}
	}
	for _, m := range slow {
		// Removing it sends too, and may have dropped others of them.
		if i := slices.Index(r.members, m); i >= 0 {
			m.why = errDropped
			r.remove(i, "was too slow to read")
		}
	}
}

func (r *room) has(nick string) bool {
	return slices.ContainsFunc(r.members, func(m *member) bool { return wire.Fold(m.nick) == wire.Fold(nick) })
}

// names are the nicks of the members, each once. It is called with mu held.
func (r *room) names() []string {
	names := make([]string, 0, len(r.members))
	for _, m := range r.members {
		names = append(names, m.nick)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// errDropped is for members whose queue was full.
var errDropped = wire.Refuse(wire.CodeLimit, "you were dropped: %d lines waited for you to read them", maxQueue)

// write writes the queue of a member until it has left.
func (m *member) write(st *wire.Opened) {
	for e := range m.queue {
		st.SetWriteDeadline(time.Now().Add(writeTimeout))
		if wire.Write(st, e) != nil {
			wire.Abort(st) // ends the reading too, which makes it leave
			for range m.queue {
			}
			return
		}
	}
	var err error
	if refusal, ok := errors.AsType[*wire.Refusal](m.why); ok {
		st.SetWriteDeadline(time.Now().Add(writeTimeout))
		err = errors.Join(wire.Write(st, wire.Error.Of(refusal)), st.CloseRead())
	}
	if errors.Join(err, st.CloseWrite()) != nil {
		wire.Abort(st)
	}
}

// number reads a number of a stream's metadata, 0 if it is missing.
func number(meta map[string]string, key string) (uint64, error) {
	if meta[key] == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(meta[key], 10, 63)
	if err != nil {
		return 0, wire.Refuse(wire.CodeInvalid, "%q is not a number of %s", wire.Clean(meta[key]), key)
	}
	return n, nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
