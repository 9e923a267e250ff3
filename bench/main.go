// Bench measures this project beside what people use instead, on this machine.
//
//	go run . -quick    a first look, in a minute
//	go run . -all      what the tables are made of, in less than 35 minutes
//
// Each peer runs as two processes over loopback, with the same work on its
// streams. See README.md for what the cells are.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
)

func main() {
	quick := flag.Bool("quick", false, "one short round")
	everything := flag.Bool("all", false, "as many long rounds as fit")
	only := flag.String("peers", "", "only peers that match this regular expression")
	cell := flag.String("cells", "", "only cells that match this regular expression")
	rounds := flag.Int("rounds", 0, "rounds at most, instead of the plan's")
	dir := flag.String("out", "out", "directory for the table, the JSON and the plots")
	profile := flag.String("cpuprofile", "", "directory for CPU profiles of all processes")
	worker := flag.Bool("worker", false, "be a process of another run (internal)")
	flag.Parse()
	if *worker {
		exit(profiled(*profile, os.Stdin, os.Stdout))
	}
	if *quick == *everything {
		fmt.Fprintln(os.Stderr, "bench: say -quick or -all")
		flag.Usage()
		os.Exit(2)
	}
	plan := fullPlan
	if *quick {
		plan = quickPlan
	}
	if *rounds > 0 {
		plan.Rounds = *rounds
	}
	plan.Profiles = *profile
	exit(measure(plan, *only, *cell, *dir))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func measure(plan Plan, only, cell, dir string) error {
	list, err := matching(peers(), only, func(p *Peer) string { return p.Name })
	if err != nil {
		return err
	}
	chosen, err := matching(cells(), cell, func(c Cell) string { return c.Name })
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := run(ctx, plan, list, chosen, os.Stderr)
	if err != nil {
		return err
	}
	r.Command = strings.Join(append([]string{"go run ."}, os.Args[1:]...), " ")
	if err := save(r, dir); err != nil {
		return err
	}
	_, err = io.WriteString(os.Stdout, r.markdown())
	return err
}

func matching[T any](list []T, pattern string, name func(T) string) ([]T, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var some []T
	for _, v := range list {
		if re.MatchString(name(v)) {
			some = append(some, v)
		}
	}
	return some, nil
}
