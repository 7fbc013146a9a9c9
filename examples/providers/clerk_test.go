package providers_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestClerk(t *testing.T) {
	t.Parallel()
	const (
		issuer = "https://clerk.example.com"
		origin = "https://app.example.com"
		user   = "user_2aBcDeFgHiJkLmNoPqRsTuVwXyZ"
		kid    = "ins_2aBcDeFgHiJkLmNoPqRsTuVwXyZ"
	)
	options := online(t, providers.Clerk(issuer, origin, "https://admin.example.com"), map[string]any{
		issuer + "/.well-known/jwks.json": jwks(jwk(ours(), map[string]any{"use": "sig", "kid": kid, "alg": "RS256"})),
	})
	maker := tokenMaker{t, ours(), map[string]any{"alg": "RS256", "cat": "cl_B7d4PD111AAA", "kid": kid, "typ": "JWT"}, fresh(jwt.MapClaims{
		"azp": origin, "fva": []int{7, -1}, "iss": issuer, "jti": "a1b2c3d4e5f67890abcd", "nbf": ago(time.Minute),
		"sid": "sess_123", "sub": user, "v": 2, "sts": "active",
		"o": map[string]any{"id": "org_123", "rol": "admin", "slg": "example"},
	})}
	token := maker.token
	support := jwt.MapClaims{"act": map[string]any{"sub": "user_support"}}
	visitAll(t, options, map[string]visit{
		"user":                   passes(token(nil), user),
		"of the other origin":    passes(token(jwt.MapClaims{"azp": "https://admin.example.com"}), user),
		"version 1":              passes(token(jwt.MapClaims{"v": nil, "sts": nil, "o": nil, "fva": nil}), user),
		"admin":                  onRoute(jwtgate.Claim("/o/rol", "admin"), passes(token(nil), user)),
		"impersonated":           passes(token(support), user),
		"impersonated, refused":  forbidden(jwtgate.NoClaim("act"), token(support)),
		"stranger's origin":      refused(token(jwt.MapClaims{"azp": "https://evil.example"}), "claim"),
		"no origin":              refused(token(jwt.MapClaims{"azp": nil}), "claim"),
		"template for others":    refused(token(jwt.MapClaims{"sid": nil, "aud": "other"}), "claim"),
		"session is a number":    refused(token(jwt.MapClaims{"sid": 1}), "claim"),
		"user is not done yet":   refused(token(jwt.MapClaims{"sts": "pending"}), "claim"),
		"development instance":   refused(token(jwt.MapClaims{"iss": "https://happy-cat-1.clerk.accounts.dev"}), "issuer"),
		"not the instance's key": refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"expired":                refused(token(jwt.MapClaims{"exp": ago(2 * time.Minute)}), "expired"),
	})
}
