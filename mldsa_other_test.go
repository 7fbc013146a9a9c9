//go:build !go1.27

package jwtgate_test

import (
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// furtherAlgorithms are the algorithms of newer versions of Go, for the error that lists
// all.
const furtherAlgorithms = ""

// Before Go 1.27, everything that meets ML-DSA says what is missing.
func TestMLDSANeedsNewerGo(t *testing.T) {
	t.Parallel()
	for _, v := range mldsaVectors(t) {
		needs := v.Algorithm + " needs Go 1.27 or later; this program was built with " + runtime.Version()
		_, err := jwtgate.NewKey("", v.Algorithm, []byte("key"))
		require.EqualError(t, err, `jwtgate: key for "`+v.Algorithm+`": `+needs)

		o := options(func(o *jwtgate.Options) { o.Keys = jwkSet(v.jwks...) })
		_, err = jwtgate.New(o)
		require.ErrorContains(t, err, needs, "a JWK Set with no other key")

		o = options(func(o *jwtgate.Options) { o.Algorithms = []string{v.Algorithm, "HS256"} })
		_, err = jwtgate.New(o)
		require.ErrorContains(t, err, `Options.Algorithms: "`+v.Algorithm+`" is not supported`)

		_, err = newGate(t).Verify(t.Context(), v.Token)
		requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrAlgorithm)
		assert.ErrorContains(t, err, needs)
	}
	for _, tt := range mldsaTokens(t).Tokens {
		_, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Keys = keys.PEM([]byte(tt.PEM)) }))
		require.ErrorContains(t, err, "block 1: "+tt.Algorithm+" needs Go 1.27 or later")
	}
}
