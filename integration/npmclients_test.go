package integration_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/keys"
)

// A challenge is one that oauth4webapi has read.
type challenge struct {
	Scheme     string
	Parameters map[string]string
}

// TestClientsOfNPM tests gates with tokens of oidc-provider, which the packages oauth4webapi
// and dpop use. See testdata/npm/client.mjs for the requests.
// acceptance 66, 67, 69, 74, 75, 77, 79-81, 87
func TestClientsOfNPM(t *testing.T) {
	t.Parallel()
	dir := npmDir(t)
	issuer := startNodeProvider(t, dir)

	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	only, both := base+"/only", base+"/both"
	options := func(resource string, confirm *dpop.Verifier) jwtgate.Options {
		return jwtgate.Options{
			Keys: &keys.Remote{Timeout: hangGuard}, Issuers: []string{issuer}, Audiences: []string{resource}, RFC9068: true,
			Resource: resource, Metadata: map[string]any{"scopes_supported": []string{"orders:read", "orders:write"}},
			Confirm: []jwtgate.Confirmer{confirm},
		}
	}
	onlyGate, err := jwtgate.New(options(only, &dpop.Verifier{URLs: []string{base}, NonceKeys: [][]byte{[]byte("a secret of this test, of 32 bytes")}}))
	require.NoError(t, err)
	bothOptions := options(both, &dpop.Verifier{URLs: []string{base}})
	bothOptions.AllowUnbound = true
	bothGate, err := jwtgate.New(bothOptions)
	require.NoError(t, err)

	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := jwtgate.FromContext(r.Context())
		_, _ = io.WriteString(w, r.RequestURI+" "+token.Subject)
	})
	mux := http.NewServeMux()
	mux.Handle(onlyGate.Metadata())
	mux.Handle(bothGate.Metadata())
	mux.Handle("/only", onlyGate.Handler(handler))
	mux.Handle("/only/{id}", onlyGate.Handler(handler))
	mux.Handle("/only/write", onlyGate.Require(jwtgate.Scope("orders:read", "orders:write")).Handler(handler))
	mux.Handle("/only/transfer", onlyGate.Require(jwtgate.Scope("orders:read"), jwtgate.Authenticated(10*time.Minute, "mfa")).Handler(handler))
	mux.Handle("/both", bothGate.Handler(handler))
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)

	type answer struct { // of oauth4webapi
		Status     int
		Nonces     []string
		Body       string
		Challenges []challenge
	}
	type sent struct { // by hand, with proofs of dpop
		Status           int
		Challenge, Nonce string
	}
	var got struct {
		Service, Other                                                                   map[string]any
		First, Again, Query, Below, Scope, ScopeGranted, Step, Stepped, OtherKey         answer
		Plain, Bound, PlainAsBound, Downgrade, ForOtherService                           answer
		Bare, DowngradeWithProof                                                         sent
		Algorithms                                                                       map[string]sent
		Fresh, Replay, HTUWithQuery, OtherPath, OtherMethod, OtherToken, NoProof, Bearer sent
	}
	node(t, dir, "client.mjs", map[string]string{"only": only, "both": both}, &got)

	metadata := func(resource string, required bool, bearerMethods ...any) map[string]any {
		return map[string]any{
			"resource": resource, "authorization_servers": []any{issuer}, "scopes_supported": []any{"orders:read", "orders:write"},
			"bearer_methods_supported": append([]any{}, bearerMethods...), "dpop_bound_access_tokens_required": required,
			"dpop_signing_alg_values_supported": []any{"ES256", "EdDSA", "Ed25519", "PS256"},
		}
	}
	assert.Equal(t, metadata(only, true), got.Service)
	assert.Equal(t, metadata(both, false, "header"), got.Other)

	// A challenge for the scheme DPoP.
	const (
		algs     = "ES256 EdDSA Ed25519 PS256"
		badToken = "The access token is not valid."
	)
	path := func(resource string) string {
		return strings.Replace(resource, base, base+"/.well-known/oauth-protected-resource", 1)
	}
	dpopChallenge := func(resource string, more map[string]string) challenge {
		c := challenge{"dpop", map[string]string{"realm": "api", "algs": algs, "resource_metadata": path(resource)}}
		for name, value := range more {
			c.Parameters[name] = value
		}
		return c
	}
	bearerChallenge := func(resource string, more map[string]string) challenge {
		c := dpopChallenge(resource, more)
		c.Scheme = "bearer"
		delete(c.Parameters, "algs")
		return c
	}
	invalid := map[string]string{"error": "invalid_token", "error_description": badToken}

	for name, test := range map[string]struct{ want, got answer }{
		"the first request needs a nonce": {answer{Status: 200, Nonces: []string{"asked for"}, Body: "/only alice"}, got.First},
		"the nonce is used again":         {answer{Status: 200, Nonces: []string{}, Body: "/only alice"}, got.Again},
		"a query":                         {answer{Status: 200, Nonces: []string{}, Body: "/only?page=2&order=%2Fx alice"}, got.Query},
		"another path":                    {answer{Status: 200, Nonces: []string{}, Body: "/only/42 alice"}, got.Below},
		"a scope is missing": {answer{Status: 403, Nonces: []string{}, Challenges: []challenge{dpopChallenge(only, map[string]string{
			"error": "insufficient_scope", "error_description": "The access token does not grant what this request needs.", "scope": "orders:read orders:write",
		})}}, got.Scope},
		"the scope is granted": {answer{Status: 200, Nonces: []string{}, Body: "/only/write alice"}, got.ScopeGranted},
		"stronger authentication is needed": {answer{Status: 401, Nonces: []string{}, Challenges: []challenge{dpopChallenge(only, map[string]string{
			"error": "insufficient_user_authentication", "error_description": "This request needs a user who has signed in more recently or more strongly.", "acr_values": "mfa", "max_age": "600",
		})}}, got.Step},
		"signed in again": {answer{Status: 200, Nonces: []string{}, Body: "/only/transfer alice"}, got.Stepped},
		"another key":     {answer{Status: 401, Nonces: []string{"asked for"}, Challenges: []challenge{dpopChallenge(only, invalid)}}, got.OtherKey},
		"a plain token":   {answer{Status: 200, Nonces: []string{}, Body: "/both alice"}, got.Plain},
		"a bound token":   {answer{Status: 200, Nonces: []string{}, Body: "/both alice"}, got.Bound},
		"a plain token under the scheme DPoP": {
			answer{Status: 401, Nonces: []string{}, Challenges: []challenge{dpopChallenge(both, invalid), bearerChallenge(both, nil)}}, got.PlainAsBound},
		"a bound token under the scheme Bearer": {
			answer{Status: 401, Nonces: []string{}, Challenges: []challenge{dpopChallenge(both, nil), bearerChallenge(both, invalid)}}, got.Downgrade},
		"a token for another service": {
			answer{Status: 401, Nonces: []string{}, Challenges: []challenge{dpopChallenge(both, invalid), bearerChallenge(both, nil)}}, got.ForOtherService},
	} {
		assert.Equal(t, test.want, test.got, name)
	}

	const badProof = `error="invalid_dpop_proof"`
	for name, test := range map[string]struct {
		status int
		error  string // in the challenge
		got    sent
	}{
		"ES256":                   {200, "", got.Algorithms["ES256"]},
		"Ed25519":                 {200, "", got.Algorithms["Ed25519"]},
		"PS256":                   {200, "", got.Algorithms["PS256"]},
		"used once":               {200, "", got.Fresh},
		"used twice":              {401, badProof, got.Replay},
		"htu with a query":        {200, "", got.HTUWithQuery},
		"made for another path":   {401, badProof, got.OtherPath},
		"made for another method": {401, badProof, got.OtherMethod},
		"made for another token":  {401, badProof, got.OtherToken},
		"no proof":                {401, badProof, got.NoProof},
		"bearer, proof beside it": {401, `error="invalid_token"`, got.DowngradeWithProof},
		"bearer is not accepted":  {401, `error="invalid_token"`, got.Bearer},
	} {
		assert.Equal(t, test.status, test.got.Status, name)
		assert.Contains(t, test.got.Challenge, test.error, name)
	}
	assert.Equal(t, 401, got.Bare.Status)
	assert.NotContains(t, got.Bare.Challenge, "error=")
	assert.Contains(t, got.Bare.Challenge, "DPoP realm=")
	assert.Contains(t, got.Bare.Challenge, "Bearer realm=")
}
