package main

import (
	"github.com/mslgo/msl/protocol/token"
)

func (h *home) tokens(address string) (token.Holders, error) { return nil, nil }

func openIssuer(dir string) (token.Issuer, error) { return nil, nil }
