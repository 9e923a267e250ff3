package userauth

import (
	"context"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

const userIDTokenName = "USER_ID_TOKEN"

// UserIDToken is the scheme of users who were authenticated before, and show the
// pair of tokens they got (spec 06 section 3). Expired tokens count. It should be
// permitted only for entities with strong authentication: elsewhere stolen tokens
// make a user.
type UserIDToken struct {
	// Keys are our own token keys.
	Keys *token.Keys
	// Revoked returns nil, or the error the user is to see; a plain error means
	// that the question could not be answered, and becomes
	// mslerr.UserAuthUserIDTokenRevokeCheckError. Nil: nothing is revoked.
	Revoked func(ctx context.Context, mt *token.MasterToken, uit *token.UserIDToken) error
}

// Name is "USER_ID_TOKEN".
func (UserIDToken) Name() string { return userIDTokenName }

// UserIDTokenData is a user ID token and the master token it is bound to.
type UserIDTokenData struct {
	mt  *token.MasterToken
	uit *token.UserIDToken
}

// NewUserIDTokenData makes credentials: mslerr.InternalException if the tokens
// are not bound.
func NewUserIDTokenData(mt *token.MasterToken, uit *token.UserIDToken) (UserIDTokenData, error) {
	if !uit.BoundTo(mt) {
		return UserIDTokenData{}, mslerr.New(mslerr.InternalException, "the user ID token is not bound to the master token")
	}
	return UserIDTokenData{mt, uit}, nil
}

// Scheme is "USER_ID_TOKEN".
func (UserIDTokenData) Scheme() string { return userIDTokenName }

// AuthData is {"mastertoken": object, "useridtoken": object}, both as received.
func (d UserIDTokenData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"mastertoken": d.mt.Object(), "useridtoken": d.uit.Object()}, nil
}

// Parse reads {"mastertoken": object, "useridtoken": object}. Whatever is wrong
// with the tokens is mslerr.UserAuthMasterTokenInvalid or
// mslerr.UserAuthUserIDTokenInvalid.
func (s UserIDToken) Parse(authdata framing.Object) (Data, error) {
	mtObject, err := member[framing.Object](authdata, "mastertoken")
	if err != nil {
		return nil, err
	}
	uitObject, err := member[framing.Object](authdata, "useridtoken")
	if err != nil {
		return nil, err
	}
	mt, err := token.ParseMasterToken(mtObject, s.Keys)
	if err != nil {
		return nil, &mslerr.Error{Code: mslerr.UserAuthMasterTokenInvalid, Err: err}
	}
	uit, err := token.ParseUserIDToken(uitObject, mt, s.Keys)
	if err != nil {
		return nil, &mslerr.Error{Code: mslerr.UserAuthUserIDTokenInvalid, Err: err}
	}
	return UserIDTokenData{mt, uit}, nil
}

// Authenticate takes the user out of the token. Errors, in this order:
// mslerr.UserAuthEntityIncorrectData, mslerr.UserAuthMasterTokenNotDecrypted,
// mslerr.UserAuthEntityMismatch, mslerr.UserAuthUserIDTokenNotDecrypted,
// mslerr.UserAuthEntityUserIncorrectData,
// mslerr.UserAuthUserIDTokenRevokeCheckError or that of Revoked,
// mslerr.UserIDTokenUserAuthDataMismatch.
func (s UserIDToken) Authenticate(ctx context.Context, entity token.Entity, d Data, accompanying *token.UserIDToken, p Policy) (token.User, error) {
	pair, ok := d.(UserIDTokenData)
	if !ok {
		return "", wrongData(userIDTokenName, d)
	}
	if err := p.CheckEntity(ctx, entity, userIDTokenName); err != nil {
		return "", err
	}
	if !pair.mt.Verified() {
		return "", mslerr.New(mslerr.UserAuthMasterTokenNotDecrypted, "not one of ours")
	}
	if pair.mt.Identity() != entity.Identity || otherClass(pair.mt, entity) {
		return "", mslerr.New(mslerr.UserAuthEntityMismatch, "the master token names another entity")
	}
	if !pair.uit.Verified() {
		return "", mslerr.New(mslerr.UserAuthUserIDTokenNotDecrypted, "not one of ours")
	}
	user := pair.uit.User()
	if err := p.CheckUser(ctx, entity, user, userIDTokenName); err != nil {
		return "", err
	}
	if s.Revoked != nil {
		if err := s.Revoked(ctx, pair.mt, pair.uit); err != nil {
			return "", lookupError(ctx, mslerr.UserAuthUserIDTokenRevokeCheckError, err)
		}
	}
	if err := CheckAccompanying(accompanying, user); err != nil {
		return "", err
	}
	return user, nil
}

// otherClass says that the entity had authenticated by another scheme when the
// token was issued: the same name under a weaker scheme is somebody else (channel
// set-up, X1). Tokens of other stacks do not note the scheme.
func otherClass(mt *token.MasterToken, entity token.Entity) bool {
	scheme, noted, err := framing.Opt[string](mt.IssuerData(), "scheme")
	return err == nil && noted && entity.Scheme != "" && scheme != entity.Scheme
}
