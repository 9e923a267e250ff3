package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
)

// Trust says who has to answer under a name: a service's name, or the
// fingerprint of a peer. There is no dialling without it.
type Trust = session.Trust

// Pinned trusts the identities with these fingerprints and nobody else: any one
// of them by its own name, and if it is the only one, also under the name of
// a service.
func Pinned(fingerprints ...string) Trust { return pinned(slices.Clone(fingerprints)) }

type pinned []string

func (p pinned) Expect(_ context.Context, name string) (token.Entity, error) {
	switch {
	case slices.Contains(p, name):
		return entity(name), nil
	case len(p) == 1:
		return entity(p[0]), nil
	}
	return token.Entity{}, fmt.Errorf("peer: %q is not among the %d pinned identities", name, len(p))
}

func (pinned) Pin(_ context.Context, name string, _ token.Entity) error {
	return fmt.Errorf("peer: %q cannot be pinned: the pins are fixed", name)
}

// PinOnFirstUse trusts, for each name, the identity that answered first, as SSH
// does: it protects every contact but the first. The pins lie in the file at
// path, one "name fingerprint" a line, which a person may edit; programs may
// share it.
func PinOnFirstUse(path string) Trust { return &pinFile{path: path} }

type pinFile struct {
	path string
	mu   sync.Mutex
}

func (p *pinFile) Expect(_ context.Context, name string) (token.Entity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fingerprint, err := p.find(name)
	if err != nil || fingerprint == "" {
		return token.Entity{}, err
	}
	return entity(fingerprint), nil
}

// find returns the pin of a name, "" if it has none.
func (p *pinFile) find(name string) (string, error) {
	f, err := os.Open(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("peer: reading pins: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		switch fields := strings.Fields(text); {
		case len(fields) == 0:
		case len(fields) != 2:
			return "", fmt.Errorf("peer: %s:%d: want a name and a fingerprint", p.path, n)
		case fields[0] == name:
			return fields[1], nil // the first line wins: a pin is never replaced
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("peer: reading pins: %w", err)
	}
	return "", nil
}

func (p *pinFile) Pin(_ context.Context, name string, e token.Entity) error {
	if name == "" || strings.ContainsAny(name, " \t\r\n#") {
		return fmt.Errorf("peer: %q cannot be pinned: a name has no white space and no '#'", name)
	}
	if e.Scheme != ed25519Scheme {
		return fmt.Errorf("peer: %q cannot be pinned: its scheme %s carries no key that names itself", name, e.Scheme)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.append(name + " " + e.Identity + "\n"); err != nil {
		return fmt.Errorf("peer: keeping the pin: %w", err)
	}
	known, err := p.find(name)
	if err != nil {
		return err
	}
	if known != e.Identity { // another program pinned somebody else meanwhile
		return fmt.Errorf("peer: %q was pinned to %s just now, but %s answered: %w", name, known, e.Identity, session.ErrUntrusted)
	}
	return nil
}

// append adds a line. One short write in append mode is atomic between
// programs; if two pin one name at once, both then read the line that came first.
func (p *pinFile) append(line string) error {
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Sync(), f.Close())
}

// entity is the owner of an Ed25519 fingerprint.
func entity(fingerprint string) token.Entity {
	return token.Entity{Scheme: ed25519Scheme, Identity: fingerprint}
}

// ed25519Scheme is the scheme of identities that name themselves.
var ed25519Scheme = entityauth.Ed25519Data{}.Scheme()
