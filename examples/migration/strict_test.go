package migration

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	auth0jwks "github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/jwtauth/v5"
	"github.com/golang-jwt/jwt/v5"
	"github.com/golang-jwt/jwt/v5/request"
	echojwt "github.com/labstack/echo-jwt/v4"
	"github.com/labstack/echo/v4"
	jwx "github.com/lestrrat-go/jwx/v2/jwt"
)

func golangJWTParser(alg string) *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithIssuer("https://auth.example.com/"), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithLeeway(30*time.Second))
}

func golangJWTStrict(publicKey []byte) (http.Handler, error) {
	key, err := jwt.ParseRSAPublicKeyFromPEM(publicKey)
	if err != nil {
		return nil, err
	}
	parser := golangJWTParser("RS256")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		claims := &jwt.RegisteredClaims{}
		_, err := request.ParseFromRequest(r, request.BearerExtractor{}, func(*jwt.Token) (any, error) { return key, nil },
			request.WithClaims(claims), request.WithParser(parser))
		if err != nil {
			http.Error(w, "Invalid token: "+err.Error(), http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(w, "hello", claims.Subject)
	})
	return mux, nil
}

func auth0Strict(issuer, audience string) (http.Handler, error) {
	issuerURL, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	provider, err := auth0jwks.NewCachingProvider(auth0jwks.WithIssuerURL(issuerURL), auth0jwks.WithStrictJWKSURIOrigin())
	if err != nil {
		return nil, err
	}
	v, err := validator.New(
		validator.WithKeyFunc(provider.KeyFunc),
		validator.WithAlgorithm(validator.RS256),
		validator.WithIssuer(issuer),
		validator.WithAudience(audience),
		validator.WithAllowedClockSkew(30*time.Second),
		validator.WithRegisteredClaimsValidator(func(claims validator.RegisteredClaims) error {
			if claims.Subject == "" || claims.Expiry == 0 {
				return errors.New("sub and exp are required")
			}
			return nil
		}),
	)
	if err != nil {
		return nil, err
	}
	middleware, err := jwtmiddleware.New(jwtmiddleware.WithValidator(v))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /me", middleware.CheckJWT(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := jwtmiddleware.GetClaims[*validator.ValidatedClaims](r.Context())
		fmt.Fprintln(w, "hello", claims.RegisteredClaims.Subject)
	})))
	return mux, nil
}

func echoJWTStrict(secret []byte) http.Handler {
	parser := golangJWTParser("HS256")
	e := echo.New()
	e.Use(echojwt.WithConfig(echojwt.Config{
		ParseTokenFunc: func(_ echo.Context, auth string) (any, error) {
			return parser.Parse(auth, func(*jwt.Token) (any, error) { return secret, nil })
		},
	}))
	e.GET("/me", func(c echo.Context) error {
		claims := c.Get("user").(*jwt.Token).Claims.(jwt.MapClaims)
		return c.String(http.StatusOK, fmt.Sprintln("hello", claims["sub"]))
	})
	return e
}

func jwtauthStrict(secret []byte) http.Handler {
	tokenAuth := jwtauth.New("HS256", secret, nil, jwx.WithIssuer("https://auth.example.com/"), jwx.WithAudience(audience),
		jwx.WithRequiredClaim("exp"), jwx.WithRequiredClaim("user_id"), jwx.WithAcceptableSkew(30*time.Second))
	r := chi.NewRouter()
	r.Use(jwtauth.Verify(tokenAuth, jwtauth.TokenFromHeader), jwtauth.Authenticator(tokenAuth))
	r.Get("/me", func(w http.ResponseWriter, r *http.Request) {
		_, claims, _ := jwtauth.FromContext(r.Context())
		fmt.Fprintln(w, "hello", claims["user_id"])
	})
	return r
}
