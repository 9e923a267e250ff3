package classic

import (
	"slices"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
)

// Binding says with which tokens a service token lives and dies.
type Binding uint8

const (
	Unbound       Binding = iota
	ToMasterToken         // to the entity's session
	ToUser                // to its user's login too
)

// A ServiceToken is data of the application that travels with each message
// (spec 09 section 13).
type ServiceToken struct {
	Name    string
	Binding Binding
	Data    []byte // empty: the receiver is to delete the token

	// InsecurePlaintext leaves the data readable for everybody who sees the token.
	InsecurePlaintext bool
	Compression       string // GZIP or LZW; "": none
}

// ServiceTokens are those of one message. They can be changed until it is sealed.
type ServiceTokens struct {
	network *message.Network
	set     *message.Tokens
	mt      *token.MasterToken // that they are bound to
	format  framing.Format
}

// serviceTokens gives the set of the message that the application may change: in
// an answer that of its receiver, who stores it; in a request our own.
func (x *exchange) serviceTokens() *ServiceTokens {
	s := &x.out.spec
	t := &ServiceTokens{network: x.network, set: &s.Tokens, mt: x.out.masterToken(), format: s.Format}
	if t.format == nil {
		t.format = framing.JSON
	}
	if x.network.PeerToPeer && x.incoming != nil {
		t.set, t.mt = &s.Peer, s.PeerMT
	}
	if s.KeyResponse != nil && x.incoming != nil {
		t.mt = s.KeyResponse.Token
	}
	return t
}

// All are the tokens as they are to be sent.
func (t *ServiceTokens) All() []*token.ServiceToken { return slices.Clone(t.set.Service) }

// Put adds a token in place of the one with its name and binding (13.2). There
// must be what it is bound to: mslerr.ServiceTokenMasterTokenMismatch,
// mslerr.ServiceTokenUserIDTokenMismatch; and a context for its name.
func (t *ServiceTokens) Put(s ServiceToken) error {
	spec := token.ServiceTokenSpec{
		Name: s.Name, Data: s.Data, Encrypt: !s.InsecurePlaintext, Compression: s.Compression,
	}
	if s.Binding != Unbound {
		if spec.MasterToken = t.mt; t.mt == nil {
			return mslerr.New(mslerr.ServiceTokenMasterTokenMismatch, "no master token to bind %.64q to", s.Name)
		}
	}
	if s.Binding == ToUser {
		if spec.UserIDToken = t.set.UserID; spec.UserIDToken == nil {
			return mslerr.New(mslerr.ServiceTokenUserIDTokenMismatch, "no user ID token to bind %.64q to", s.Name)
		}
	}
	made, err := token.MintServiceToken(spec, t.network.ServiceContexts, t.format)
	if err != nil {
		return err
	}
	t.set.Service = message.ReplaceServiceTokens(t.set.Service, made)
	return nil
}

// Delete has the receiver delete its copy of a token.
func (t *ServiceTokens) Delete(name string, b Binding) error {
	return t.Put(ServiceToken{Name: name, Binding: b})
}

// Exclude leaves a token out of the message; who has it keeps it.
func (t *ServiceTokens) Exclude(name string, b Binding) {
	t.set.Service = slices.DeleteFunc(slices.Clone(t.set.Service), func(s *token.ServiceToken) bool {
		return s.Name == name && bindingOf(s) == b
	})
}

func bindingOf(s *token.ServiceToken) Binding {
	switch {
	case s.UserIDTokenSerial != -1:
		return ToUser
	case s.MasterTokenSerial != -1:
		return ToMasterToken
	}
	return Unbound
}
