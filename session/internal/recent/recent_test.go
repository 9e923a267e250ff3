package recent

import "testing"

func TestSet(t *testing.T) {
	var s Set[int]
	for i := range 3 * Most {
		if !s.Add(i) || s.Add(i) {
			t.Fatalf("%d", i)
		}
		if len(s.known) > Most || len(s.ring) > Most {
			t.Fatalf("%d known, %d in the ring", len(s.known), len(s.ring))
		}
	}
	if s.Add(3*Most-1) || s.Add(2*Most) || !s.Add(2*Most-1) {
		t.Error("not the oldest were forgotten")
	}
}
