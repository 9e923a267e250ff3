package link

import (
	"testing"

	"github.com/mslgo/msl/session/frame"
)

func TestTransitions(t *testing.T) {
	// Rows are states, columns the events in their order.
	want := [...][events]state{
		//         attached   broken     over       shut       peerClosed  finished   expired    aborted
		idle:      {running, idle, idle, closed, idle, idle, idle, closed},
		running:   {running, lost, closed, closing, answering, running, running, closed},
		lost:      {running, lost, lost, parting, closed, lost, closed, closed},
		closing:   {closing, parting, closed, closing, answering, closing, closed, closed},
		parting:   {closing, parting, parting, parting, closed, parting, closed, closed},
		answering: {answering, closed, closed, answering, answering, closed, closed, closed},
		closed:    {closed, closed, closed, closed, closed, closed, closed, closed},
	}
	for s, row := range want {
		for e, to := range row {
			if got := state(s).next(event(e)); got != to {
				t.Errorf("%v, %v: %v, want %v", state(s), event(e), got, to)
			}
		}
	}
}

func TestRetention(t *testing.T) {
	var r retention
	for i := range 40 {
		r.push(sealed{n: int32(i), class: 1 + frameClass(i)})
		if i%3 == 2 {
			r.release(r.acked + 2)
		}
	}
	if r.next() != 40 || r.acked != 26 || r.count != 14 {
		t.Fatalf("next %d, acked %d, count %d", r.next(), r.acked, r.count)
	}
	var data, others int64
	asking := 0
	for i := 26; i < 40; i++ {
		switch frameClass(i) {
		case 2:
			data += int64(i)
			asking++
		case 1:
			asking++
			others += int64(i)
		default:
			others += int64(i)
		}
	}
	if r.data != data || r.others != others || r.asking != asking {
		t.Errorf("data %d, others %d, asking %d; want %d, %d, %d", r.data, r.others, r.asking, data, others, asking)
	}
	if got := r.release(40); got != data+others || r.data != 0 || r.others != 0 || r.asking != 0 || r.count != 0 {
		t.Errorf("released %d; left %d, %d, %d", got, r.data, r.others, r.asking)
	}
}

func frameClass(i int) frame.Class { return frame.Class(i % 3) }
