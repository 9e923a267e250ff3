package userauth

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/token"
)

const emailPasswordName = "EMAIL_PASSWORD"

// EmailPassword is the scheme of users who have a password (spec 06 section 2).
type EmailPassword struct {
	// Check says whose the pair is. Both are trimmed and not empty. A plain
	// error becomes mslerr.EmailPasswordIncorrect, whether the user or the
	// password is wrong; a store that cannot be reached returns an
	// mslerr.InternalException. [Passwords] is a good one.
	Check func(ctx context.Context, email, password string) (token.User, error)
}

// Name is "EMAIL_PASSWORD".
func (EmailPassword) Name() string { return emailPasswordName }

// EmailPasswordData is an e-mail address and a password.
type EmailPasswordData struct{ email, password string }

// NewEmailPasswordData makes credentials. They are sent trimmed, since stacks
// differ in whether they trim what they receive.
func NewEmailPasswordData(email, password string) EmailPasswordData {
	return EmailPasswordData{trim(email), trim(password)}
}

// trim removes what Java does: all characters up to U+0020, at both ends.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}

// Scheme is "EMAIL_PASSWORD".
func (EmailPasswordData) Scheme() string { return emailPasswordName }

// AuthData is {"email": string, "password": string}.
func (d EmailPasswordData) AuthData(framing.Format) (framing.Object, error) {
	return framing.Object{"email": d.email, "password": d.password}, nil
}

// Format shows nothing of the credentials, whatever the verb.
func (EmailPasswordData) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue shows nothing of the credentials.
func (EmailPasswordData) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Parse reads {"email": string, "password": string}, and trims both.
func (EmailPassword) Parse(authdata framing.Object) (Data, error) {
	email, err := member[string](authdata, "email")
	if err != nil {
		return nil, err
	}
	password, err := member[string](authdata, "password")
	if err != nil {
		return nil, err
	}
	return NewEmailPasswordData(email, password), nil
}

// Authenticate checks the pair. Errors, in this order:
// mslerr.UserAuthEntityIncorrectData, mslerr.EmailPasswordBlank,
// mslerr.EmailPasswordIncorrect, mslerr.UserAuthEntityUserIncorrectData,
// mslerr.UserIDTokenUserAuthDataMismatch.
func (s EmailPassword) Authenticate(ctx context.Context, entity token.Entity, d Data, accompanying *token.UserIDToken, p Policy) (token.User, error) {
	pair, ok := d.(EmailPasswordData)
	if !ok {
		return "", wrongData(emailPasswordName, d)
	}
	if err := p.CheckEntity(ctx, entity, emailPasswordName); err != nil {
		return "", err
	}
	if pair.email == "" || pair.password == "" {
		return "", mslerr.New(mslerr.EmailPasswordBlank, "after trimming")
	}
	if s.Check == nil {
		return "", mslerr.New(mslerr.EmailPasswordIncorrect, "no store of passwords")
	}
	user, err := s.Check(ctx, pair.email, pair.password)
	if err != nil {
		return "", lookupError(ctx, mslerr.EmailPasswordIncorrect, err)
	}
	if user == "" {
		return "", mslerr.New(mslerr.EmailPasswordIncorrect, "no user")
	}
	if err := p.CheckUser(ctx, entity, user, emailPasswordName); err != nil {
		return "", err
	}
	if err := CheckAccompanying(accompanying, user); err != nil {
		return "", err
	}
	return user, nil
}
