package userauth

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/protocol/token"
)

func wantCode(t *testing.T, err error, code mslerr.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("error %v, want %v", err, code)
	}
}

func throughWire(t *testing.T, d Data) framing.Object {
	t.Helper()
	o, err := Object(d, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	b, err := framing.JSON.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if o, err = framing.Decode(b); err != nil {
		t.Fatal(err)
	}
	return o
}

var device = token.Entity{Scheme: "PSK", Identity: "DEV-1"}

// issue gives a pair of bound tokens; the master token notes the scheme, if any.
func issue(t testing.TB, keys *token.Keys, identity, scheme string, user token.User, serial int64) (*token.MasterToken, *token.UserIDToken) {
	t.Helper()
	past := time.Unix(1000000000, 0) // expired tokens count
	spec := token.MasterTokenSpec{
		RenewalWindow: past, Expiration: past.Add(time.Hour), Serial: serial, Sequence: 1, Identity: identity,
		Keys: mslcrypto.SessionKeys{Encryption: make([]byte, 16), Signature: make([]byte, 32)},
	}
	if scheme != "" {
		spec.IssuerData = framing.Object{"scheme": scheme}
	}
	mt, err := token.MintMasterToken(spec, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	uit, err := token.MintUserIDToken(token.UserIDTokenSpec{RenewalWindow: past, Expiration: past.Add(time.Hour), Serial: serial + 1, User: user}, mt, keys, framing.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return mt, uit
}

func testKeys(t testing.TB, first byte) *token.Keys {
	t.Helper()
	key := func(n int) mslcrypto.Key { return mslcrypto.Key(strings.Repeat(string(rune(first)), n)) }
	c, err := mslcrypto.NewSymmetric("keys", mslcrypto.SymmetricKeys{Encryption: key(16), Signature: key(32)})
	if err != nil {
		t.Fatal(err)
	}
	return token.NewKeys(c)
}

func TestParseOrder(t *testing.T) {
	ss := Schemes{EmailPassword{}}
	for _, c := range []struct {
		name string
		o    framing.Object
		want mslerr.Code
	}{
		{"empty", framing.Object{}, mslerr.ParseError},
		{"scheme is a number", framing.Object{"scheme": 1}, mslerr.ParseError},
		{"unknown", framing.Object{"scheme": "SSO"}, mslerr.UnidentifiedUserAuthScheme},
		{"not enabled, before missing authdata", framing.Object{"scheme": "USER_ID_TOKEN"}, mslerr.UserAuthFactoryNotFound},
		{"missing authdata", framing.Object{"scheme": "EMAIL_PASSWORD"}, mslerr.ParseError},
		{"authdata is text", framing.Object{"scheme": "EMAIL_PASSWORD", "authdata": "x"}, mslerr.ParseError},
		{"no password", framing.Object{"scheme": "EMAIL_PASSWORD", "authdata": framing.Object{"email": "a"}}, mslerr.ParseError},
		{"no email", framing.Object{"scheme": "EMAIL_PASSWORD", "authdata": framing.Object{"password": "a"}}, mslerr.ParseError},
		{"password is a number", framing.Object{"scheme": "EMAIL_PASSWORD", "authdata": framing.Object{"email": "a", "password": 5}}, mslerr.ParseError},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ss.Parse(c.o)
			wantCode(t, err, c.want)
		})
	}
}

func TestEmailPassword(t *testing.T) {
	keys := testKeys(t, 'k')
	_, mine := issue(t, keys, "DEV-1", "PSK", "1001", 1)
	_, others := issue(t, keys, "DEV-1", "PSK", "1002", 3)
	var asked string
	s := EmailPassword{Check: func(_ context.Context, email, password string) (token.User, error) {
		asked = email + "|" + password
		switch password {
		case "right":
			return "1001", nil
		case "nobody":
			return "", nil
		case "down":
			return "", mslerr.New(mslerr.InternalException, "store is down")
		}
		return "", errors.New("wrong")
	}}
	deny := Policy{
		PermittedEntity: func(_ context.Context, e token.Entity, scheme string) bool {
			return e != device || scheme != "EMAIL_PASSWORD"
		},
	}
	denyUser := Policy{
		PermittedUser: func(_ context.Context, _ token.Entity, u token.User, scheme string) bool {
			return u != "1001" || scheme != "EMAIL_PASSWORD"
		},
	}
	for _, c := range []struct {
		name            string
		email, password string
		accompanying    *token.UserIDToken
		p               Policy
		asked           string
		want            mslerr.Code // -1: success
	}{
		{"right", "a@b", "right", nil, Policy{}, "a@b|right", -1},
		{"trimmed like Java", "\t a@b\x00\r\n", " \x1fright\x00", nil, Policy{}, "a@b|right", -1},
		{"other spaces stay", "\u00a0a@b\u2003", "right", nil, Policy{}, "\u00a0a@b\u2003|right", -1},
		{"same user", "a@b", "right", mine, Policy{}, "a@b|right", -1},
		{"blank email", " ", "right", nil, Policy{}, "", mslerr.EmailPasswordBlank},
		{"blank password", "a@b", "\t", nil, Policy{}, "", mslerr.EmailPasswordBlank},
		{"wrong", "a@b", "wrong", others, denyUser, "a@b|wrong", mslerr.EmailPasswordIncorrect},
		{"empty user", "a@b", "nobody", nil, Policy{}, "a@b|nobody", mslerr.EmailPasswordIncorrect},
		{"store down", "a@b", "down", nil, Policy{}, "a@b|down", mslerr.InternalException},
		{"entity before blank", " ", " ", nil, deny, "", mslerr.UserAuthEntityIncorrectData},
		{"user before token", "a@b", "right", others, denyUser, "a@b|right", mslerr.UserAuthEntityUserIncorrectData},
		{"other user", "a@b", "right", others, Policy{}, "a@b|right", mslerr.UserIDTokenUserAuthDataMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked = ""
			d, scheme, err := Schemes{s}.Parse(framing.Object{"scheme": "EMAIL_PASSWORD", "authdata": framing.Object{"email": c.email, "password": c.password}})
			if err != nil {
				t.Fatal(err)
			}
			user, err := scheme.Authenticate(t.Context(), device, d, c.accompanying, c.p)
			if asked != c.asked {
				t.Errorf("asked %q", asked)
			}
			if c.want >= 0 {
				wantCode(t, err, c.want)
				if user != "" {
					t.Errorf("user %q with an error", user)
				}
			} else if err != nil || user != "1001" {
				t.Errorf("user %q, %v", user, err)
			}
		})
	}
	d := NewEmailPasswordData(" a@b ", "\tright ")
	o := throughWire(t, d)
	if want := (framing.Object{"email": "a@b", "password": "right"}); !reflect.DeepEqual(o["authdata"], want) {
		t.Errorf("sent %v", o)
	}
	if s := fmt.Sprintf("%v %+v %#v", d, d, d); s != "[redacted] [redacted] [redacted]" {
		t.Errorf("printed as %s", s)
	}
	_, err := EmailPassword{}.Authenticate(t.Context(), device, d, nil, Policy{})
	wantCode(t, err, mslerr.EmailPasswordIncorrect)
	_, err = s.Authenticate(t.Context(), device, UserIDTokenData{}, nil, Policy{})
	wantCode(t, err, mslerr.InternalException)
	_, err = UserIDToken{}.Authenticate(t.Context(), device, d, nil, Policy{})
	wantCode(t, err, mslerr.InternalException)
}

