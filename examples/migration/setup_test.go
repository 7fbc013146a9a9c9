package migration

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/jwtauth/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

// The libraries accept weak keys. A gate refuses them.
func TestWeakKeys(t *testing.T) {
	t.Parallel()
	secret := []byte("secret") // as in the READMEs
	for claim, before := range map[string]http.Handler{"sub": echoJWTBefore(secret), "user_id": jwtauthBefore(secret)} {
		s := newSigner(t, "HS256")
		s.secret = secret
		answer := ask(t, serve(t, before), s.requests(claim, "alice")["a good token"])
		assert.Equal(t, "200", outcome(answer, "alice"), claim)
	}
	for name, make := range map[string]func([]byte) (http.Handler, error){
		"echo-jwt": echoJWTAfter, "jwtauth": jwtauthAfter, "jwtauth, as it is": jwtauthAsIs,
	} {
		_, err := make(secret)
		assert.ErrorContains(t, err, "the secret has 6 bytes and HS256 needs at least 32", name)
	}

	private, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	s := newSigner(t, "RS256")
	s.private, s.publicKey = private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	answer := ask(t, serve(t, must(t)(golangJWTBefore(s.publicKey))), s.requests("sub", "alice")["a good token"])
	assert.Equal(t, "200", outcome(answer, "alice"))
	_, err = golangJWTAfter(s.publicKey)
	assert.ErrorContains(t, err, "the RSA key has 1024 bits")
}

// The tokens of jwtauth's Encode with the claims of jwtauth's README, in a header or
// the cookie, are accepted by jwtauthAsIs as before the move. jwtauthAfter refuses
// them.
func TestTokensOfJWTAuth(t *testing.T) {
	t.Parallel()
	secret := newSigner(t, "HS256").secret
	_, token, err := jwtauth.New("HS256", secret, nil).Encode(map[string]any{"user_id": 123})
	require.NoError(t, err)
	before, after, asIs := serve(t, jwtauthBefore(secret)), serve(t, must(t)(jwtauthAfter(secret))), serve(t, must(t)(jwtauthAsIs(secret)))
	cookie := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "jwt", Value: token}) }
	for name, prepare := range map[string]func(*http.Request){
		"header": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		"cookie": cookie,
	} {
		assert.Equal(t, "200", outcome(ask(t, before, prepare), 123), name)
		assert.Equal(t, "401", outcome(ask(t, after, prepare), 123), name)
		assert.Equal(t, "200", outcome(ask(t, asIs, prepare), 123), name)
	}

	// Browsers also send the cookie with requests from other sites.
	crossSite := func(r *http.Request) {
		cookie(r)
		r.Method = "POST"
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	assert.Equal(t, "405", outcome(ask(t, before, crossSite), 123), "the request reaches the router")
	assert.Equal(t, "403", outcome(ask(t, asIs, crossSite), 123))
}

func TestShadow(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "RS256")
	gate, err := jwtgate.New(jwtgate.Options{Keys: keys.PEM(s.publicKey), Issuers: []string{s.issuer}, Audiences: []string{audience}})
	require.NoError(t, err)
	old, err := golangJWTBefore(s.publicKey)
	require.NoError(t, err)
	requests := s.requests("sub", "alice")
	for sent, reason := range map[string]string{"a good token": "", "no `exp`": "claim", "another `aud`": "audience", "`typ` of a logout token": "type"} {
		var log bytes.Buffer
		service := serve(t, shadow(gate, slog.New(slog.NewJSONHandler(&log, nil)), old))
		assert.Equal(t, "200", outcome(ask(t, service, requests[sent]), "alice"), sent)
		if reason == "" {
			assert.Empty(t, log.String())
			continue
		}
		var record struct{ Msg, Reason, Path string }
		require.NoError(t, json.Unmarshal(log.Bytes(), &record))
		assert.Equal(t, struct{ Msg, Reason, Path string }{"the gate would refuse", reason, "/me"}, record)
	}
}

func TestShowProfile(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/profile", nil)
	w := httptest.NewRecorder()
	showProfile(w, r.WithContext(jwttest.Context(t, r.Context(), map[string]any{"email": "alice@example.com", "roles": []string{"admin"}})))
	assert.JSONEq(t, `{"email": "alice@example.com", "roles": ["admin"]}`, w.Body.String())

	w = httptest.NewRecorder()
	showProfile(w, r)
	assert.Equal(t, http.StatusInternalServerError, w.Code)
}
