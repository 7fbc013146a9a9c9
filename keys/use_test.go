package keys_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// spiffeBundle returns the bundle of a SPIFFE trust domain, with two keys that such a bundle does not have.
func spiffeBundle(t *testing.T) []byte {
	certificate := base64.StdEncoding.EncodeToString(newCertificate(t, p256Key()))
	return []byte(strings.Replace(string(jwkSet(
		jwkOf(&p256Key().PublicKey).with("use", "x509-svid").with("x5c", []string{certificate}),
		jwkOf(public(edKey())).with("use", "jwt-svid").with("kid", "svid"),
		jwkOf(public(otherEdKey())).with("use", "sig").with("kid", "sig"),
		jwkOf(&rsaKey().PublicKey).with("kid", "none"),
		jwkOf(&p384Key().PublicKey).with("kid", "empty").with("use", ""),
	)), "{", `{"spiffe_sequence":12,"spiffe_refresh_hint":300,`, 1))
}

// acceptance 90
func TestUse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		use     string
		want    []string
		skipped int // records of the log
	}{
		{"", []string{"sig EdDSA", "none RS256", "empty ES384"}, 2},
		{"jwt-svid", []string{"svid EdDSA"}, 0},
	} {
		check := func(t *testing.T, source jwtgate.KeySource, log *logBuffer) {
			newGate(t, source)
			assert.Equal(t, tt.want, lookUp(t, source, issuer, ""))
			svid, sig := verify(t, source, sign(t, jwt.SigningMethodEdDSA, edKey(), "svid")), verify(t, source, sign(t, jwt.SigningMethodEdDSA, otherEdKey(), "sig"))
			if tt.use == "" {
				assert.NoError(t, sig)
				assert.ErrorIs(t, svid, jwtgate.ErrUnknownKey)
			} else {
				assert.NoError(t, svid)
				assert.ErrorIs(t, sig, jwtgate.ErrUnknownKey)
			}
			// The key of the certificates verifies no token.
			err := verify(t, source, sign(t, jwt.SigningMethodES256, p256Key(), "svid"))
			assert.Error(t, err)
			assert.NotErrorIs(t, err, jwtgate.ErrUnavailable)
			assert.Equal(t, tt.skipped, strings.Count(strings.Join(log.drain(), "\n"), "key skipped"))
		}
		t.Run("Remote, "+tt.use, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(spiffeBundle(t)))
				remote, log := server.remote()
				remote.Use = tt.use
				check(t, remote, log)
			})
		})
		t.Run("File, "+tt.use, func(t *testing.T) {
			t.Parallel()
			file, log := newFileSource(t, spiffeBundle(t))
			file.Use = tt.use
			check(t, file, log)
		})
	}
}

func TestUse_Refuses(t *testing.T) {
	t.Parallel()
	parse := func([]byte) ([]*jwtgate.Key, error) { return nil, nil }
	for _, tt := range []struct{ use, problem string }{
		{"sig", `Use: "sig" is not "jwt-svid", for the bundle of a SPIFFE trust domain; leave it out for keys of use sig or none`},
		{"enc", `Use: "enc" is not "jwt-svid"`},
		{"x509-svid", `Use: "x509-svid" is not "jwt-svid"`},
		{"JWT-SVID", `Use: "JWT-SVID" is not "jwt-svid"`},
		{" ", `Use: " " is not "jwt-svid"`},
		{strings.Repeat("x", 1000), `Use: "` + strings.Repeat("x", 40) + `" is not "jwt-svid"`},
	} {
		set := jwkSet(jwkOf(public(edKey())).with("use", tt.use))
		file, _ := newFileSource(t, set)
		file.Use = tt.use
		assert.ErrorContains(t, file.CheckIssuers(nil), "keys.File: "+tt.problem)
		server := newTCPServer(t, serves(set))
		remote, _ := server.remote()
		remote.Use = tt.use
		assert.ErrorContains(t, remote.CheckIssuers(nil), "keys.Remote: "+tt.problem)
		// A source that New did not check uses no key either.
		for _, source := range []jwtgate.KeySource{file, remote} {
			ks, err := source.Keys(t.Context(), issuer, "")
			assert.Empty(t, ks)
			assert.ErrorContains(t, err, "it has no usable key: key 1: it is for use")
		}
	}
	const beside = "Use: it has no effect beside Parse, which chooses the keys; leave it out"
	assert.ErrorContains(t, (&keys.Remote{URL: "https://auth.example.com/jwks", Use: "jwt-svid", Parse: parse}).CheckIssuers(nil), "keys.Remote: "+beside)
	assert.ErrorContains(t, (&keys.File{Path: "keys.json", Use: "jwt-svid", Parse: parse}).CheckIssuers(nil), "keys.File: "+beside)

	for content, problem := range map[string]string{
		string(jwkSet(jwkOf(public(edKey())), jwkOf(&p256Key().PublicKey).with("use", "x509-svid"))): `it has no usable key: key 1: it has no use, and "jwt-svid" is wanted; key 2: it is for use "x509-svid", and "jwt-svid" is wanted`,
		publicPEM(public(edKey())): `it is a PEM text, and Use "jwt-svid" needs a JWK Set`,
		"":                         `it is empty, and Use "jwt-svid" needs a JWK Set`,
	} {
		file, _ := newFileSource(t, []byte(content))
		file.Use = "jwt-svid"
		require.ErrorContains(t, file.CheckIssuers(nil), problem)
	}
}
