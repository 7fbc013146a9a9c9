package providers

import (
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// EntraID accepts the access tokens that Microsoft Entra ID, once Azure AD,
// gives to users of many tenants for one API. clientID is the application ID
// of the API, and scope one that each token for it has, such as
// "access_as_user".
//
// Each tenant is an issuer of its own, and anybody can make one. isCustomer
// is therefore an allow-list. It is called with a tenant ID that nobody has
// verified yet, so let it look into a map and into nothing slower. For
// tenants that are known at start, Options.Issuers does the same. The keys
// of all tenants are at one address. Some of them are for one tenant only,
// by a member called issuer in the key, which [keys.Remote] heeds.
//
// The API must ask for tokens of version 2, by requestedAccessTokenVersion
// in its manifest. Those of version 1, the default, have another issuer
// (https://sts.windows.net/...) and often another audience.
//
// Without the rule, ID tokens would pass if an application that users sign
// in to shares its registration with the API. Tokens of programs have no
// scopes but application roles; accept those by
//
//	jwtgate.AnyOf(jwtgate.Scope(scope), jwtgate.Claim("roles", "Orders.Read.All"))
//
// The subject is oid, which is the user's ID for all applications of the
// tenant; sub differs from application to application. Store it together
// with [jwtgate.Token.Issuer], which names the tenant. Neither email nor
// preferred_username identifies anybody: administrators of other tenants set
// them as they like.
//
// A token for Microsoft Graph cannot be verified by anybody else. If that is
// what comes, the application has asked for the wrong scope.
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
