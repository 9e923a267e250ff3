package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"time"
)

// tlsWire is crypto/tls 1.3. The zero value is as it comes: hybrid ML-KEM,
// AES-128-GCM, and a server with an ECDSA P-256 certificate.
type tlsWire struct {
	// mutual: both sides have an Ed25519 certificate. The server takes whoever
	// proves to have a key, as this project's does here.
	mutual bool
	curves []tls.CurveID // nil: the default
}

func (tlsWire) traits() Peer { return Peer{Resumes: true} }

func (w tlsWire) listen(serve func(net.Conn)) (*Server, error) {
	config, der, err := serverTLS()
	if err != nil {
		return nil, err
	}
	config.CurvePreferences = w.curves
	if w.mutual {
		if config.Certificates, err = ed25519Certificate(); err != nil {
			return nil, err
		}
		der = config.Certificates[0].Certificate[0]
		config.ClientAuth = tls.RequireAnyClientCert
	}
	s, err := listenTCP(func(c net.Conn) { serve(tls.Server(c, config)) })
	if err == nil {
		s.Endpoint.Trust = der
	}
	return s, err
}

func (w tlsWire) dialer(e Endpoint) (func(context.Context) (net.Conn, error), error) {
	config, err := clientTLS(e)
	if err != nil {
		return nil, err
	}
	config.CurvePreferences = w.curves
	if w.mutual {
		if config.Certificates, err = ed25519Certificate(); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) (net.Conn, error) {
		c, err := dialTCP(ctx, e.Addr)
		if err != nil {
			return nil, err
		}
		t := tls.Client(c, config)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return t, nil
	}, nil
}

// certificate makes a self-signed one for the name bench.
func certificate(key crypto.Signer) ([]tls.Certificate, error) {
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{"bench"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, err
}

func ed25519Certificate() ([]tls.Certificate, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return certificate(key)
}

// serverTLS makes a fresh certificate, and a configuration with it.
func serverTLS(protos ...string) (*tls.Config, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	certs, err := certificate(key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protos, Certificates: certs}, certs[0].Certificate[0], nil
}

// clientTLS trusts the server's certificate and keeps its tickets.
func clientTLS(e Endpoint, protos ...string) (*tls.Config, error) {
	cert, err := x509.ParseCertificate(e.Trust)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         protos,
		RootCAs:            roots,
		ServerName:         "bench",
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}, nil
}
