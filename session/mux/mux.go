// Package mux carries the streams of a channel (docs/protocol.md section 5): it
// turns what is written to streams into frames, and frames into what is read.
//
// A [Mux] does not know records, keys or connections. Its owner asks it for the
// frames of each record ([Mux.AppendFrames]) and gives it those that came
// ([Mux.HandleFrame]); in the channel that is session/link, which sees a Mux as
// its Source.
//
// One lock guards a Mux and its streams. It is held for no longer than it takes
// to copy, or where asked for to compress, a record's worth of bytes, and never
// while a function of [Config] is called but RTT and the Recorder's, or one of
// [Connection] that may take long: Lead and Carry.
package mux

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/session/frame"
)

// Config is what a Mux needs to know. Zero fields take the defaults that they name.
type Config struct {
	// Initiator says that this side set the channel up; its streams have even IDs.
	Initiator bool

	// Wake is called when frames begin to wait, on any goroutine but the
	// reading one inside HandleFrame. It must not wait for the network. Nil:
	// nobody is told.
	Wake func()
	// RequestAck asks the peer to acknowledge at once what has left (a PING),
	// for Delivered. Nil: acknowledgements come when they come.
	RequestAck func()
	// RTT is the measured round trip, 0 if unknown: windows do not grow then. It
	// must not call the Mux.
	RTT func() time.Duration

	// What the peer was told at set-up (docs/protocol.md section 2).
	Window     uint64 // bytes it may send ahead on each stream; 256 KiB
	MaxWindow  uint64 // to which that grows; 16 MiB
	Credit     uint64 // bytes it may send ahead on all streams; 4 MiB
	MaxCredit  uint64 // to which that grows: the cap on unread bytes in memory; 32 MiB
	MaxStreams uint64 // streams it may have open; 256
	MaxRecord  uint64 // bytes that compressed data may stand for in one frame; 64 KiB

	// What the peer said at set-up; the same defaults.
	PeerWindow     uint64
	PeerCredit     uint64
	PeerMaxStreams uint64
	PeerMaxRecord  uint64

	// NoCompression refuses compressed data: the channel ends with COMPRESSION.
	NoCompression bool

	// Recorder is told of streams. Nil: nobody is.
	Recorder *observe.Recorder

	// LocalAddr and RemoteAddr are those of the connection in use. Nil: a
	// placeholder.
	LocalAddr, RemoteAddr func() net.Addr
}

func orDefault(v *uint64, d uint64) {
	if *v == 0 {
		*v = d
	}
}

func (c *Config) setDefaults() {
	orDefault(&c.Window, 256<<10)
	orDefault(&c.MaxWindow, 16<<20)
	orDefault(&c.Credit, 4<<20)
	orDefault(&c.MaxCredit, 32<<20)
	orDefault(&c.MaxStreams, 256)
	orDefault(&c.MaxRecord, 64<<10)
	orDefault(&c.PeerWindow, 256<<10)
	orDefault(&c.PeerCredit, 4<<20)
	orDefault(&c.PeerMaxStreams, 256)
	orDefault(&c.PeerMaxRecord, 64<<10)
	c.MaxWindow, c.MaxCredit = max(c.MaxWindow, c.Window), max(c.MaxCredit, c.Credit)
	if c.Wake == nil {
		c.Wake = func() {}
	}
	if c.RequestAck == nil {
		c.RequestAck = func() {}
	}
	if c.RTT == nil {
		c.RTT = func() time.Duration { return 0 }
	}
	if c.LocalAddr == nil {
		c.LocalAddr = func() net.Addr { return addr{} }
	}
	if c.RemoteAddr == nil {
		c.RemoteAddr = func() net.Addr { return addr{} }
	}
}

// openDelay is how long STREAM_OPEN waits for the first write.
const openDelay = time.Millisecond

