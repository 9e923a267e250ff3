package classic

import "testing"

// Every state and every event: what is not in spec 09's tables cannot happen.
func TestTransitions(t *testing.T) {
	const no = states
	want := [states][events]state{
		//           chosen    built    sent      sentLast answered refused     shaken      asked     gaveUp
		starting:   {building, no, no, no, no, no, no, no, failed},
		building:   {no, sending, no, no, no, no, no, no, failed},
		sending:    {no, no, awaiting, done, no, no, no, no, failed},
		awaiting:   {no, no, no, no, done, recovering, continuing, replying, failed},
		recovering: {building, no, no, no, no, no, no, no, failed},
		continuing: {building, no, no, no, no, no, no, no, failed},
		replying:   {building, no, no, no, no, no, no, no, failed},
		done:       {no, no, no, no, no, no, no, no, no},
		failed:     {no, no, no, no, no, no, no, no, no},
	}
	after := func(s state, e event) (next state) {
		defer func() {
			if recover() != nil {
				next = no
			}
		}()
		return s.after(e)
	}
	for s := range states {
		for e := range events {
			if got := after(s, e); got != want[s][e] {
				t.Errorf("event %d in state %d leads to %d, want %d", e, s, got, want[s][e])
			}
		}
		if s.final() != (s == done || s == failed) {
			t.Errorf("state %d final: %v", s, s.final())
		}
	}
}
