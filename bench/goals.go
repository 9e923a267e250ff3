package main

import (
	"fmt"
	"math"
	"strings"
)

// A goal is one figure that this project wants to reach.
type goal struct {
	name      string
	must, aim float64
	less      bool // smaller is better
	unit      string
	values    func(*Run) []float64 // round by round
	// while is another goal that has to be met at the same time.
	while *goal
}

// A Verdict is what became of a goal.
type Verdict struct {
	Goal      string
	Must, Aim string
	Values    []float64 `json:",omitempty"` // round by round
	Measured  string    `json:",omitempty"`
	Result    string
}

const (
	notMet    = "not met"
	mustIsMet = "must met"
	aimIsMet  = "aim met"
	unknown   = "not measured"
)

// goals are in the order in which they are told.
func goals() []goal {
	const plain, yamux, ws = "tls", "tls+yamux", "wss+yamux"
	var (
		small, medium  = cellBulk(1<<10, 1), cellBulk(64<<10, 1)
		large          = cellBulk(1<<20, 1)
		some, many     = cellBulk(16<<10, 16), cellBulk(16<<10, 256)
		cpu            = "CPU s/GiB"
		bulkBesideMore = &goal{must: 1.4, aim: 1.4, unit: "x", values: ratio(cellUrgent, "msl", yamux, metricBulk)}
		bulkBeside     = &goal{must: 1.4, aim: 1.4, unit: "x", values: ratio(cellBeside, "msl", yamux, metricBulk)}
	)
	list := []goal{
		more("bulk 64 KiB, 1 stream, against tls+yamux", 1.8, 2.2, ratio(medium, "msl", yamux, metricRate)),
		more("bulk 64 KiB, 1 stream, against tls", 0.95, 1.10, ratio(medium, "msl", plain, metricRate)),
		more("bulk 1 MiB, 1 stream, against tls+yamux", 1.8, 2.2, ratio(large, "msl", yamux, metricRate)),
		more("bulk 1 MiB, 1 stream, against tls", 0.95, 1.10, ratio(large, "msl", plain, metricRate)),
		more("1 KiB writes, 1 stream, against tls+yamux", 6, 9, ratio(small, "msl", yamux, metricRate)),
		more("1 KiB writes, 1 stream, against tls", 3, 6, ratio(small, "msl", plain, metricRate)),
		more("16 KiB writes, 16 streams, against tls+yamux", 1.6, 2, ratio(some, "msl", yamux, metricRate)),
		more("16 KiB writes, 256 streams, against tls+yamux", 1.6, 2, ratio(many, "msl", yamux, metricRate)),
		more("16 KiB writes, 16 streams, against 16 TLS connections", 0.85, 1, ratio(some, "msl", plain, metricRate)),
		more("16 KiB writes, 256 streams, against 256 TLS connections", 0.85, 1, ratio(many, "msl", plain, metricRate)),
		less("CPU s/GiB, 64 KiB writes, against tls+yamux", 0.70, 0.58, "x", ratio(medium, "msl", yamux, cpu)),
		less("CPU s/GiB, 1 MiB writes, against tls+yamux", 0.70, 0.58, "x", ratio(large, "msl", yamux, cpu)),
		less("128-byte round trip idle, p50, against tls", 1.25, 1.1, "x", ratio(cellIdle, "msl", plain, metricP50)),
		less("128-byte round trip idle, p50, against tls+yamux", 0.6, 0.5, "x", ratio(cellIdle, "msl", yamux, metricP50)),
	}
	for _, p := range []string{metricP50, metricP99} {
		g := less("round trip beside bulk at higher urgency, "+p[:3]+", against tls+yamux beside its bulk", 0.6, 0.45, "x", ratio(cellUrgent, "msl", yamux, p))
		g.while = bulkBesideMore
		list = append(list, g)
	}
	for _, p := range []string{metricP50, metricP99} {
		g := less("the same at equal urgency, "+p[:3], 0.8, 0.5, "x", ratio(cellBeside, "msl", yamux, p))
		g.while = bulkBeside
		list = append(list, g)
	}
	jain := more("fairness of 256 equal streams (Jain)", 0.90, 0.97, value(many, "msl", metricJain, 1))
	jain.unit = ""
	list = append(list, jain,
		more("over WebSocket (ws, sealed by MSL) against wss+yamux: bulk 64 KiB up", 2, 3, ratio(medium, "msl ws", ws, metricRate)),
		more("the same, bulk 64 KiB down", 2, 3, ratio(cellDown(64<<10), "msl ws", ws, metricRate)),
		more("the same, 16 KiB writes, 16 streams", 2, 3, ratio(some, "msl ws", ws, metricRate)),
		more("first contact, mutual, hybrid KEM, per second, against mutual TLS with the same KEM", 1, 1.3, ratio(cellSetUpFirst, "msl", "tls mutual", metricSetUp)),
		more("resumed, fresh hybrid share, per second, against TLS resumption with the same KEM", 0.9, 1.15, ratio(cellSetUpResumed, "msl", plain, metricSetUp)),
		more("resumed, fresh X25519 share, per second, against TLS resumption with X25519", 1.3, 2, ratio(cellSetUpResumed, "msl x25519", "tls x25519", metricSetUp)),
		less("round trips to the first answer incl. TCP: first contact", 3, 3, "", value(cellFlightsFirst, "msl", metricTrips, 0.5)),
		less("the same, resumed with early data", 2, 2, "", value(cellFlightsResumed, "msl early data", metricTrips, 0.5)),
		less("over ws: first contact", 4, 3, "", value(cellFlightsFirst, "msl ws", metricTrips, 0.5)),
		less("over ws: resumed with early data", 3, 2, "", value(cellFlightsResumed, "msl ws early data", metricTrips, 0.5)),
		less("attach after a lost connection: round trips incl. TCP until an answer to what was under way", 2, 2, "", value(cellAttach, "msl", metricTrips, 0.5)),
		less("the same, to what was written meanwhile", 2, 2, "", value(cellAttachLater, "msl", metricTrips, 0.5)),
	)
	for _, end := range []string{"client", "server"} {
		list = append(list, less("idle RSS of a session, "+end, 20, 12, " KB", value("idle connections", "msl", end+" KB/connection", 1)))
	}
	for _, end := range []string{"client", "server"} {
		list = append(list, less("idle RSS of a stream, "+end, 1, 0.4, " KB", value("idle streams", "msl", end+" KB/stream", 1)))
	}
	for _, end := range []string{"client", "server"} {
		list = append(list, less("goroutines of an idle session, "+end, 2, 1, "", value("idle connections", "msl", end+" goroutines/connection", 1)))
	}
	return append(list,
		less("allocations per 64 KiB write and read (none: under 0.05)", 2, 0.05, "", value(medium, "msl", "allocations/GiB", 1.0/(1<<14))),
		less("allocations per 1 KiB write and read", 0.1, 0.01, "", value(small, "msl", "allocations/GiB", 1.0/(1<<20))),
		less("allocations per round trip", 6, 2, "", value(cellIdle, "msl", "allocations/trip", 1)),
		more("durable on against off, bulk 64 KiB", 0.90, 0.97, ratio(medium, "msl", "msl not durable", metricRate)),
		more("durable on against off, bulk 1 MiB", 0.90, 0.97, ratio(large, "msl", "msl not durable", metricRate)),
		more("classic JSON chunks, encode and verify, against AES-CBC + HMAC + Base64 alone", 0.7, 0.85, (*Run).chunkRatios),
	)
}

