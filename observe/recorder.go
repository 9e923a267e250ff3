package observe

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Recorder turns what happens in one session into metrics and events. A nil
// *Recorder does nothing: callers need not ask. Its methods may be called
// concurrently and while locks of the session are held.
type Recorder struct {
	observer Observer
	role     Role
	trace    string
	begun    time.Time

	mu      sync.Mutex // guards all below; held while the Observer is called
	channel string
	opened  bool
	ended   bool
	streams int     // that are open
	traffic Traffic // of the last look
	end     closing // that came before Opened
}

// Session begins the record of one session, with its set-up. It is nil if
// nobody observes.
func (o Observer) Session(role Role) *Recorder {
	if o.Metrics == nil && o.Events == nil {
		return nil
	}
	r := &Recorder{observer: o, role: role, trace: rand.Text()[:16], begun: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event(EventSetUpBegun)
	return r
}

// event and record are called with mu held.
func (r *Recorder) event(name string, data ...slog.Attr) {
	if r.observer.Events != nil {
		r.observer.Events.Event(Event{Time: time.Now(), Trace: r.trace, Channel: r.channel, Role: r.role, Name: name, Data: data})
	}
}

func (r *Recorder) record(m Metric, label string, value float64) {
	if r.observer.Metrics != nil {
		r.observer.Metrics.Record(m, label, value)
	}
}

// Step tells that a step of the set-up is done.
func (r *Recorder) Step(name string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event(EventSetUpStep, slog.String("step", name), r.elapsed())
}

func (r *Recorder) elapsed() slog.Attr { return slog.Duration("elapsed", time.Since(r.begun)) }

// SetUpFailed ends the record of a session that was not set up. code is one of
// few, reason is for people.
func (r *Recorder) SetUpFailed(code, reason string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.record(BytesRetained, "", -float64(r.traffic.Retained))
	r.record(SetUpFailures, code, 1)
	r.record(SetUpDuration, "failed", time.Since(r.begun).Seconds())
	r.event(EventSetUpFailed, slog.String("code", code), slog.String("reason", reason), r.elapsed())
}

// Identified tells the channel's ID, in hexadecimal.
func (r *Recorder) Identified(channel string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.channel = channel
}

// Opening says how a session was set up.
type Opening struct {
	Suite     string
	KEM       uint16 // HPKE's number
	Transport string // the URL of the connection; "" if it has none
	Resumed   bool
}

// Opened tells that the set-up is complete.
func (r *Recorder) Opened(o Opening) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = true
	kind := "first_contact"
	if o.Resumed {
		kind = "resumed"
	}
	r.record(SessionsOpened, kind, 1)
	r.record(SessionsOpen, "", 1)
	r.record(SetUpDuration, kind, time.Since(r.begun).Seconds())
	r.record(StreamsOpen, "", float64(r.streams))
	r.event(EventSessionOpened, slog.String("setup", kind), slog.String("suite", o.Suite),
		slog.Int("kem", int(o.KEM)), slog.String("transport", o.Transport), r.elapsed())
	if r.ended {
		r.close(r.end)
	}
}

// State tells of a transition of the channel's state.
func (r *Recorder) State(from, to, event string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.event(EventSessionState, slog.String("from", from), slog.String("to", to), slog.String("event", event))
}

// KeyUpdated tells of a new generation of keys of a direction.
func (r *Recorder) KeyUpdated(sent bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	direction := "received"
	if sent {
		direction = "sent"
	}
	r.record(KeyChanges, "update_"+direction, 1)
	r.event(EventKeyUpdated, slog.String("direction", direction))
}

// Rekeyed tells that a rekey has given the keys of a new epoch.
func (r *Recorder) Rekeyed(epoch uint32) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(KeyChanges, "rekey", 1)
	r.event(EventKeyRekeyed, slog.Int64("epoch", int64(epoch)))
}

