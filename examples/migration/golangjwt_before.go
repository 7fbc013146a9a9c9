package migration

import (
	"context"
	"fmt"
	"net/http"

	"github.com/golang-jwt/jwt/v5"
	"github.com/golang-jwt/jwt/v5/request"
)

type claimsKey struct{}

// golangJWTBefore has typical middleware around golang-jwt. It uses golang-jwt's own
// extractor and checks alg as the README of golang-jwt asks.
func golangJWTBefore(publicKey []byte) (http.Handler, error) {
	key, err := jwt.ParseRSAPublicKeyFromPEM(publicKey)
	if err != nil {
		return nil, err
	}
	keyFunc := func(*jwt.Token) (any, error) { return key, nil }
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}))

	guard := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			claims := &jwt.RegisteredClaims{}
			_, err := request.ParseFromRequest(r, request.BearerExtractor{}, keyFunc,
				request.WithClaims(claims), request.WithParser(parser))
			if err != nil {
				http.Error(w, "Invalid token: "+err.Error(), http.StatusUnauthorized)
				return
			}
			next(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
		}
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", guard(func(w http.ResponseWriter, r *http.Request) {
		claims := r.Context().Value(claimsKey{}).(*jwt.RegisteredClaims)
		fmt.Fprintln(w, "hello", claims.Subject)
	}))
	return mux, nil
}
