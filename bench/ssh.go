package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net"

	"golang.org/x/crypto/ssh"
)

// sshPeer is x/crypto/ssh: one channel for each stream, both sides with an
// Ed25519 key.
func sshPeer() *Peer {
	return &Peer{
		Name:        "x/crypto/ssh",
		Multiplexes: true,
		Holds:       true,
		Listen: func(handle func(Stream)) (*Server, error) {
			signer, err := sshSigner()
			if err != nil {
				return nil, err
			}
			config := &ssh.ServerConfig{
				// Whoever proves to have a key is let in.
				PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil },
			}
			config.AddHostKey(signer)
			s, err := listenTCP(func(c net.Conn) { _ = serveSSH(config, c, handle) })
			if err == nil {
				s.Endpoint.Trust = signer.PublicKey().Marshal()
			}
			return s, err
		},
		Dialer: func(e Endpoint) (Dialer, error) {
			signer, err := sshSigner()
			if err != nil {
				return nil, err
			}
			host, err := ssh.ParsePublicKey(e.Trust)
			config := &ssh.ClientConfig{
				User:            "bench",
				Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
				HostKeyCallback: ssh.FixedHostKey(host),
			}
			return func(ctx context.Context) (Session, error) { return dialSSH(ctx, config, e) }, err
		},
	}
}

func sshSigner() (ssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

func serveSSH(config *ssh.ServerConfig, c net.Conn, handle func(Stream)) error {
	s, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return err
	}
	defer s.Close()
	go ssh.DiscardRequests(requests)
	next := func() (ssh.NewChannel, error) {
		n, ok := <-channels
		if !ok {
			return nil, errClosed
		}
		return n, nil
	}
	return accept(next, func(n ssh.NewChannel) {
		ch, requests, err := n.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		handle(ch)
	})
}

func dialSSH(ctx context.Context, config *ssh.ClientConfig, e Endpoint) (Session, error) {
	c, err := dialTCP(ctx, e.Addr)
	if err != nil {
		return nil, err
	}
	s, channels, requests, err := ssh.NewClientConn(c, e.Addr, config)
	if err != nil {
		c.Close()
		return nil, err
	}
	client := ssh.NewClient(s, channels, requests)
	open := func(context.Context) (Stream, error) {
		ch, requests, err := client.OpenChannel("bench", nil)
		if err != nil {
			return nil, err
		}
		go ssh.DiscardRequests(requests)
		return ch, nil
	}
	return streamSession{open, client.Close}, nil
}
