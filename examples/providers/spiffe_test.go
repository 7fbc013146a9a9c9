package providers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

// acceptance 90
func TestSPIFFE(t *testing.T) {
	t.Parallel()
	const (
		domain   = "prod.example.org"
		bundle   = "https://spire.example.org/bundle"
		service  = "spiffe://prod.example.org/orders"
		frontend = "spiffe://prod.example.org/shop/frontend"
	)
	options := func(t *testing.T) jwtgate.Options {
		return online(t, providers.SPIFFE(domain, bundle, service), map[string]any{
			bundle: map[string]any{
				"spiffe_sequence": 12, "spiffe_refresh_hint": 300,
				"keys": []any{
					jwk(ours(), map[string]any{"use": "jwt-svid", "kid": "svid-1"}),
					jwk(ours2(), map[string]any{"use": "x509-svid", "kid": "x509-1"}),
				},
			},
		})
	}

	header := map[string]any{"kid": "svid-1", "typ": "JWT"}
	claims := fresh(jwt.MapClaims{"sub": frontend, "aud": []string{service}})
	maker := tokenMaker{t, ours(), header, claims}
	token := maker.token
	subject := func(sub any) string { return token(jwt.MapClaims{"sub": sub}) }
	typ := func(typ any) string {
		return sign(t, ours(), with(header, jwt.MapClaims{"typ": typ}), claims)
	}
	visitAll(t, options(t), map[string]visit{
		"SVID":              passes(token(nil), frontend),
		"several audiences": passes(token(jwt.MapClaims{"aud": []string{"billing", service}}), frontend),
		"one audience":      passes(token(jwt.MapClaims{"aud": service}), frontend),
		"an issuer":         passes(token(jwt.MapClaims{"iss": "https://spire.example.org"}), frontend),
		"no iat":            passes(token(jwt.MapClaims{"iat": nil}), frontend),
		"typ JOSE":          passes(typ("JOSE"), frontend),
		"no typ":            passes(typ(nil), frontend),
		"no kid":            passes(sign(t, ours(), map[string]any{"typ": "JWT"}, claims), frontend),
		"PS512":             passes(signBy(t, jwt.SigningMethodPS512, ours(), header, claims), frontend),
		"a segment of dots": passes(subject("spiffe://prod.example.org/.../a"), "spiffe://prod.example.org/.../a"),

		"typ at+jwt":              refused(typ("at+jwt"), "type"),
		"typ wit+jwt":             refused(typ("wit+jwt"), "type"),
		"no exp":                  refused(token(jwt.MapClaims{"exp": nil}), "claim"),
		"expired":                 refused(token(jwt.MapClaims{"exp": ago(time.Hour)}), "expired"),
		"for another service":     refused(token(jwt.MapClaims{"aud": []string{"spiffe://prod.example.org/billing"}}), "audience"),
		"no audience":             refused(token(jwt.MapClaims{"aud": nil}), "audience"),
		"another trust domain":    refused(subject("spiffe://dev.example.org/shop/frontend"), "claim"),
		"a longer trust domain":   refused(subject("spiffe://prod.example.org.evil.example/shop"), "claim"),
		"in another case":         refused(subject("spiffe://PROD.example.org/shop/frontend"), "claim"),
		"scheme in another case":  refused(subject("SPIFFE://prod.example.org/shop/frontend"), "claim"),
		"user information":        refused(subject("spiffe://prod.example.org@evil.example/a"), "claim"),
		"a port":                  refused(subject("spiffe://prod.example.org:443/a"), "claim"),
		"another scheme":          refused(subject("https://prod.example.org/shop/frontend"), "claim"),
		"no SPIFFE ID":            refused(subject("frontend"), "claim"),
		"the trust domain itself": refused(subject("spiffe://prod.example.org"), "claim"),
		"an empty path":           refused(subject("spiffe://prod.example.org/"), "claim"),
		"an empty segment":        refused(subject("spiffe://prod.example.org/a//b"), "claim"),
		"a slash at the end":      refused(subject("spiffe://prod.example.org/a/"), "claim"),
		"a dot segment":           refused(subject("spiffe://prod.example.org/a/../b"), "claim"),
		"a single dot":            refused(subject("spiffe://prod.example.org/./b"), "claim"),
		"a percent sign":          refused(subject("spiffe://prod.example.org/a%2Fb"), "claim"),
		"a query":                 refused(subject("spiffe://prod.example.org/a?b"), "claim"),
		"a fragment":              refused(subject("spiffe://prod.example.org/a#b"), "claim"),
		"beyond ASCII":            refused(subject("spiffe://prod.example.org/ä"), "claim"),
		"no subject":              refused(subject(nil), "claim"),
		"too long":                refused(subject("spiffe://prod.example.org/"+strings.Repeat("a", 1024)), "claim"),
		"a key for X.509":         refused(maker.withKey(ours2(), "x509-1").token(nil), "unknown_key"),
		"a key for X.509, no kid": refused(sign(t, ours2(), map[string]any{}, claims), "signature"),
		"another key":             refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"HS256":                   refused(signBy(t, jwt.SigningMethodHS256, []byte("a secret"), header, claims), "algorithm"),
	})

	t.Run("callers", func(t *testing.T) {
		t.Parallel()
		options := options(t)
		options.Rules = append(options.Rules, jwtgate.Claim("sub", frontend))
		visitAll(t, options, map[string]visit{
			"frontend": passes(token(nil), frontend),
			"another":  refused(subject("spiffe://prod.example.org/shop/backend"), "claim"),
		})
	})
}
