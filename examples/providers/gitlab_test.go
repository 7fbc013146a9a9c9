package providers_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestGitLabCI(t *testing.T) {
	t.Parallel()
	const (
		issuer  = "https://gitlab.com"
		service = "https://deploy.example.com"
		job     = "project_path:my-group/my-project:ref_type:branch:ref:main"
		kid     = "4i3sFE7sxqNPOT7FdvcGA1ZVGGI_r-tsDXnEuYT4ZqE"
	)
	options := online(t, providers.GitLabCI(issuer, service, "20", "main"), map[string]any{
		issuer + "/.well-known/openid-configuration": map[string]any{
			"issuer": issuer, "jwks_uri": issuer + "/oauth/discovery/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		},
		issuer + "/oauth/discovery/keys": jwks(jwk(ours(), map[string]any{"kid": kid, "use": "sig", "alg": "RS256"})),
	})
	maker := tokenMaker{t, ours(), map[string]any{"kid": kid, "typ": "JWT"}, fresh(jwt.MapClaims{
		"namespace_id": "72", "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project",
		"user_id": "1", "user_login": "sample-user", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
		"ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true",
		"runner_environment": "gitlab-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "project_visibility": "public",
		"jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", "iss": issuer, "nbf": ago(time.Minute), "sub": job, "aud": service,
	})}
	token := maker.token
	visitAll(t, options, map[string]visit{
		"job":                     passes(token(nil), job),
		"renamed project":         passes(token(jwt.MapClaims{"project_path": "my-group/new"}), job),
		"stranger's project":      refused(token(jwt.MapClaims{"project_id": "99"}), "claim"),
		"stranger under our path": refused(token(jwt.MapClaims{"project_id": "99", "project_path": "my-group/my-project"}), "claim"),
		"merge request of a fork": refused(token(jwt.MapClaims{"project_id": "99", "pipeline_source": "merge_request_event"}), "claim"),
		"another branch":          refused(token(jwt.MapClaims{"ref": "patch-1"}), "claim"),
		"tag of that name":        refused(token(jwt.MapClaims{"ref_type": "tag"}), "claim"),
		"branch not protected":    refused(token(jwt.MapClaims{"ref_protected": "false"}), "claim"),
		"for another service":     refused(token(jwt.MapClaims{"aud": "https://vault.example.com"}), "audience"),
		"user who signs in":       refused(token(jwt.MapClaims{"aud": service, "sub": "1", "project_id": nil, "ref": nil, "ref_type": nil, "ref_protected": nil}), "claim"),
		"another instance":        refused(token(jwt.MapClaims{"iss": "https://gitlab.example.com"}), "issuer"),
		"not GitLab's key":        refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"job that ended long ago": refused(token(jwt.MapClaims{"exp": ago(10 * time.Minute)}), "expired"),
	})
}
