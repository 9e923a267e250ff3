package token

// ServiceToken carries data of a service, perhaps bound to an entity or a user
// (spec 03 section 4).
type ServiceToken struct{}
