package mux

import (
	"net"
	"time"

	"github.com/mslgo/msl/session/frame"
)

// A Priority says how a stream shares the channel (RFC 9218): lower urgencies go
// first; inside one, incremental streams share by turns of 16 KiB, the others go
// one after the other.
type Priority struct {
	Urgency     uint8 // 0, the most urgent, to 7
	Incremental bool
}

// DefaultPriority is that of streams opened without one.
var DefaultPriority = Priority{Urgency: 3, Incremental: true}

// StreamOptions says what a stream is opened with. The zero value is fine.
type StreamOptions struct {
	// Priority of both directions at first; nil: DefaultPriority.
	Priority *Priority
	// Label, at most 255 bytes, and Metadata, at most 16 entries of keys of 1 to
	// 64 and values of up to 1024 bytes and 4 KiB together, are given to the
	// peer with the stream.
	Label    string
	Metadata map[string]string
	// Bandwidth is how many bytes of data a second may leave on the stream, see
	// [Stream.SetBandwidth]. 0: as many as there are.
	Bandwidth int64
	// Compress lets what is written here leave compressed (LZ4) where that makes
	// it smaller; the other direction is for the peer to decide. Not for secrets
	// beside text that somebody else chooses, as the lengths, which all can see,
	// then tell of the secrets. The peer must not refuse it.
	Compress bool
}

// A Stream is a bidirectional byte stream of a channel. It is a net.Conn; its
// directions end one by one. All methods may be called concurrently.
type Stream struct {
	m        *Mux
	id       uint64   // once left
	index    uint64   // of an own stream: the how-manieth was opened, to order them before they left
	title    *title   // nil: none
	priority Priority // of the sending direction

	local    bool  // opened here
	left     bool  // STREAM_OPEN has left, or has come
	openNow  bool  // STREAM_OPEN is to leave without waiting for bytes
	accepted bool  // or refused here
	settled  bool  // both directions have ended
	control  uint8 // frames that wait, control* bits

	// Place in the scheduler, see list.
	in         *list
	next, prev *Stream

	send sendHalf
	recv recvHalf
}

// A title is what a stream is opened with for the other side's application. Few
// have one.
type title struct {
	label    []byte
	metadata frame.Metadata
}

func newTitle(label []byte, metadata frame.Metadata) *title {
	if len(label) == 0 && len(metadata) == 0 {
		return nil
	}
	return &title{label, metadata}
}

// get is what there is of the title.
func (t *title) get() (label []byte, metadata frame.Metadata) {
	if t == nil {
		return nil, nil
	}
	return t.label, t.metadata
}

func newStream(m *Mux, local bool, p Priority) *Stream {
	s := &Stream{m: m, local: local, priority: p}
	s.send.cond.L, s.recv.cond.L = &m.mu, &m.mu
	s.send.limit = m.config.PeerWindow
	s.recv.window = newWindow(m.config.Window, min(m.config.MaxWindow, m.config.MaxCredit))
	return s
}

// before reports whether s was opened before t. The peer's streams go first:
// they are what it waits for.
func (s *Stream) before(t *Stream) bool {
	switch {
	case s.local != t.local:
		return t.local
	case s.local:
		return s.index < t.index
	}
	return s.id < t.id
}

// Close ends both directions, as CloseWrite and CloseRead do. It never waits:
// what was written leaves after it.
func (s *Stream) Close() error {
	s.m.mu.Lock()
	s.closeWrite()
	s.stopReading(frame.CodeCancelled, net.ErrClosed)
	s.m.unlockAndWake()
	return nil
}

// Reset ends both directions at once with the application's code: what waits to
// be sent and what is not read is dropped. The peer's calls, and those here,
// return a *StreamError with frame.Application(code).
func (s *Stream) Reset(code uint64) error {
	s.m.mu.Lock()
	s.reset(frame.Application(code))
	s.m.unlockAndWake()
	return nil
}

func (s *Stream) reset(code frame.Code) {
	err := &StreamError{Code: code}
	s.stopReading(code, err)
	s.abort(code, err)
}

// SetPriority changes the priority of the sending direction. An urgency above 7
// counts as 7.
func (s *Stream) SetPriority(p Priority) {
	p.Urgency = min(p.Urgency, frame.MaxUrgency)
	s.m.mu.Lock()
	s.m.unschedule(s)
	s.priority = p
	s.m.schedule(s)
	s.m.unlockAndWake()
}

// SetDeadline implements net.Conn.
func (s *Stream) SetDeadline(t time.Time) error {
	s.setDeadline(&s.recv.deadline, t, (*Stream).wakeReader)
	s.setDeadline(&s.send.deadline, t, (*Stream).wakeWriter)
	return nil
}

// SetReadDeadline implements net.Conn. After it reads fail with
// os.ErrDeadlineExceeded, a net.Error; the stream lives on.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.setDeadline(&s.recv.deadline, t, (*Stream).wakeReader)
	return nil
}

// SetWriteDeadline implements net.Conn. A write that it ends has written the
// bytes it counts, and no others: writing may go on behind them.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.setDeadline(&s.send.deadline, t, (*Stream).wakeWriter)
	return nil
}

// LocalAddr implements net.Conn: the channel's present one.
func (s *Stream) LocalAddr() net.Addr { return s.m.config.LocalAddr() }

// RemoteAddr implements net.Conn: the channel's present one.
func (s *Stream) RemoteAddr() net.Addr { return s.m.config.RemoteAddr() }

// addr is the address of a channel that has none.
type addr struct{}

func (addr) Network() string { return "msl" }
func (addr) String() string  { return "channel" }

// Info describes a stream at one moment.
type Info struct {
	ID       uint64 // valid once HasID
	HasID    bool   // the stream has left here, or come from the peer
	Local    bool   // opened here
	Label    string
	Metadata map[string]string
	Priority Priority // of the sending direction

	Sent     uint64 // bytes that went into records
	Queued   int    // bytes that wait to
	Received uint64
	Unread   int
	Window   uint64 // bytes that the peer may send ahead of reading
}

// Info returns what there is to know about the stream.
func (s *Stream) Info() Info {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	label, metadata := s.title.get()
	return Info{
		ID: s.id, HasID: s.left, Local: s.local,
		Label: string(label), Metadata: metadata.Map(), Priority: s.priority,
		Sent: s.send.sent, Queued: s.send.pending(),
		Received: s.recv.window.received, Unread: int(s.recv.window.received - s.recv.window.freed),
		Window: s.recv.window.size,
	}
}