// A Mux holds the streams of one channel. All methods may be called
// concurrently, except as AppendFrames, HandleFrame and BatchEnd say.
type Mux struct {
	config  Config
	start   time.Time
	waiting atomic.Uint32 // frame.Class
	sparse  atomic.Uint64 // frames of sparse streams that were appended
	done    chan struct{} // closed by Fail

	mu      sync.Mutex
	err     error              // of Fail
	streams map[uint64]*Stream // that have an ID and have not ended both ways

	// Streams opened here.
	unopened  map[*Stream]struct{} // STREAM_OPEN has not left; nil: there was none yet
	openTimer *time.Timer
	index     uint64        // opened so far, also those that never left
	reserved  uint64        // numbered or to be numbered
	numbered  uint64        // STREAM_OPEN has left
	allowed   uint64        // the peer's MAX_STREAMS
	mayOpen   chan struct{} // closed when that or goingAway changes; nil: nobody waits
	goneAway  bool          // the peer has sent GOAWAY

	// Streams opened by the peer.
	opened     uint64 // so far
	limit      uint64 // of them
	limitSent  uint64 // the newest MAX_STREAMS that left
	accept     []*Stream
	acceptable chan struct{} // has one element when somebody should look at accept; closed by Fail

	goingAway  bool // Shutdown was called
	served     uint64
	goawaySent bool
	drained    chan struct{} // closed when no stream is open; nil: nobody waits

	// Sending.
	sched     scheduler
	starved   list // streams that wait for credit of the channel only
	paused    list // streams that wait for their buckets only
	bucket    bucket
	held      bool // all data waits for bucket
	sent      uint64
	sendLimit uint64    // the peer's MAX_DATA
	resumed   []*Stream // whose writer BatchSent wakes
	quiet     []*Stream // MAX_STREAM_DATA waits
	urgent    []*Stream // RESET_STREAM or STOP_SENDING waits
	maxData   bool      // MAX_DATA waits
	creditDue bool      // one of these does not wait for company

	refillTimer *time.Timer
	refillAt    time.Duration // when it fires; 0: it does not

	// Receiving.
	window window
	bulk   []*Stream // whose reader BatchEnd wakes

	connection Connection // nil: it is not shared
	readers    int        // that wait for others to read it
	fed        *Stream    // whose reader was given something last; nil: nobody was

	acked      uint64
	deliveries []*delivery
	unsent     []*Stream // of early data that is to be sent again, see Resent
}

// New returns a Mux with no streams.
func New(config Config) *Mux {
	config.setDefaults()
	return &Mux{
		config: config, start: time.Now(), done: make(chan struct{}),
		streams: map[uint64]*Stream{},
		allowed: config.PeerMaxStreams, sendLimit: config.PeerCredit,
		limit: config.MaxStreams, limitSent: config.MaxStreams,
		acceptable: make(chan struct{}, 1),
		window:     newWindow(config.Credit, config.MaxCredit),
	}
}

func (m *Mux) now() time.Duration { return time.Since(m.start) }

// OpenStream opens a stream; nil options are the defaults. It waits only while
// the peer allows no more streams. The peer learns of the stream with the first
// write, or after 1 ms. The error is ErrGoingAway when the channel is being shut
// down, ctx's, a limit's, or that of the channel's end.
func (m *Mux) OpenStream(ctx context.Context, options *StreamOptions) (*Stream, error) {
	if options == nil {
		options = &StreamOptions{}
	}
	p := DefaultPriority
	if options.Priority != nil {
		p = *options.Priority
	}
	metadata, err := frame.NewMetadata(options.Metadata)
	if err != nil {
		return nil, err
	}
	label := []byte(options.Label)
	open := frame.StreamOpen{Urgency: p.Urgency, Label: label, Metadata: metadata}
	if err := open.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		switch {
		case m.err != nil:
			return nil, writeError(m.err)
		case m.goingAway || m.goneAway:
			return nil, ErrGoingAway
		}
		if m.reserved < m.allowed {
			break
		}
		if m.mayOpen == nil {
			m.mayOpen = make(chan struct{})
		}
		wait := m.mayOpen
		m.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
		case <-m.done:
		}
		m.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	s := newStream(m, true, p)
	s.title = newTitle(label, metadata)
	s.limit(options.Bandwidth)
	s.send.compress = options.Compress
	s.accepted = true
	s.index = m.index
	m.index++
	m.reserved++
	if m.unopened == nil {
		m.unopened = map[*Stream]struct{}{}
	}
	m.unopened[s] = struct{}{}
	if m.openTimer == nil {
		m.openTimer = time.AfterFunc(openDelay, m.openAll)
	} else if len(m.unopened) == 1 {
		m.openTimer.Reset(openDelay)
	}
	return s, nil
}

// openAll lets every stream leave that has not been written to.
func (m *Mux) openAll() {
	m.mu.Lock()
	for s := range m.unopened {
		s.openNow = true
		m.schedule(s)
	}
	m.unlockAndWake()
}

