package main

import (
	"context"
	"crypto"
	"errors"
	"net/http"
	"strings"
	"testing"

	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-chi/jwtauth/v5"
	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
	echojwt "github.com/labstack/echo-jwt/v5"
	"github.com/labstack/echo/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
	mcpauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/stretchr/testify/require"
)

// A peer is a library that guards a handler. It accepts tokens of one algorithm, one
// issuer and one key with a known ID. It is configured to check what jwtgate checks by
// default: the algorithm, the key ID, typ, crit, exp (required), nbf and iat with a
// leeway of 30 seconds, iss, aud, and a subject that is not empty.
//
// The comment of its function says which of these checks a library does not offer.
// Duplicate claims are refused by jwtgate, go-jose and jwx v4 only, and key-bound tokens
// by jwtgate and auth0 only. TestDifferences has all differences.
type peer struct {
	name    string
	handler func(testing.TB, string) http.Handler
	without string // an algorithm that it does not support
}

var peers = []peer{
	{name: "jwtgate", handler: withJwtgate},
	{name: "jwtgate-cached", handler: withJwtgateCached},
	{name: "golang-jwt", handler: withGolangJWT},
	{name: "echo-jwt", handler: withEchoJWT},
	{name: "jwx", handler: withJWX},
	{name: "jwtauth", handler: withJwtauth},
	{name: "go-jose", handler: withGoJose},
	{name: "go-oidc", handler: withGoOIDC, without: "HS256"}, // it verifies with public keys only
	{name: "auth0", handler: withAuth0},
	{name: "mcp", handler: withMCP},
}

// answer is what all guarded handlers do with the subject.
func answer(w http.ResponseWriter, got string) {
	if got != subject {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func withJwtgate(tb testing.TB, alg string) http.Handler {
	return newGate(tb, alg).Handler(afterGate)
}

// withJwtgateCached remembers tokens, so it checks each signature only once. The other
// libraries do not offer this.
func withJwtgateCached(tb testing.TB, alg string) http.Handler {
	return newGate(tb, alg, remembering(1000)).Handler(afterGate)
}

func remembering(size int) func(*jwtgate.Options) {
	return func(o *jwtgate.Options) { o.CacheSize = size }
}

var afterGate = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	answer(w, jwtgate.Subject(r.Context()))
})

func newGate(tb testing.TB, alg string, changes ...func(*jwtgate.Options)) *jwtgate.Gate {
	key, err := jwtgate.NewKey(keyID, alg, ours[alg]().public)
	require.NoError(tb, err)
	options := jwtgate.Options{
		Keys:      keys.Static(key),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
	}
	for _, change := range changes {
		change(&options)
	}
	gate, err := jwtgate.New(options)
	require.NoError(tb, err)
	return gate
}

// byHand returns a small strict middleware for a library that has no middleware. verify
// verifies a token; the handler gets its result and calls subjectOf with it.
func byHand[T any](verify func(*http.Request, string) (T, error), subjectOf func(T) string) http.Handler {
	type contextKey struct{}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, subjectOf(r.Context().Value(contextKey{}).(T)))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines := r.Header["Authorization"]
		if len(lines) != 1 {
			unauthorized(w)
			return
		}
		scheme, token, _ := strings.Cut(lines[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			unauthorized(w)
			return
		}
		verified, err := verify(r, token)
		if err != nil || subjectOf(verified) == "" {
			unauthorized(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, verified)))
	})
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	http.Error(w, "the token is not valid", http.StatusUnauthorized)
}

// expectedType reports whether jwtgate accepts typ by default.
func expectedType(typ string) bool {
	return typ == "" || strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "at+jwt")
}

// withGolangJWT decodes seven claims into a struct, which costs less than decoding all
// claims into a map.
func withGolangJWT(_ testing.TB, alg string) http.Handler {
	parser, keyFunc := strictParser(alg)
	return byHand(func(_ *http.Request, token string) (*jwt.RegisteredClaims, error) {
		claims := new(jwt.RegisteredClaims)
		_, err := parser.ParseWithClaims(token, claims, keyFunc)
		return claims, err
	}, func(claims *jwt.RegisteredClaims) string { return claims.Subject })
}