func TestUserIDToken(t *testing.T) {
	keys := testKeys(t, 'k')
	mt, uit := issue(t, keys, "DEV-1", "PSK", "1001", 1)
	classic, classicUser := issue(t, keys, "DEV-1", "", "1001", 11)
	weak, weakUser := issue(t, keys, "DEV-1", "NONE", "1001", 21)
	other, otherUser := issue(t, keys, "DEV-2", "PSK", "1001", 31)
	_, mine := issue(t, keys, "DEV-1", "PSK", "1001", 41)
	_, others := issue(t, keys, "DEV-1", "PSK", "1002", 51)
	strangers := testKeys(t, 'x')
	foreign, foreignUser := issue(t, strangers, "DEV-1", "PSK", "1001", 1)

	deny := Policy{PermittedEntity: func(context.Context, token.Entity, string) bool { return false }}
	denyUser := Policy{PermittedUser: func(context.Context, token.Entity, token.User, string) bool { return false }}
	revoked := func(err error) func(context.Context, *token.MasterToken, *token.UserIDToken) error {
		return func(context.Context, *token.MasterToken, *token.UserIDToken) error { return err }
	}
	for _, c := range []struct {
		name         string
		mt           *token.MasterToken
		uit          *token.UserIDToken
		entity       token.Entity
		accompanying *token.UserIDToken
		p            Policy
		revoked      error
		want         mslerr.Code // -1: success
	}{
		{"good, though expired", mt, uit, device, nil, Policy{}, nil, -1},
		{"no scheme noted", classic, classicUser, device, nil, Policy{}, nil, -1},
		{"sender's scheme unknown", mt, uit, token.Entity{Identity: "DEV-1"}, nil, Policy{}, nil, -1},
		{"same user", mt, uit, device, mine, Policy{}, nil, -1},
		{"entity not permitted comes first", foreign, foreignUser, device, nil, deny, nil, mslerr.UserAuthEntityIncorrectData},
		{"foreign master token", foreign, foreignUser, device, nil, Policy{}, nil, mslerr.UserAuthMasterTokenNotDecrypted},
		{"another entity's", other, otherUser, device, nil, Policy{}, nil, mslerr.UserAuthEntityMismatch},
		{"of a weaker scheme", weak, weakUser, device, nil, Policy{}, nil, mslerr.UserAuthEntityMismatch},
		{"user not permitted", mt, uit, device, others, denyUser, errors.New("x"), mslerr.UserAuthEntityUserIncorrectData},
		{"not known whether revoked", mt, uit, device, others, Policy{}, errors.New("down"), mslerr.UserAuthUserIDTokenRevokeCheckError},
		{"revoked", mt, uit, device, others, Policy{}, mslerr.New(mslerr.UserIDTokenRevoked, "stolen"), mslerr.UserIDTokenRevoked},
		{"other user", mt, uit, device, others, Policy{}, nil, mslerr.UserIDTokenUserAuthDataMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent, err := NewUserIDTokenData(c.mt, c.uit)
			if err != nil {
				t.Fatal(err)
			}
			o := throughWire(t, sent)
			s := UserIDToken{Keys: keys, Revoked: revoked(c.revoked)}
			d, _, err := Schemes{s}.Parse(o)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(throughWire(t, d), o) {
				t.Error("the tokens change when sent on")
			}
			user, err := s.Authenticate(t.Context(), c.entity, d, c.accompanying, c.p)
			if c.want >= 0 {
				wantCode(t, err, c.want)
			} else if err != nil || user != "1001" {
				t.Errorf("user %q, %v", user, err)
			}
		})
	}

	// A foreign user ID token beside our own master token.
	s := UserIDToken{Keys: keys}
	mixed, err := s.Parse(framing.Object{"mastertoken": mt.Object(), "useridtoken": foreignUser.Object()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Authenticate(t.Context(), device, mixed, nil, Policy{})
	wantCode(t, err, mslerr.UserAuthUserIDTokenNotDecrypted)

	_, err = NewUserIDTokenData(mt, otherUser)
	wantCode(t, err, mslerr.InternalException)
	for _, c := range []struct {
		name string
		o    framing.Object
		want mslerr.Code
	}{
		{"no master token", framing.Object{"useridtoken": uit.Object()}, mslerr.ParseError},
		{"no user ID token", framing.Object{"mastertoken": mt.Object()}, mslerr.ParseError},
		{"text", framing.Object{"mastertoken": mt.Object(), "useridtoken": "x"}, mslerr.ParseError},
		{"bad master token", framing.Object{"mastertoken": framing.Object{}, "useridtoken": uit.Object()}, mslerr.UserAuthMasterTokenInvalid},
		{"bad user ID token", framing.Object{"mastertoken": mt.Object(), "useridtoken": framing.Object{}}, mslerr.UserAuthUserIDTokenInvalid},
		{"not bound", framing.Object{"mastertoken": mt.Object(), "useridtoken": otherUser.Object()}, mslerr.UserAuthUserIDTokenInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Parse(c.o)
			var e *mslerr.Error
			if !errors.As(err, &e) || e.Code != c.want {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestPasswords(t *testing.T) {
	hash := HashPassword("s3cret")
	if hash == HashPassword("s3cret") {
		t.Error("no salt")
	}
	for password, want := range map[string]bool{"s3cret": true, "s3creT": false, "": false} {
		if ok, err := VerifyPassword(hash, password); err != nil || ok != want {
			t.Errorf("%q: %v, %v", password, ok, err)
		}
	}
	for _, bad := range []string{
		"", "s3cret", "$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=18$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=9999999,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=0,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=1,p=300$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=1,p=1$AA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AA",
		"$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$*",
		"$argon2id$v=19$x$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		if ok, err := VerifyPassword(bad, "s3cret"); err == nil || ok {
			t.Errorf("%q is a hash: %v", bad, ok)
		}
	}

	missing := errors.New("no such account")
	store := &Passwords{Account: func(_ context.Context, email string) (Account, error) {
		if email != "a@b" {
			return Account{}, missing
		}
		return Account{User: "1001", Hash: hash}, nil
	}, Parallel: 1}
	s := EmailPassword{Check: store.Check}
	user, err := s.Authenticate(t.Context(), device, NewEmailPasswordData("a@b", " s3cret"), nil, Policy{})
	if err != nil || user != "1001" {
		t.Errorf("%q, %v", user, err)
	}
	for _, d := range []EmailPasswordData{NewEmailPasswordData("a@b", "x"), NewEmailPasswordData("c@d", "s3cret")} {
		_, err = s.Authenticate(t.Context(), device, d, nil, Policy{})
		wantCode(t, err, mslerr.EmailPasswordIncorrect)
	}
	if _, err := store.Check(t.Context(), "c@d", "x"); err != missing {
		t.Errorf("error %v", err)
	}
	// Who waits for a slot ends with its context.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store.slots <- struct{}{}
	_, err = s.Authenticate(ctx, device, NewEmailPasswordData("a@b", "s3cret"), nil, Policy{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSources(t *testing.T) {
	d := NewEmailPasswordData("a", "b")
	got, err := Static(d).Credentials(t.Context(), nil)
	if err != nil || got != Data(d) {
		t.Errorf("%v, %v", got, err)
	}
	rejected := mslerr.New(mslerr.EmailPasswordIncorrect, "x")
	if _, err = Static(d).Credentials(t.Context(), rejected); err != error(rejected) {
		t.Errorf("error %v", err)
	}
	var asked error
	f := Func(func(_ context.Context, rejected error) (Data, error) {
		asked = rejected
		return d, nil
	})
	if _, err := f.Credentials(t.Context(), rejected); err != nil || asked != error(rejected) {
		t.Errorf("asked with %v, %v", asked, err)
	}
}

func TestPolicyEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := Policy{
		PermittedEntity: func(context.Context, token.Entity, string) bool { return false },
		PermittedUser:   func(context.Context, token.Entity, token.User, string) bool { return false },
	}
	if err := p.CheckEntity(ctx, device, "X"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := p.CheckUser(ctx, device, "u", "X"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	keys := testKeys(f, 'k')
	mt, uit := issue(f, keys, "DEV-1", "PSK", "1001", 1)
	d, err := NewUserIDTokenData(mt, uit)
	if err != nil {
		f.Fatal(err)
	}
	o, err := Object(d, framing.JSON)
	if err != nil {
		f.Fatal(err)
	}
	seed, err := framing.JSON.Append(nil, o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"scheme":"EMAIL_PASSWORD","authdata":{"email":"a@example.com","password":"s3cret"}}`))
	ss := Schemes{EmailPassword{}, UserIDToken{Keys: keys}}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := framing.JSON.Parse(b)
		if err != nil {
			return
		}
		d, s, err := ss.Parse(o)
		var e *mslerr.Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Errorf("error without a code: %v", err)
		case err == nil:
			if _, _, err := ss.Parse(throughWire(t, d)); err != nil {
				t.Errorf("%s cannot be read again: %v", s.Name(), err)
			}
		}
	})
}

func FuzzVerifyPassword(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, hash string) {
		if strings.Contains(hash, "m=") && !strings.Contains(hash, "m=8,t=1,p=1$") {
			return // costs too much
		}
		if ok, _ := VerifyPassword(hash, "x"); ok {
			t.Errorf("%q is of x", hash)
		}
	})
}
