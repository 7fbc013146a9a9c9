package migration

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	jwtmiddlewarev2 "github.com/auth0/go-jwt-middleware/v2"
	jwksv2 "github.com/auth0/go-jwt-middleware/v2/jwks"
	validatorv2 "github.com/auth0/go-jwt-middleware/v2/validator"
	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

// What can happen to the keys of an issuer.
const (
	firstDown = "the issuer is down, and no keys have been fetched yet"
	rotated   = "the issuer signs with a new key, and has published it"
	laterDown = "the issuer is down, and the keys are no longer fresh"
)

// keyTrials are the answers of auth0/go-jwt-middleware and of a gate in each of
// these cases.
var keyTrials = []trial{
	{sent: firstDown, before: "401", after: "503"},
	{sent: rotated, before: "401", after: "200"},
	{sent: laterDown, before: "401", after: "200"},
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range keyTrials {
		t.Run(tt.sent, func(t *testing.T) {
			t.Parallel()
			issuer := jwttest.NewIssuer(t)
			issuer.SetAlgorithm("RS256")
			before, after := must(t)(auth0Before(issuer.URL, issuer.Audience)), must(t)(auth0After(issuer.URL, issuer.Audience))
			remote := &keys.Remote{}
			if tt.sent == laterDown {
				before, after = auth0BriefCache(t, issuer), gateWith(t, issuer, remote)
			}
			services := []string{serve(t, before), serve(t, after)}
			answers := func() []string {
				var all []string
				for _, service := range services {
					all = append(all, outcome(ask(t, service, func(r *http.Request) {
						r.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
					}), "alice"))
				}
				return all
			}
			switch tt.sent {
			case rotated:
				require.Equal(t, []string{"200", "200"}, answers())
				issuer.Rotate()
			case laterDown:
				require.Equal(t, []string{"200", "200"}, answers())
				issuer.Down(http.StatusServiceUnavailable)
				require.Error(t, remote.Refresh(t.Context(), issuer.URL), "as when the keys are due for a refresh")
			case firstDown:
				issuer.Down(http.StatusServiceUnavailable)
			}
			assert.Equal(t, []string{tt.before, tt.after}, answers())
		})
	}
}

// auth0BriefCache is auth0Before with keys that are cached for a nanosecond only.
func auth0BriefCache(t *testing.T, issuer *jwttest.Issuer) http.Handler {
	t.Helper()
	issuerURL, err := url.Parse(issuer.URL)
	require.NoError(t, err)
	provider, err := jwks.NewCachingProvider(jwks.WithIssuerURL(issuerURL), jwks.WithCacheTTL(time.Nanosecond))
	require.NoError(t, err)
	v, err := validator.New(validator.WithKeyFunc(provider.KeyFunc), validator.WithAlgorithm(validator.RS256),
		validator.WithIssuer(issuer.URL), validator.WithAudience(issuer.Audience))
	require.NoError(t, err)
	middleware, err := jwtmiddleware.New(jwtmiddleware.WithValidator(v))
	require.NoError(t, err)
	return middleware.CheckJWT(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := jwtmiddleware.MustGetClaims[*validator.ValidatedClaims](r.Context())
		fmt.Fprintln(w, "hello", claims.RegisteredClaims.Subject)
	}))
}

// gateWith is auth0After with the given key source.
func gateWith(t *testing.T, issuer *jwttest.Issuer, remote *keys.Remote) http.Handler {
	t.Helper()
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      remote,
		Issuers:   []string{issuer.URL},
		Audiences: []string{issuer.Audience},
	})
	require.NoError(t, err)
	return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", jwtgate.Subject(r.Context()))
	}))
}

// v2Trials are requests that v2 of the middleware answers differently than v3.
var v2Trials = []trial{
	{sent: "no token", before: "400", after: "401"},
	{sent: "`Basic` credentials", before: "500", after: "401"},
	{sent: "`Bearer` and two words", before: "500", after: "400"},
	{sent: "a second `Authorization` after the good one", before: "200", after: "400"},
	{sent: "`cnf` of a DPoP key, and no proof", before: "200", after: "401"},
}

// v2Refuses are requests that v2 and a gate refuse and v3 accepts.
var v2Refuses = []string{"`sub` twice", "`alg` twice", "`exp` as a string", "`crit` with an unknown name", "padding in base64", "base64 instead of base64url"}

func TestAuth0V2(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "RS256")
	s.issuer = publish(t, s)
	issuerURL, err := url.Parse(s.issuer)
	require.NoError(t, err)
	v, err := validatorv2.New(jwksv2.NewCachingProvider(issuerURL, 5*time.Minute).KeyFunc, validatorv2.RS256, s.issuer, []string{audience})
	require.NoError(t, err)
	before := serve(t, jwtmiddlewarev2.New(v.ValidateToken).CheckJWT(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := r.Context().Value(jwtmiddlewarev2.ContextKey{}).(*validatorv2.ValidatedClaims)
		fmt.Fprintln(w, "hello", claims.RegisteredClaims.Subject)
	})))
	after := serve(t, must(t)(auth0After(s.issuer, audience)))

	trials := append([]trial{{sent: "a good token", before: "200", after: "200"}, {sent: "no `exp`", before: "200", after: "401"}}, v2Trials...)
	for _, sent := range v2Refuses {
		trials = append(trials, trial{sent: sent, before: "401", after: "401"})
	}
	requests := s.requests("sub", "alice")
	for _, tt := range trials {
		require.Contains(t, requests, tt.sent)
		got := trial{sent: tt.sent, before: outcome(ask(t, before, requests[tt.sent]), "alice"), after: outcome(ask(t, after, requests[tt.sent]), "alice")}
		assert.Equal(t, tt, got)
	}
}
