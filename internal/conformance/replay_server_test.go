package conformance

import (
	"bytes"
	"errors"
	"io"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/session/classic"
	"github.com/mslgo/msl/store"
	"github.com/mslgo/msl/transport"
)

// serve runs our server on what the recorded client sent, in order, with the
// recorded server's keys, clock, store and application.
func (p *replay) serve() error {
	self, err := p.serverSelf()
	if err != nil {
		return err
	}
	own := func() []recorded { return p.current.toClient }
	holder := store.NewMemory().Holder("client")
	var party *classic.Party
	keys := ""
	for i := range p.connections {
		p.current, p.wire = &p.connections[i], nil
		if now := p.serverKeys(i); party == nil || now != keys {
			keys = now
			party = &classic.Party{Network: p.network(self, keys, own)}
			if p.equals {
				party.Holder, party.Expected = holder, expected(p.clientSelf())
			}
		}
		p.current = &p.connections[i]
		p.wire = new(written)
		err := p.serveConn(party, &recording{Reader: bytes.NewReader(p.current.raw.ToServer), to: p.wire})
		if why, ok := errors.AsType[errUnopened](err); ok {
			return why
		}
		if err != nil && !errors.Is(err, io.EOF) {
			p.differ("serving: %v", err)
		}
		p.compare(p.current.toClient, p.current.toServer)
	}
	return nil
}

// serveConn serves a connection to its end as an application that echoes.
func (p *replay) serveConn(party *classic.Party, e transport.Exchange) error {
	ctx := p.t.Context()
	conn := classic.NewConn(e, nil, p.equals)
	for {
		err := p.serveOne(party, conn)
		// What was refused, was answered: what follows may be good.
		if _, refused := errors.AsType[*mslerr.Error](err); err != nil && !refused || ctx.Err() != nil {
			return err
		}
	}
}

func (p *replay) serveOne(party *classic.Party, conn *classic.Conn) error {
	ctx := p.t.Context()
	in, err := party.Accept(ctx, conn, nil)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(in)
	if err == nil {
		err = p.refusal(p.current.toClient, applicationCodes...)
	}
	if err != nil {
		return in.Reject(ctx, err)
	}
	answer := classic.Message{Body: newBody(p.answerTo(data)), ServiceTokens: p.serviceTokens(p.current.toClient)}
	if m := p.next(p.current.toClient); m != nil && m.sight != nil && m.header != nil && m.body {
		answer.InsecurePlaintext = !m.header.PayloadEncrypted
		answer.InsecureUnprotected = !m.header.PayloadProtected
	}
	return in.Respond(ctx, answer)
}

// answerTo is what the application answers: what it did, or an echo.
func (p *replay) answerTo(data []byte) []byte {
	for i := p.wire.messages(); i < len(p.current.toClient); i++ {
		if m := p.current.toClient[i]; m.sight != nil && m.body {
			return m.data
		}
	}
	return data
}

// serverSelf is the server's entity authentication data.
func (p *replay) serverSelf() (entityauth.Data, error) {
	for _, c := range p.connections {
		for _, m := range c.toClient {
			if m.sight == nil {
				continue
			}
			if m.err != nil {
				return m.err.EntityAuth, nil
			}
			if m.header.EntityAuth != nil {
				return m.header.EntityAuth, nil
			}
		}
	}
	e, ok := p.k.Entities["RSA server"]
	if !ok {
		return nil, errors.New("nobody knows who the server is")
	}
	return entityauth.NewRSAData(e.Identity, e.PubKeyID), nil
}

// serverKeys names the token keys that the server had at a connection: those of the
// token that it issued there or, while it is refusing, next; else those of the
// tokens that it accepted.
func (p *replay) serverKeys(at int) string {
	for _, c := range p.connections[at:] {
		for _, m := range c.toClient {
			if m.issuer != "" {
				return m.issuer
			}
			if m.sight != nil && m.err != nil {
				continue
			}
			for _, q := range c.toServer {
				if q.under != "" {
					return q.under
				}
			}
		}
	}
	for i := at - 1; i >= 0; i-- {
		for _, m := range p.connections[i].toClient {
			if m.issuer != "" {
				return m.issuer
			}
		}
	}
	return "msl.server"
}
