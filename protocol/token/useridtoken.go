package token

// UserIDToken names a user, bound to a master token (spec 03 section 2).
type UserIDToken struct{}