// Lost tells that the connection ended without CLOSE.
func (r *Recorder) Lost(err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(ConnectionsLost, "", 1)
	r.event(EventLost, slog.String("reason", text(err)))
}

// Attached tells that the channel goes on over another connection, its count-th
// one after the first.
func (r *Recorder) Attached(count int, transport string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(Reconnects, "attached", 1)
	r.event(EventAttached, slog.Int("count", count), slog.String("transport", transport))
}

// AttachFailed tells of an attempt to go on over another connection that failed.
func (r *Recorder) AttachFailed(err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(Reconnects, "failed", 1)
	r.event(EventAttachFailed, slog.String("reason", text(err)))
}

// StreamOpened tells that a stream has its ID.
func (r *Recorder) StreamOpened(id uint64, local bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.streams++
	r.record(StreamsOpened, side(!local), 1)
	if r.opened {
		r.record(StreamsOpen, "", 1)
	}
	r.event(EventStreamOpened, slog.Uint64("stream", id), slog.String("by", side(!local)))
}

// StreamReset tells that a direction of a stream ended early, by which side.
func (r *Recorder) StreamReset(id uint64, code fmt.Stringer, remote bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(StreamsReset, side(remote), 1)
	r.event(EventStreamReset, slog.Uint64("stream", id), slog.String("code", code.String()), slog.String("by", side(remote)))
}

// StreamClosed tells that a stream ended both ways.
func (r *Recorder) StreamClosed(id uint64) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return // counted with the session's end
	}
	r.streams--
	if r.opened {
		r.record(StreamsOpen, "", -1)
	}
	r.event(EventStreamClosed, slog.Uint64("stream", id))
}

// Traffic is what a session has moved since it began, and how it stands.
type Traffic struct {
	RecordsSent, RecordsReceived uint64
	BytesSent, BytesReceived     int64
	Retained                     int64         // bytes
	RoundTrip                    time.Duration // smoothed; 0: unknown
}

// Look takes note of the traffic up to now. It is called once in a while.
func (r *Recorder) Look(t Traffic) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.traffic
	if r.ended || t == last {
		return
	}
	r.traffic = t
	r.record(RecordsSent, "", float64(t.RecordsSent-last.RecordsSent))
	r.record(RecordsReceived, "", float64(t.RecordsReceived-last.RecordsReceived))
	r.record(BytesSent, "", float64(t.BytesSent-last.BytesSent))
	r.record(BytesReceived, "", float64(t.BytesReceived-last.BytesReceived))
	r.record(BytesRetained, "", float64(t.Retained-last.Retained))
	if t.RoundTrip > 0 {
		r.record(RoundTrip, "", t.RoundTrip.Seconds())
	}
	r.event(EventSessionTraffic, slog.Uint64("records_sent", t.RecordsSent), slog.Uint64("records_received", t.RecordsReceived),
		slog.Int64("bytes_sent", t.BytesSent), slog.Int64("bytes_received", t.BytesReceived),
		slog.Int64("bytes_retained", t.Retained), slog.Duration("round_trip", t.RoundTrip))
}

// Closed tells the session's end and which side wanted it. code is one of few,
// reason is for people.
func (r *Recorder) Closed(code string, remote bool, reason string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	r.end = closing{code, remote, reason}
	if r.opened { // else Opened or SetUpFailed follows
		r.close(r.end)
	}
}

type closing struct {
	code   string
	remote bool
	reason string
}

// close gives back what the gauges have of this session.
func (r *Recorder) close(c closing) {
	r.record(StreamsOpen, "", -float64(r.streams))
	r.record(BytesRetained, "", -float64(r.traffic.Retained))
	r.record(SessionsOpen, "", -1)
	r.record(SessionsClosed, c.code, 1)
	r.event(EventSessionClosed, slog.String("code", c.code), slog.String("by", side(c.remote)), slog.String("reason", c.reason), r.elapsed())
	r.streams, r.traffic.Retained = 0, 0
}

func side(remote bool) string {
	if remote {
		return "remote"
	}
	return "local"
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
