package jwttest

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// An attackersServer is a server on loopback that no service should connect to, once with
// HTTP and once with HTTPS. It serves the attacker's keys at every path, and records which
// cases made the service connect.
//
// Its certificate is self-signed. A service that trusts any https address connects, sees
// the certificate and ends the handshake, so connections count and not only requests. The
// case is known from the path of a request. If there is no request, it is the last case
// that names the server.
type attackersServer struct {
	servers []*httptest.Server
	mu      sync.Mutex
	current string         // the last case that names the server
	hits    map[string]int // connections, by family/case
}

// addresses are the URLs of an attackersServer.
type addresses struct{ http, https string }

func newAttackersServer(t *testing.T) *attackersServer {
	t.Helper()
	s := &attackersServer{hits: map[string]int{}}
	for _, start := range []func(*httptest.Server){(*httptest.Server).Start, (*httptest.Server).StartTLS} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("jwttest.Attack needs a port on loopback: %v", err)
		}
		config := &http.Server{
			Handler:     s,
			ConnContext: withConnection,
			ErrorLog:    log.New(io.Discard, "", 0), // net/http logs each handshake that a client ends
		}
		config.SetKeepAlivesEnabled(false) // so that each request is a new connection
		server := &httptest.Server{Listener: countingListener{listener, s}, Config: config}
		start(server)
		t.Cleanup(server.Close)
		s.servers = append(s.servers, server)
	}
	return s
}

func (s *attackersServer) addresses() addresses {
	return addresses{http: s.servers[0].URL, https: s.servers[1].URL}
}

// A countingListener records its connections.
type countingListener struct {
	net.Listener
	server *attackersServer
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.hits[l.server.current]++
	return &countedConn{c, l.server.current}, nil
}

// A countedConn is a connection with the case to which it was counted.
type countedConn struct {
	net.Conn
	path string
}

// connectionKey is the key of a *countedConn in the context of a request.
type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = encrypted.NetConn()
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

// ServeHTTP answers requests for /family/case and for the paths below it. It counts the
// connection to that case.
func (s *attackersServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 2 {
		parts = []string{parts[0], "", ""}
	}
	path := parts[0] + "/" + parts[1]
	s.mu.Lock()
	if c, ok := r.Context().Value(connectionKey{}).(*countedConn); ok && s.hits[c.path] > 0 {
		s.hits[c.path]--
	}
	s.hits[path]++
	s.mu.Unlock()
	if strings.Contains(r.URL.Path, "/.well-known/") {
		base := s.addresses().http
		if r.TLS != nil {
			base = s.addresses().https
		}
		base += "/" + path
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, base, base+"/jwks")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, attackersJWKS())
}

// expect says that a case is sent next whose token names the server.
func (s *attackersServer) expect(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = path
}

// takeHit reports whether a case made the service connect, and forgets the connections.
func (s *attackersServer) takeHit(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	hits := s.hits[path]
	delete(s.hits, path)
	return hits > 0
}

// remainingHits returns the cases with connections that takeHit has not forgotten,
// sorted.
func (s *attackersServer) remainingHits() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []string
	for path, hits := range s.hits {
		if hits > 0 && path != "" { // without a case, another program has connected
			paths = append(paths, path)
		}
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
