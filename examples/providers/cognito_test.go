package providers_test

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestCognito(t *testing.T) {
	t.Parallel()
	const (
		web, backend = "57cbishk4j24pabc1234567890", "3n4b5urk1ft4fl3mg5e62d9ado"
		user         = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
		read         = "https://api.example.com/orders.read"
	)
	for name, issuer := range map[string]string{
		"original": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example",
		"updated":  "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := online(t, providers.Cognito(issuer, web, backend), map[string]any{
				issuer + "/.well-known/openid-configuration": map[string]any{
					"issuer":                                issuer,
					"authorization_endpoint":                "https://example.auth.eu-central-1.amazoncognito.com/oauth2/authorize",
					"token_endpoint":                        "https://example.auth.eu-central-1.amazoncognito.com/oauth2/token",
					"jwks_uri":                              issuer + "/.well-known/jwks.json",
					"response_types_supported":              []string{"code", "token"},
					"subject_types_supported":               []string{"public"},
					"id_token_signing_alg_values_supported": []string{"RS256"},
				},
				issuer + "/.well-known/jwks.json": jwks(
					jwk(ours2(), map[string]any{"alg": "RS256", "use": "sig", "kid": "5678example="}),
					jwk(ours(), map[string]any{"alg": "RS256", "use": "sig", "kid": "1234example="}),
				),
			})

			header := map[string]any{"kid": "1234example="} // no typ
			claims := fresh(jwt.MapClaims{
				"sub": user, "iss": issuer, "token_use": "access", "client_id": web, "username": "janedoe", "version": 2,
				"scope": "openid " + read, "cognito:groups": []string{"clerks"}, "auth_time": ago(0), "origin_jti": "b3f5e8c2",
				"jti": "0d2f7a4e-90c6-4f6b-9d0c-6c4d1d5f0a11", "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
			})
			maker := tokenMaker{t, ours(), header, claims}
			token := maker.token
			idToken := sign(t, ours2(), map[string]any{"kid": "5678example="}, fresh(jwt.MapClaims{ // by the pool's other key
				"sub": user, "iss": issuer, "token_use": "id", "aud": web, "cognito:username": "janedoe",
				"cognito:groups": []string{"clerks"}, "email": "jane@example.com", "email_verified": true, "auth_time": ago(0),
				"origin_jti": "b3f5e8c2", "jti": "ad9a4f8e-3a36-4a9a-9a38-6b1a6f8c7d51",
			}))
			machine := token(jwt.MapClaims{
				"sub": backend, "client_id": backend, "scope": read,
				"username": nil, "cognito:groups": nil, "origin_jti": nil, "event_id": nil,
			})

			visitAll(t, options, map[string]visit{
				"user":            passes(token(nil), user+" openid "+read),
				"bound to an API": passes(token(jwt.MapClaims{"aud": "https://api.example.com"}), user+" openid "+read),
				"machine":         passes(machine, backend+" "+read),
				"scope":           onRoute(jwtgate.Scope(read), passes(machine, backend+" "+read)),
				"group":           onRoute(jwtgate.Claim("cognito:groups", "clerks"), passes(token(nil), user+" openid "+read)),
				"lacks scope":     forbidden(jwtgate.Scope(read), token(jwt.MapClaims{"scope": "aws.cognito.signin.user.admin"})),
				"lacks group":     forbidden(jwtgate.Claim("cognito:groups", "admins"), token(nil)),

				"ID token":             refused(idToken, "claim"),
				"as if an ID token":    refused(token(jwt.MapClaims{"token_use": "id"}), "claim"),
				"another client":       refused(token(jwt.MapClaims{"client_id": "1example23456789"}), "claim"),
				"no client":            refused(token(jwt.MapClaims{"client_id": nil, "aud": web}), "claim"),
				"another pool":         refused(maker.withKey(theirs(), "").token(jwt.MapClaims{"iss": issuer[:len(issuer)-1]}), "issuer"),
				"another pool's key":   refused(maker.withKey(theirs(), "").token(nil), "signature"),
				"a key of nobody's":    refused(maker.withKey(theirs(), "9012example=").token(nil), "unknown_key"),
				"issuer with a slash":  refused(token(jwt.MapClaims{"iss": issuer + "/"}), "issuer"),
				"the key of ID tokens": passes(maker.withKey(ours2(), "5678example=").token(nil), user+" openid "+read),
			})
		})
	}
}
