package providers

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Kubernetes accepts the tokens of service accounts of the cluster that this
// program runs in. apiServer is https://kubernetes.default.svc, and mount is
// /var/run/secrets/kubernetes.io/serviceaccount, the directory in which each
// pod finds ca.crt, the cluster's own CA, and token, its credentials. issuer
// is what the API server was started with, often
// https://kubernetes.default.svc.cluster.local; it is the iss of that token.
//
// callers are subjects, as in system:serviceaccount:shop:frontend. The
// audience does not replace them: any pod can ask for a token with any
// audience, by a projected volume. What the audience does is to keep the
// tokens that this service gets from being used elsewhere, at the API server
// above all. Callers must therefore not send the token of their mount, which
// is for that.
//
// The keys are fetched from the API server and not discovered. A pod has to
// show its token for them, and the discovery document usually names another
// address for the keys than the one it came from, such as an IP address of
// the API server: the token would go to wherever a document says. If the
// issuer is on the internet, as it is with EKS and GKE, anybody may have the
// keys from there, and &keys.Remote{} is enough.
//
// Many clusters have the same issuer, so it does not tell them apart. Their
// keys do.
//
// A token is good until it expires, even if its pod has been deleted. If an
// hour is too long for that, ask the TokenReview API in Options.Validate.
func Kubernetes(apiServer, mount, issuer, audience string, callers ...string) (jwtgate.Options, error) {
	ca := filepath.Join(mount, "ca.crt")
	text, err := os.ReadFile(ca)
	if err != nil {
		return jwtgate.Options{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return jwtgate.Options{}, fmt.Errorf("%s has no certificate", ca)
	}
	return jwtgate.Options{
		Keys: &keys.Remote{
			URL: apiServer + "/openid/v1/jwks",
			Client: &http.Client{Transport: &podTransport{
				apiServer: apiServer,
				tokenFile: filepath.Join(mount, "token"),
				next:      &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
			}},
		},
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		Rules:     []jwtgate.Rule{jwtgate.Claim("sub", callers...)},
	}, nil
}

// podTransport adds the pod's token to requests to the API server, and makes
// no others: a token added here would follow every redirect.
type podTransport struct {
	apiServer, tokenFile string
	next                 http.RoundTripper
}

func (p *podTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if origin := r.URL.Scheme + "://" + r.URL.Host; origin != p.apiServer {
		return nil, fmt.Errorf("%s is not the API server, and must not get the pod's token", origin)
	}
	// The kubelet replaces it long before it expires.
	token, err := os.ReadFile(p.tokenFile)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context()) // a RoundTripper must not change its request
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return p.next.RoundTrip(r)
}
