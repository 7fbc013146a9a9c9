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

// A bait is the attacker's server. It serves the attacker's keys at every path and
// records which cases made the service fetch them.
type bait struct {
	server *httptest.Server
	mu     sync.Mutex
	hits   map[string]bool // by family/case
}

func newBait() *bait {
	b := &bait{hits: map[string]bool{}}
	b.server = httptest.NewServer(b)
	return b
}

// ServeHTTP answers requests for /family/case and for the paths below it.
func (b *bait) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 2 {
		parts = []string{parts[0], "", ""}
	}
	b.mu.Lock()
	b.hits[parts[0]+"/"+parts[1]] = true
	b.mu.Unlock()
	base := b.server.URL + "/" + parts[0] + "/" + parts[1]
	if strings.Contains(r.URL.Path, "/.well-known/") {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, base, base+"/jwks")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, attackersSet())
}

// takeHit reports whether the address of a case was fetched, and forgets that it
// was.
func (b *bait) takeHit(path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	hit := b.hits[path]
	delete(b.hits, path)
	return hit
}

// remainingHits returns the cases whose addresses were fetched and not taken by
// takeHit, sorted.
func (b *bait) remainingHits() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var paths []string
	for path := range b.hits {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// attackersSet returns the JWK Set of the attacker's keys.
var attackersSet = sync.OnceValue(func() string {
	var keys []string
	for _, algorithm := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		key := jwk(publicKey(attackersKey(algorithm))).with("kid", quote(algorithm)).with("alg", quote(algorithm))
		keys = append(keys, key.String())
	}
	keys = append(keys, jwk(attackersSecret).with("alg", `"HS256"`).String())
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
})
