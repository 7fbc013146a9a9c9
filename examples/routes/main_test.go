package main

import (
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	handler, err := newHandler(public)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	// The keys are the subjects of the tokens. "" stands for no token, and "nobody" for
	// a token that is not signed.
	tokens := map[string]string{"": "", "nobody": "e30.e30.e30"}
	for subject, claims := range map[string]jwt.MapClaims{
		"user":   {"name": "Ulla", "realm_access": map[string]any{"roles": []string{"user"}}},
		"admin":  {"name": "Ada", "realm_access": map[string]any{"roles": []string{"user", "admin"}}},
		"reader": {"scope": "openid reports:read"},
		"writer": {"scope": "reports:write"},
		"fake":   {"roles": "admin", "/realm_access/roles": "admin", "realm_access": map[string]any{"roles": []string{"Admin"}}},
		"odd":    {"name": 42},
		"late":   {"exp": time.Now().Add(-time.Hour).Unix()},
	} {
		if claims["exp"] == nil {
			claims["exp"] = time.Now().Add(time.Hour).Unix()
		}
		claims["iss"], claims["aud"], claims["sub"] = issuer, audience, subject
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(private)
		require.NoError(t, err)
		tokens[subject] = token
	}

	const lacks = `"error_description":"The access token does not grant what this request needs."`
	for _, test := range []struct {
		route, token string
		status       int
		body         string
	}{
		{"GET /", "", 200, "welcome \n"},
		{"GET /", "user", 200, "welcome \n"}, // without a gate the token is ignored
		{"GET /", "nobody", 200, "welcome \n"},
		{"GET /health", "", 200, "healthy \n"},

		// What is not listed as public is guarded.
		{"POST /", "", 401, "unauthorized"},
		{"POST /", "user", 404, "not found"},
		{"DELETE /health", "", 401, "unauthorized"},
		{"GET /health/", "", 401, "unauthorized"},
		{"GET /health/../me", "", 401, "unauthorized"}, // after a redirect to /me
		{"GET //me", "", 401, "unauthorized"},          // as above
		{"GET /health%2f..%2fme", "", 401, "unauthorized"},
		{"GET /health;/../me", "", 401, "unauthorized"},
		{"GET /nothing", "", 401, "unauthorized"},
		{"GET /nothing", "user", 404, "not found"},
		{"DELETE /me", "user", 405, "Method Not Allowed"},

		{"GET /me", "user", 200, "\"Ulla\" has the roles [\"user\"]\n"},
		{"GET /me", "reader", 200, "\"\" has the roles []\n"},
		{"GET /me", "odd", 500, "cannot read the profile\n"},
		{"GET /me", "late", 401, "expired"},
		{"GET /me", "nobody", 401, "not valid"},
		{"GET /me", "", 401, "unauthorized"},

		{"GET /admin", "admin", 200, "admin admin\n"},
		{"GET /admin", "user", 403, lacks},
		{"GET /admin", "reader", 403, lacks},
		{"GET /admin", "fake", 403, lacks},
		{"GET /admin", "", 401, "unauthorized"},

		{"GET /reports", "reader", 200, "reports reader\n"},
		{"GET /reports", "admin", 200, "reports admin\n"},
		{"GET /reports", "writer", 403, lacks},
		{"GET /reports", "", 401, "unauthorized"},

		{"POST /reports", "writer", 200, "written writer\n"},
		{"POST /reports", "admin", 403, lacks},
		{"POST /reports", "", 401, "unauthorized"},
	} {
		t.Run(test.route+" as "+test.token, func(t *testing.T) {
			t.Parallel()
			method, path, _ := strings.Cut(test.route, " ")
			header := http.Header{}
			if test.token != "" {
				header.Set("Authorization", "Bearer "+tokens[test.token])
			}
			response, body := send(t, server, method, path, header)
			assert.Equal(t, test.status, response.StatusCode)
			if test.status == http.StatusOK {
				assert.Equal(t, test.body, body)
			} else {
				assert.Contains(t, body, test.body)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	handler, err := newHandler(public)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	defer server.Close()

	preflight, _ := send(t, server, http.MethodOptions, "/me", http.Header{
		"Origin":                         {frontend},
		"Access-Control-Request-Method":  {"GET"},
		"Access-Control-Request-Headers": {"authorization"},
	})
	assert.Equal(t, http.StatusNoContent, preflight.StatusCode)
	assert.Equal(t, frontend, preflight.Header.Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "Authorization", preflight.Header.Get("Access-Control-Allow-Headers"))

	refused, _ := send(t, server, http.MethodGet, "/me", http.Header{"Origin": {frontend}})
	assert.Equal(t, http.StatusUnauthorized, refused.StatusCode)
	assert.Equal(t, frontend, refused.Header.Get("Access-Control-Allow-Origin"), "the browser shows the refusal to the application")

	other, _ := send(t, server, http.MethodGet, "/me", http.Header{"Origin": {"https://evil.example"}})
	assert.NotEqual(t, "https://evil.example", other.Header.Get("Access-Control-Allow-Origin"))

	noPreflight, _ := send(t, server, http.MethodOptions, "/me", http.Header{"Origin": {frontend}})
	assert.Equal(t, http.StatusUnauthorized, noPreflight.StatusCode)
}

// send sends a request and returns the response and its body.
func send(t *testing.T, server *httptest.Server, method, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	require.NoError(t, err)
	request.Header = header
	response, err := server.Client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}
