package session

import (
	"slices"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/protocol/message"
)

// Sentinel is the "channel" member that a responder puts into every response
// with key exchange outside a channel: it shows that a channel was possible, so
// that nobody can make its initiators fall back to classic MSL (X12). A service
// begins with it when all its servers speak the channel.
func Sentinel() framing.Object { return framing.Object{"versions": framing.Array{int64(version)}} }

// requestSpec is the request's header. First contact carries no data, so that a
// classic peer answers at once.
func (s *initiator) requestSpec(renew bool) message.HeaderSpec {
	spec := message.HeaderSpec{
		Under:        s.held,
		Renewable:    s.held == nil || renew,
		Handshake:    s.held == nil,
		Capabilities: s.network.Capabilities(),
		KeyRequests:  s.offers,
		Channel:      s.request.object(),
	}
	if s.held != nil && s.held.From.CBOR {
		// No Base64 inside Base64: about half the bytes.
		spec.Format, _ = framing.ByName("CBOR")
	}
	return spec
}

// announcesCBOR says whether the sender of h reads CBOR.
func announcesCBOR(h *message.Header) bool {
	return h.Capabilities != nil &&
		slices.ContainsFunc(h.Capabilities.Formats, func(f framing.Format) bool { return f.Name() == "CBOR" })
}

// now is the network's time.
func now(n *message.Network) time.Time {
	if n.Clock != nil {
		return n.Clock()
	}
	return time.Now()
}
