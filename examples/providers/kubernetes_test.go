package providers_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	clusterIssuer = "https://kubernetes.default.svc.cluster.local"
	clusterKey    = "OAjVVaejWFc0Yt9ykr0_8lMMuRNs67OXTWHsN02Pkyw"
	frontend      = "system:serviceaccount:shop:frontend"
)

func TestKubernetes(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	options := pod.options(t, newAPIServer(t, pod))

	header := map[string]any{"kid": clusterKey} // no typ
	claims := fresh(jwt.MapClaims{
		"aud": []string{"orders"}, "iss": clusterIssuer, "nbf": ago(time.Minute), "sub": frontend,
		"jti": "a0a7a5a1-7d0f-4f8e-a0de-5f2a6a0d0c55",
		"kubernetes.io": map[string]any{
			"namespace":      "shop",
			"node":           map[string]any{"name": "worker-1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
			"pod":            map[string]any{"name": "frontend-6fdfcfd5c8-8f7f7", "uid": "262a6af2-a6a8-4e0a-bdf9-a47f8f845c46"},
			"serviceaccount": map[string]any{"name": "frontend", "uid": "272e2776-0648-448a-a166-848d0742abf2"},
		},
	})
	maker := tokenMaker{t, ours(), header, claims}
	token := maker.token
	mounted := token(jwt.MapClaims{"aud": []string{clusterIssuer}, "exp": ago(-365 * 24 * time.Hour)})
	legacy := token(jwt.MapClaims{
		"iss": "kubernetes/serviceaccount", "aud": nil, "exp": nil, "iat": nil, "nbf": nil, "kubernetes.io": nil,
		"kubernetes.io/serviceaccount/namespace": "shop", "kubernetes.io/serviceaccount/service-account.name": "frontend",
	})

	visitAll(t, options, map[string]visit{
		"pod":               passes(token(nil), frontend),
		"several audiences": passes(token(jwt.MapClaims{"aud": []string{"billing", "orders"}}), frontend),
		"namespace":         onRoute(jwtgate.Claim("/kubernetes.io/namespace", "shop"), passes(token(nil), frontend)),
		"another namespace": forbidden(jwtgate.Claim("/kubernetes.io/namespace", "payments"), token(nil)),

		"another account":      refused(token(jwt.MapClaims{"sub": "system:serviceaccount:shop:default"}), "claim"),
		"of another namespace": refused(token(jwt.MapClaims{"sub": "system:serviceaccount:evil:frontend"}), "claim"),
		"for the API server":   refused(mounted, "audience"),
		"for another service":  refused(token(jwt.MapClaims{"aud": []string{"billing"}}), "audience"),
		"legacy token, no exp": refused(legacy, "issuer"),
		"another issuer":       refused(token(jwt.MapClaims{"iss": "https://oidc.eks.eu-central-1.amazonaws.com/id/1A2B"}), "issuer"),
		"another cluster":      refused(maker.withKey(theirs(), "DHzQxyXc1o0_8lMMuRNs67OX").token(nil), "unknown_key"),
		"our kid, its key":     refused(maker.withKey(theirs(), "").token(nil), "signature"),
	})
}

// The kubelet replaces the pod's token while the pod runs.
func TestKubernetesRotation(t *testing.T) {
	t.Parallel()
	pod := newPod(t)
	remote := pod.options(t, newAPIServer(t, pod)).Keys.(*keys.Remote)
	require.NoError(t, remote.Refresh(t.Context(), clusterIssuer))

	pod.mount("token", "the second\n")
	pod.credentials.Store("the second")
	require.NoError(t, remote.Refresh(t.Context(), clusterIssuer))

	pod.credentials.Store("the third") // the mount still has the second
	require.ErrorContains(t, remote.Refresh(t.Context(), clusterIssuer), "status 401")
}

// If the keys cannot be fetched, the answer is 503 and not 401.
func TestKubernetesUnavailable(t *testing.T) {
	t.Parallel()
	good := sign(t, ours(), map[string]any{"kid": clusterKey}, fresh(jwt.MapClaims{
		"aud": []string{"orders"}, "iss": clusterIssuer, "sub": frontend,
	}))
	for name, spoil := range map[string]func(*pod){
		"credentials are refused": func(p *pod) { p.mount("token", "stale") },
		"credentials are gone":    func(p *pod) { require.NoError(t, os.Remove(filepath.Join(p.dir, "token"))) },
		"another CA":              func(p *pod) { p.mount("ca.crt", string(newCA().pem)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := newPod(t)
			spoil(pod)
			visitAll(t, pod.options(t, newAPIServer(t, pod)), map[string]visit{
				"good token": {token: good, status: http.StatusServiceUnavailable, want: "unavailable"},
			})
		})
	}
}

// The pod's token is sent to the API server only, whatever the API server answers.
func TestKubernetesKeepsCredentials(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	other := serveTLS(t, nil, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	apiServer := serveTLS(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/openid-configuration" {
			json.NewEncoder(w).Encode(map[string]any{
				"issuer":                                "https://" + r.Host,
				"jwks_uri":                              other.URL + "/openid/v1/jwks",
				"response_types_supported":              []string{"id_token"},
				"subject_types_supported":               []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256"},
			})
			return
		}
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
	})
	remote := newPod(t).options(t, apiServer.URL).Keys.(*keys.Remote)
	require.ErrorContains(t, remote.Refresh(t.Context(), clusterIssuer), "redirect")

	discovering := &keys.Remote{Client: remote.Client, Logger: remote.Logger}
	require.ErrorContains(t, discovering.Refresh(t.Context(), apiServer.URL), "is not the API server")

	for _, address := range []string{apiServer.URL, other.URL, strings.Replace(apiServer.URL, "https", "http", 1)} {
		_, err := remote.Client.Get(address + "/openid/v1/jwks")
		require.ErrorContains(t, err, "is not the API server")
	}
	assert.Zero(t, asked.Load())
}

