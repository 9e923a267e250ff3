package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// save writes results.json, results.md and the plots.
func save(r *Run, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	files := map[string]string{"results.json": string(data) + "\n", "results.md": r.markdown()}
	maps.Copy(files, r.plots())
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A column of a table: a metric of a cell.
type column struct{ title, cell, metric string }

// table is one section of the report. Ratios are to the references.
type table struct {
	title   string
	ratios  bool
	columns []column
}

func bulkColumns(metric string, down bool) []column {
	var list []column
	for _, c := range cells() {
		if name, ok := strings.CutPrefix(c.Name, "bulk "); ok && strings.HasSuffix(name, " down") == down {
			list = append(list, column{strings.TrimSuffix(name, " down"), c.Name, metric})
		}
	}
	return list
}

func tables() []table {
	idle, beside, urgent := cellIdle, cellBeside, cellUrgent
	first, resumed, cpu := cellSetUpFirst, cellSetUpResumed, "CPU µs/set-up"
	conns, streams := "idle connections", "idle streams"
	return []table{
		{"Bulk, client to server, MiB/s by write size and streams", true, bulkColumns(metricRate, false)},
		{"Bulk, server to client, MiB/s (the client of a WebSocket masks, the server does not)", true, bulkColumns(metricRate, true)},
		{"CPU of both processes, s/GiB", true, bulkColumns("CPU s/GiB", false)},
		{"CPU of both processes, server to client, s/GiB", true, bulkColumns("CPU s/GiB", true)},
		{"Allocations of both processes per GiB", false, bulkColumns("allocations/GiB", false)},
		{"Fairness (Jain's index)", false, []column{
			{"16 streams", "bulk 16 KiB x16", metricJain}, {"256 streams", "bulk 16 KiB x256", metricJain},
		}},
		{"Round trip of 128 bytes, µs", true, []column{
			{"idle p50", idle, metricP50}, {"idle p99", idle, metricP99},
			{"beside bulk p50", beside, metricP50}, {"beside bulk p99", beside, metricP99},
			{"more urgent p50", urgent, metricP50}, {"more urgent p99", urgent, metricP99},
		}},
		{"What else round trips cost: CPU µs and allocations of both processes for each, MiB/s of the bulk beside them", true, []column{
			{"CPU", idle, "CPU µs/trip"}, {"allocations", idle, "allocations/trip"},
			{"bulk beside", beside, metricBulk}, {"bulk beside more urgent", urgent, metricBulk},
		}},
		{fmt.Sprintf("Set-up until the first answer by %d dialers at a time, per second, and CPU µs of both processes for each", dialers), true, []column{
			{"first", first, metricSetUp}, {"resumed", resumed, metricSetUp}, {"CPU first", first, cpu}, {"CPU resumed", resumed, cpu},
		}},
		{"Set-up until the first answer: one-way trips in a row (TCP's two included), bytes", false, []column{
			{"trips first", cellFlightsFirst, metricTrips}, {"up", cellFlightsFirst, metricUp}, {"down", cellFlightsFirst, metricDown},
			{"trips resumed", cellFlightsResumed, metricTrips}, {"up", cellFlightsResumed, metricUp}, {"down", cellFlightsResumed, metricDown},
		}},
		{"Attach after a lost connection until an answer: one-way trips in a row (TCP's two included)", false, []column{
			{"to what was under way", cellAttach, metricTrips}, {"to what was written meanwhile", cellAttachLater, metricTrips},
		}},
		{"Idle memory, KB, and goroutines, without those of the application", false, []column{
			{"connection, client", conns, "client KB/connection"}, {"server", conns, "server KB/connection"},
			{"goroutines", conns, "client goroutines/connection"}, {"server", conns, "server goroutines/connection"},
			{"stream, client", streams, "client KB/stream"}, {"server", streams, "server KB/stream"},
			{"goroutines", streams, "client goroutines/stream"}, {"server", streams, "server goroutines/stream"},
		}},
	}
}

// markdown is the report.
func (r *Run) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark of %s\n\n", r.Started.UTC().Format("2006-01-02 15:04"))
	fmt.Fprintf(&b, "`%s`: %s, %s/%s, %d cores%s; two processes over loopback for each peer; %d round(s) of %v, peers in turns; took %v.\n",
		r.Command, r.Go, r.OS, r.Arch, r.Cores, r.Processor, r.Rounds, r.Plan.Sample, r.Took.Round(1e9))
	fmt.Fprintf(&b, "Medians; ± is half the distance of the quartiles, in percent of the median. Ratios are medians of the rounds' own ratios, in brackets to %s.\n",
		strings.Join(references, " / "))
	r.goalTable(&b)
	for _, t := range tables() {
		r.table(&b, t)
	}
	r.chunkTable(&b)
	if len(r.Left) > 0 {
		b.WriteString("\n## Left out\n\n")
		for _, l := range r.Left {
			fmt.Fprintf(&b, "* %s\n", l)
		}
	}
	return b.String()
}

func (r *Run) table(b *strings.Builder, t table) {
	var rows []string
	for _, p := range r.Peers {
		row, any := "| "+p, false
		for _, c := range t.columns {
			text := r.entry(c, p, t.ratios)
			any = any || text != ""
			row += " | " + orDash(text)
		}
		if any {
			rows = append(rows, row+" |\n")
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n| peer", t.title)
	for _, c := range t.columns {
		fmt.Fprintf(b, " | %s", c.title)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---:", len(t.columns)) + "|\n" + strings.Join(rows, ""))
}

// entry is a median with its spread and its ratios; empty if there is none.
func (r *Run) entry(c column, peer string, ratios bool) string {
	v := r.values(c.cell, peer, c.metric)
	if len(v) == 0 {
		return ""
	}
	text := number(median(v))
	if s := spread(v); !math.IsNaN(s) {
		text += fmt.Sprintf(" ±%.0f%%", 100*s)
	}
	if !ratios {
		return text
	}
	var list []string
	for _, ref := range references {
		x := median(r.ratios(c.cell, peer, ref, c.metric))
		if math.IsNaN(x) {
			list = append(list, "–")
			continue
		}
		list = append(list, fmt.Sprintf("%.2f", x))
	}
	return text + " (" + strings.Join(list, " / ") + ")"
}

func (r *Run) chunkTable(b *strings.Builder) {
	if r.Results[cellEncode] == nil {
		return
	}
	b.WriteString("\n## Classic MSL's payload chunks of 64 KiB, MiB/s of data, one process\n\n| | encode | verify |\n|---|---:|---:|\n")
	for _, p := range []string{peerRaw, peerChunks} {
		fmt.Fprintf(b, "| %s", p)
		for _, cell := range []string{cellEncode, cellVerify} {
			fmt.Fprintf(b, " | %s (%.2f)", number(median(r.values(cell, p, metricRate))), median(r.ratios(cell, p, peerRaw, metricRate)))
		}
		b.WriteString(" |\n")
	}
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// number prints three digits that matter.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// sortedNames are the peers that have a cell, the best of a metric first.
func (r *Run) sortedNames(cell, metric string, ascending bool) []string {
	names := slices.DeleteFunc(slices.Clone(r.Peers), func(p string) bool { return len(r.values(cell, p, metric)) == 0 })
	slices.SortStableFunc(names, func(a, b string) int {
		x, y := median(r.values(cell, a, metric)), median(r.values(cell, b, metric))
		if ascending {
			x, y = y, x
		}
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return names
}
