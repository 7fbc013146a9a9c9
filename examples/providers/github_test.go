package providers_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestGitHubActions(t *testing.T) {
	t.Parallel()
	const (
		issuer  = "https://token.actions.githubusercontent.com"
		service = "https://deploy.example.com"
		job     = "repo:octo-org/octo-repo:ref:refs/heads/main"
	)
	options := online(t, providers.GitHubActions(service, "65", "74", "refs/heads/main"), map[string]any{
		issuer + "/.well-known/openid-configuration": map[string]any{
			"issuer":                                issuer,
			"jwks_uri":                              issuer + "/.well-known/jwks",
			"subject_types_supported":               []string{"public", "pairwise"},
			"response_types_supported":              []string{"id_token"},
			"claims_supported":                      []string{"sub", "aud", "exp", "iat", "iss", "jti", "nbf", "ref", "repository"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
			"scopes_supported":                      []string{"openid"},
		},
		issuer + "/.well-known/jwks": jwks(
			jwkWithCertificate(ours(), map[string]any{"alg": "RS256", "use": "sig", "kid": "cc413527-173f-5a05-976e-9c52b1d7b431"}),
			jwkWithCertificate(ours2(), map[string]any{"alg": "RS256", "use": "sig", "kid": "38826b17-6a30-5f9b-b169-8beb8202f723"}),
		),
	})

	header := map[string]any{"typ": "JWT", "kid": "cc413527-173f-5a05-976e-9c52b1d7b431", "x5t": "ykNaY4qM_ta4k2TgZOCEYLkcYlA"}
	claims := fresh(jwt.MapClaims{
		"jti": "5f4c0f8f-1d2b-4c4a-9687-78695a4b3c2d", "sub": job, "aud": service, "iss": issuer, "nbf": ago(10 * time.Minute),
		"ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "sha": "b6bf264029c03888b7fb7e6db7386f3b245b77b0",
		"repository": "octo-org/octo-repo", "repository_id": "74", "repository_visibility": "private",
		"repository_owner": "octo-org", "repository_owner_id": "65", "actor": "octocat", "actor_id": "12",
		"workflow": "deploy", "workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
		"job_workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main", "event_name": "push",
		"run_id": "9187", "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted",
		"head_ref": "", "base_ref": "",
	})
	maker := tokenMaker{t, ours(), header, claims}
	token := maker.token
	withIDs := "repo:octo-org@65/octo-repo@74:ref:refs/heads/main"
	pullRequest := jwt.MapClaims{
		"sub": "repo:octo-org/octo-repo:pull_request", "ref": "refs/pull/7/merge", "base_ref": "main",
		"event_name": "pull_request",
	}
	target := token(jwt.MapClaims{"event_name": "pull_request_target", "base_ref": "main", "head_ref": "patch-1"})
	deployment := "repo:octo-org/octo-repo:environment:production"
	production := jwt.MapClaims{"sub": deployment, "environment": "production"}
	mallory := jwt.MapClaims{"repository_owner": "mallory", "repository_owner_id": "98"}

	visitAll(t, options, map[string]visit{
		"job":                 passes(token(nil), job),
		"subject with IDs":    passes(token(jwt.MapClaims{"sub": withIDs}), withIDs),
		"renamed":             passes(token(jwt.MapClaims{"repository": "octo-org/new-name", "sub": withIDs}), withIDs),
		"environment":         onRoute(jwtgate.Claim("environment", "production"), passes(token(production), deployment)),
		"event":               onRoute(jwtgate.Claim("event_name", "push"), passes(token(nil), job)),
		"no environment":      forbidden(jwtgate.Claim("environment", "production"), token(nil)),
		"pull_request_target": passes(target, job),
		"event not allowed":   forbidden(jwtgate.Claim("event_name", "push", "workflow_dispatch"), target),

		"stranger's repository":        refused(token(with(mallory, jwt.MapClaims{"repository": "mallory/x", "repository_id": "99"})), "claim"),
		"stranger under our name":      refused(token(jwt.MapClaims{"repository_id": "99", "repository_owner_id": "98"}), "claim"),
		"our other repository":         refused(token(jwt.MapClaims{"repository": "octo-org/other", "repository_id": "75"}), "claim"),
		"transferred to another owner": refused(token(mallory), "claim"),
		"another branch":               refused(token(jwt.MapClaims{"ref": "refs/heads/patch-1"}), "claim"),
		"tag of the branch's name":     refused(token(jwt.MapClaims{"ref": "refs/tags/main", "ref_type": "tag"}), "claim"),
		"pull request":                 refused(token(pullRequest), "claim"),
		"default audience":             refused(token(jwt.MapClaims{"aud": "https://github.com/octo-org"}), "audience"),
		"another service":              refused(token(jwt.MapClaims{"aud": "sts.amazonaws.com"}), "audience"),
		"an enterprise's issuer":       refused(token(jwt.MapClaims{"iss": issuer + "/octo-enterprise"}), "issuer"),
		"an enterprise server":         refused(token(jwt.MapClaims{"iss": "https://github.example.com/_services/token"}), "issuer"),
		"not GitHub's key":             refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"a key nobody has":             refused(maker.withKey(theirs(), "6f6d").token(nil), "unknown_key"),
		"job that ended long ago":      refused(token(jwt.MapClaims{"exp": ago(10 * time.Minute)}), "expired"),
	})
}