// releaseOpeners lets those who wait in OpenStream look again.
func (m *Mux) releaseOpeners() {
	if m.mayOpen != nil {
		close(m.mayOpen)
		m.mayOpen = nil
	}
}

// forget drops an own stream that never left.
func (m *Mux) forget(s *Stream) {
	if _, ok := m.unopened[s]; ok {
		delete(m.unopened, s)
		m.reserved--
		m.releaseOpeners()
		m.checkDrained()
	}
}

// AcceptStream returns the next stream that the peer opened. After the
// channel's end it returns those that had come whole, then the error.
func (m *Mux) AcceptStream(ctx context.Context) (*Stream, error) {
	for {
		m.mu.Lock()
		if len(m.accept) > 0 {
			s := m.accept[0]
			m.accept[0] = nil
			m.accept = m.accept[1:]
			if len(m.accept) > 0 {
				m.signalAccept()
			}
			s.accepted = true
			m.raiseLimit(s)
			m.unlockAndWake()
			return s, nil
		}
		err := m.err
		m.mu.Unlock()
		if err != nil {
			return nil, writeError(err)
		}
		select {
		case <-m.acceptable:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *Mux) signalAccept() {
	if m.err != nil {
		return // acceptable is closed
	}
	select {
	case m.acceptable <- struct{}{}:
	default:
	}
}

// settle takes the stream off the wire's books if both directions have ended.
func (m *Mux) settle(s *Stream) {
	if s.settled || !s.send.state.ended() || !s.recv.state.ended() {
		return
	}
	s.settled = true
	delete(m.streams, s.id)
	if m.fed == s {
		m.fed = nil
	}
	m.config.Recorder.StreamClosed(s.id)
	m.raiseLimit(s)
	m.checkDrained()
}

// raiseLimit lets the peer open a stream in place of s, once that has ended both
// ways and was accepted or refused (RFC 9000 section 4.6).
func (m *Mux) raiseLimit(s *Stream) {
	if !s.local && s.settled && s.accepted {
		m.limit++
	}
}

// Shutdown announces that the channel ends (GOAWAY): neither side opens more
// streams, those of the peer that come later are refused. It returns nil when
// the open ones have ended both ways, or ctx's error, or that of the channel's end.
func (m *Mux) Shutdown(ctx context.Context) error {
	m.mu.Lock()
	if !m.goingAway {
		m.goingAway = true
		m.served = m.opened
		m.releaseOpeners()
	}
	if m.drained == nil {
		m.drained = make(chan struct{})
		m.checkDrained()
	}
	drained := m.drained
	m.unlockAndWake()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.done:
		return writeError(m.err)
	}
}

func (m *Mux) checkDrained() {
	if m.drained == nil || len(m.streams) > 0 || len(m.unopened) > 0 {
		return
	}
	select {
	case <-m.drained:
	default:
		close(m.drained)
	}
}

// Fail ends all streams, and every call that waits, with err; net.ErrClosed, or
// nil, stands for an end that was asked for here. Streams whose FIN had come can
// still be read to their end. The first call counts.
func (m *Mux) Fail(err error) {
	if err == nil {
		err = net.ErrClosed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return
	}
	m.err = err
	close(m.done)
	close(m.acceptable)
	if m.openTimer != nil {
		m.openTimer.Stop()
	}
	if m.refillTimer != nil {
		m.refillTimer.Stop()
	}
	end := func(s *Stream) {
		m.unschedule(s)
		s.send.dropQueue()
		s.wakeWriter()
		s.wakeReader()
	}
	for _, s := range m.streams {
		end(s)
	}
	for s := range m.unopened {
		end(s)
	}
	m.accept = slices.DeleteFunc(m.accept, func(s *Stream) bool {
		if s.recv.state != recvFin {
			s.recv.drop()
			return true
		}
		return false
	})
	for _, d := range m.deliveries {
		d.end(writeError(err))
	}
	m.deliveries, m.quiet, m.urgent, m.bulk = nil, nil, nil, nil
	m.maxData, m.creditDue = false, false
	m.refresh()
}

// failed reports whether Fail was called.
func (m *Mux) failed() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// Streams is the number of streams that have not ended both ways.
func (m *Mux) Streams() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.streams) + len(m.unopened)
}
