//go:build go1.27 || goexperiment.jsonv2

package main

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/lestrrat-go/jwx/v4/jwa"
	"github.com/lestrrat-go/jwx/v4/jws"
	"github.com/lestrrat-go/jwx/v4/jwt"
	"github.com/stretchr/testify/require"
)

// jwx v4 needs package encoding/json/v2.
func init() { peers = append(peers, peer{name: "jwx4", handler: withJWX4}) }

// withJWX4 is withJWX with jwx v4.
func withJWX4(tb testing.TB, alg string) http.Handler {
	algorithm, ok := jwa.LookupSignatureAlgorithm(alg)
	require.True(tb, ok)
	key := ours[alg]().public
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
	options := []jwt.ParseOption{
		jwt.WithKeyProvider(provider),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithRequiredClaim(jwt.ExpirationKey),
		jwt.WithAcceptableSkew(leeway),
	}
	return byHand(func(r *http.Request, _ string) (jwt.Token, error) {
		return jwt.ParseRequest(r, options...)
	}, func(token jwt.Token) string {
		s, _ := token.Subject()
		return s
	})
}
