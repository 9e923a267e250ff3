package quic

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"github.com/mslgo/msl/transport"
)

const (
	// attemptDelay is the head start of each address over the next (RFC 8305
	// section 5).
	attemptDelay = 250 * time.Millisecond
	maxAddresses = 4 // of a name that are tried
)

// Dial implements [transport.Transport]. The addresses of a name race. opts is
// not looked at. The listener hears of the connection with the first bytes that
// are written to it, for which it waits 10 s.
func (Transport) Dial(ctx context.Context, u *url.URL, _ *transport.Options) (transport.Conn, error) {
	if err := checkURL(u); err != nil {
		return nil, err
	}
	addrs, err := resolve(ctx, u)
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	s := newSocket(udp)
	defer s.release()
	qc, err := s.race(ctx, addrs)
	if err != nil {
		return nil, err
	}
	stream, err := qc.OpenStream()
	if err != nil {
		qc.CloseWithError(codeRefused, "no stream")
		return nil, err
	}
	return newConn(s, qc, stream, u.String(), true), nil
}

func resolve(ctx context.Context, u *url.URL) ([]netip.AddrPort, error) {
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", u.Port())
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.AddrPort, 0, maxAddresses)
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs, nil
}

// race gives the first connection that is made, and ends the other attempts.
func (s *socket) race(ctx context.Context, addrs []netip.AddrPort) (won *quicgo.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		qc  *quicgo.Conn
		err error
	}
	results := make(chan result)
	for i, addr := range addrs {
		go func() {
			select {
			case <-time.After(time.Duration(i) * attemptDelay):
			case <-ctx.Done():
				results <- result{nil, ctx.Err()}
				return
			}
			qc, err := s.Dial(ctx, net.UDPAddrFromAddrPort(addr), clientTLS(), config(-1))
			results <- result{qc, err}
		}()
	}
	var errs []error
	for range addrs {
		r := <-results
		switch {
		case r.err != nil:
			errs = append(errs, r.err)
		case won == nil:
			won = r.qc
			cancel()
		default:
			r.qc.CloseWithError(codeDone, "")
		}
	}
	if won == nil {
		return nil, errors.Join(errs...)
	}
	return won, nil
}
