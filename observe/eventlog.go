package observe

import (
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An EventLog writes events as JSON lines, one object each:
//
//	{"time": RFC 3339, "trace": string, "channel"?: hex, "role": string, "name": string, "data"?: {...}}
//
// Durations are numbers in milliseconds. Lines of one session have the same
// trace and stand in the order in which things happened.
//
// Event never waits for the writer: lines are kept in memory, 1 MiB at most, and
// written by a goroutine that lives only while there are some. Those beyond
// are dropped and counted in a line {"name": "log:dropped", "data": {"events": n}}.
type EventLog struct {
	w io.Writer

	mu      sync.Mutex // guards all below; not held while writing
	idle    sync.Cond  // writing becomes false
	buf     []byte
	spare   []byte // the other buffer
	dropped int
	writing bool
	err     error
}

const maxEventBuffer = 1 << 20

// NewEventLog returns a log that writes whole lines to w, from one goroutine at
// a time. When the program ends, [EventLog.Flush] sees the last ones written.
func NewEventLog(w io.Writer) *EventLog {
	l := &EventLog{w: w}
	l.idle.L = &l.mu
	return l
}

// Event implements [Events].
func (l *EventLog) Event(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	if len(l.buf) >= maxEventBuffer {
		l.dropped++
		return
	}
	l.buf = appendEvent(l.buf, e)
	if !l.writing {
		l.writing = true
		go l.write()
	}
}

// write writes until there is nothing left.
func (l *EventLog) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.buf) > 0 && l.err == nil {
		lines := l.buf
		if l.dropped > 0 {
			lines = appendEvent(lines, Event{Time: time.Now(), Name: "log:dropped", Data: []slog.Attr{slog.Int("events", l.dropped)}})
			l.dropped = 0
		}
		l.buf = l.spare[:0]
		l.mu.Unlock()
		_, err := l.w.Write(lines)
		l.mu.Lock()
		l.spare, l.err = lines, err
	}
	l.writing = false
	l.idle.Broadcast()
}

// Flush waits until all events of calls that have returned are written. Its
// error is that of the first write that failed; nothing is logged after it.
func (l *EventLog) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.writing {
		l.idle.Wait()
	}
	return l.err
}

func appendEvent(b []byte, e Event) []byte {
	b = append(b, `{"time":"`...)
	b = e.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	b = append(b, '"')
	for _, m := range [...]struct{ name, value string }{
		{"trace", e.Trace}, {"channel", e.Channel}, {"role", string(e.Role)}, {"name", e.Name},
	} {
		if m.value != "" {
			b = append(b, ',')
			b = appendString(b, m.name)
			b = append(b, ':')
			b = appendString(b, m.value)
		}
	}
	if len(e.Data) > 0 {
		b = append(b, `,"data":{`...)
		for i, a := range e.Data {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, a.Key)
			b = append(b, ':')
			b = appendValue(b, a.Value)
		}
		b = append(b, '}')
	}
	return append(b, "}\n"...)
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindDuration:
		return strconv.AppendFloat(b, float64(v.Duration().Microseconds())/1000, 'f', -1, 64)
	}
	return appendString(b, v.String())
}

func appendString(b []byte, s string) []byte {
	if strings.IndexFunc(s, special) < 0 {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	q, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can always be written
	}
	return append(b, q...)
}

func special(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }
