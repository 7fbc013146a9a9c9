package providers

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// SPIFFE accepts the JWT-SVIDs of the workloads of one trust domain, such as SPIRE issues
// them. The parameters are
//
//   - trustDomain: its name, such as prod.example.org, without spiffe://
//   - bundleURL: its bundle endpoint, with the profile https_web
//   - audience: the name of this service. By convention it is the SPIFFE ID of the
//     service.
//
// The subject is the SPIFFE ID of the caller, such as
// spiffe://prod.example.org/shop/frontend. Any workload of the trust domain can get an SVID
// for any audience, so say who may call:
//
//	options := providers.SPIFFE("prod.example.org", "https://spire.example.org/bundle", "spiffe://prod.example.org/orders")
//	options.Rules = append(options.Rules, jwtgate.Claim("sub", "spiffe://prod.example.org/shop/frontend"))
//
// SVIDs have no issuer. The keys of the bundle decide whose they are, so the rule of the
// recipe compares the trust domain of the subject with the one whose bundle is used.
// Without it, the keys of one trust domain could sign the names of every other. Make a
// gate for each trust domain, and never put two bundles into one source.
//
// Only keys whose use is jwt-svid count, because a bundle also has keys that sign X.509
// SVIDs. The refresh hint of the bundle shortens FreshFor. A bundle without such keys
// withdraws all of them. If an agent writes the bundle into a file, use
// &keys.File{Path: path, Use: "jwt-svid"}. For the profile https_spiffe, set Client of the
// Remote to a client that verifies the X.509 SVID of the endpoint.
//
// A SPIFFE ID of more than 1024 bytes is refused, although up to 2048 are allowed.
func SPIFFE(trustDomain, bundleURL, audience string) jwtgate.Options {
	// JWT-SVID section 2.1 allows no other algorithm, so neither EdDSA nor ML-DSA. The keys
	// of a bundle have no alg.
	algorithms := []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}
	return jwtgate.Options{
		Keys:       &keys.Remote{URL: bundleURL, Use: "jwt-svid", Algorithms: algorithms},
		AnyIssuer:  true,
		Audiences:  []string{audience},
		Algorithms: algorithms,
		Types:      []string{"", "JWT", "JOSE"},
		Rules:      []jwtgate.Rule{workloadOf(trustDomain)},
	}
}

// workloadOf returns a rule that requires the subject to be the SPIFFE ID of a workload of
// a trust domain: spiffe://, the trust domain, and a path (SPIFFE-ID section 2). The ID of
// the trust domain itself has no path, and is refused.
func workloadOf(trustDomain string) jwtgate.Rule {
	prefix := "spiffe://" + trustDomain + "/"
	return jwtgate.RuleFunc(func(_ *http.Request, t *jwtgate.Token) error {
		path, ok := strings.CutPrefix(t.Subject, prefix)
		if !ok {
			return fmt.Errorf("sub is %.96q, and the keys are those of the trust domain %q", t.Subject, trustDomain)
		}
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, isNoPathCharacter) {
				return fmt.Errorf("sub is %.96q, which is no SPIFFE ID: a segment of its path is empty, a dot segment, or has a character beside letters, digits, dots, dashes and underscores", t.Subject)
			}
		}
		return nil
	})
}

func isNoPathCharacter(c rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", c)
}
