package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
)

const (
	defaultRecheck = time.Hour
	recheckAgain   = time.Minute // after a store that could not say
)

func (r *Responder) recheck() time.Duration {
	if r.Recheck == 0 {
		return defaultRecheck
	}
	return r.Recheck
}

// permitted asks anew whether a session may go on: its entity, token and user
// are not revoked, and Admit still admits it.
func (r *Responder) permitted(ctx context.Context, s *Session) error {
	t, user, userSerial := s.exchange.standing()
	if !t.IsZero() {
		if err := r.Network.CheckRevoked(ctx, s.info.Entity, t.Serial, user, userSerial); err != nil {
			return err
		}
	}
	if r.Admit == nil {
		return nil
	}
	if err := r.Admit(ctx, s.Info()); err != nil {
		return mslerr.Wrap(mslerr.EntityRejectedByApp, err)
	}
	return nil
}

// revoked ends the session if err is a refusal, and not a failure to find out.
func (s *Session) revoked(err error) bool {
	p, ok := errors.AsType[*mslerr.Error](err)
	if !ok || s.exchange.ctx.Err() != nil || p.ResponseCode() == mslerr.TransientFailure {
		return false
	}
	s.link.CloseWithError(&frame.Error{Code: frame.CodeRevoked, Reason: "revoked"})
	return true
}

// recheckWatch asks once in a while whether its session may go on.
type recheckWatch struct {
	mu    sync.Mutex // guards all below
	timer *time.Timer
	ended bool
}

// watchPermission begins the watch. r is nil at an initiator: it has none.
func (s *Session) watchPermission(r *Responder) {
	if r == nil || r.recheck() < 0 {
		return
	}
	w := &s.rechecks
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.timer = time.AfterFunc(r.recheck(), func() {
		ctx, cancel := context.WithTimeout(s.exchange.ctx, r.timeout())
		defer cancel()
		err := r.permitted(ctx, s)
		switch {
		case err == nil:
			w.again(r.recheck())
		case !s.revoked(err):
			if r.Log != nil {
				r.Log.Warn("msl session: not known whether it may go on", "err", err)
			}
			w.again(min(r.recheck(), recheckAgain))
		}
	})
}

// again asks once more after d, unless the watch has ended.
func (w *recheckWatch) again(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.timer.Reset(d)
	}
}

// stop ends the watch.
func (w *recheckWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// standing is what the other side has from us: its newest master token, none
// before the set-up is confirmed, its user, and the serial number of the user's token or -1.
func (x *exchange) standing() (token.SealedMasterToken, token.User, int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.issuedUser == nil {
		return x.issued, x.user, -1
	}
	return x.issued, x.user, x.issuedUser.Serial
}
