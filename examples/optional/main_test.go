package main

import (
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFront(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	handler, err := newHandler(public)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	bearer := func(claims jwt.MapClaims) []string {
		claims["iss"] = issuer
		if claims["aud"] == nil {
			claims["aud"] = audience
		}
		if claims["exp"] == nil {
			claims["exp"] = time.Now().Add(time.Hour).Unix()
		}
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(private)
		require.NoError(t, err)
		return []string{"Bearer " + token}
	}
	good := bearer(jwt.MapClaims{"sub": "7d1c", "name": "Alice"})

	const anonymous = "Good morning. Sign in to see more."
	for name, test := range map[string]struct {
		authorization []string
		status        int
		body          string
	}{
		"no token":                        {nil, 200, anonymous},
		"credentials of another scheme":   {[]string{"Basic YWxpY2U6c2VjcmV0"}, 200, anonymous},
		"signed in":                       {good, 200, "Good morning, Alice."},
		"signed in without a name":        {bearer(jwt.MapClaims{"sub": "7d1c"}), 200, "Good morning, 7d1c."},
		"signed in with markup as name":   {bearer(jwt.MapClaims{"sub": "7d1c", "name": "<script>"}), 200, "Good morning, &lt;script&gt;."},
		"signed in with a number as name": {bearer(jwt.MapClaims{"sub": "7d1c", "name": 1}), 500, "cannot read the profile"},
		"expired":                         {bearer(jwt.MapClaims{"sub": "7d1c", "exp": time.Now().Add(-time.Hour).Unix()}), 401, "expired"},
		"for another site":                {bearer(jwt.MapClaims{"sub": "7d1c", "aud": "https://shop.example.com"}), 401, "invalid_token"},
		"damaged":                         {[]string{good[0] + "x"}, 401, "invalid_token"},
		"not a JWT":                       {[]string{"Bearer abc"}, 401, "invalid_token"},
		"empty token":                     {[]string{"Bearer"}, 400, "invalid_request"},
		"two tokens":                      {[]string{good[0], good[0]}, 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/", nil)
			require.NoError(t, err)
			request.Header["Authorization"] = test.authorization
			response, err := server.Client().Do(request)
			require.NoError(t, err)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			assert.Equal(t, test.status, response.StatusCode)
			assert.Contains(t, string(body), test.body)
			if test.status == http.StatusOK {
				assert.Equal(t, "Authorization", response.Header.Get("Vary"))
			} else {
				assert.NotContains(t, string(body), anonymous)
			}
		})
	}
}
