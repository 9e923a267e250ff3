package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

const (
	maxUsers      = 10000 // nicks that are bound
	maxNicksOfOne = 16    // of one identity
)

// users binds nicks to identities. With a path the first identity that uses a
// nick owns it for good: the file, JSON {"nick": "fingerprint"}, may be edited
// while no hub runs. Without one a nick is free again when its last use ends.
type users struct {
	path string

	mu     sync.Mutex
	owners map[string]string // folded nick -> fingerprint
	uses   map[string]int    // folded nick -> streams that use it
}

func openUsers(path string) (*users, error) {
	u := &users{path: path, owners: make(map[string]string), uses: make(map[string]int)}
	if path == "" {
		return u, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &u.owners)
	}
	if err != nil {
		return nil, fmt.Errorf("hub: reading users: %s: %w", path, err)
	}
	return u, nil
}

// claim gives the nick to the identity until release is called.
func (u *users) claim(nick, fingerprint string) (release func(), err error) {
	if err := wire.CheckName("nick", nick); err != nil {
		return nil, err
	}
	key := wire.Fold(nick)
	u.mu.Lock()
	defer u.mu.Unlock()
	owner, known := u.owners[key]
	switch {
	case known && owner != fingerprint:
		return nil, wire.Refuse(wire.CodeTaken, "the nick %q belongs to %s here: choose another one", nick, owner)
	case !known:
		if err := u.bind(key, fingerprint); err != nil {
			return nil, err
		}
	}
	u.uses[key]++
	return sync.OnceFunc(func() { u.release(key) }), nil
}

// bind is called with mu held.
func (u *users) bind(key, fingerprint string) error {
	own := 0
	for _, f := range u.owners {
		if f == fingerprint {
			own++
		}
	}
	switch {
	case own >= maxNicksOfOne:
		return wire.Refuse(wire.CodeLimit, "you have %d nicks here, more are not allowed: use one of them", own)
	case len(u.owners) >= maxUsers:
		return wire.Refuse(wire.CodeLimit, "this hub knows %d nicks, more are not allowed", len(u.owners))
	}
	u.owners[key] = fingerprint
	if u.path == "" {
		return nil
	}
	data, err := json.MarshalIndent(u.owners, "", "  ")
	if err == nil {
		err = replaceFile(u.path, append(data, '\n'))
	}
	if err != nil {
		delete(u.owners, key)
		return fmt.Errorf("hub: keeping the nick: %w", err)
	}
	return nil
}

func (u *users) release(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.uses[key]--; u.uses[key] > 0 {
		return
	}
	delete(u.uses, key)
	if u.path == "" {
		delete(u.owners, key)
	}
}

// online reports whether the nick is in use.
func (u *users) online(nick string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.uses[wire.Fold(nick)] > 0
}
