package providers_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestZitadel(t *testing.T) {
	t.Parallel()
	const (
		issuer  = "https://example-abc123.zitadel.cloud"
		project = "275283142936199170"
		app     = "275283165954539522"
		user    = "275280955178778626"
		roles   = "urn:zitadel:iam:org:project:roles"
		acme    = "178204173316174381"
	)
	options := online(t, providers.Zitadel(issuer, project), map[string]any{
		issuer + "/.well-known/openid-configuration": map[string]any{
			"issuer":                                issuer,
			"authorization_endpoint":                issuer + "/oauth/v2/authorize",
			"token_endpoint":                        issuer + "/oauth/v2/token",
			"introspection_endpoint":                issuer + "/oauth/v2/introspect",
			"userinfo_endpoint":                     issuer + "/oidc/v1/userinfo",
			"jwks_uri":                              issuer + "/oauth/v2/keys",
			"response_types_supported":              []string{"code", "id_token", "id_token token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"EdDSA", "RS256", "ES256"},
		},
		issuer + "/oauth/v2/keys": jwks(
			jwk(ours(), map[string]any{"use": "sig", "kid": "275283098791182338", "alg": "RS256"}),
			jwk(ours2(), map[string]any{"use": "sig", "kid": "275283098791247874", "alg": "RS256"}),
		),
	})

	header := map[string]any{"typ": "JWT", "kid": "275283098791182338"}
	claims := fresh(jwt.MapClaims{
		"iss": issuer, "sub": user, "aud": []string{app, project}, "client_id": app, "jti": "V2_275284-at_275284",
		"nbf": ago(time.Minute), roles: map[string]any{"clerk": map[string]any{acme: "acme.example"}},
	})
	maker := tokenMaker{t, ours(), header, claims}
	token, foreign := maker.token, maker.withKey(theirs(), "").token
	// An ID token has the keys, the typ and the audience of an access token.
	idToken := func(changes jwt.MapClaims) string {
		return token(with(jwt.MapClaims{
			"jti": "", "nbf": ago(time.Minute), "azp": app, "auth_time": ago(time.Minute), "amr": []string{"pwd"}, "name": "Jane Doe",
		}, changes))
	}
	machine := token(jwt.MapClaims{"sub": "275281000000000000", "client_id": "backend", "aud": project})
	clerk := jwtgate.Claim("/"+roles+"/clerk/"+acme, "acme.example")

	visitAll(t, options, map[string]visit{
		"user":           passes(token(nil), user),
		"machine":        passes(machine, "275281000000000000"),
		"role":           onRoute(clerk, passes(token(nil), user)),
		"lacks role":     forbidden(clerk, token(jwt.MapClaims{roles: nil})),
		"role elsewhere": forbidden(clerk, token(jwt.MapClaims{roles: map[string]any{"clerk": map[string]any{"178": "acme.example"}}})),
		"the other key":  passes(maker.withKey(ours2(), "275283098791247874").token(nil), user),

		"ID token":               refused(idToken(jwt.MapClaims{"at_hash": "cpqKfdQA5eH891Ff5oJr_Q"}), "claim"),
		"ID token with nonce":    refused(idToken(jwt.MapClaims{"at_hash": "cpqKfdQA5eH891Ff5oJr_Q", "nonce": "2f6b"}), "claim"),
		"ID token and code":      refused(idToken(jwt.MapClaims{"c_hash": "LDktKdoQak3Pk0cnXxCltA"}), "claim"),
		"ID token alone":         refused(idToken(jwt.MapClaims{"nonce": "2f6b"}), "claim"),
		"like an access token":   refused(token(jwt.MapClaims{"at_hash": "cpqKfdQA5eH891Ff5oJr_Q"}), "claim"),
		"another project":        refused(token(jwt.MapClaims{"aud": []string{app, "275283142936199171"}}), "audience"),
		"only the application":   refused(token(jwt.MapClaims{"aud": app}), "audience"),
		"another instance":       refused(foreign(jwt.MapClaims{"iss": "https://other-abc123.zitadel.cloud"}), "issuer"),
		"another instance's key": refused(foreign(nil), "signature"),
		"issuer with a slash":    refused(token(jwt.MapClaims{"iss": issuer + "/"}), "issuer"),
		"opaque access token":    refused("Zm9vYmFyYmF6cXV1eA-opaque", "malformed"),
	})
}

// The rule that package providers recommends for issuers that make ID tokens and access tokens alike.
func TestAnotherProvider(t *testing.T) {
	t.Parallel()
	const issuer = "https://auth.example.com"
	options := online(t, providers.Auth0("auth.example.com", "https://api.example.com"), map[string]any{
		issuer + "/.well-known/openid-configuration": map[string]any{"issuer": issuer, "jwks_uri": issuer + "/jwks"},
		issuer + "/jwks": jwks(jwk(ours(), map[string]any{"use": "sig", "kid": "1", "alg": "RS256"})),
	})
	options.Issuers = []string{issuer}
	options.Rules = []jwtgate.Rule{jwtgate.NoClaim("at_hash")}

	maker := tokenMaker{t, ours(), map[string]any{"typ": "JWT", "kid": "1"}, fresh(jwt.MapClaims{
		"iss": issuer, "sub": "alice", "aud": []string{"https://api.example.com", "app"}, "scp": []string{"orders"},
	})}
	visitAll(t, options, map[string]visit{
		"access token":           passes(maker.token(nil), "alice orders"),
		"ID token":               refused(maker.token(jwt.MapClaims{"scp": nil, "at_hash": "cpqKfdQA5eH891Ff5oJr_Q", "nonce": "2f6b"}), "claim"),
		"ID token, empty hash":   refused(maker.token(jwt.MapClaims{"at_hash": ""}), "claim"),
		"a claim with that name": passes(maker.token(jwt.MapClaims{"my": map[string]any{"at_hash": "x"}}), "alice orders"),
	})
}
