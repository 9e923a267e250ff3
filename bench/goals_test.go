package main

import (
	"strings"
	"testing"
)

func TestVerdicts(t *testing.T) {
	r := &Run{Results: make(Results)}
	add := func(cell, peer, metric string, values ...float64) {
		for _, v := range values {
			r.Results.add(cell, peer, Sample{Metrics: map[string]float64{metric: v}})
		}
	}
	fast := ratio("bulk", "a", "b", metricRate)
	late := ratio("trips", "a", "b", metricP50)
	add("bulk", "a", metricRate, 20, 30, 60)
	add("bulk", "b", metricRate, 10, 10, 30)
	add("trips", "a", metricP50, 5)
	add("trips", "b", metricP50, 10)
	// a round in which one of the two failed does not count
	r.Results.add("bulk", "a", Sample{})
	add("bulk", "b", metricRate, 1)
	add("bulk", "a", metricRate, 40)
	add("bulk", "b", metricRate, 20)
	while := func(g goal, bound float64) goal {
		g.while = &goal{must: bound, aim: bound, unit: "x", values: fast}
		return g
	}
	for _, tt := range []struct {
		goal goal
		want string
	}{
		{more("", 2.1, 3, fast), notMet},
		{more("", 1.9, 2.1, fast), mustIsMet},
		{more("", 1, 2, fast), aimIsMet},
		{less("", 0.4, 0.1, "", late), notMet},
		{less("", 0.5, 0.4, "", late), mustIsMet},
		{less("", 0.6, 0.5, "", late), aimIsMet},
		{while(less("", 0.6, 0.5, "", late), 2), aimIsMet},
		{while(less("", 0.6, 0.5, "", late), 2.1), notMet},
		{more("", 1, 1, ratio("bulk", "a", "c", metricRate)), unknown},
	} {
		if got := tt.goal.verdict(r); got.Result != tt.want {
			t.Errorf("%+v, want %s", got, tt.want)
		}
	}
}

// Each goal is about a cell, peers and a metric that there are: a run of which
// each sample has every metric measures all of them.
func TestGoalsAreMeasured(t *testing.T) {
	r := &Run{Results: make(Results)}
	metrics := map[string]float64{}
	for _, m := range []string{
		metricRate, metricJain, metricP50, metricP99, metricBulk, metricSetUp, metricTrips, "CPU s/GiB", "allocations/GiB", "allocations/trip",
		"client KB/connection", "server KB/connection", "client KB/stream", "server KB/stream",
		"client goroutines/connection", "server goroutines/connection",
	} {
		metrics[m] = 1
	}
	for _, c := range cells() {
		for _, p := range peers() {
			if c.Applies(p) {
				r.Results.add(c.Name, p.Name, Sample{Metrics: metrics})
			}
		}
	}
	if err := r.chunks(0); err != nil {
		t.Fatal(err)
	}
	r.Goals = r.verdicts()
	for _, v := range r.Goals {
		if v.Result == unknown {
			t.Errorf("%s: %s", v.Goal, v.Result)
		}
	}
	if text := r.markdown(); !strings.Contains(text, "| fairness of 256 equal streams (Jain) | 0.90 | 0.97 | 1 | aim met |") {
		t.Error(text)
	}
}
