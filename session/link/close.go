package link

import (
	"context"
	"errors"
	"time"

	"github.com/mslgo/msl/session/frame"
)

// maxCloseTime is how long a Link lives on when it has closed and the peer
// does not confirm that (channel set-up 4.6.9).
const maxCloseTime = 60 * time.Second

// Close sends CLOSE and waits until both sides have confirmed it and the
// connection is closed: at most max(5 s, 4 round trips), or until ctx ends, which
// leaves the rest to time. What the sources still have is not sent. It must
// not be called by a source or callback. The error is [ErrUnacknowledged] if
// the peer did not confirm until then, or the context's.
//
// A durable Link that has lost its connection tells the peer with the next one,
// until min(durable, 60 s) are over.
func (l *Link) Close(ctx context.Context, code frame.Code, reason string) error {
	l.close(&CloseError{Code: code, Reason: reason}, code, reason)
	l.mu.Lock()
	patience := l.meter.patience()
	if l.state == parting && !l.cfg.Initiator {
		patience = 0 // the peer may come or not
	}
	l.mu.Unlock()
	timeout := time.NewTimer(patience + answerTime)
	defer timeout.Stop()
	select {
	case <-l.done:
	case <-timeout.C:
		return ErrUnacknowledged
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
	unproved := l.state == running && l.acks.due && l.bytesOut == 0
	l.mu.Unlock()
	if unproved {
		l.Wake() // CLOSE comes behind the first record, which is about to leave
	}
	l.mu.Lock()
	if !l.state.ended() {
		l.closeCode, l.closeText = code, reason
	}
	l.mu.Unlock()
	l.do(shut, err)
	l.Wake()
}

// Abort closes the connection without CLOSE. [Link.Err] will be err.
func (l *Link) Abort(err error) { l.do(aborted, err) }

// closeTime is how long the peer may take to confirm the own CLOSE.
func (l *Link) closeTime() time.Duration {
	if l.cfg.Durable <= 0 {
		return l.meter.patience()
	}
	return min(l.cfg.Durable, maxCloseTime)
}

// expireClose sets the timer of a Link that has closed and hears nothing of the
// peer's CLOSE: the connection is given up first, then the Link.
func (l *Link) expireClose(s state, now instant) {
	left := l.closeBy - now
	if s == closing {
		left = min(left, l.meter.patience())
	}
	l.expireAfter(left)
}

// expireAfter bounds the rest of the life of a Link that is being closed.
func (l *Link) expireAfter(d time.Duration) {
	if l.closeTimer == nil {
		l.closeTimer = time.AfterFunc(d, l.closeTimeout)
	} else {
		l.closeTimer.Reset(d)
	}
}

func (l *Link) closeTimeout() {
	l.mu.Lock()
	e := expired
	if l.state == closing && l.now() < l.closeBy {
		e = broken
	}
	l.mu.Unlock()
	l.do(e, &LostError{ErrSilent})
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
