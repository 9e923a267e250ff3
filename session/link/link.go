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
	// keeps bytes of it retains buf. Called by the reading goroutine in order;
	// it must not wait for anything that is sent.
	HandleFrame(typ uint64, b []byte, buf *framing.Buffer) (rest []byte, err error)

	// BatchEnd is called by the reading goroutine when all that has arrived is
	// handled and it is about to wait: readers of bulk are woken here, once.
	BatchEnd()

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

	// Durable keeps sealed records until they are acknowledged, so that they
	// can be sent again. Else only their lengths are kept.
	Durable bool

	// UpdateRecords and UpdateBytes are after how many records or bytes the
	// sender takes a new key. Default and maximum 2^20 and 2^36.
	UpdateRecords, UpdateBytes int64

	// Logger is told of the beginning and the end. Nil: silent.
	Logger *slog.Logger

	// OnOpened is called once by the reading goroutine when the first record
	// has been opened and handled: it confirms the keys.
	OnOpened func()
	// OnEarly is called once, likewise, for the first early record.
	OnEarly func()
	// OnClose is called once, when nothing more will be given to the sources
	// and nothing asked of them: by CLOSE of either side or loss. It may be
	// called while the last acknowledgements still travel, and must not wait
	// for the Link.
	OnClose func(error)
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

	in input // of the reading goroutine

	// prompt: something came since the last write, so that what is written
	// now probably answers it, and somebody waits for that.
	prompt atomic.Bool

	mu         sync.Mutex // guards all below; never held while a source or the connection is called
	state      state
	conn       transport.Conn
	err        error // why running ended
	clean      bool  // both sides confirmed the end
	closeTimer *time.Timer
	closeCode  frame.Code // of the own CLOSE
	closeText  string
	closeAt    uint64 // number of the record with the own CLOSE + 1; 0: not formed
	closeSent  bool   // it is with the connection, and the peer's came before
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
	l.kept.acked = cfg.Sealer.Seq()
	l.written = l.kept.acked
	l.acks.received = cfg.Opener.Seq()
	l.live.init(cfg.Initiator)
	return l
}

// Attach gives the Link its connection and starts to read from r, which reads
// from conn and may hold bytes already. header is sent first, in one write with
// the first record, which is sent at once. Both conn and r are closed by the Link.
func (l *Link) Attach(conn transport.Conn, r *framing.Reader, header []byte) error {
	l.writeMu.Lock()
	l.mu.Lock()
	if l.state.next(attached) == l.state {
		err := l.err
		l.mu.Unlock()
		l.writeMu.Unlock()
		return err
	}
	l.state = l.state.next(attached)
	l.conn = conn
	l.out.conn = conn
	l.out.try, _ = conn.(transport.TryWriter)
	l.out.header = header
	l.pingWanted = true // so that there is a first record
	now := l.now()
	l.live.heard = now
	l.watch(now)
	l.mu.Unlock()
	l.writeMu.Unlock()
	l.cfg.Logger.Debug("msl channel: connected")
	l.Wake()
	go l.read(r)
	return nil
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

// Done is closed when the connection is closed and no goroutine of the Link
// runs any more.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err is nil while records flow, then why they do not: *[CloseError],
// *[frame.Error] for a violation by the peer, or *[LostError].
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close sends CLOSE and waits until both sides have confirmed it and the
// connection is closed: at most max(5 s, 4 round trips), or until ctx ends,
// which leaves the rest to time. What the sources still have is not sent. It
// must not be called by a source or callback. The error is [ErrUnacknowledged]
// if the peer did not confirm, or the context's.
func (l *Link) Close(ctx context.Context, code frame.Code, reason string) error {
	l.close(&CloseError{Code: code, Reason: reason}, code, reason)
	select {
	case <-l.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.clean {
		return ErrUnacknowledged
	}
	return nil
}

// CloseWithError sends CLOSE with the code of a violation by the peer, see
// [frame.CodeOf], and does not wait: [Link.Done] tells the end.
func (l *Link) CloseWithError(err error) {
	reason := "internal error"
	if e, ok := errors.AsType[*frame.Error](err); ok {
		reason = e.Reason
	}
	l.close(err, frame.CodeOf(err), reason)
}

func (l *Link) close(err error, code frame.Code, reason string) {
	l.mu.Lock()
	if l.state == running {
		l.closeCode, l.closeText = code, reason
	}
	l.mu.Unlock()
	l.do(shut, err)
	l.Wake()
}

// Abort closes the connection without CLOSE. [Link.Err] will be err.
func (l *Link) Abort(err error) { l.do(aborted, err) }

// do makes the transition for e, with its consequences. err is kept if running ends.
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
	ended := from == running || from == idle
	if ended {
		l.err = err
	}
	switch to {
	case closing, answering:
		l.expireAfter(l.meter.patience())
	case closed:
		l.clean = e == finished
		for _, t := range []*time.Timer{l.closeTimer, l.acks.timer, l.live.timer} {
			if t != nil {
				t.Stop()
			}
		}
	}
	conn := l.conn
	l.mu.Unlock()

	l.cfg.Logger.Debug("msl channel: state", "from", from.String(), "to", to.String(), "event", e.String())
	if to == closed {
		if conn != nil {
			conn.Close() // ends the reading goroutine, which does the rest
		} else {
			close(l.done)
		}
	}
	if ended && l.cfg.OnClose != nil {
		l.cfg.OnClose(err)
	}
}

// expireAfter bounds the rest of the life of a Link that is being closed.
func (l *Link) expireAfter(d time.Duration) {
	if l.closeTimer == nil {
		l.closeTimer = time.AfterFunc(d, func() { l.do(expired, nil) })
	} else {
		l.closeTimer.Reset(d)
	}
}

// finish ends the Link when both CLOSE are acknowledged (channel set-up 4.8.8).
func (l *Link) finish() {
	l.mu.Lock()
	through := l.state == answering &&
		l.closeAt > 0 && l.kept.acked >= l.closeAt &&
		l.acks.sent >= l.peerClose && l.written > l.acks.record
	l.mu.Unlock()
	if through {
		l.do(finished, nil)
	}
}

// release gives back all that the Link holds. Called by the reading goroutine
// at its end, when the connection is closed.
func (l *Link) release(r *framing.Reader) {
	r.Close()
	l.writeMu.Lock() // a writer fails soon, as its connection is closed
	l.out.release()
	l.out.conn, l.out.try = nil, nil
	l.cfg.Sealer.Erase()
	l.cfg.Opener.Erase()
	l.writeMu.Unlock()
	l.mu.Lock()
	l.kept.release(l.kept.next())
	l.mu.Unlock()
	close(l.done)
}

var errEnded error = &LostError{io.ErrUnexpectedEOF}
