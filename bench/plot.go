package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// plots are the SVG files of a run, by name.
func (r *Run) plots() map[string]string {
	files := make(map[string]string)
	lines := func(name, title string, columns []column) {
		var list []series
		for _, p := range r.Peers {
			s := series{name: p}
			for _, c := range columns {
				s.values = append(s.values, median(r.values(c.cell, p, c.metric)))
			}
			list = append(list, s)
		}
		labels := make([]string, len(columns))
		for i, c := range columns {
			labels[i] = c.title
		}
		addPlot(files, name, linePlot(title, "MiB/s", labels, list))
	}
	lines("throughput-size.svg", "Throughput by write size, one stream", bulkColumns(metricRate, false)[:4])
	lines("throughput-streams.svg", "Throughput by streams, 16 KiB writes", []column{
		{"1", "bulk 16 KiB x1", metricRate}, {"16", "bulk 16 KiB x16", metricRate}, {"256", "bulk 16 KiB x256", metricRate},
	})
	for _, kind := range []string{"idle", "beside bulk"} {
		var list []series
		for _, p := range r.Peers {
			list = append(list, series{p, r.share("round trip "+kind, p)})
		}
		labels := make([]string, histogramLen)
		for i := 0; i < histogramLen; i += 8 {
			labels[i] = fmt.Sprintf("%d µs", 1<<(i/4))
		}
		addPlot(files, "latency-"+strings.ReplaceAll(kind, " ", "-")+".svg",
			linePlot("Round trip of 128 bytes, "+kind, "share", labels, list))
	}
	bars := func(name, title, unit string, ascending bool, columns ...column) {
		var list []series
		for _, p := range r.sortedNames(columns[0].cell, columns[0].metric, ascending) {
			s := series{name: p}
			for _, c := range columns {
				s.values = append(s.values, median(r.values(c.cell, p, c.metric)))
			}
			list = append(list, s)
		}
		labels := make([]string, len(columns))
		for i, c := range columns {
			labels[i] = c.title
		}
		addPlot(files, name, barPlot(title, unit, labels, list))
	}
	bars("set-up.svg", "Set-up until the first answer", "per second", false,
		column{"first", "set-up first", metricSetUp}, column{"resumed", "set-up resumed", metricSetUp})
	bars("memory-connection.svg", "Idle connection", "KB", true,
		column{"client", "idle connections", "client KB/connection"}, column{"server", "idle connections", "server KB/connection"})
	bars("memory-stream.svg", "Idle stream", "KB", true,
		column{"client", "idle streams", "client KB/stream"}, column{"server", "idle streams", "server KB/stream"})
	return files
}

func addPlot(files map[string]string, name, svg string) {
	if svg != "" {
		files[name] = svg
	}
}

// share is a histogram of all rounds, relative to its sum; nil if there is none.
func (r *Run) share(cell, peer string) []float64 {
	var sum float64
	list := make([]float64, histogramLen)
	for _, s := range r.Results[cell][peer] {
		for i, n := range s.Histogram {
			list[i] += float64(n)
			sum += float64(n)
		}
	}
	if sum == 0 {
		return nil
	}
	for i := range list {
		list[i] /= sum
	}
	return list
}

// series is one peer's values in a plot; NaN is none.
type series struct {
	name   string
	values []float64
}

const (
	plotWidth, plotHeight = 860, 420
	plotLeft, plotTop     = 70, 40
	plotInner             = 560 // width of the drawing itself
	legendLeft            = plotLeft + plotInner + 20
	barHeight             = 11
	barLeft               = 150
)

// color gives each peer the same colour in all plots, this project's the
// strong ones.
func color(i int, name string) (stroke string, width float64) {
	if strings.HasPrefix(name, "msl") {
		return fmt.Sprintf("hsl(%d 85%% 40%%)", (i*47+340)%360), 2.5
	}
	return fmt.Sprintf("hsl(%d 45%% 55%%)", i*47%360), 1.2
}

func header(b *strings.Builder, title string, height int) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", plotWidth, height)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="20" font-size="14">%s</text>`+"\n", plotLeft, html.EscapeString(title))
}

func most(list []series) float64 {
	m := 0.0
	for _, s := range list {
		for _, v := range s.values {
			if !math.IsNaN(v) {
				m = max(m, v)
			}
		}
	}
	return m
}

// linePlot draws one line for each series over evenly spaced labels; empty if
// there is nothing to draw.
func linePlot(title, unit string, labels []string, list []series) string {
	top := most(list)
	if top == 0 {
		return ""
	}
	var b strings.Builder
	header(&b, title, plotHeight)
	bottom := float64(plotHeight - 40)
	x := func(i int) float64 { return plotLeft + plotInner*float64(i)/float64(max(1, len(labels)-1)) }
	y := func(v float64) float64 { return bottom - (bottom-plotTop)*v/top }
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(&b, `<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, y(v), plotInner, plotLeft-6, y(v)+4, number(v))
	}
	fmt.Fprintf(&b, `<text x="8" y="%d">%s</text>`+"\n", plotTop-8, html.EscapeString(unit))
	for i, l := range labels {
		if l != "" {
			fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", x(i), bottom+18, html.EscapeString(l))
		}
	}
	for i, s := range list {
		var path strings.Builder
		step := "M"
		for j, v := range s.values {
			if math.IsNaN(v) {
				step = "M"
				continue
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", step, x(j), y(v))
			step = "L"
		}
		if path.Len() == 0 {
			continue
		}
		stroke, width := color(i, s.name)
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="%.1f"/>`+"\n", path.String(), stroke, width)
		ly := plotTop + 16*i
		fmt.Fprintf(&b, `<path d="M%d %dh18" stroke="%s" stroke-width="%.1f"/><text x="%d" y="%d">%s</text>`+"\n",
			legendLeft, ly, stroke, width, legendLeft+24, ly+4, html.EscapeString(s.name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// barPlot draws a group of bars for each series, one for each label; empty if
// there is nothing to draw.
func barPlot(title, unit string, labels []string, list []series) string {
	top := most(list)
	if top == 0 {
		return ""
	}
	var b strings.Builder
	group := barHeight*len(labels) + 6
	header(&b, title+", "+unit, plotTop+group*len(list)+20)
	for i, l := range labels {
		fmt.Fprintf(&b, `<rect x="%d" y="10" width="10" height="10" fill="hsl(%d 55%% 50%%)"/><text x="%d" y="19">%s</text>`+"\n",
			legendLeft+80*i, 210+150*i, legendLeft+80*i+14, html.EscapeString(l))
	}
	for i, s := range list {
		y := plotTop + group*i
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", barLeft-6, y+barHeight*len(labels)/2+4, html.EscapeString(s.name))
		for j, v := range s.values {
			if math.IsNaN(v) {
				continue
			}
			w := max(0, plotInner*v/top)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="hsl(%d 55%% 50%%)"/><text x="%.1f" y="%d" font-size="9">%s</text>`+"\n",
				barLeft, y+barHeight*j, w, barHeight-1, 210+150*j, barLeft+w+4, y+barHeight*(j+1)-2, number(v))
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}
