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

// Kubernetes accepts the tokens of service accounts of the cluster that this program
// runs in. The parameters are
//
//   - apiServer: https://kubernetes.default.svc
//   - mount: /var/run/secrets/kubernetes.io/serviceaccount, the directory in which
//     each pod finds ca.crt, the CA of the cluster, and token, the pod's credentials
//   - issuer: the issuer that the API server was started with, often
//     https://kubernetes.default.svc.cluster.local. It is the iss of the pod's token.
//   - audience: the name of this service
//   - callers: the subjects that may call this service, such as
//     system:serviceaccount:shop:frontend
//
// The audience does not replace the list of callers: with a projected volume, any pod
// can get a token for any audience. The audience ensures that a token sent to this
// service cannot be used elsewhere, above all at the API server. So callers must not
// send the token in their mount directory: it is for the API server.
//
// The keys are fetched from apiServer and not discovered. The API server gives them
// only to clients that send a token, and the discovery document usually names another
// address for the keys, such as an IP address of the API server. With discovery the
// pod's token would be sent to whatever address the document names. If the issuer is
// on the internet, as with EKS and GKE, the keys are public and &keys.Remote{} is
// enough.
//
// Many clusters have the same issuer. Only their keys distinguish them.
//
// A token is valid until it expires, usually for an hour, even after its pod has been
// deleted. If that is too long, call the TokenReview API in Options.Validate.
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

// podTransport adds the pod's token to requests to the API server. It refuses
// requests to other servers: otherwise a redirect would send the token there.
type podTransport struct {
	apiServer, tokenFile string
	next                 http.RoundTripper
}

func (p *podTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if origin := r.URL.Scheme + "://" + r.URL.Host; origin != p.apiServer {
		return nil, fmt.Errorf("%s is not the API server, and must not get the pod's token", origin)
	}
	// Read the file each time: the kubelet replaces the token before it expires.
	token, err := os.ReadFile(p.tokenFile)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context()) // a RoundTripper must not change its request
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return p.next.RoundTrip(r)
}
