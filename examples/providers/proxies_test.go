package providers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCloudflareAccess(t *testing.T) {
	t.Parallel()
	const (
		issuer = "https://example.cloudflareaccess.com"
		aud    = "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228"
		other  = "97e2aae120121f902df8bc99fc345913ab186d174f3079ea729236766b2e7c4a"
		user   = "7335d417-61da-459d-899c-0a01c76a2f94"
		kid    = "9338abe1baf2fe492f646a736f25afbf7b025e35c627be4f60c414d4c73069b8"
	)
	page := jwks(
		jwk(ours(), map[string]any{"kid": kid, "alg": "RS256", "use": "sig"}),
		jwk(ours2(), map[string]any{"kid": "6f6c64", "alg": "RS256", "use": "sig"}),
	)
	page["public_cert"] = map[string]any{"kid": kid, "cert": "-----BEGIN CERTIFICATE-----"}
	page["public_certs"] = []any{page["public_cert"]}
	options := online(t, providers.CloudflareAccess("example", aud), map[string]any{issuer + "/cdn-cgi/access/certs": page})

	maker := tokenMaker{t, ours(), map[string]any{"kid": kid, "typ": "JWT"}, fresh(jwt.MapClaims{
		"aud": []string{aud}, "email": "user@example.com", "nbf": ago(time.Minute), "iss": issuer, "type": "app",
		"identity_nonce": "6ei69kawdKzMIAPF", "sub": user, "country": "US",
	})}
	token := maker.token
	service := token(jwt.MapClaims{"sub": "", "common_name": "e367826f93b8.access", "email": nil, "identity_nonce": nil, "country": nil})
	visitAllIn(t, "Cf-Access-Jwt-Assertion", "", options, map[string]visit{
		"user":                passes(token(nil), user),
		"old key":             passes(maker.withKey(ours2(), "6f6c64").token(nil), user),
		"another application": refused(token(jwt.MapClaims{"aud": []string{other}}), "audience"),
		"another team":        refused(token(jwt.MapClaims{"iss": "https://evil.cloudflareaccess.com"}), "issuer"),
		"global session":      refused(token(jwt.MapClaims{"type": "org"}), "claim"),
		"service token":       refused(service, "claim"),
		"not Cloudflare's":    refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"expired":             refused(token(jwt.MapClaims{"exp": ago(time.Hour)}), "expired"),
		"no token":            refused("", "no_token"),
	})
	t.Run("in Authorization", func(t *testing.T) {
		t.Parallel()
		assert.Equal(t, "no_token", reasonOf(t, options, "Authorization", "Bearer "+token(nil)))
	})
	t.Run("service token, if wanted", func(t *testing.T) {
		t.Parallel()
		options := options
		options.AllowNoSubject = true
		assert.Empty(t, reasonOf(t, options, "Cf-Access-Jwt-Assertion", service))
	})
}

// reasonOf returns why a gate with the options refuses a request with the header, or "".
func reasonOf(t *testing.T, options jwtgate.Options, header, value string) string {
	t.Helper()
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
	r.Header.Set(header, value)
	_, err = gate.Check(r)
	if err == nil {
		return ""
	}
	var refusal *jwtgate.Error
	require.ErrorAs(t, err, &refusal)
	return refusal.Reason()
}

func TestGoogleIAP(t *testing.T) {
	t.Parallel()
	const (
		keysURI = "https://www.gstatic.com/iap/verify/public_key-jwk"
		aud     = "/projects/1234567890/global/backendServices/9876543210"
		user    = "accounts.google.com:110169484474386276334"
	)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	point, err := private.PublicKey.Bytes()
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	options := online(t, providers.GoogleIAP(aud), map[string]any{keysURI: jwks(map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "f9R3yg", "x": encode(point[1:33]), "y": encode(point[33:]),
	})})
	claims := fresh(jwt.MapClaims{
		"iss": "https://cloud.google.com/iap", "aud": aud, "sub": user, "email": "jane@example.com", "hd": "example.com",
		"google": map[string]any{"access_levels": []string{"accessPolicies/1/accessLevels/x"}},
	})
	token := func(changes jwt.MapClaims) string {
		return signBy(t, jwt.SigningMethodES256, private, map[string]any{"typ": "JWT", "kid": "f9R3yg"}, with(claims, changes))
	}
	visitAllIn(t, "X-Goog-Iap-Jwt-Assertion", "", options, map[string]visit{
		"user":                passes(token(nil), user),
		"our domain":          onRoute(jwtgate.Claim("hd", "example.com"), passes(token(nil), user)),
		"another domain":      forbidden(jwtgate.Claim("hd", "example.com"), token(jwt.MapClaims{"hd": "example.org"})),
		"another application": refused(token(jwt.MapClaims{"aud": "/projects/1234567890/global/backendServices/1"}), "audience"),
		"another project":     refused(token(jwt.MapClaims{"aud": "/projects/666/apps/evil"}), "audience"),
		"ID token of Google":  refused(token(jwt.MapClaims{"iss": "https://accounts.google.com"}), "issuer"),
		"RS256":               refused(sign(t, ours(), map[string]any{"typ": "JWT", "kid": "f9R3yg"}, claims), "algorithm"),
		"no token":            refused("", "no_token"),
	})
}

func TestAWSLoadBalancer(t *testing.T) {
	t.Parallel()
	const (
		pool   = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Example"
		client = "1example23456789"
		user   = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	)
	options := online(t, providers.AWSLoadBalancer(providers.Cognito(pool, client)), map[string]any{
		pool + "/.well-known/openid-configuration": map[string]any{"issuer": pool, "jwks_uri": pool + "/.well-known/jwks.json"},
		pool + "/.well-known/jwks.json":            jwks(jwk(ours(), map[string]any{"alg": "RS256", "use": "sig", "kid": "a"})),
	})
	claims := fresh(jwt.MapClaims{"iss": pool, "sub": user, "client_id": client, "token_use": "access", "scope": "openid"})
	token := tokenMaker{t, ours(), map[string]any{"kid": "a"}, claims}.token

	// The value of X-Amzn-Oidc-Data, as a load balancer makes it.
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	part := func(v any) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.URLEncoding.EncodeToString(append(text, ' ')) // the length is one that needs padding
	}
	signed := part(map[string]any{
		"typ": "JWT", "kid": "5f3c", "alg": "ES256", "iss": pool, "client": client, "exp": time.Now().Add(time.Minute).Unix(),
		"signer": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188",
	}) + "." + part(map[string]any{"sub": user, "email": "jane@example.com"})
	signature, err := jwt.SigningMethodES256.Sign(signed, private)
	require.NoError(t, err)
	data := signed + "." + base64.URLEncoding.EncodeToString(signature)

	visitAllIn(t, "X-Amzn-Oidc-Accesstoken", "", options, map[string]visit{
		"access token":            passes(token(nil), user+" openid"),
		"of another client":       refused(token(jwt.MapClaims{"client_id": "2"}), "claim"),
		"ID token":                refused(token(jwt.MapClaims{"token_use": "id", "aud": client, "client_id": nil}), "claim"),
		"the load balancer's":     refused(data, "malformed"),
		"opaque":                  refused("ya29.a0AfH6SMBx3Zk1Vn7dQw4lGm0", "malformed"),
		"of nobody who signed in": refused("", "no_token"),
	})
	t.Run("X-Amzn-Oidc-Data", func(t *testing.T) {
		t.Parallel()
		assert.Equal(t, "no_token", reasonOf(t, options, "X-Amzn-Oidc-Data", data))
	})
}
