package session

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/session/link"
)

// lookInterval is how often a session that is observed tells its traffic: so
// records cost nothing.
const lookInterval = 10 * time.Second

// lookout tells an observer what a session moves, and its end.
type lookout struct {
	recorder *observe.Recorder // nil: nobody observes
	link     *link.Link

	mu    sync.Mutex // guards all below
	timer *time.Timer
	ended bool
}

// watchTraffic begins to tell. It is called before the link has its connection.
func (s *Session) watchTraffic(r *observe.Recorder) {
	if r == nil {
		return
	}
	r.Identified(hex.EncodeToString(s.id[:]))
	l := &s.looks
	l.recorder, l.link = r, s.link
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(lookInterval, func() {
		l.look()
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.ended {
			l.timer.Reset(lookInterval)
		}
	})
}

func (l *lookout) look() {
	t := l.link.Stats()
	l.recorder.Look(observe.Traffic{
		RecordsSent: t.RecordsSent, RecordsReceived: t.RecordsReceived,
		BytesSent: t.BytesSent, BytesReceived: t.BytesReceived,
		Retained: t.Retained, RoundTrip: t.RoundTrip,
	})
}

// end tells that the session ended with err.
func (l *lookout) end(err error) {
	if l.recorder == nil {
		return
	}
	l.mu.Lock()
	l.ended = true
	l.timer.Stop()
	l.mu.Unlock()
	l.look()
	code, remote := endCode(err)
	l.recorder.Closed(code, remote, err.Error())
}

// endCode says in one of few words why a session ended.
func endCode(err error) (code string, remote bool) {
	closed, ok := errors.AsType[*Error](err)
	switch {
	case err == net.ErrClosed:
		return Code(0).String(), false
	case !ok:
		return "lost", false
	}
	if _, app := closed.Code.Application(); app {
		return "application", closed.Remote
	}
	return closed.Code.String(), closed.Remote
}

// recordSetUp tells how a set-up ended.
func recordSetUp(r *observe.Recorder, s *Session, err error) {
	_, classic := errors.AsType[*ClassicError](err)
	switch {
	case r == nil:
	case err == ErrAttached:
		r.Step("given to a living session")
	case classic:
		r.Step("classic message")
	case err != nil:
		r.SetUpFailed(failureCode(err), err.Error())
	default:
		r.Opened(observe.Opening{Suite: s.info.Suite.String(), KEM: s.info.KEM, Transport: s.info.Transport, Resumed: s.info.Resumed})
	}
}

// failureCode says in one of few words why a set-up failed: by MSL's number
// where there is one.
func failureCode(err error) string {
	if h, ok := errors.AsType[*message.ErrorHeader](err); ok {
		return "refused_" + fmt.Sprint(int(h.Response))
	}
	for _, c := range []struct {
		err  error
		code string
	}{
		{ErrAuth, "auth"}, {ErrUntrusted, "untrusted"}, {ErrNoChannel, "no_channel"},
		{errUnknownChannel, "attach_unknown"}, {errClosedChannel, "attach_closed"}, {errAnswered, "unsupported"},
		{os.ErrDeadlineExceeded, "timeout"}, {context.DeadlineExceeded, "timeout"}, {context.Canceled, "cancelled"},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if e, ok := errors.AsType[*mslerr.Error](err); ok {
		return "msl_" + fmt.Sprint(int(e.Code))
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, io.EOF) || errors.Is(err, ErrChannelLost) {
		return "connection"
	}
	return "other"
}

// done is a step of a set-up that tells that those before it are done.
func done(r *observe.Recorder, step string) func(context.Context) error {
	return func(context.Context) error {
		r.Step(step)
		return nil
	}
}
