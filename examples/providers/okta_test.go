package providers_test

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestOkta(t *testing.T) {
	t.Parallel()
	const (
		organization = "https://example.okta.com"
		issuer       = organization + "/oauth2/default"
		client       = "0oa1gn8pxyz2MkzQY357"
	)
	options := online(t, providers.Okta(issuer, "api://default"), map[string]any{
		issuer + "/.well-known/openid-configuration": map[string]any{
			"issuer":                                issuer,
			"authorization_endpoint":                issuer + "/v1/authorize",
			"token_endpoint":                        issuer + "/v1/token",
			"userinfo_endpoint":                     issuer + "/v1/userinfo",
			"jwks_uri":                              issuer + "/v1/keys",
			"response_types_supported":              []string{"code", "id_token", "code id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
			"introspection_endpoint":                issuer + "/v1/introspect",
		},
		issuer + "/v1/keys": jwks(
			jwk(ours(), map[string]any{"alg": "RS256", "kid": "U5R8cHbGw445Qbq8zVO1PcCpXL8yG6IcovVa3laCoxM", "use": "sig"}),
			jwk(ours2(), map[string]any{"alg": "RS256", "kid": "Y3vBOdYT-l-I0j-gRQ26XjutSX00TeWiSguuDhW3ngo", "use": "sig"}),
		),
	})

	header := map[string]any{"kid": "U5R8cHbGw445Qbq8zVO1PcCpXL8yG6IcovVa3laCoxM"} // no typ
	claims := fresh(jwt.MapClaims{
		"ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": issuer, "aud": "api://default",
		"cid": client, "uid": "00uid4BxXw6I6TV4m0g3", "scp": []string{"openid", "orders"}, "auth_time": ago(0),
		"sub": "jane@example.com",
	})
	maker := tokenMaker{t, ours(), header, claims}
	token, foreign := maker.token, maker.withKey(theirs(), "").token
	idToken := sign(t, ours(), header, fresh(jwt.MapClaims{
		"ver": 1, "jti": "ID.4eAWJOCMB3SX8XewDfVR", "iss": issuer, "aud": client, "sub": "00uid4BxXw6I6TV4m0g3",
		"amr": []string{"pwd"}, "idp": "00ok1u7AsAkrwdZL3z0g3", "name": "Jane Doe", "preferred_username": "jane@example.com",
		"auth_time": ago(0), "at_hash": "cpqKfdQA5eH891Ff5oJr_Q",
	}))
	internal := map[string]any{"kid": header["kid"], "typ": "application/okta-internal-at+jwt"}

	visitAll(t, options, map[string]visit{
		"user":        passes(token(nil), "00uid4BxXw6I6TV4m0g3 openid orders"),
		"scope":       onRoute(jwtgate.Scope("orders"), passes(token(nil), "00uid4BxXw6I6TV4m0g3 openid orders")),
		"application": onRoute(jwtgate.Claim("cid", client), passes(token(nil), "00uid4BxXw6I6TV4m0g3 openid orders")),
		"new key": passes(maker.withKey(ours2(), "Y3vBOdYT-l-I0j-gRQ26XjutSX00TeWiSguuDhW3ngo").token(nil),
			"00uid4BxXw6I6TV4m0g3 openid orders"),
		"lacks scope":         forbidden(jwtgate.Scope("orders.write"), token(nil)),
		"another application": forbidden(jwtgate.Claim("cid", "0oa2other"), token(nil)),

		"ID token":               refused(idToken, "audience"),
		"another API":            refused(token(jwt.MapClaims{"aud": "https://billing.example.com"}), "audience"),
		"the organization's":     refused(sign(t, ours(), internal, with(claims, jwt.MapClaims{"iss": organization})), "issuer"),
		"the organization's typ": refused(sign(t, ours(), internal, claims), "type"),
		"another server":         refused(foreign(jwt.MapClaims{"iss": organization + "/oauth2/aus9o8wzkhckw9TLa0h7z"}), "issuer"),
		"another organization":   refused(foreign(jwt.MapClaims{"iss": "https://other.okta.com/oauth2/default"}), "issuer"),
		"another server's key":   refused(foreign(nil), "signature"),
		"machine":                refused(token(jwt.MapClaims{"sub": client, "uid": nil, "scp": []string{"orders"}}), "claim"),
	})

	options.SubjectClaim = ""
	t.Run("for machines", func(t *testing.T) {
		t.Parallel()
		visitAll(t, options, map[string]visit{
			"machine": passes(token(jwt.MapClaims{"sub": client, "uid": nil, "scp": []string{"orders"}}), client+" orders"),
		})
	})
}
