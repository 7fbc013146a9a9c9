package main

import (
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

var secret = []byte("a secret of this test and of nobody else")

func TestService(t *testing.T) {
	t.Parallel()
	handler, err := newHandler(secret)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	soon, past := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	signed := func(secret []byte, claims jwt.MapClaims) string {
		token, err := sign(secret, claims)
		require.NoError(t, err)
		return token
	}
	stronger, err := jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.MapClaims{"id": 42, "exp": soon}).SignedString(secret)
	require.NoError(t, err)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"id": 42, "exp": soon}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)

	for name, test := range map[string]struct {
		token  string
		status int
		body   string
	}{
		"numeric id":             {signed(secret, jwt.MapClaims{"id": 42, "exp": soon}), 200, "You are user 42\n"},
		"id of many digits":      {signed(secret, jwt.MapClaims{"id": uint64(9007199254740993), "exp": soon}), 200, "You are user 9007199254740993\n"},
		"string id":              {signed(secret, jwt.MapClaims{"id": "5f7c8ec7", "exp": soon}), 200, "You are user 5f7c8ec7\n"},
		"sub does not count":     {signed(secret, jwt.MapClaims{"id": 42, "sub": "7", "exp": soon}), 200, "You are user 42\n"},
		"no token":               {"", 401, "unauthorized"},
		"no id":                  {signed(secret, jwt.MapClaims{"sub": "42", "exp": soon}), 401, "invalid_token"},
		"empty id":               {signed(secret, jwt.MapClaims{"id": "", "exp": soon}), 401, "invalid_token"},
		"id that is no integer":  {signed(secret, jwt.MapClaims{"id": 4.2, "exp": soon}), 401, "invalid_token"},
		"signed without expiry":  {signed(secret, jwt.MapClaims{"id": 42}), 401, "invalid_token"},
		"expired":                {signed(secret, jwt.MapClaims{"id": 42, "exp": past}), 401, "has expired"},
		"another secret":         {signed([]byte("another secret of the same length, or so"), jwt.MapClaims{"id": 42, "exp": soon}), 401, "invalid_token"},
		"another algorithm":      {stronger, 401, "invalid_token"},
		"no signature, alg none": {unsigned, 401, "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/me", nil)
			require.NoError(t, err)
			if test.token != "" {
				request.Header.Set("Authorization", "Bearer "+test.token)
			}
			response, err := server.Client().Do(request)
			require.NoError(t, err)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			assert.Equal(t, test.status, response.StatusCode)
			if test.status == http.StatusOK {
				assert.Equal(t, test.body, string(body))
			} else {
				assert.Contains(t, string(body), test.body)
				assert.True(t, strings.HasPrefix(response.Header.Get("WWW-Authenticate"), "Bearer "))
			}
		})
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	got, err := secretFrom(" " + string(secret) + "\r\n")
	require.NoError(t, err)
	assert.Equal(t, secret, got)

	for _, missing := range []string{"", " \n"} {
		_, err := secretFrom(missing)
		require.ErrorContains(t, err, "JWT_SECRET is not set")
	}

	_, err = newHandler([]byte("secret123"))
	require.ErrorContains(t, err, "JWT_SECRET: ")
	require.ErrorContains(t, err, "needs at least 32")
	assert.NotContains(t, err.Error(), "secret123", "the secret must not appear in a log")
}
