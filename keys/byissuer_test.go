package keys_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuerA = "https://a.example/"
	issuerB = "https://b.example/"
)

// acceptance 32: the keys of one issuer never verify the tokens of another.
func TestByIssuer_KeepsIssuersApart(t *testing.T) {
	t.Parallel()
	ours, theirs := newEd25519(), newEd25519()
	const kid = "1"
	for _, tt := range []struct {
		name   string
		source keys.ByIssuer
	}{
		{"JWK Sets with one kid", keys.ByIssuer{
			issuerA: keys.JWKS(jwkSet(jwkOf(public(ours)).with("kid", kid))),
			issuerB: keys.JWKS(jwkSet(jwkOf(public(theirs)).with("kid", kid))),
		}},
		{"keys with one kid", keys.ByIssuer{
			issuerA: keys.Static(newKey(t, kid, "EdDSA", public(ours))),
			issuerB: keys.Static(newKey(t, kid, "EdDSA", public(theirs))),
		}},
		{"keys without ID", keys.ByIssuer{
			issuerA: keys.Public(public(ours)),
			issuerB: keys.PEM([]byte(publicPEM(public(theirs)))),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, options := range map[string]jwtgate.Options{
				"listed":                {Issuers: []string{issuerA, issuerB}},
				"trusted at run time":   {TrustIssuer: func(issuer string) bool { return issuer == issuerA || issuer == issuerB }},
				"with a cache":          {Issuers: []string{issuerA, issuerB}, CacheSize: 100},
				"in the opposite order": {Issuers: []string{issuerB, issuerA}},
			} {
				options.Keys, options.Audiences = tt.source, []string{audience}
				gate, err := jwtgate.New(options)
				require.NoError(t, err)
				verify := func(token string) error {
					_, err := gate.Verify(t.Context(), token)
					return err
				}
				for range 2 {
					for _, kid := range []string{kid, ""} {
						assert.NoError(t, verify(signFor(t, issuerA, jwt.SigningMethodEdDSA, ours, kid)), name)
						assert.NoError(t, verify(signFor(t, issuerB, jwt.SigningMethodEdDSA, theirs, kid)), name)
						assert.ErrorIs(t, verify(signFor(t, issuerA, jwt.SigningMethodEdDSA, theirs, kid)), jwtgate.ErrSignature, name)
						assert.ErrorIs(t, verify(signFor(t, issuerB, jwt.SigningMethodEdDSA, ours, kid)), jwtgate.ErrSignature, name)
						assert.ErrorIs(t, verify(signFor(t, "https://c.example/", jwt.SigningMethodEdDSA, ours, kid)), jwtgate.ErrIssuer, name)
					}
				}
			}
		})
	}

	t.Run("keys of different kinds with one kid", func(t *testing.T) {
		t.Parallel()
		secret := randomSecret(32)
		gate, err := jwtgate.New(jwtgate.Options{
			Keys: keys.ByIssuer{
				issuerA: keys.Static(newKey(t, kid, "EdDSA", public(ours))),
				issuerB: keys.Static(newKey(t, kid, "HS256", secret)),
			},
			Issuers: []string{issuerA, issuerB}, Audiences: []string{audience},
		})
		require.NoError(t, err)
		_, err = gate.Verify(t.Context(), signFor(t, issuerB, jwt.SigningMethodHS256, secret, kid))
		assert.NoError(t, err)
		_, err = gate.Verify(t.Context(), signFor(t, issuerA, jwt.SigningMethodHS256, secret, kid))
		assert.ErrorIs(t, err, jwtgate.ErrAlgorithm)
	})
}

func TestByIssuer_Keys(t *testing.T) {
	t.Parallel()
	outage := errors.New("outage")
	type question struct {
		ctx         context.Context
		issuer, kid string
	}
	var asked []question
	source := keys.ByIssuer{
		issuerA: jwtgate.KeySourceFunc(func(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
			asked = append(asked, question{ctx, issuer, kid})
			return nil, outage
		}),
		issuerB: keys.Static(newKey(t, "1", "EdDSA", public(edKey()))),
	}
	_, err := source.Keys(t.Context(), issuerA, "k")
	assert.ErrorIs(t, err, outage)
	assert.Equal(t, []question{{t.Context(), issuerA, "k"}}, asked)

	assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, source, issuerB, "1"))
	// Issuers are compared character by character (RFC 7519 section 4.1.1).
	for _, issuer := range []string{"", "https://b.example", "https://B.example/", "https://b.example//", "https://c.example/"} {
		ks, err := source.Keys(t.Context(), issuer, "1")
		assert.NoError(t, err, "%q has no source, which is not an error", issuer)
		assert.Empty(t, ks)
	}
	ks, err := keys.ByIssuer(nil).Keys(t.Context(), issuerA, "")
	assert.NoError(t, err)
	assert.Empty(t, ks)
}

