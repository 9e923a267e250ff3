package main

import "fmt"

type idCommand struct{}

func (c *idCommand) Run(a *app) error {
	_, err := fmt.Fprintln(a.out, a.home.identity.Fingerprint())
	return err
}
