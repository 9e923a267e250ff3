// Package link carries one channel's records over successive connections: record
// numbers, retention until acknowledgement and its two accounts, ACK, key
// generations, liveness, CLOSE, and the fencing of an earlier connection.
//
// A Link forms each record when it can leave: it asks its sources for frames by
// class and seals what they give in the same buffer, which it keeps until the
// record is acknowledged. Nothing here knows of streams.
package link

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// A Source gives frames for records and takes those of records that were opened.
// A Link has two: the session's own frames (AUTH, REKEY, CONTROL) and the
// streams'. Link itself has PADDING, PING, PONG, ACK, KEY_UPDATE and CLOSE.
//
// A source calls Link.Wake when something begins to wait, never while it holds
// a lock that its methods take.
type Source interface {
	// Waiting says what waits to be sent. It is cheap and may be called at any
	// time from any goroutine.
	Waiting() frame.Class

	// AppendFrames gives the frames of record number seq: it appends whole
	// frames, at most room bytes, to dst. Frames above the class most are left
	// waiting. It returns the class of what it appended. One goroutine at a
	// time; it must not block on anything that waits for the network.
	AppendFrames(dst []byte, room int, most frame.Class, seq uint64) ([]byte, frame.Class)

	// HandleFrame handles the first frame of b, whose type has been read and
	// cut off, and returns what follows it in the record. b lies in buf: who
	// keeps bytes of it retains buf. Called in order by whoever reads, see
	// [Connection]; it must not wait for anything that is sent. After OnClose only REKEY_DONE
	// and REKEY_SWITCH are given to the control source, for the sake of the
	// peer's keys.
	HandleFrame(typ uint64, b []byte, buf *framing.Buffer) (rest []byte, err error)

	// BatchEnd is called by who reads when all that has arrived is
	// handled and it is about to wait: readers of bulk are woken here, once. It
	// reports whether a reader was served that will come back for more.
	BatchEnd() (served bool)

	// BatchSent is called by the writer when a batch was given to the connection
	// and before it waits for it to take the rest: who waits to write more is
	// woken here, once.
	BatchSent()

	// Sparse counts the frames given of streams that send little and are
	// answered: bulk makes way for them while there are some. Called by any
	// goroutine.
	Sparse() uint64

	// Share gives a source what its readers and writers can do at a connection
	// that was made. The last one counts.
	Share(Connection)
	// Appoint wakes the reader that was served last, if it waits again: nobody
	// reads the connection.
	Appoint()

	// Acked tells that all records with numbers below n are acknowledged.
	Acked(n uint64)
}

// Defaults of a Config.
const (
	DefaultMaxRecord     = 64 << 10
	DefaultRetain        = 1 << 20
	DefaultRetainMax     = 16 << 20
	DefaultUpdateRecords = 1 << 20
	DefaultUpdateBytes   = 1 << 36
)

// Config says how a Link works. The keys and sources must be given; zero
// values of the rest mean the defaults.
type Config struct {
	// Initiator tells the two sides apart: the initiator asks for signs of
	// life a little earlier.
	Initiator bool

	// Sealer and Opener belong to the Link from [New] on. Their numbers may
	// have run on over early data.
	Sealer *stream.Sealer
	Opener *stream.Opener

	// Early opens early data, which comes before all other records and goes on
	// in their numbers. Nil: early records are skipped.
	Early *stream.Opener

	// Control is the session's source, Streams the streams'. Control goes first.
	Control, Streams Source

	// MaxRecord and OwnMaxRecord are the largest plaintexts of a record in
	// bytes that the peer and this side accept. Default 64 KiB.
	MaxRecord, OwnMaxRecord int

	// Retain is how many bytes of unacknowledged data this side keeps at
	// least before it waits, RetainMax at most. Default 1 MiB and 16 MiB.
	Retain, RetainMax int64
	// PeerRetain is the peer's Retain: it is sent an ACK each quarter. Default 1 MiB.
	PeerRetain int64

	// Durable is how long the Link waits for another connection when it has
	// lost one: sealed records are kept until they are acknowledged, and can be
	// sent again. 0: the Link ends with its connection, and only the lengths
	// of records are kept.
	Durable time.Duration

	// Account, which may be shared, counts the bytes of records that are kept.
	// May be nil.
	Account *atomic.Int64

	// UpdateRecords and UpdateBytes are after how many records or bytes the
	// sender takes a new key. Default and maximum 2^20 and 2^36.
	UpdateRecords, UpdateBytes int64

	// Logger is told of the beginning and the end. Nil: silent.
	Logger *slog.Logger

	// Recorder is told of states, loss and key updates. Nil: nobody is.
	Recorder *observe.Recorder

	// OnOpened is called once by who reads when the first record
	// has been opened and handled: it confirms the keys.
	OnOpened func()
	// OnEarly is called once, likewise, for the first early record.
	OnEarly func()
	// OnLost is called when the connection was lost and the Link waits for
	// another, see [Link.Resume]. It must not wait for the Link.
	OnLost func(error)
	// OnClose is called once, when nothing more will be given to the sources,
	// but for what [Source] says of keys, and nothing asked of them: by CLOSE of
	// either side or loss. It may be
	// called while the last acknowledgements still travel, and must not wait
	// for the Link.
	OnClose func(error)
	// OnDone is called once, when nothing of the Link runs any more, before
	// [Link.Done] is closed.
	OnDone func()
}

