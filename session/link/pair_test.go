package link

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

func TestMain(m *testing.M) {
	// The goroutine that is ignored serves JavaScript's events.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}

// toy is a Source with one stream without credit: what is written comes out
// at the other side's toy.
type toy struct {
	link *Link

	mu       sync.Mutex
	taken    sync.Cond
	data     []byte   // of the Write in progress
	queue    []byte   // small Writes
	control  [][]byte // frames
	class    frame.Class
	hold     bool // nothing is given
	lazy     bool // control waits for company
	got      bytes.Buffer
	frames   []uint64 // types
	acked    uint64
	arrived  sync.Cond
	discard  bool // set before attaching
	received int64
	scratch  []byte
	sparse   uint64
	ended    error
	handle   func(typ uint64, b []byte) ([]byte, error)
}

func newToy() *toy {
	s := &toy{class: frame.Control}
	s.taken.L, s.arrived.L = &s.mu, &s.mu
	return s
}

func (s *toy) Waiting() frame.Class {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.hold:
	case len(s.data)+len(s.queue) > 0:
		return frame.Data
	case len(s.control) > 0 && !s.lazy:
		return s.class
	}
	return frame.None
}

func (s *toy) AppendFrames(dst []byte, room int, most frame.Class, _ uint64) ([]byte, frame.Class) {
	s.mu.Lock()
	defer s.mu.Unlock()
	class := frame.None
	if s.hold {
		return dst, class
	}
	for len(s.control) > 0 && len(s.control[0]) <= room && s.class <= most {
		dst = append(dst, s.control[0]...)
		room -= len(s.control[0])
		s.control = s.control[1:]
		class = s.class
	}
	if n := min(len(s.queue), room-frame.StreamOverhead); n > 0 && most == frame.Data {
		dst = append(frame.AppendStreamHeader(dst, 0, n, false), s.queue[:n]...)
		room -= n + frame.StreamOverhead
		s.sparse++
		s.queue = s.queue[:copy(s.queue, s.queue[n:])]
		class = frame.Data
		s.taken.Broadcast()
	}
	if n := min(len(s.data), room-frame.StreamOverhead); n > 0 && most == frame.Data {
		dst = append(frame.AppendStreamHeader(dst, 0, n, false), s.data[:n]...)
		s.data = s.data[n:]
		class = frame.Data
		if len(s.data) == 0 {
			s.taken.Broadcast()
		}
	}
	return dst, class
}

func (s *toy) HandleFrame(typ uint64, b []byte, _ *framing.Buffer) ([]byte, error) {
	if s.handle != nil {
		return s.handle(typ, b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case frame.IsStream(typ):
		f, rest, err := frame.ParseStream(typ, b)
		if err != nil {
			return nil, err
		}
		s.received += int64(len(f.Data))
		if s.discard {
			s.scratch = append(s.scratch[:0], f.Data...)
		} else {
			s.got.Write(f.Data)
			s.frames = append(s.frames, typ)
		}
		s.arrived.Broadcast()
		return rest, nil
	case typ == frame.TypeMaxData:
		s.frames = append(s.frames, typ)
		_, rest, err := frame.ParseMaxData(b)
		return rest, err
	case typ == frame.TypeResetStream:
		s.frames = append(s.frames, typ)
		_, _, rest, err := frame.ParseStreamCode(b)
		return rest, err
	}
	return nil, frame.Violation(frame.CodeProtocol, "frame %#x", typ)
}

func (s *toy) BatchEnd() bool   { return false }
func (s *toy) Share(Connection) {}
func (s *toy) Appoint()         {}
func (s *toy) BatchSent()       {}

// Sparse counts the small Writes that were given.
func (s *toy) Sparse() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sparse
}

func (s *toy) Acked(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = n
}

// Write returns when all of p is in records, or in the queue if it is small.
func (s *toy) Write(p []byte) (int, error) {
	if len(p) <= 4<<10 {
		s.mu.Lock()
		for len(s.queue) > 64<<10 && s.ended == nil {
			s.taken.Wait()
		}
		s.queue = append(s.queue, p...)
		ended := s.ended
		s.mu.Unlock()
		s.link.Wake()
		return len(p), ended
	}
	s.start(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.data) > 0 && s.ended == nil {
		s.taken.Wait()
	}
	return len(p), s.ended
}

