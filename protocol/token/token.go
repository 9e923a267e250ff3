// Package token has master tokens, user ID tokens and service tokens (spec 03),
// and the two interfaces a store implements: [Holder], for who was given
// tokens, and [Issuer], for who gives them out.
package token

// Entity is who a token names or who issued it: the authentication scheme and
// the identity, always both, since the same name under a weaker scheme is
// somebody else (channel set-up, X1).
type Entity struct {
	Scheme   string
	Identity string
}

// User is a user as it stands in a user ID token: an opaque, non-empty string
// that the application can turn back into its user.
type User string
