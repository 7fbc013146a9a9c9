package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// CloudflareAccess accepts the tokens that Cloudflare Access adds to the requests of users
// whom it lets pass to an application. team is the name of the Zero Trust organization, the
// first label of example.cloudflareaccess.com. audienceTag is the Application Audience (AUD)
// Tag of the application.
//
// All applications of an organization have the same issuer and the same keys. Only the
// audience tag keeps out somebody who may use another application of yours.
//
// The token is in a header of its own. Access adds it to every request of a signed-in
// browser, also to one that another site causes. Protect handlers that change something, for
// example by http.CrossOriginProtection outside the gate. Do not read the cookie
// CF_Authorization instead: Cloudflare does not guarantee that it is passed on.
//
// The sub of a service token is empty, so the recipe refuses programs. To accept them, set
// AllowNoSubject, and require the client ID of the service token:
//
//	gate.Require(jwtgate.Claim("common_name", "e367826f93b8.access"))
func CloudflareAccess(team, audienceTag string) jwtgate.Options {
	issuer := "https://" + team + ".cloudflareaccess.com"
	return jwtgate.Options{
		Keys:      &keys.Remote{URL: issuer + "/cdn-cgi/access/certs"},
		Issuers:   []string{issuer},
		Audiences: []string{audienceTag},
		Rules:     []jwtgate.Rule{jwtgate.Claim("type", "app")},
		Extract:   jwtgate.Header("Cf-Access-Jwt-Assertion"),
	}
}