func strictParser(alg string) (*jwt.Parser, jwt.Keyfunc) {
	key := ours[alg]().public
	keyFunc := func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != keyID {
			return nil, errors.New("unknown key")
		}
		if typ, found := t.Header["typ"]; found {
			if s, ok := typ.(string); !ok || !expectedType(s) {
				return nil, errors.New("another type")
			}
		}
		if _, found := t.Header["crit"]; found { // golang-jwt ignores it
			return nil, errors.New("an extension that must be understood")
		}
		return key, nil
	}
	return jwt.NewParser(
		jwt.WithValidMethods([]string{alg}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(),
		jwt.WithLeeway(leeway),
	), keyFunc
}

// withEchoJWT is echo-jwt in an echo server with one route, so the cost of echo is
// included. echo-jwt's own parser has no options for iss, aud, a required exp and the
// leeway. So ParseTokenFunc calls the parser of withGolangJWT.
func withEchoJWT(_ testing.TB, alg string) http.Handler {
	parser, keyFunc := strictParser(alg)
	e := echo.New()
	e.Use(echojwt.WithConfig(echojwt.Config{
		ParseTokenFunc: func(_ *echo.Context, token string) (any, error) {
			claims := new(jwt.RegisteredClaims)
			parsed, err := parser.ParseWithClaims(token, claims, keyFunc)
			if err == nil && claims.Subject == "" {
				err = errors.New("no subject")
			}
			return parsed, err
		},
	}))
	e.GET("/orders", func(c *echo.Context) error {
		token, err := echo.ContextGet[*jwt.Token](c, "user")
		if err != nil {
			return err
		}
		answer(c.Response(), token.Claims.(*jwt.RegisteredClaims).Subject)
		return nil
	})
	return e
}

// withMCP is RequireBearerToken of the MCP SDK. It has no parser of its own, so its
// TokenVerifier calls the one of withGolangJWT.
func withMCP(_ testing.TB, alg string) http.Handler {
	parser, keyFunc := strictParser(alg)
	verifier := func(_ context.Context, token string, _ *http.Request) (*mcpauth.TokenInfo, error) {
		claims := new(jwt.RegisteredClaims)
		_, err := parser.ParseWithClaims(token, claims, keyFunc)
		if err == nil && claims.Subject == "" {
			err = errors.New("no subject")
		}
		if err != nil {
			return nil, errors.Join(mcpauth.ErrInvalidToken, err)
		}
		return &mcpauth.TokenInfo{UserID: claims.Subject, Expiration: claims.ExpiresAt.Time}, nil
	}
	guard := mcpauth.RequireBearerToken(verifier, &mcpauth.RequireBearerTokenOptions{ClockSkew: leeway})
	return guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, mcpauth.TokenInfoFromContext(r.Context()).UserID)
	}))
}

// jwxOptions returns the options of jwx that check the claims.
func jwxOptions() []jwxjwt.ValidateOption {
	return []jwxjwt.ValidateOption{
		jwxjwt.WithIssuer(issuer),
		jwxjwt.WithAudience(audience),
		jwxjwt.WithRequiredClaim(jwxjwt.ExpirationKey),
		jwxjwt.WithAcceptableSkew(leeway),
	}
}

func jwxAlgorithm(tb testing.TB, alg string) jwa.SignatureAlgorithm {
	algorithm, ok := jwa.LookupSignatureAlgorithm(alg)
	require.True(tb, ok)
	return algorithm
}

// checkJWXHeader checks what jwx leaves to a key provider. The headers of jwx v3 and v4 have
// these methods.
func checkJWXHeader(h interface {
	KeyID() (string, bool)
	Type() (string, bool)
	Critical() ([]string, bool)
}) error {
	if kid, _ := h.KeyID(); kid != keyID {
		return errors.New("unknown key")
	}
	if typ, _ := h.Type(); !expectedType(typ) {
		return errors.New("another type")
	}
	if _, found := h.Critical(); found { // jwx checks it on its fast path only
		return errors.New("an extension that must be understood")
	}
	return nil
}

// withJWX checks kid, typ and crit in a key provider, because there jwx gives access to
// the header.
func withJWX(tb testing.TB, alg string) http.Handler {
	algorithm, key := jwxAlgorithm(tb, alg), ours[alg]().public
	provider := jws.KeyProviderFunc(func(_ context.Context, sink jws.KeySink, s *jws.Signature, _ *jws.Message) error {
		h := s.ProtectedHeaders()
		if got, _ := h.Algorithm(); got != algorithm {
			return errors.New("another algorithm")
		}
		if err := checkJWXHeader(h); err != nil {
			return err
		}
		sink.Key(algorithm, key)
		return nil
	})
	options := []jwxjwt.ParseOption{jwxjwt.WithKeyProvider(provider)}
	for _, o := range jwxOptions() {
		options = append(options, o)
	}
	return byHand(func(r *http.Request, _ string) (jwxjwt.Token, error) {
		return jwxjwt.ParseRequest(r, options...)
	}, func(token jwxjwt.Token) string {
		s, _ := token.Subject()
		return s
	})
}

