package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Keycloak accepts the access tokens of a Keycloak realm for one audience. realm is
// the URL of the realm, such as https://sso.example.com/realms/shop. Before version 17
// the path starts with /auth/realms. Later versions can be configured to keep that
// path.
//
// Keycloak does not put your service into aud unless you configure it to. The aud of a
// new realm's tokens is "account", for Keycloak's account console, or is missing. Give
// the applications that call this service a client scope with an audience mapper that
// names the service. Do not accept the audience "account": nearly every token of the
// realm has it.
//
// The rule refuses ID tokens. ID tokens have the right audience if users sign in to a
// client that is also the audience. The rule reads the claim typ, which Keycloak sets
// in addition to the header parameter typ.
//
// Roles of the realm are in realm_access. Roles of a client are in resource_access:
//
//	gate.Require(jwtgate.Claim("/realm_access/roles", "admin"))
//	gate.Require(jwtgate.Claim("/resource_access/orders/roles", "clerk"))
//
// The realm also publishes a key for encryption. The gate skips that key and logs a
// message once. If this service reaches Keycloak under another host name than browsers
// do, keep the issuer that browsers see, and set keys.Remote.URL to the address of
// .../protocol/openid-connect/certs under the host name that this service uses.
//
// Since version 25, sub comes from the client scope "basic". Tokens of a client
// without that scope have no sub and are refused with 401.
func Keycloak(realm, audience string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{realm},
		Audiences: []string{audience},
		Rules:     []jwtgate.Rule{jwtgate.Claim("typ", "Bearer")},
	}
}
