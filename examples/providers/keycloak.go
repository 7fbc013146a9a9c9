package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Keycloak accepts the access tokens of a Keycloak realm, such as
// https://sso.example.com/realms/shop, for one audience. Before version 17,
// and where it is set so, there is an /auth before /realms.
//
// Keycloak does not put a service into aud by itself. A new realm's tokens
// have "account" there, for its own account console, or nothing. Give the
// applications that call this service a client scope with an audience mapper
// that names it. Do not list "account" instead: nearly every token of the
// realm has it.
//
// The rule keeps ID tokens out if a client is both the application that
// users sign in to and the audience. It reads the claim typ, which Keycloak
// has besides the header parameter of that name.
//
// Roles of the realm are under realm_access, those of a client under
// resource_access:
//
//	gate.Require(jwtgate.Claim("/realm_access/roles", "admin"))
//	gate.Require(jwtgate.Claim("/resource_access/orders/roles", "clerk"))
//
// The realm also publishes a key for encryption. It is skipped, and the log
// says so once. If this service reaches Keycloak under another name than
// browsers do, the issuer stays theirs, and keys.Remote.URL is set to this
// service's own address of .../protocol/openid-connect/certs.
//
// Since version 25, sub comes from the client scope "basic". A client that
// has lost it gets tokens without subject, and 401 from this service.
func Keycloak(realm, audience string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{realm},
		Audiences: []string{audience},
		Rules:     []jwtgate.Rule{jwtgate.Claim("typ", "Bearer")},
	}
}
