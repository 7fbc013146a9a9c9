package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// GoogleIAP accepts the tokens that Google's Identity-Aware Proxy adds to the requests of
// users whom it lets pass to an application. audience names the application:
//
//   - /projects/PROJECT_NUMBER/global/backendServices/SERVICE_ID for Compute Engine and GKE
//   - /projects/PROJECT_NUMBER/apps/PROJECT_ID for App Engine
//
// All applications of all customers have the same issuer and the same keys. Only the audience
// says that the user was let pass to your application.
//
// The token is in a header of its own. Do not use X-Goog-Authenticated-User-Email and
// X-Goog-Authenticated-User-Id instead: they are not signed, and anybody who gets past the
// proxy can forge them. The proxy adds the token to every request of a signed-in browser,
// also to one that another site causes. Protect handlers that change something, for example
// by http.CrossOriginProtection outside the gate.
//
// Health checks of the load balancer have no token: do not guard their route.
//
// The subject has the form accounts.google.com:110169484474386276334. Log email but do not
// identify users by it. To accept only accounts of a Workspace domain, add the rule
// jwtgate.Claim("hd", "example.com").
func GoogleIAP(audience string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{URL: "https://www.gstatic.com/iap/verify/public_key-jwk"},
		Issuers:   []string{"https://cloud.google.com/iap"},
		Audiences: []string{audience},
		Extract:   jwtgate.Header("X-Goog-Iap-Jwt-Assertion"),
	}
}
