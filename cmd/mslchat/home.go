package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session"
)

// home is the directory of what a person owns:
//
//	identity.pem   the private key; the fingerprint of its public half is our name
//	known_peers    "host:port fingerprint" lines, the servers that were seen
//	tokens.db      the tokens that servers gave us, encrypted
//	tokens.key     with this
//	hub            the identity.pem of the hub that runs here, if one does
//
// Programs that run at the same time share it.
type home struct {
	dir      string
	identity *peer.Identity
}

func openHome(dir string) (*home, error) {
	if dir == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return nil, usage("there is no configuration directory (%v): name a directory with --home or MSLCHAT_HOME", err)
		}
		dir = filepath.Join(config, "mslchat")
	}
	id, err := peer.OpenIdentity(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the identity in %s: %w", dir, err)
	}
	return &home{dir, id}, nil
}

// hub is who a hub is that runs here. It is another than the person, who may well
// join it: nobody resumes a session with itself.
func (h *home) hub() (*peer.Identity, error) {
	dir := filepath.Join(h.dir, "hub")
	id, err := peer.OpenIdentity(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the hub's identity in %s: %w", dir, err)
	}
	return id, nil
}

func (h *home) pinsPath() string { return filepath.Join(h.dir, "known_peers") }

// nick is the given one, or one made of the fingerprint.
func (h *home) nick(given string) (string, error) {
	if given == "" {
		return defaultNick(h.identity.Fingerprint()), nil
	}
	return given, wire.CheckName("nick", given)
}

// defaultNick is the nick of who has chosen none.
func defaultNick(fingerprint string) string {
	_, hash, _ := strings.Cut(fingerprint, ":")
	return "user-" + wire.Clean(wire.Cut(hash, 8))
}

// pins trusts the server at an address as SSH does: who answers first is
// pinned. All hubs have one name, so it is the address that is pinned.
type pins struct {
	peer.Trust
	address string
	path    string
	say     func(format string, args ...any)
}

func (h *home) pins(address string, say func(string, ...any)) *pins {
	return &pins{peer.PinOnFirstUse(h.pinsPath()), address, h.pinsPath(), say}
}

// Expect implements peer.Trust.
func (p *pins) Expect(ctx context.Context, _ string) (token.Entity, error) {
	return p.Trust.Expect(ctx, p.address)
}

// Pin implements peer.Trust.
func (p *pins) Pin(ctx context.Context, _ string, e token.Entity) error {
	if err := p.Trust.Pin(ctx, p.address, e); err != nil {
		return err
	}
	p.say("first contact with %s: its key %s is pinned from now on", p.address, e.Identity)
	return nil
}

// explain says what a changed key means.
func (p *pins) explain(err error) error {
	known, kerr := p.Trust.Expect(context.Background(), p.address)
	if !errors.Is(err, session.ErrUntrusted) || kerr != nil || known.Identity == "" {
		return err
	}
	return fmt.Errorf("THE KEY OF %s HAS CHANGED. It was %s. Somebody may be between you and the server, or it was set up anew. "+
		"If you know that it was, remove the line that begins with %q from %s and try again (%w)", p.address, known.Identity, p.address, p.path, err)
}

// addressOf is the host and port of a URL.
func addressOf(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return "", usage("%v", err)
	case u.Host == "":
		return "", usage("%q is not a URL like tcp://host:7466 or ws://host:7467/msl", rawURL)
	}
	return u.Host, nil
}

// checkFingerprint says whether a fingerprint looks like one.
func checkFingerprint(f string) error {
	const prefix, length = "ed25519:", 51
	if !strings.HasPrefix(f, prefix) || len(f) != length {
		return usage("%q is not a fingerprint: \"mslchat id\" prints one, %s and %d characters", f, prefix, length-len(prefix))
	}
	return nil
}
