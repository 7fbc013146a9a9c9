package jwttest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// An attackersServer is an HTTP server on loopback that no service should connect
// to. It serves the attacker's keys at every path, and records which cases made the
// service request them.
type attackersServer struct {
	*httptest.Server
	mu   sync.Mutex
	hits map[string]bool // by family/case
}

func newAttackersServer() *attackersServer {
	s := &attackersServer{hits: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	return s
}

// ServeHTTP answers requests for /family/case and for the paths below it.
func (s *attackersServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 2 {
		parts = []string{parts[0], "", ""}
	}
	s.mu.Lock()
	s.hits[parts[0]+"/"+parts[1]] = true
	s.mu.Unlock()
	base := s.URL + "/" + parts[0] + "/" + parts[1]
	if strings.Contains(r.URL.Path, "/.well-known/") {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, base, base+"/jwks")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, attackersJWKS())
}

// takeHit reports whether a path was requested, and forgets the requests.
func (s *attackersServer) takeHit(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	hit := s.hits[path]
	delete(s.hits, path)
	return hit
}

// remainingHits returns the requested paths that takeHit has not forgotten, sorted.
func (s *attackersServer) remainingHits() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for path := range s.hits {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// attackersJWKS returns the JWK Set of the attacker's keys.
var attackersJWKS = sync.OnceValue(func() string {
	var keys []string
	for _, algorithm := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		key := jwk(publicKey(attackersKey(algorithm))).with("kid", quote(algorithm)).with("alg", quote(algorithm))
		keys = append(keys, key.String())
	}
	keys = append(keys, jwk(attackersSecret).with("alg", `"HS256"`).String())
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
})