func (c *Config) setDefaults() {
	c.MaxRecord = or(c.MaxRecord, DefaultMaxRecord)
	c.OwnMaxRecord = or(c.OwnMaxRecord, DefaultMaxRecord)
	c.Retain = or(c.Retain, int64(DefaultRetain))
	c.RetainMax = max(or(c.RetainMax, DefaultRetainMax), c.Retain)
	c.PeerRetain = or(c.PeerRetain, DefaultRetain)
	c.UpdateRecords = max(2, min(or(c.UpdateRecords, DefaultUpdateRecords), DefaultUpdateRecords))
	c.UpdateBytes = min(or(c.UpdateBytes, DefaultUpdateBytes), DefaultUpdateBytes)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func or[T int | int64](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// A Link is the record layer of one channel. Its methods may be called
// concurrently.
type Link struct {
	cfg  Config
	born time.Time
	done chan struct{}

	// Whoever holds writeMu is the writer: a caller of Wake, or the flusher,
	// to which a caller hands it over. wanted is set before trying to lock,
	// and looked at again after unlocking: so nobody has to wait for it.
	writeMu sync.Mutex
	wanted  atomic.Bool
	out     output // of the writer
	flush   func() // l.flusher, made once

	in   input                // of who reads
	duty atomic.Pointer[duty] // of the connection; nil: the Link's goroutines do all

	// prompt: something came since the last write, so that what is written
	// now probably answers it, and somebody waits for that.
	prompt atomic.Bool

	mu         sync.Mutex // guards all below; never held while a source or the connection is called
	state      state
	confirmed  bool // a record was opened, or an attach proved the keys
	clean      bool // both sides confirmed the end
	closeSent  bool // the own CLOSE is with the connection, and the peer's came before
	conn       transport.Conn
	gone       chan struct{} // closed when the reader and writer of conn have ended; nil without one
	lostErr    error         // why the connection was lost
	lostTimer  *time.Timer   // until no other one is waited for
	err        error         // why running ended
	closeTimer *time.Timer
	closeBy    instant    // when the Link ends whatever the peer does, once it has closed
	closeCode  frame.Code // of the own CLOSE
	closeText  string
	closeAt    uint64 // number of the record with the own CLOSE + 1; 0: not formed
	peerClose  uint64 // number of the record with the peer's CLOSE + 1; 0: none
	written    uint64 // records below are with the connection
	writeErr   error  // why writing ended

	kept       retention
	acks       acks
	meter      meter
	live       liveness
	pingWanted bool
	pong       [8]byte // the newest PING, to be answered
	pongWanted bool
	limited    bool // the sources gave less than could be sent
	sentAt     instant
	bytesOut   int64
	bytesIn    int64
}

// New returns a Link that waits for a connection, see [Link.Attach].
func New(cfg Config) *Link {
	cfg.setDefaults()
	l := &Link{cfg: cfg, born: time.Now(), done: make(chan struct{})}
	l.flush = l.flusher
	l.out.size = smallestBuffer
	l.kept.acked, l.kept.account = cfg.Sealer.Seq(), cfg.Account
	l.written = l.kept.acked
	l.acks.received = cfg.Opener.Seq()
	l.live.init(cfg.Initiator)
	return l
}

// NextSeq is the number that the next record will have: what was written to
// the connection is in records below it.
func (l *Link) NextSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.next()
}

// Acked is n if all records with numbers below n are acknowledged, and no more.
func (l *Link) Acked() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.acked
}

// RequestAck sends a PING, which the peer answers at once with an ACK of all
// that was sent before.
func (l *Link) RequestAck() {
	l.mu.Lock()
	l.pingWanted = true
	l.mu.Unlock()
	l.Wake()
}

// Stats is what a Link has measured.
type Stats struct {
	RoundTrip                    time.Duration // smoothed; 0 if unknown
	LeastRoundTrip               time.Duration // the shortest of this connection; 0 if unknown
	Rate                         int64         // acknowledged bytes a second, the best of late; 0 if unknown
	BytesSent, BytesReceived     int64         // of records with their headers
	RecordsSent, RecordsReceived uint64
	Retained                     int64 // bytes of records that are not acknowledged
	Budget                       int64 // for those with data
}

