package mux

import "testing"

func TestSendStates(t *testing.T) {
	events := []sendEvent{sendClose, sendAbort, sendFinLeft, sendResetLeft}
	want := map[sendState][4]sendState{
		sendOpen:      {sendClosing, sendResetting, sendOpen, sendOpen},
		sendClosing:   {sendClosing, sendResetting, sendFinished, sendClosing},
		sendFinished:  {sendFinished, sendFinished, sendFinished, sendFinished},
		sendResetting: {sendResetting, sendResetting, sendResetting, sendReset},
		sendReset:     {sendReset, sendReset, sendReset, sendReset},
	}
	for s, row := range want {
		for i, e := range events {
			if got := s.next(e); got != row[i] {
				t.Errorf("state %d, event %d: %d, want %d", s, e, got, row[i])
			}
		}
		if ended := s == sendFinished || s == sendReset; s.ended() != ended {
			t.Errorf("state %d: ended %v", s, !ended)
		}
	}
}

func TestRecvStates(t *testing.T) {
	type to struct {
		state recvState
		ok    bool
	}
	events := []recvEvent{recvGotFin, recvGotReset, recvStop}
	want := map[recvState][3]to{
		recvOpen:    {{recvFin, true}, {recvReset, true}, {recvStopped, true}},
		recvFin:     {{recvFin, false}, {recvFin, false}, {recvDone, true}},
		recvReset:   {{recvReset, false}, {recvReset, false}, {recvDone, true}},
		recvStopped: {{recvDone, true}, {recvDone, true}, {recvStopped, true}},
		recvDone:    {{recvDone, false}, {recvDone, false}, {recvDone, true}},
	}
	for s, row := range want {
		for i, e := range events {
			if got, ok := s.next(e); got != row[i].state || ok != row[i].ok {
				t.Errorf("state %d, event %d: %d, %v, want %v", s, e, got, ok, row[i])
			}
		}
	}
}
