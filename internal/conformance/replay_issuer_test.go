package conformance

import (
	"context"
	"time"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/message"
	"github.com/mslgo/msl/protocol/token"
)

type mslCode mslerr.Code

func (c mslCode) wire() int64  { return int64(c) + mslerr.WireOffset }
func (c mslCode) error() error { return mslerr.New(mslerr.Code(c), "as it was recorded") }

// What is decided outside of the protocol is taken from the recorded answer.
var (
	entityCodes      = []mslCode{mslCode(mslerr.EntityRevoked)}
	issuerCodes      = []mslCode{mslCode(mslerr.MasterTokenIdentityRevoked), mslCode(mslerr.UserIDTokenRevoked)}
	applicationCodes = []mslCode{
		mslCode(mslerr.MasterTokenRejectedByApp), mslCode(mslerr.UserIDTokenRejectedByApp),
		mslCode(mslerr.EntityRejectedByApp), mslCode(mslerr.UserRejectedByApp),
	}
)

// replayIssuer numbers tokens as the recorded issuer did.
type replayIssuer struct {
	p       *replay
	own     func() []recorded
	largest map[int64]*issuerState
}

type issuerState = issuer

// made is the token that was issued with the message to come.
func (i *replayIssuer) made() *token.MasterToken {
	m := i.p.next(i.own())
	if m == nil || m.sight == nil || m.header == nil || m.header.KeyResponse == nil {
		return nil
	}
	return m.header.KeyResponse.Token
}

func (i *replayIssuer) Create(context.Context, token.Entity) (serial, sequence int64, err error) {
	if mt := i.made(); mt != nil {
		return mt.Serial, mt.Sequence, nil
	}
	return message.RandomID(), 1, nil
}

func (*replayIssuer) Renewable(context.Context, token.Entity, int64, int64) error { return nil }

func (i *replayIssuer) Renew(_ context.Context, _ token.Entity, _, sequence int64) (int64, error) {
	return message.NextID(sequence), nil
}

func (*replayIssuer) Confirm(context.Context, token.Entity, int64, int64) error { return nil }

func (i *replayIssuer) AcceptNonReplayable(ctx context.Context, service string, e token.Entity, serial, id int64) error {
	if i.largest[serial] == nil {
		i.largest[serial] = new(issuerState)
	}
	return i.largest[serial].AcceptNonReplayable(ctx, service, e, serial, id)
}

func (i *replayIssuer) Revoked(context.Context, token.Entity, int64, token.User, int64) error {
	return i.p.refusal(i.own(), issuerCodes...)
}

// lifetimes are those of the recorded tokens.
func (p *replay) lifetimes(own func() []recorded) message.Lifetimes {
	var l message.Lifetimes
	least := func(d time.Duration) time.Duration { return max(d, time.Nanosecond) } // 0 means the default
	for i := range p.connections {
		p.current = &p.connections[i]
		for _, m := range own() {
			if m.sight == nil || m.header == nil {
				continue
			}
			if q := m.header.KeyResponse; q != nil {
				l.MasterRenewal = least(q.Token.RenewalWindow.Sub(m.header.Timestamp))
				l.MasterExpiration = q.Token.Expiration.Sub(m.header.Timestamp)
			}
			for _, u := range []*token.UserIDToken{m.header.Tokens.UserID, m.header.Peer.UserID} {
				if u != nil && l.UserExpiration == 0 && u.Verified() {
					l.UserRenewal = least(u.RenewalWindow.Sub(m.header.Timestamp))
					l.UserExpiration = u.Expiration.Sub(m.header.Timestamp)
				}
			}
		}
	}
	return l
}
