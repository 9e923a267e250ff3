package session

import (
	"context"
	"fmt"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
	"github.com/mslgo/msl/session/frame"
)

// An AUTH frame proves, in the first record of a direction of a resumed set-up,
// that its sender has the entity's signing key: session keys are known to every
// server of the network (channel set-up 4.5, X11).
//
//	AUTH(L(entityauthdata), L(signature over label || th))

// schemeOf is the scheme of that name among those we use.
func schemeOf(n *message.Network, name string) (entityauth.Scheme, bool) {
	if n.SelfScheme != nil && n.SelfScheme.Name() == name {
		return n.SelfScheme, true
	}
	return n.EntityAuth.ByName(name)
}

// signs says whether entities of a scheme have a signing key: the scheme
// protects a header that everybody can read.
func signs(n *message.Network, name string) bool {
	s, ok := schemeOf(n, name)
	return ok && s.Protects() && !s.Encrypts()
}

// makeAuth makes our own frame.
func makeAuth(ctx context.Context, n *message.Network, label string, th digest) ([]byte, error) {
	data, signature, err := sign(ctx, n, label, th)
	if err != nil {
		return nil, err
	}
	return frame.AppendAuth(nil, data, signature), nil
}

// sign signs label || th with our own key, and gives the entity authentication
// data that goes with it.
func sign(ctx context.Context, n *message.Network, label string, th digest) (data, signature []byte, err error) {
	scheme, ok := schemeOf(n, n.Self.Scheme())
	if !ok {
		return nil, nil, mslerr.New(mslerr.EntityAuthFactoryNotFound, "%s", n.Self.Scheme())
	}
	c, err := scheme.Context(ctx, n.Self, entityauth.Policy{})
	if err != nil {
		return nil, nil, err
	}
	if signature, err = c.Sign(authText(label, th), framing.JSON); err != nil {
		return nil, nil, err
	}
	o, err := entityauth.Object(n.Self, framing.JSON)
	if err != nil {
		return nil, nil, err
	}
	data, err = framing.JSON.Append(nil, o)
	return data, signature, err
}

// verifyAuth checks a frame of the other side: it must be of the entity want,
// which may not be revoked, and signed.
func verifyAuth(ctx context.Context, n *message.Network, label string, th digest, want token.Entity) func(data, signature []byte) error {
	ctx = context.WithoutCancel(ctx)
	return func(data, signature []byte) error {
		return verifySignature(ctx, n, label, th, want, data, signature)
	}
}

// verifySignature checks what sign made.
func verifySignature(ctx context.Context, n *message.Network, label string, th digest, want token.Entity, data, signature []byte) error {
	o, err := framing.Decode(data)
	if err != nil {
		return err
	}
	d, scheme, err := n.EntityAuth.Parse(o)
	if err != nil {
		return err
	}
	if entityauth.EntityOf(d) != want {
		return fmt.Errorf("%w: signed by another entity", ErrAuth)
	}
	c, err := scheme.Context(ctx, d, n.EntityPolicy)
	if err != nil {
		return err
	}
	ok, err := c.Verify(authText(label, th), signature)
	if err == nil && !ok {
		err = fmt.Errorf("%w: the signature does not verify", ErrAuth)
	}
	return err
}
