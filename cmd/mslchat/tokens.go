package main

import (
	"fmt"
	"path/filepath"

	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/store/file"
)

// openTokens opens the tokens in a directory: tokens.db, encrypted with
// tokens.key beside it. Programs that run at the same time share them.
func openTokens(dir string) (*file.Store, error) {
	key, err := file.LoadKey(filepath.Join(dir, "tokens.key"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the key of the tokens: %w", err)
	}
	s, err := file.Open(filepath.Join(dir, "tokens.db"), key)
	if err != nil {
		return nil, fmt.Errorf("cannot open the tokens: %w", err)
	}
	return s, nil
}

// tokens are those that the server at an address gave us. All hubs have one
// name, so it is the address under which they are kept.
func (h *home) tokens(address string) (token.Holders, error) {
	s, err := openTokens(h.dir)
	if err != nil {
		return nil, err
	}
	return holders{s, address}, nil
}

type holders struct {
	store   token.Holders
	address string
}

// Holder implements token.Holders.
func (h holders) Holder(name string) token.Holder { return h.store.Holder(name + "@" + h.address) }
