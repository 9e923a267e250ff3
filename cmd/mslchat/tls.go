package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// certificate is what listening on wss:// needs; nil without files.
func certificate(cert, key string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{c}}, nil
}

// authorities trusts, for wss://, those whose certificates are in a file; nil
// without one, which trusts whom the system does.
func authorities(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", file)
	}
	return &tls.Config{RootCAs: roots}, nil
}
