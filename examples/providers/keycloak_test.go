package providers_test

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestKeycloak(t *testing.T) {
	t.Parallel()
	const (
		server = "https://sso.example.com/realms/"
		realm  = server + "shop"
		user   = "fd8fc3d3-0a39-41f7-9468-45926f658e41"
	)
	options := online(t, providers.Keycloak(realm, "orders"), map[string]any{
		realm + "/.well-known/openid-configuration": map[string]any{
			"issuer":                                realm,
			"authorization_endpoint":                realm + "/protocol/openid-connect/auth",
			"token_endpoint":                        realm + "/protocol/openid-connect/token",
			"introspection_endpoint":                realm + "/protocol/openid-connect/token/introspect",
			"jwks_uri":                              realm + "/protocol/openid-connect/certs",
			"response_types_supported":              []string{"code", "none", "id_token", "token"},
			"subject_types_supported":               []string{"public", "pairwise"},
			"id_token_signing_alg_values_supported": []string{"PS384", "RS384", "EdDSA", "ES384", "HS256", "HS512", "ES256", "RS256"},
		},
		realm + "/protocol/openid-connect/certs": jwks(
			jwkWithCertificate(ours2(), map[string]any{"kid": "PYrbIBXyJdvdXTgOkzGf", "alg": "RSA-OAEP", "use": "enc"}),
			jwkWithCertificate(ours(), map[string]any{"kid": "bzZ5JDkuBGi0oplEvod2", "alg": "RS256", "use": "sig"}),
		),
	})

	header := map[string]any{"typ": "JWT", "kid": "bzZ5JDkuBGi0oplEvod2"}
	claims := fresh(jwt.MapClaims{
		"iss": realm, "aud": []string{"orders", "account"}, "sub": user, "typ": "Bearer", "azp": "frontend",
		"jti": "onrtac:cba1c0d6-c951-a2c4-53be-2c964da5125b", "sid": "f2ec6ae1-ef38-4b4f-9554-ef992d255d59", "acr": "1",
		"allowed-origins": []string{"https://shop.example.com"}, "scope": "openid email profile", "preferred_username": "jane",
		"realm_access":    map[string]any{"roles": []string{"offline_access", "uma_authorization", "seller"}},
		"resource_access": map[string]any{"orders": map[string]any{"roles": []string{"clerk"}}},
	})
	maker := tokenMaker{t, ours(), header, claims}
	token := maker.token
	idToken := func(client string) string {
		return token(jwt.MapClaims{
			"typ": "ID", "aud": client, "azp": client, "at_hash": "cpqKfdQA5eH891Ff5oJr_Q", "nonce": "2f6b", "scope": nil,
			"realm_access": nil, "resource_access": nil, "allowed-origins": nil, "name": "Jane Doe", "email_verified": true,
		})
	}
	refresh := signBy(t, jwt.SigningMethodHS512, make([]byte, 64), map[string]any{"typ": "JWT", "kid": "2f9e1d7c-realm-hmac"},
		with(claims, jwt.MapClaims{"typ": "Refresh", "aud": realm}))
	logout := sign(t, ours(), map[string]any{"typ": "logout+jwt", "kid": header["kid"]}, with(claims, jwt.MapClaims{"typ": "Logout"}))
	const as = user + " openid email profile"

	visitAll(t, options, map[string]visit{
		"user":             passes(token(nil), as),
		"only audience":    passes(token(jwt.MapClaims{"aud": "orders"}), as),
		"at+jwt":           passes(sign(t, ours(), map[string]any{"typ": "at+jwt", "kid": header["kid"]}, claims), as),
		"realm role":       onRoute(jwtgate.Claim("/realm_access/roles", "seller"), passes(token(nil), as)),
		"client role":      onRoute(jwtgate.Claim("/resource_access/orders/roles", "clerk"), passes(token(nil), as)),
		"lacks realm role": forbidden(jwtgate.Claim("/realm_access/roles", "admin"), token(nil)),
		"of other client":  forbidden(jwtgate.Claim("/resource_access/billing/roles", "clerk"), token(nil)),

		"no audience mapper":     refused(token(jwt.MapClaims{"aud": "account"}), "audience"),
		"no audience":            refused(token(jwt.MapClaims{"aud": nil}), "audience"),
		"another service":        refused(token(jwt.MapClaims{"aud": []string{"billing", "account"}}), "audience"),
		"ID token":               refused(idToken("frontend"), "audience"),
		"ID token to itself":     refused(idToken("orders"), "claim"),
		"refresh token":          refused(refresh, "unknown_key"),
		"another realm":          refused(maker.withKey(theirs(), "").token(jwt.MapClaims{"iss": server + "staff"}), "issuer"),
		"another realm's key":    refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"the key for encryption": refused(maker.withKey(ours2(), "PYrbIBXyJdvdXTgOkzGf").token(nil), "unknown_key"),
		"without scope basic":    refused(token(jwt.MapClaims{"sub": nil}), "claim"),
		"bound by DPoP":          refused(token(jwt.MapClaims{"cnf": map[string]any{"jkt": "0ZcOCORZNYy"}}), "claim"),
		"logout token":           refused(logout, "type"),
	})
}
