package keys_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// These sources know the algorithms of their keys.
var (
	_ jwtgate.AlgorithmChecker = keys.ByIssuer{}
	_ jwtgate.AlgorithmChecker = &keys.File{}
	_ jwtgate.AlgorithmChecker = keys.Static().(jwtgate.AlgorithmChecker)
)

// A wrapped source hides the methods of its source, as a user's own source may.
type wrapped struct{ jwtgate.KeySource }

// New refuses Options.Algorithms that no key of a source in memory is for.
func TestAlgorithmsOfKeys(t *testing.T) {
	t.Parallel()
	const fix = "; list only algorithms of its keys, or leave Algorithms out: a key never verifies another algorithm than its own"
	secret := keys.HS256([]byte("a secret of thirty-two bytes...."))
	ed := keys.Public(public(edKey()))
	rsaAndED := keys.JWKS(jwkSet(jwkOf(&rsaKey().PublicKey).with("alg", "PS256"), jwkOf(public(edKey()))))
	file := func(t *testing.T) jwtgate.KeySource {
		source, _ := newFileSource(t, []byte(publicPEM(public(edKey()))+publicPEM(&rsaKey().PublicKey)))
		return source
	}
	both := func(a, b jwtgate.KeySource) keys.ByIssuer { return keys.ByIssuer{issuerA: a, issuerB: b} }
	for _, tt := range []struct {
		name       string
		source     func(*testing.T) jwtgate.KeySource
		algorithms []string
		problem    string // "" if New accepts them
	}{
		{"no list", always(secret), nil, ""},
		{"the algorithm of the secret", always(secret), []string{"HS256"}, ""},
		{"another one", always(secret), []string{"RS256"}, "keys.HS256 has no key for RS256, only for HS256" + fix},
		{"one of two", always(secret), []string{"HS256", "RS256", "ES256"}, "keys.HS256 has no key for RS256 or ES256, only for HS256" + fix},
		{"EdDSA", always(ed), []string{"EdDSA"}, ""},
		{"its newer name", always(ed), []string{"Ed25519"}, ""},
		{"both names", always(ed), []string{"Ed25519", "EdDSA"}, ""},
		{"the newer name without a key", always(secret), []string{"Ed25519", "HS256"}, "keys.HS256 has no key for EdDSA (Ed25519), only for HS256" + fix},
		{"PEM", always(keys.PEM([]byte(publicPEM(public(edKey()))))), []string{"ES256"}, "keys.PEM has no key for ES256, only for EdDSA" + fix},
		{"a key made for another algorithm", always(keys.Static(newKey(t, "", "PS256", &rsaKey().PublicKey))), []string{"RS256"}, "keys.Static has no key for RS256, only for PS256" + fix},
		{"a set", always(rsaAndED), []string{"PS256", "Ed25519"}, ""},
		{"a set, another one", always(rsaAndED), []string{"PS256", "RS256"}, "keys.JWKS has no key for RS256, only for EdDSA and PS256" + fix},
		{"a file with one of two", file, []string{"ES256", "RS256"}, ""},
		{"a file with none", file, []string{"ES256", "PS256"}, " has no key for ES256 or PS256, only for EdDSA and RS256" + fix},
		{"a remote", always(&keys.Remote{}), []string{"ES256"}, ""},
		{"a source of the user's", always(wrapped{secret}), []string{"ES256"}, ""},
		{"a function", always(jwtgate.KeySourceFunc(func(context.Context, string, string) ([]*jwtgate.Key, error) { return nil, nil })), []string{"ES256"}, ""},
		{"each in one of two sources", always(both(secret, ed)), []string{"HS256", "EdDSA"}, ""},
		{"one in no source", always(both(secret, ed)), []string{"HS256", "EdDSA", "ES256"}, "keys.ByIssuer has no key for ES256" + fix},
		{"a source with none", always(both(secret, ed)), []string{"HS256"}, `for the issuer "https://b.example/": keys.Public has no key for HS256, only for EdDSA` + fix},
		{"a remote beside it", always(both(secret, &keys.Remote{})), []string{"HS256", "RS256"}, ""},
		{"a remote beside a source with none", always(both(secret, &keys.Remote{})), []string{"RS256"}, `for the issuer "https://a.example/": keys.HS256 has no key`},
		{"a file beside it", func(t *testing.T) jwtgate.KeySource { return both(secret, file(t)) }, []string{"HS256", "RS256", "ES256"}, ""},
		{"a file with none beside it", func(t *testing.T) jwtgate.KeySource { return both(secret, file(t)) }, []string{"HS256", "ES256"}, `for the issuer "https://b.example/": keys.File `},
		{"a constructor that failed", always(keys.HS256()), []string{"ES256"}, "Options.Keys: keys.HS256: there is no key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := jwtgate.New(jwtgate.Options{
				Keys: tt.source(t), Issuers: []string{issuerA, issuerB}, Audiences: []string{audience}, Algorithms: tt.algorithms,
			})
			if tt.problem == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.problem)
			assert.NotContains(t, err.Error(), "\n", "one mistake, one problem")
			assert.Less(t, len(err.Error()), 400)
		})
	}
}

func always(source jwtgate.KeySource) func(*testing.T) jwtgate.KeySource {
	return func(*testing.T) jwtgate.KeySource { return source }
}
