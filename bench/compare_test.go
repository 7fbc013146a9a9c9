package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/stretchr/testify/assert"
)

func TestPeersAcceptTheGoodToken(t *testing.T) {
	t.Parallel()
	eachPeer(t, func(t *testing.T, p peer, alg string) {
		handler, w := p.handler(t, alg), newResponse()
		for range 2 { // the second time, jwtgate-cached remembers the token
			assert.Equal(t, http.StatusNoContent, w.serve(handler, newRequest(goodToken(alg))))
		}
	})
}

// eachPeer runs test for every peer with every algorithm that the peer supports.
func eachPeer(t *testing.T, test func(*testing.T, peer, string)) {
	for _, p := range peers {
		for _, alg := range algorithms {
			if alg == p.without {
				continue
			}
			t.Run(p.name+"/"+alg, func(t *testing.T) {
				t.Parallel()
				test(t, p, alg)
			})
		}
	}
}

// All peers refuse every token whose refusal the benchmarks measure.
func TestPeersRefuseTheBadTokens(t *testing.T) {
	t.Parallel()
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			handler, w := p.handler(t, "RS256"), newResponse()
			for _, bad := range slices.Concat(badTokens, forgedOf(forgedSmall), forgedOf(forgedLarge)) {
				assert.Equal(t, http.StatusUnauthorized, w.serve(handler, newRequest(bad.token())), bad.name)
			}
		})
	}
}

// jwtgate refuses each bad token for the reason that its name says.
func TestBadTokensAreBadAsNamed(t *testing.T) {
	t.Parallel()
	gate := newGate(t, "RS256")
	reasons := map[string]error{
		"unknown-kid":   jwtgate.ErrUnknownKey,
		"alg-none":      jwtgate.ErrMalformed, // it has no signature
		"alg-confusion": jwtgate.ErrAlgorithm,
		"wrong-alg":     jwtgate.ErrAlgorithm,
		"no-dots":       jwtgate.ErrMalformed,
		"bad-base64":    jwtgate.ErrMalformed,
		"forged":        jwtgate.ErrSignature,
		"expired":       jwtgate.ErrExpired,
	}
	for _, bad := range slices.Concat(badTokens, forgedOf(forgedSmall), forgedOf(forgedLarge)) {
		_, err := gate.Check(newRequest(bad.token()))
		assert.ErrorIs(t, err, reasons[bad.name], bad.name)
	}
}

// TestDifferences lists tokens, and the peers that accept them. The README has the
// differences in short.
func TestDifferences(t *testing.T) {
	t.Parallel()
	all := func(but ...string) (names []string) {
		for _, p := range peers {
			if !slices.Contains(but, p.name) {
				names = append(names, p.name)
			}
		}
		return names
	}
	const limit = 10 * time.Second // half the least distance of a time below from the end of the leeway

	for _, test := range []struct {
		name       string
		header     map[string]any // changes to the good token
		claims     map[string]any // also changes; a time.Duration is a time that far from now
		twice      bool           // sub is duplicated
		acceptedBy []string
	}{
		{name: "another issuer", claims: map[string]any{"iss": "https://other.example.com/"}},
		{name: "no issuer", claims: map[string]any{"iss": nil}},
		{name: "another audience", claims: map[string]any{"aud": "https://other.example.com"}},
		{name: "no audience", claims: map[string]any{"aud": nil}},
		{name: "no subject", claims: map[string]any{"sub": nil}},
		{name: "an empty subject", claims: map[string]any{"sub": ""}},
		{name: "no exp", claims: map[string]any{"exp": nil}},
		{name: "exp a minute ago", claims: map[string]any{"exp": -time.Minute}},
		{name: "exp ten seconds ago", claims: map[string]any{"exp": -10 * time.Second}, acceptedBy: all("go-oidc")},
		{name: "nbf in ten seconds", claims: map[string]any{"nbf": 10 * time.Second}, acceptedBy: all()},
		{name: "nbf in a minute", claims: map[string]any{"nbf": time.Minute}, acceptedBy: []string{"go-oidc"}},
		{name: "nbf in an hour", claims: map[string]any{"nbf": time.Hour}},
		{name: "iat in ten seconds", claims: map[string]any{"iat": 10 * time.Second}, acceptedBy: all()},
		{name: "iat in a minute", claims: map[string]any{"iat": time.Minute}, acceptedBy: []string{"go-oidc"}},
		{name: "another key ID", header: map[string]any{"kid": "key-2"}, acceptedBy: []string{"jwtauth", "go-oidc"}},
		{name: "no key ID", header: map[string]any{"kid": nil}, acceptedBy: []string{"jwtgate", "jwtgate-cached", "jwtauth", "go-oidc", "auth0"}},
		{name: "typ of a logout token", header: map[string]any{"typ": "logout+jwt"}, acceptedBy: []string{"jwtauth", "go-oidc", "auth0"}},
		{name: "crit", header: map[string]any{"crit": []string{"urn:example"}, "urn:example": 1}, acceptedBy: []string{"auth0"}},
		{name: "sub twice", twice: true, acceptedBy: all("jwtgate", "jwtgate-cached", "go-jose", "jwx4")},
		{name: "bound to a key", claims: map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
			acceptedBy: all("jwtgate", "jwtgate-cached", "auth0")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			eachPeer(t, func(t *testing.T, p peer, alg string) {
				want := http.StatusUnauthorized
				if slices.Contains(test.acceptedBy, p.name) {
					want = http.StatusNoContent
				}
				handler := p.handler(t, alg)
				for {
					now := time.Now()
					changes := maps.Clone(test.claims)
					for name, value := range changes {
						if d, ok := value.(time.Duration); ok {
							changes[name] = now.Add(d).Unix()
						}
					}
					claims := payload(changes)
					if test.twice {
						claims = strings.Replace(claims, `"sub":`, `"sub":"somebody else","sub":`, 1)
					}
					token := sign(alg, ours[alg]().private, header(alg, test.header), claims)
					got := newResponse().serve(handler, newRequest(token))
					// After a pause as long as limit, the times in the token may have passed: try again.
					if time.Since(now) < limit {
						assert.Equal(t, want, got)
						return
					}
				}
			})
		})
	}
}