func more(name string, must, aim float64, values func(*Run) []float64) goal {
	return goal{name: name, must: must, aim: aim, unit: "x", values: values}
}

func less(name string, must, aim float64, unit string, values func(*Run) []float64) goal {
	return goal{name: name, must: must, aim: aim, less: true, unit: unit, values: values}
}

func ratio(cell, peer, reference, metric string) func(*Run) []float64 {
	return func(r *Run) []float64 { return r.ratios(cell, peer, reference, metric) }
}

// value is a metric itself, times a factor.
func value(cell, peer, metric string, factor float64) func(*Run) []float64 {
	return func(r *Run) []float64 {
		list := r.values(cell, peer, metric)
		for i := range list {
			list[i] *= factor
		}
		return list
	}
}

// chunkRatios are those of the time that encoding and verifying the same bytes takes.
func (r *Run) chunkRatios() []float64 {
	both := func(peer string) []float64 {
		encode, verify := r.values(cellEncode, peer, metricRate), r.values(cellVerify, peer, metricRate)
		list := make([]float64, min(len(encode), len(verify)))
		for i := range list {
			list[i] = 2 / (1/encode[i] + 1/verify[i])
		}
		return list
	}
	list, raw := both(peerChunks), both(peerRaw)
	for i := range list {
		list[i] /= raw[i]
	}
	return list
}

// meets says whether v, as it is printed, is as good as the bound.
func (g goal) meets(v, bound float64) bool {
	v = math.Round(v*100) / 100
	if g.less {
		return v <= bound
	}
	return v >= bound
}

func (g goal) measured(list []float64) string {
	text := number(math.Round(median(list)*100)/100) + g.unit
	if s := spread(list); !math.IsNaN(s) {
		text += fmt.Sprintf(" ±%.0f%%", 100*s)
	}
	return text
}

// verdict compares a goal with what was measured.
func (g goal) verdict(r *Run) Verdict {
	v := Verdict{Goal: g.name, Must: number(g.must) + g.unit, Aim: number(g.aim) + g.unit, Values: g.values(r), Result: unknown}
	if len(v.Values) == 0 {
		return v
	}
	middle := median(v.Values)
	v.Measured = g.measured(v.Values)
	must, aim := g.meets(middle, g.must), g.meets(middle, g.aim)
	if g.while != nil {
		other := g.while.values(r)
		v.Measured += fmt.Sprintf(", while its bulk is %s (wanted: %s)", g.while.measured(other), number(g.while.must)+g.while.unit)
		fast := g.while.meets(median(other), g.while.must)
		must, aim = must && fast, aim && fast
	}
	switch {
	case aim:
		v.Result = aimIsMet
	case must:
		v.Result = mustIsMet
	default:
		v.Result = notMet
	}
	return v
}

func (r *Run) verdicts() []Verdict {
	var list []Verdict
	for _, g := range goals() {
		list = append(list, g.verdict(r))
	}
	return list
}

// goalTable is the first thing of the report.
func (r *Run) goalTable(b *strings.Builder) {
	b.WriteString("\n## Goals\n\n| | must | aim | measured | |\n|---|---:|---:|---:|---|\n")
	for _, v := range r.Goals {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", v.Goal, v.Must, v.Aim, orDash(v.Measured), v.Result)
	}
}