func TestByIssuer_CheckIssuers(t *testing.T) {
	t.Parallel()
	good := keys.Public(public(edKey()))
	bad := keys.HS256([]byte("too short"))
	function := jwtgate.KeySourceFunc(good.Keys)
	for _, tt := range []struct {
		name     string
		source   keys.ByIssuer
		issuers  []string
		problems []string // in this order; nil if CheckIssuers accepts the issuers
	}{
		{"one", keys.ByIssuer{issuerA: good}, []string{issuerA}, nil},
		{"two in any order", keys.ByIssuer{issuerA: good, issuerB: function}, []string{issuerB, issuerA}, nil},
		{"issuers known at run time", keys.ByIssuer{issuerA: good, issuerB: good}, nil, nil},
		{"one within another", keys.ByIssuer{issuerA: keys.ByIssuer{issuerA: good}}, []string{issuerA}, nil},
		{"one within another, beside others", keys.ByIssuer{issuerA: keys.ByIssuer{issuerA: good}, issuerB: good}, []string{issuerA, issuerB}, nil},

		{"nil", nil, []string{issuerA}, []string{"keys.ByIssuer is empty", `no source for the issuer "https://a.example/"`}},
		{"empty", keys.ByIssuer{}, nil, []string{"keys.ByIssuer is empty"}},
		{"no source", keys.ByIssuer{issuerA: good}, []string{issuerA, issuerB}, []string{`no source for the issuer "https://b.example/"`}},
		{"a source for the issuer without its slash", keys.ByIssuer{"https://a.example": good}, []string{issuerA}, []string{
			`no source for the issuer "https://a.example/"`, `a source for "https://a.example", which is not one of Options.Issuers`,
		}},
		{"a source too many", keys.ByIssuer{issuerA: good, issuerB: good}, []string{issuerA}, []string{`a source for "https://b.example/", which is not`}},
		{"any issuer", keys.ByIssuer{issuerA: good}, []string{""}, []string{"Options.AnyIssuer leaves unchecked", `a source for "https://a.example/", which is not`}},
		{"any issuer, named so", keys.ByIssuer{"": good}, []string{""}, []string{"Options.AnyIssuer leaves unchecked"}},
		{"nil source", keys.ByIssuer{issuerA: nil}, []string{issuerA}, []string{`the source for "https://a.example/" is nil`}},
		{"nil source, issuers known at run time", keys.ByIssuer{issuerA: nil}, nil, []string{`the source for "https://a.example/" is nil`}},
		{"nil file", keys.ByIssuer{issuerA: (*keys.File)(nil)}, []string{issuerA}, []string{`the source for "https://a.example/" is nil`}},
		{"nil function", keys.ByIssuer{issuerA: jwtgate.KeySourceFunc(nil)}, []string{issuerA}, []string{`the source for "https://a.example/" is nil`}},
		{"a bad source", keys.ByIssuer{issuerA: good, issuerB: bad}, []string{issuerA, issuerB}, []string{`for the issuer "https://b.example/": keys.HS256: secret 1: `}},
		{"a bad source, issuers known at run time", keys.ByIssuer{issuerB: bad}, nil, []string{`for the issuer "https://b.example/": keys.HS256: secret 1: `}},
		{"a file without path", keys.ByIssuer{issuerA: &keys.File{}}, []string{issuerA}, []string{"keys.File: Path is empty"}},
		{"a nested ByIssuer without a source for its issuer", keys.ByIssuer{issuerA: keys.ByIssuer{issuerB: good}}, []string{issuerA}, []string{
			`for the issuer "https://a.example/": keys.ByIssuer has no source`, `a source for "https://b.example/", which is not`,
		}},
		{"all problems at once, in the order of issuers", keys.ByIssuer{"https://1.example/": nil, "https://2.example/": bad, "https://3.example/": good}, []string{"https://1.example/", "https://2.example/", "https://4.example/"}, []string{
			`no source for the issuer "https://4.example/"`,
			`the source for "https://1.example/" is nil`,
			`for the issuer "https://2.example/": keys.HS256`,
			`a source for "https://3.example/", which is not`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var err error
			require.NotPanics(t, func() { err = tt.source.CheckIssuers(tt.issuers) })
			if tt.problems == nil {
				assert.NoError(t, err)
				return
			}
			require.Error(t, err)
			rest := err.Error()
			for _, problem := range tt.problems {
				require.Contains(t, rest, problem)
				_, rest, _ = strings.Cut(rest, problem)
			}
		})
	}
}

func TestByIssuer_InNew(t *testing.T) {
	t.Parallel()
	good := keys.Public(public(edKey()))
	assert.Contains(t, errorOfNew(t, keys.ByIssuer{}), "keys.ByIssuer is empty")
	assert.Contains(t, errorOfNew(t, keys.ByIssuer{issuerA: good}), `no source for the issuer "`+issuer+`"`)
	_, err := jwtgate.New(jwtgate.Options{Keys: keys.ByIssuer{issuer: good}, AnyIssuer: true, AnyAudience: true})
	assert.ErrorContains(t, err, "list the Issuers instead")
	_, err = jwtgate.New(jwtgate.Options{Keys: keys.ByIssuer{issuer: good}, TrustIssuer: func(string) bool { return true }, AnyAudience: true})
	assert.NoError(t, err)
}
