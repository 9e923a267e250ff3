package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Trust says who a remote has to be. The zero choice trusts nobody: there is
// no dialling without naming whom to trust. Implementations are safe for
// concurrent use.
type Trust interface {
	// Known returns the identities that may answer to a name: a service's
	// name, or a peer's fingerprint. Empty means that none is known.
	Known(name string) ([]string, error)
	// FirstUse says whether an unknown name may be pinned to whoever answers
	// first and proves its key.
	FirstUse() bool
	// Pin is called when an unknown name answered and everything else was
	// checked. It never replaces a pin.
	Pin(name, identity string) error
}

// Pinned trusts these identities, under any name, and nobody else.
func Pinned(identities ...string) Trust { return pinned(slices.Clone(identities)) }

type pinned []string

func (p pinned) Known(string) ([]string, error) { return p, nil }
func (pinned) FirstUse() bool                   { return false }
func (pinned) Pin(name, _ string) error {
	return fmt.Errorf("peer: %q is not among the pinned identities", name)
}

// PinOnFirstUse trusts, for each name, the identity that answered first, as SSH
// does. It protects every contact but the first. The pins lie in the file at
// path, one "name identity" a line, which a person may edit; programs may share it.
func PinOnFirstUse(path string) Trust { return &pinFile{path: path} }

type pinFile struct {
	path string
	mu   sync.Mutex
}

func (p *pinFile) FirstUse() bool { return true }

func (p *pinFile) Known(name string) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, err := p.find(name)
	if err != nil || id == "" {
		return nil, err
	}
	return []string{id}, nil
}

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
			return "", fmt.Errorf("peer: %s:%d: want a name and an identity", p.path, n)
		case fields[0] == name:
			return fields[1], nil // the first line wins: a pin is never replaced
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("peer: reading pins: %w", err)
	}
	return "", nil
}

func (p *pinFile) Pin(name, identity string) error {
	if name == "" || strings.ContainsAny(name, " \t\r\n#") {
		return fmt.Errorf("peer: %q cannot be pinned: a name has no white space and no '#'", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return fmt.Errorf("peer: keeping the pin: %w", err)
	}
	// One short write in append mode is atomic between programs; if two pin
	// the same name at once, both then read the line that came first.
	f, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("peer: keeping the pin: %w", err)
	}
	_, err = f.WriteString(name + " " + identity + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("peer: keeping the pin: %w", err)
	}
	known, err := p.find(name)
	if err != nil {
		return err
	}
	if known != identity {
		return &ChangedIdentityError{Name: name, Known: []string{known}, Got: identity}
	}
	return nil
}

// A ChangedIdentityError refuses a remote that is somebody else than the name's
// pin: its key was changed, or somebody sits in between. The stack never
// replaces a pin; a person does.
type ChangedIdentityError struct {
	Name  string
	Known []string // who the name belongs to
	Got   string   // who answered; "" if that is not known
}

func (e *ChangedIdentityError) Error() string {
	known := strings.Join(e.Known, " or ")
	if e.Got == "" {
		return fmt.Sprintf("peer: %q did not prove to be %s", e.Name, known)
	}
	return fmt.Sprintf("peer: %q is known as %s, but %s answered: its key was changed, or somebody sits in between", e.Name, known, e.Got)
}
