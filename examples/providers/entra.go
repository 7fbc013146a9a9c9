package providers

import (
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// EntraID accepts the access tokens that Microsoft Entra ID, formerly Azure AD,
// issues for one API to users of many tenants. clientID is the application ID of the
// API. scope is a scope that every token for the API has, such as "access_as_user".
//
// Each tenant is a separate issuer, and anybody can create a tenant. So isCustomer
// must be an allow-list. It is called before the signature is verified, for any
// tenant ID that a client sends, so it must be fast: look the ID up in a map. If the
// tenants are known at start, list their issuers in Options.Issuers instead. The keys
// of all tenants are at one address. Some keys are for one tenant only: the member
// issuer of the JWK names the tenant, and [keys.Remote] uses the key only for that
// tenant.
//
// Set requestedAccessTokenVersion to 2 in the manifest of the API. The default is
// version 1, whose tokens have another issuer (https://sts.windows.net/...) and often
// another audience.
//
// The rule refuses ID tokens. They have the same audience if the API and an
// application that users sign in to share a registration. Tokens of programs have
// application roles instead of scopes. To accept these tokens too, use the rule
//
//	jwtgate.AnyOf(jwtgate.Scope(scope), jwtgate.Claim("roles", "Orders.Read.All"))
//
// The subject is oid, the user's ID for all applications of the tenant. sub is
// different in each application. Store users under both results of
// [jwtgate.Identity]: the issuer names the tenant. Do not identify users by email or
// preferred_username: administrators of other tenants can set them to any value.
//
// Tokens for Microsoft Graph can be verified by Microsoft Graph only. If this service
// gets them, the application has asked for the wrong scope.
func EntraID(clientID, scope string, isCustomer func(tenantID string) bool) jwtgate.Options {
	const login = "https://login.microsoftonline.com/"
	return jwtgate.Options{
		Keys: &keys.Remote{URL: login + "common/discovery/v2.0/keys"},
		TrustIssuer: func(issuer string) bool {
			rest, ours := strings.CutPrefix(issuer, login)
			tenantID, version2 := strings.CutSuffix(rest, "/v2.0")
			return ours && version2 && isCustomer(tenantID)
		},
		Audiences:    []string{clientID},
		SubjectClaim: "oid",
		Rules:        []jwtgate.Rule{jwtgate.Scope(scope)},
	}
}