// Stats returns what the Link has measured until now.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		RoundTrip:       l.meter.roundTrip,
		LeastRoundTrip:  l.meter.least,
		Rate:            l.meter.rate,
		BytesSent:       l.bytesOut,
		BytesReceived:   l.bytesIn,
		RecordsSent:     l.kept.next(),
		RecordsReceived: l.acks.received,
		Retained:        l.kept.data + l.kept.others,
		Budget:          l.budget(),
	}
}

func (l *Link) budget() int64 { return l.meter.budget(l.cfg.Retain, l.cfg.RetainMax) }

// Done is closed when the Link has ended for good and no goroutine of it runs
// any more.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err is nil while records flow, or will again when there is another
// connection; then why they do not: *[CloseError], *[frame.Error] for a
// violation by the peer, or *[LostError].
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// do makes the transition for e, with its consequences. err is kept if the
// life of the sources ends with it, and as the cause if the connection does.
func (l *Link) do(e event, err error) {
	l.mu.Lock()
	from := l.state
	to := from.next(e)
	if to == from {
		l.mu.Unlock()
		return
	}
	l.state = to
	if from == idle {
		err = ErrClosed
	}
	if from == lost && e == expired {
		err = l.lostErr
	}
	ended := to.ended() && !from.ended()
	if ended {
		l.err = err
	}
	now := l.now()
	if !to.connected() {
		l.stopTimers()
	}
	switch to {
	case lost:
		l.lostErr = err
		l.lostTimer = time.AfterFunc(l.cfg.Durable, func() { l.do(expired, nil) })
	case closing, parting:
		if ended {
			l.closeBy = now + l.closeTime()
		}
		l.expireClose(to, now)
	case answering:
		l.expireAfter(l.meter.patience())
	case closed:
		// The peer may close the connection as soon as it has the last ACK,
		// before our writer is back to say so.
		l.clean = e == peerClosed || l.closeAt > 0 && l.kept.acked >= l.closeAt
		if l.closeTimer != nil {
			l.closeTimer.Stop()
		}
	}
	conn, gone := l.conn, l.gone
	l.mu.Unlock()

	l.cfg.Logger.LogAttrs(context.Background(), slog.LevelDebug, "msl channel: state",
		slog.String("from", from.String()), slog.String("to", to.String()), slog.String("event", e.String()))
	l.cfg.Recorder.State(from.String(), to.String(), e.String())
	if from == running && (e == broken || e == over) {
		l.cfg.Recorder.Lost(err)
	}
	switch {
	case to.connected():
	case conn != nil:
		if e == expired || e != finished && from != answering {
			_ = conn.SetDeadline(time.Unix(1, 0)) // it is lost: Close need not wait for what was written
		}
		conn.Close() // ends the reading goroutine, which does the rest
		l.Attend()
	case to == closed && gone == nil:
		defer l.release()
	}
	if ended && l.cfg.OnClose != nil {
		l.cfg.OnClose(err)
	}
	if from.connected() && to.detached() && l.cfg.OnLost != nil {
		l.cfg.OnLost(err)
	}
}

// stopTimers stops all timers that mean nothing without a connection.
func (l *Link) stopTimers() {
	for _, t := range []*time.Timer{l.acks.timer, l.live.timer, l.lostTimer} {
		if t != nil {
			t.Stop()
		}
	}
	l.acks.armed = false
	l.live.due = never
}

// broke ends the connection. Whether another may come depends on what was lost:
// an initiator that has opened nothing has nothing to attach to, and neither has
// a responder where the keys are not the same.
func (l *Link) broke(err error) {
	l.mu.Lock()
	e := broken
	if l.cfg.Durable <= 0 || !l.confirmed && (l.cfg.Initiator || errors.Is(err, stream.ErrRecord)) {
		e = over
	}
	l.mu.Unlock()
	l.do(e, err)
}

// detach is called by the reading goroutine at its end, when the connection is
// closed: what belongs to the connection is given back.
func (l *Link) detach(r *framing.Reader) {
	l.in.mu.Lock()
	l.in.arrived, l.in.reader, l.in.failed = nil, nil, nil
	l.duty.Store(nil)
	r.Close()
	l.in.mu.Unlock()
	l.writeMu.Lock() // a writer fails soon, as its connection is closed
	l.out.detach()
	l.writeMu.Unlock()
	l.mu.Lock()
	gone := l.gone
	l.gone, l.conn, l.writeErr = nil, nil, nil
	l.live.asking = l.kept.asking > 0
	ended := l.state == closed
	l.mu.Unlock()
	if ended {
		l.release()
	}
	close(gone)
}

// release gives back all that the Link holds. It is called once, when it is
// closed and has no connection.
func (l *Link) release() {
	l.writeMu.Lock()
	l.cfg.Sealer.Erase()
	l.cfg.Opener.Erase()
	l.writeMu.Unlock()
	l.mu.Lock()
	l.kept.release(l.kept.next())
	l.mu.Unlock()
	if l.cfg.OnDone != nil {
		l.cfg.OnDone()
	}
	close(l.done)
}

var errEnded error = &LostError{io.ErrUnexpectedEOF}
