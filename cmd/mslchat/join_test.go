package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

func TestAgainTriesUntilItIsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries, waits := time.Now(), 0, 0
		err := again(t.Context(), time.Minute, func(_ context.Context, succeeded func()) error {
			if tries++; tries == 1 {
				succeeded()
			}
			return errLost
		}, func(_ error, wait time.Duration) {
			waits++
			if wait < firstPause/2 || wait > lastPause {
				t.Errorf("waits %v", wait)
			}
		})
		if !isGone(err) || tries < 6 || waits != tries-1 {
			t.Errorf("%d tries, %d waits, %v", tries, waits, err)
		}
		if d := time.Since(start); d < time.Minute || d > time.Minute+lastPause {
			t.Errorf("it took %v", d)
		}
	})
}

func TestAgainEndsAtWhatIsFinal(t *testing.T) {
	for name, c := range map[string]struct {
		ever bool
		err  error
	}{
		"never connected": {false, errLost},
		"refused":         {true, wire.Refuse(wire.CodeTaken, "no")},
		"content":         {true, nil},
	} {
		tries := 0
		err := again(t.Context(), time.Hour, func(_ context.Context, succeeded func()) error {
			if tries++; c.ever {
				succeeded()
			}
			return c.err
		}, nil)
		if tries != 1 || !errors.Is(err, c.err) {
			t.Errorf("%s: %d tries, %v", name, tries, err)
		}
	}
}

func TestAgainIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := again(ctx, time.Hour, func(_ context.Context, succeeded func()) error {
			succeeded()
			return errLost
		}, func(error, time.Duration) { cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