// withJwtauth does not check kid and typ. It calls Verify instead of Verifier, which
// would also look for a cookie. It does not call FromContext, which would copy the
// claims again.
func withJwtauth(_ testing.TB, alg string) http.Handler {
	options := append(jwxOptions(), jwxjwt.WithValidator(jwxjwt.ValidatorFunc(func(_ context.Context, t jwxjwt.Token) error {
		if s, _ := t.Subject(); s == "" {
			return errors.New("no subject")
		}
		return nil
	})))
	auth := jwtauth.New(alg, nil, ours[alg]().public, options...)
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := r.Context().Value(jwtauth.TokenCtxKey).(jwxjwt.Token)
		s, _ := token.Subject()
		answer(w, s)
	})
	return jwtauth.Verify(auth, jwtauth.TokenFromHeader)(jwtauth.Authenticator(auth)(next))
}

func withGoJose(_ testing.TB, alg string) http.Handler {
	key, algorithms := ours[alg]().public, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)}
	return byHand(func(_ *http.Request, raw string) (*josejwt.Claims, error) {
		token, err := josejwt.ParseSigned(raw, algorithms)
		if err != nil {
			return nil, err
		}
		h := token.Headers[0] // ParseSigned accepts only the compact form, which has one header
		if h.KeyID != keyID {
			return nil, errors.New("unknown key")
		}
		if typ, found := h.ExtraHeaders[jose.HeaderType]; found {
			if s, ok := typ.(string); !ok || !expectedType(s) {
				return nil, errors.New("another type")
			}
		}
		claims := new(josejwt.Claims)
		if err := token.Claims(key, claims); err != nil {
			return nil, err
		}
		if claims.Expiry == nil {
			return nil, errors.New("no exp")
		}
		return claims, claims.ValidateWithLeeway(josejwt.Expected{Issuer: issuer, AnyAudience: []string{audience}}, leeway)
	}, func(claims *josejwt.Claims) string { return claims.Subject })
}

// withGoOIDC does not check kid, typ and iat. Its leeway is zero for exp and five
// minutes for nbf.
func withGoOIDC(_ testing.TB, alg string) http.Handler {
	verifier := oidc.NewVerifier(issuer,
		&oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{ours[alg]().public}},
		&oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{alg}})
	return byHand(func(r *http.Request, raw string) (*oidc.IDToken, error) {
		return verifier.Verify(r.Context(), raw)
	}, func(token *oidc.IDToken) string { return token.Subject })
}

// withAuth0 has its key in a set, as with the keys of an issuer, so it checks kid. It
// does not check typ and crit. With its default for DPoP it refuses key-bound tokens
// that come as bearer tokens.
func withAuth0(tb testing.TB, alg string) http.Handler {
	key, err := jwk.Import(ours[alg]().public)
	require.NoError(tb, err)
	require.NoError(tb, key.Set(jwk.KeyIDKey, keyID))
	require.NoError(tb, key.Set(jwk.AlgorithmKey, jwxAlgorithm(tb, alg)))
	set := jwk.NewSet()
	require.NoError(tb, set.AddKey(key))

	v, err := validator.New(
		validator.WithKeyFunc(func(context.Context) (any, error) { return set, nil }),
		validator.WithAlgorithm(validator.SignatureAlgorithm(alg)),
		validator.WithIssuer(issuer),
		validator.WithAudience(audience),
		validator.WithAllowedClockSkew(leeway),
		validator.WithRegisteredClaimsValidator(func(claims validator.RegisteredClaims) error {
			if claims.Subject == "" || claims.Expiry == 0 {
				return errors.New("no subject or no exp")
			}
			return nil
		}),
	)
	require.NoError(tb, err)
	m, err := jwtmiddleware.New(jwtmiddleware.WithValidator(v))
	require.NoError(tb, err)
	return m.CheckJWT(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := jwtmiddleware.GetClaims[*validator.ValidatedClaims](r.Context())
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		answer(w, claims.RegisteredClaims.Subject)
	}))
}
