package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Zitadel accepts the access tokens that a Zitadel instance issues for one project. The
// issuer is the URL of the instance, such as https://example-abc123.zitadel.cloud,
// without a slash at the end. The audience is the ID of the project, a number.
//
// By default, access tokens of Zitadel are opaque. In the settings of each application
// that calls this service, set the type of the access token to JWT. An application of
// another project must also ask for the scope
// urn:zitadel:iam:org:project:id:PROJECT:aud, where PROJECT is the ID of the project.
//
// Keep the rule. Zitadel gives ID tokens and access tokens the same typ and the same
// audience, and signs both with the same key. The rule refuses tokens with a claim that
// only ID tokens have:
//
//   - at_hash, if the ID token was issued together with an access token
//   - c_hash, if it was issued together with a code
//   - nonce, if it was issued alone (OpenID Connect Core 1.0 section 3.2.2.1)
//
// The audience does not prove that the user may use the project: any application of the
// instance can ask for it. Require a role on each route. Roles are in a claim with a
// long name, by role and by the organization that granted it. Its value is the domain
// of the organization:
//
//	gate.Require(jwtgate.Claim("/urn:zitadel:iam:org:project:roles/clerk/178204173316174381", "acme.example"))
//
// The token has the roles only if the project asserts them, or if the application asks
// for the scope urn:zitadel:iam:org:projects:roles.
func Zitadel(issuer, projectID string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{issuer},
		Audiences: []string{projectID},
		Rules:     []jwtgate.Rule{jwtgate.NoClaim("at_hash", "c_hash", "nonce")},
	}
}
