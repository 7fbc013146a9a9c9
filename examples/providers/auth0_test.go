package providers_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestAuth0(t *testing.T) {
	t.Parallel()
	const (
		tenant = "https://example.eu.auth0.com/"
		api    = "https://api.example.com"
		client = "awZfdIir8YFdGZWkvCejDoUb7SjTDicx"
		user   = "auth0|6553da60a54af58e29493993"
		as     = user + " openid profile read:orders"
	)
	options := online(t, providers.Auth0("example.eu.auth0.com", api), map[string]any{
		tenant + ".well-known/openid-configuration": map[string]any{
			"issuer":                                tenant,
			"authorization_endpoint":                tenant + "authorize",
			"token_endpoint":                        tenant + "oauth/token",
			"userinfo_endpoint":                     tenant + "userinfo",
			"jwks_uri":                              tenant + ".well-known/jwks.json",
			"response_types_supported":              []string{"code", "token", "id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"HS256", "RS256", "PS256"},
		},
		tenant + ".well-known/jwks.json": jwks( // Auth0 publishes the next key before it uses it
			jwkWithCertificate(ours(), map[string]any{"alg": "RS256", "use": "sig", "kid": "NjVBRjY5MDlC"}),
			jwkWithCertificate(ours2(), map[string]any{"alg": "RS256", "use": "sig", "kid": "QkQ2NDAxRTQ5"}),
		),
	})

	header := map[string]any{"typ": "JWT", "kid": "NjVBRjY5MDlC"}
	claims := fresh(jwt.MapClaims{
		"iss": tenant, "sub": user, "aud": []string{api, tenant + "userinfo"}, "azp": client,
		"scope": "openid profile read:orders", "permissions": []string{"read:orders"},
	})
	maker := tokenMaker{t, ours(), header, claims}
	token, foreign := maker.token, maker.withKey(theirs(), "").token
	idToken := sign(t, ours(), header, fresh(jwt.MapClaims{
		"iss": tenant, "sub": user, "aud": client, "nickname": "jane", "name": "jane@example.com",
		"email": "jane@example.com", "email_verified": true, "sid": "IMXhEVuFsrn1N3vkX4QE2vTvRiPRwXZK", "nonce": "2f6b",
	}))
	machine := token(jwt.MapClaims{
		"sub": client + "@clients", "aud": api, "scope": "read:orders", "permissions": nil, "gty": "client-credentials",
	})
	profile := sign(t, ours2(), map[string]any{"typ": "at+jwt", "kid": "QkQ2NDAxRTQ5"}, with(claims, jwt.MapClaims{
		"azp": nil, "client_id": client, "jti": "73WakrfVbNJBaAmhQtEeDv",
	}))
	bound := token(jwt.MapClaims{"cnf": map[string]any{"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}})
	shared := signBy(t, jwt.SigningMethodHS256, []byte("signing secret of the API"), map[string]any{"typ": "JWT"}, claims)
	segment := base64.RawURLEncoding.EncodeToString
	encrypted := strings.Join([]string{
		segment([]byte(`{"alg":"dir","enc":"A256GCM","iss":"` + tenant + `"}`)), "",
		segment([]byte("initial vect")), segment([]byte("what only Auth0 can read")), segment([]byte("authentication t")),
	}, ".")

	visitAll(t, options, map[string]visit{
		"user":                passes(token(nil), as),
		"machine":             passes(machine, client+"@clients read:orders"),
		"RFC 9068 profile":    passes(profile, as),
		"scope":               onRoute(jwtgate.Scope("read:orders"), passes(token(nil), as)),
		"permission":          onRoute(jwtgate.Claim("permissions", "read:orders"), passes(token(nil), as)),
		"lacks scope":         forbidden(jwtgate.Scope("write:orders"), token(nil)),
		"lacks permission":    forbidden(jwtgate.Claim("permissions", "write:orders"), token(nil)),
		"machine without any": forbidden(jwtgate.Claim("permissions", "read:orders"), machine),

		"ID token":               refused(idToken, "audience"),
		"management API":         refused(token(jwt.MapClaims{"aud": tenant + "api/v2/"}), "audience"),
		"another tenant":         refused(foreign(jwt.MapClaims{"iss": "https://other.eu.auth0.com/"}), "issuer"),
		"another tenant's key":   refused(foreign(nil), "signature"),
		"a key nobody has":       refused(maker.withKey(theirs(), "RUMxMjM0").token(nil), "unknown_key"),
		"issuer without slash":   refused(token(jwt.MapClaims{"iss": "https://example.eu.auth0.com"}), "issuer"),
		"the API's secret":       refused(shared, "algorithm"),
		"signed in to no API":    refused(encrypted, "malformed"),
		"bound to a certificate": refused(bound, "claim"),
		"expired":                refused(token(jwt.MapClaims{"exp": ago(time.Hour)}), "expired"),
	})
}
