// Package hub is the server of mslchat: rooms with members and a history, nicks
// that belong to identities, and files that are passed on as they come, with
// back-pressure and without a copy.
//
// What the streams carry stands in package wire.
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

// Hub serves sessions. Its methods may be called concurrently.
type Hub struct {
	dir   string // of histories; "" keeps them in memory
	users *users
	log   *slog.Logger

	mu        sync.Mutex
	closed    bool
	rooms     map[string]*room
	receivers map[*receiver]struct{}
}

const (
	maxRooms     = 256 // at a time
	maxReceivers = 4096
	writeTimeout = 2 * time.Minute // for one write to somebody who does not read
)

// Open makes a hub that keeps histories and users in the directory dir, or, if
// dir is "", in memory. A nil log is silent.
func Open(dir string, log *slog.Logger) (*Hub, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{log: log, rooms: make(map[string]*room), receivers: make(map[*receiver]struct{})}
	users := ""
	if dir != "" {
		h.dir = filepath.Join(dir, "history")
		if err := os.MkdirAll(h.dir, 0o700); err != nil {
			return nil, fmt.Errorf("hub: %w", err)
		}
		users = filepath.Join(dir, "users.json")
	}
	var err error
	h.users, err = openUsers(users)
	return h, err
}

// Serve serves a session until it ends or ctx does.
func (h *Hub) Serve(ctx context.Context, s wire.Session) {
	ctx, cancel := context.WithCancel(ctx)
	var streams sync.WaitGroup
	defer streams.Wait()
	defer cancel()
	for {
		st, err := s.Accept(ctx)
		if err != nil {
			return
		}
		streams.Go(func() {
			defer context.AfterFunc(ctx, func() { wire.Abort(st) })()
			defer st.Close()
			if err := h.serve(ctx, s, st); err != nil {
				h.log.Debug("mslchat: stream ended", "label", st.Label, "peer", s.Peer(), "error", err)
			}
		})
	}
}

// serve serves one stream. What it refuses is told to the other side.
func (h *Hub) serve(ctx context.Context, s wire.Session, st *wire.Opened) error {
	release, err := h.users.claim(st.Meta[wire.MetaNick], s.Peer())
	if err == nil {
		defer release()
		switch st.Label {
		case wire.LabelRoom:
			err = h.member(ctx, st)
		case wire.LabelReceive:
			err = h.receive(s, st)
		case wire.LabelFile:
			err = h.relay(ctx, s, st)
		default:
			err = wire.Refuse(wire.CodeInvalid, "this hub has no streams of the kind %q", wire.Clean(st.Label))
		}
	}
	if _, refused := errors.AsType[*wire.Refusal](err); !refused {
		return err
	}
	st.SetWriteDeadline(time.Now().Add(writeTimeout))
	answer := wire.Error
	if st.Label == wire.LabelFile {
		answer = wire.Refused
	}
	return errors.Join(err, wire.Write(st, answer.Of(err)), st.CloseWrite(), st.CloseRead())
}

var errClosing = errors.New("hub: closing")

// Close tells all members that the hub ends, and ends their streams. It leaves
// files alone: they may finish until their sessions end.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, r := range h.rooms {
		r.close()
	}
	for rc := range h.receivers {
		_ = rc.end() // it may have ended by itself
	}
}

// enter brings a member into a room.
func (h *Hub) enter(name string, m *member, after uint64) (*room, error) {
	name = wire.Fold(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errClosing
	}
	r := h.rooms[name]
	if r == nil {
		var err error
		if r, err = h.open(name); err != nil {
			return nil, err
		}
	}
	return r, r.enter(m, after)
}

// open makes a room. It is called with mu held.
func (h *Hub) open(name string) (*room, error) {
	if len(h.rooms) >= maxRooms {
		h.forgetEmpty()
	}
	if len(h.rooms) >= maxRooms {
		return nil, wire.Refuse(wire.CodeLimit, "this hub has %d rooms, more are not allowed", len(h.rooms))
	}
	path := ""
	if h.dir != "" {
		path = historyPath(h.dir, name)
		if err := dropOldHistories(h.dir); err != nil {
			return nil, fmt.Errorf("hub: history: %w", err)
		}
	}
	past, err := openHistory(path)
	if err != nil {
		return nil, err
	}
	r := newRoom(name, past, h.log)
	h.rooms[name] = r
	return r, nil
}

// forgetEmpty drops the rooms that nobody is in. It is called with mu held.
func (h *Hub) forgetEmpty() {
	for name, r := range h.rooms {
		if r.empty() {
			delete(h.rooms, name)
		}
	}
}

// member serves a member of a room: what it says goes to all, what all say to it.
func (h *Hub) member(ctx context.Context, st *wire.Opened) error {
	if err := wire.CheckName("room", st.Meta[wire.MetaRoom]); err != nil {
		return err
	}
	after, err := number(st.Meta, wire.MetaAfter)
	if err != nil {
		return err
	}
	m := newMember(st.Meta[wire.MetaNick])
	r, err := h.enter(st.Meta[wire.MetaRoom], m, after)
	if err != nil {
		return err
	}
	var writing sync.WaitGroup
	writing.Go(func() { m.write(st) })
	err = r.listen(ctx, m, st)
	r.leave(m, err)
	writing.Wait() // which tells a refusal
	if _, refused := errors.AsType[*wire.Refusal](err); refused {
		return nil
	}
	return err
}
