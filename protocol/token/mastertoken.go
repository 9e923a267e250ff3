package token

// MasterToken names an entity and carries its session keys, readable for the
// issuer only (spec 03 section 1).
type MasterToken struct{}
