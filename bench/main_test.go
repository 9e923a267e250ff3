package main

import (
	"os"
	"slices"
	"testing"
)

func TestMain(m *testing.M) {
	if slices.Contains(os.Args[1:], "-worker") {
		exit(work(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}