func TestKubernetesWithoutCA(t *testing.T) {
	t.Parallel()
	_, err := providers.Kubernetes("https://kubernetes.default.svc", t.TempDir(), clusterIssuer, "orders", frontend)
	require.ErrorIs(t, err, os.ErrNotExist)
	pod := newPod(t)
	pod.mount("ca.crt", "-----BEGIN NOTHING-----")
	_, err = providers.Kubernetes("https://kubernetes.default.svc", pod.dir, clusterIssuer, "orders", frontend)
	require.ErrorContains(t, err, "ca.crt has no certificate")
}

// A pod has the files that the recipe reads.
type pod struct {
	t           *testing.T
	dir         string
	credentials atomic.Value // the token that the API server accepts
}

func newPod(t *testing.T) *pod {
	p := &pod{t: t, dir: t.TempDir()}
	p.mount("ca.crt", string(authority().pem))
	p.mount("token", "the first\n")
	p.mount("namespace", "shop")
	p.credentials.Store("the first")
	return p
}

func (p *pod) mount(name, content string) {
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600))
}

func (p *pod) options(t *testing.T, apiServer string) jwtgate.Options {
	options, err := providers.Kubernetes(apiServer, p.dir, clusterIssuer, "orders", frontend)
	require.NoError(t, err)
	remote := options.Keys.(*keys.Remote)
	remote.Logger = slog.New(slog.DiscardHandler)
	remote.Timeout = time.Minute // so that a slow machine does not fail the test
	return options
}

// newAPIServer starts a server that answers like the API server of a cluster, and
// returns its URL.
func newAPIServer(t *testing.T, p *pod) string {
	const mediaType = "application/jwk-set+json"
	document := jwks(jwk(ours(), map[string]any{"use": "sig", "kid": clusterKey, "alg": "RS256"}))
	return serveTLS(t, []string{"kubernetes.default.svc"}, func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		switch {
		case r.Header.Get("Authorization") != "Bearer "+p.credentials.Load().(string):
			status = http.StatusUnauthorized
		case r.URL.Path != "/openid/v1/jwks":
			status = http.StatusNotFound
		case !strings.Contains(r.Header.Get("Accept"), mediaType):
			status = http.StatusNotAcceptable
		}
		if status != http.StatusOK {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status})
			return
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		json.NewEncoder(w).Encode(document)
	}).URL
}
