package providers_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestSupabase(t *testing.T) {
	t.Parallel()
	const (
		issuer = "https://abcdefghijklmnopqrst.supabase.co/auth/v1"
		user   = "123e4567-e89b-12d3-a456-426614174000"
		kid    = "b81269f1-21d8-4f2e-b719-c2240a840d90"
	)
	options := online(t, providers.Supabase("abcdefghijklmnopqrst"), map[string]any{
		issuer + "/.well-known/jwks.json": jwks(jwk(ours(), map[string]any{
			"alg": "RS256", "use": "sig", "kid": kid, "key_ops": []string{"verify"}, "ext": true,
		})),
	})
	maker := tokenMaker{t, ours(), map[string]any{"typ": "JWT", "kid": kid}, fresh(jwt.MapClaims{
		"iss": issuer, "aud": "authenticated", "sub": user, "role": "authenticated", "aal": "aal1", "is_anonymous": false,
		"session_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "email": "jane@example.com", "phone": "",
		"amr":          []any{map[string]any{"method": "password", "timestamp": ago(time.Minute)}},
		"app_metadata": map[string]any{"provider": "email", "roles": []string{"admin"}}, "user_metadata": map[string]any{"roles": []string{"owner"}},
	})}
	token := maker.token
	anonymous := token(jwt.MapClaims{"is_anonymous": true, "email": ""})
	known := jwtgate.Claim("is_anonymous", "false")
	visitAll(t, options, map[string]visit{
		"user":                  passes(token(nil), user),
		"known user":            onRoute(known, passes(token(nil), user)),
		"anonymous user":        passes(anonymous, user),
		"anonymous, refused":    forbidden(known, anonymous),
		"admin":                 onRoute(jwtgate.Claim("/app_metadata/roles", "admin"), passes(token(nil), user)),
		"role made up by user":  forbidden(jwtgate.Claim("/app_metadata/roles", "owner"), token(nil)),
		"no second factor":      forbidden(jwtgate.Claim("aal", "aal2"), token(nil)),
		"application of others": refused(token(jwt.MapClaims{"client_id": "9a8b7c6d-5e4f-3a2b-1c0d-9e8f7a6b5c4d"}), "claim"),
		"anon key":              refused(token(jwt.MapClaims{"role": "anon", "aud": nil, "sub": nil}), "audience"),
		"service_role":          refused(token(jwt.MapClaims{"role": "service_role"}), "claim"),
		"another project":       refused(token(jwt.MapClaims{"iss": "https://zzzzefghijklmnopqrst.supabase.co/auth/v1"}), "issuer"),
		"not the project's":     refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"legacy secret":         refused(signBy(t, jwt.SigningMethodHS256, []byte("super-secret-jwt-token-with-at-least-32-characters"), map[string]any{"typ": "JWT"}, maker.claims), "algorithm"),
	})
}