// bytes is what has come.
func (s *toy) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.got.Bytes())
}

// start begins a Write and does not wait.
func (s *toy) start(p []byte) {
	s.mu.Lock()
	s.data = p
	s.mu.Unlock()
	s.link.Wake()
}

func (s *toy) push(class frame.Class, frames ...[]byte) {
	s.mu.Lock()
	s.class = class
	s.control = append(s.control, frames...)
	s.mu.Unlock()
	s.link.Wake()
}

// wait waits until n bytes have come in all.
func (s *toy) wait(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.received < n && s.ended == nil {
		s.arrived.Wait()
	}
	if s.received >= n {
		return nil
	}
	return s.ended
}

func (s *toy) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
	s.taken.Broadcast()
	s.arrived.Broadcast()
}

// empty is a Source that has nothing.
type empty struct{}

func (empty) Waiting() frame.Class { return frame.None }
func (empty) AppendFrames(dst []byte, _ int, _ frame.Class, _ uint64) ([]byte, frame.Class) {
	return dst, frame.None
}
func (empty) HandleFrame(uint64, []byte, *framing.Buffer) ([]byte, error) {
	return nil, frame.Violation(frame.CodeProtocol, "no frame of this kind is expected")
}
func (empty) BatchEnd() bool   { return false }
func (empty) Share(Connection) {}
func (empty) Appoint()         {}
func (empty) BatchSent()       {}
func (empty) Sparse() uint64   { return 0 }
func (empty) Acked(uint64)     {}

func keys(t testing.TB, of byte) (*stream.Sealer, *stream.Opener) {
	t.Helper()
	secret := bytes.Repeat([]byte{of}, stream.SecretLength)
	s, err := stream.NewSealer(stream.AES128GCM, secret, 0)
	if err != nil {
		t.Fatal(err)
	}
	o, err := stream.NewOpener(stream.AES128GCM, secret, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

type side struct {
	*Link
	toy  *toy
	conn transport.Conn
}

// pair makes both ends of a channel, not yet attached.
func pair(t testing.TB, ca, cb transport.Conn, change func(initiator bool, c *Config)) (a, b *side) {
	t.Helper()
	sa, ob := keys(t, 1)
	sb, oa := keys(t, 2)
	make := func(initiator bool, s *stream.Sealer, o *stream.Opener, conn transport.Conn) *side {
		toy := newToy()
		cfg := Config{Initiator: initiator, Sealer: s, Opener: o, Control: empty{}, Streams: toy, OnClose: toy.end}
		if change != nil {
			change(initiator, &cfg)
		}
		l := New(cfg)
		toy.link = l
		return &side{l, toy, conn}
	}
	return make(true, sa, oa, ca), make(false, sb, ob, cb)
}

func (s *side) attach(t testing.TB) {
	t.Helper()
	s.attachTo(t, framing.NewReader(s.conn, framing.Limits{}), nil)
}

// attachTo attaches a side that reads from r, and has it send a PING at once.
func (s *side) attachTo(t testing.TB, r *framing.Reader, header []byte) {
	t.Helper()
	if err := s.Attach(s.conn, header); err != nil {
		t.Fatal(err)
	}
	if s.cfg.Initiator {
		s.RequestAck()
	}
	go s.Begin(r)
}

// connect attaches both ends of a pipe, and checks at the test's end that
// nothing is left.
func connect(t testing.TB, change func(initiator bool, c *Config)) (a, b *side) {
	t.Helper()
	before := framing.BuffersInUse()
	a, b = pair(t, nil, nil, change)
	a.conn, b.conn = transport.Pipe()
	a.attach(t)
	b.attach(t)
	t.Cleanup(func() {
		stop(t, a, b)
		if n := framing.BuffersInUse(); n != before {
			t.Errorf("%d buffers in use", n-before)
		}
	})
	return a, b
}

func stop(t testing.TB, sides ...*side) {
	for _, s := range sides {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		s.Close(ctx, frame.CodeNoError, "")
		cancel()
	}
	for _, s := range sides {
		<-s.Done()
	}
}
