package jwttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/unlimited"
	"github.com/jwtgate/jwtgate/keys"
)

// An Issuer is an identity provider for tests. It signs tokens, and publishes its
// keys on loopback as OpenID Connect Discovery 1.0 and RFC 8414 describe. Make one
// with [NewIssuer].
//
// Its methods are safe for concurrent use. A method that fails, for example
// because a claim cannot be written as JSON, calls Fatalf of the test. Call such
// methods from the goroutine of the test: in any other goroutine Fatalf fails the
// test but ends only that goroutine.
//
// With testing/synctest, call NewIssuer outside the bubble. The goroutines of the
// issuer's server wait for the network, so time in the bubble would not advance.
type Issuer struct {
	// URL is the iss of the tokens. A keys.Remote discovers the keys from URL. If the
	// test gives its tokens another iss, set the URL of the keys.Remote to URL +
	// "/jwks", where the JWK Set is. Do not change URL.
	URL string
	// Audience is the aud of the tokens. Change it only before the first method
	// call.
	Audience string

	t   testing.TB
	log *slog.Logger

	mu       sync.Mutex
	keys     []*signingKey // the published keys; the last one signs
	keysMade int           // including withdrawn keys
	fetches  int
	down     bool
	status   int               // of the answers while down; 0 means no answer
	holds    []context.Context // one for each Hold; an answer waits until all have ended
	remotes  []*keys.Remote    // the key sources of Options
}

const (
	jwksPath         = "/jwks"
	defaultAlgorithm = "ES256"
)

// NewIssuer starts an issuer on a free loopback port. The issuer has one key, for
// ES256. The issuer stops when the test ends.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("jwttest: the issuer needs a port on loopback: %v", err)
	}
	log := &testLog{t: t}
	i := &Issuer{
		URL:      "http://" + listener.Addr().String(),
		Audience: defaultAudience,
		t:        t,
		log:      slog.New(slog.NewTextHandler(log, nil)),
	}
	i.addKey(defaultAlgorithm)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.serveMetadata)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", i.serveMetadata)
	mux.HandleFunc("GET "+jwksPath, i.serveJWKS)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: i.withOutages(mux)}}
	server.Start()
	t.Cleanup(func() {
		log.end()
		// Close waits for answers that a Hold keeps back, until their connections
		// are closed.
		server.CloseClientConnections()
		server.Close()
	})
	return i
}

// Options returns the options of a gate that accepts the tokens of i. You may change
// them before you call [jwtgate.New]. Each call of Options makes a new key source, so
// gates share no state.
//
// Keys is a [*keys.Remote] that discovers the keys, fetches them for every unknown
// key ID and every bad signature without the usual limit, and logs to the test. With an HS algorithm Keys
// is [keys.Static] with the current secrets, because an issuer never publishes a
// secret.
func (i *Issuer) Options() jwtgate.Options {
	i.t.Helper()
	return jwtgate.Options{Keys: i.keySource(), Issuers: []string{i.URL}, Audiences: []string{i.Audience}}
}

// keySource returns the Keys of Options.
func (i *Issuer) keySource() jwtgate.KeySource {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.currentKey().isSecret() {
		remote := &keys.Remote{Logger: i.log}
		unlimited.Remote(remote)
		i.remotes = append(i.remotes, remote)
		return remote
	}
	var secrets []*jwtgate.Key
	for _, k := range i.keys {
		secret, err := jwtgate.NewKey(k.id, k.algorithm, k.private)
		if err != nil {
			i.t.Fatalf("jwttest: %v", err)
		}
		secrets = append(secrets, secret)
	}
	return keys.Static(secrets...)
}

// Token returns a token that a gate with [Issuer.Options] accepts. claims replaces
// default claims and adds others:
//
//   - A nil value removes the claim. Use json.RawMessage("null") for a JSON null.
//   - A [time.Time] becomes a NumericDate, as exp, nbf and iat need it.
//
// By default iss is URL, aud is Audience, sub is "alice", iat is now, exp is in
// an hour, and jti is different in each token. For a token that is bound to a DPoP key, set
// cnf to [Prover.Confirmation].
func (i *Issuer) Token(claims map[string]any) string {
	i.t.Helper()
	return i.Sign(nil, claims)
}

// Sign is like [Issuer.Token], but header changes the header of the token as claims
// changes its claims. By default typ is "JWT", alg is the algorithm of the current
// key, and kid is its ID: "key-1" for the first key.
//
// Sign always signs with the current key. An alg in header changes only the
// header; [Issuer.SetAlgorithm] changes the algorithm.
func (i *Issuer) Sign(header, claims map[string]any) string {
	i.t.Helper()
	return i.sign(header, claims, func(k *signingKey) (any, error) { return k.private, nil })
}

// Forge is like [Issuer.Sign], but signs with a key that is not the issuer's. The
// header still names the issuer's key, so only the signature is wrong.
func (i *Issuer) Forge(header, claims map[string]any) string {
	i.t.Helper()
	return i.sign(header, claims, func(k *signingKey) (any, error) { return signingAlgorithms[k.algorithm].forgersKey() })
}

// sign returns a token that names the current key. The token is signed with the key
// that choose returns for the current key.
func (i *Issuer) sign(header, claims map[string]any, choose func(*signingKey) (any, error)) string {
	i.t.Helper()
	i.mu.Lock()
	k := i.currentKey()
	i.mu.Unlock()
	private, err := choose(k)
	token := ""
	if err == nil {
		token, err = k.sign(private, header, withChanges(defaultClaims(i.URL, i.Audience), claims))
	}
	if err != nil {
		i.t.Fatalf("jwttest: no token could be made: %v", err)
	}
	return token
}

// SetAlgorithm makes a new key for algorithm, signs with the new key from now on,
// and withdraws all other keys. algorithm is one of those of [jwtgate.NewKey].
//
// For an HS algorithm, call SetAlgorithm before Options: Options contains the
// current secret. Making an RSA key takes a few hundred milliseconds.
func (i *Issuer) SetAlgorithm(algorithm string) {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.addKey(algorithm)
	i.dropOldKeys()
}

// Rotate makes a new key for the same algorithm and signs with the new key from now
// on. The old key stays published, so tokens signed with it remain good until
// [Issuer.Withdraw].
//
// A gate with Options accepts tokens signed with the new key at once. With an HS
// algorithm the gate refuses them: make a new gate from Options.
func (i *Issuer) Rotate() {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.addKey(i.currentKey().algorithm)
}

// Withdraw stops publishing all keys except the current one. Call it right after
// Rotate for a rotation without overlap.
//
// A gate accepts tokens signed with a withdrawn key until it fetches the keys again. A
// gate with Options fetches the keys when it sees a token with an unknown key ID, such
// as the first token after Rotate. To make a gate fetch them without such a token, call
// Refresh of its keys.Remote.
func (i *Issuer) Withdraw() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropOldKeys()
}

// dropOldKeys removes all keys except the current one. i.mu is held.
func (i *Issuer) dropOldKeys() { i.keys = i.keys[len(i.keys)-1:] }

// Down starts an outage, which [Issuer.Up] ends. During the outage the issuer
// answers every request with status, for example 503. If status is 0, the issuer
// closes the connection without an answer. Any other status below 400 or above 599
// ends the test. Token, Sign and Forge work as before.
func (i *Issuer) Down(status int) {
	i.t.Helper()
	if status != 0 && (status < 400 || status > 599) {
		i.t.Fatalf("jwttest: Down(%d): use a status from 400 to 599, or 0 for no answer", status)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down, i.status = true, status
}

// Up ends an outage. Gates with Options that failed to fetch their keys fetch them
// before Up returns. Other gates fetch them at their next attempt: a [keys.Remote]
// waits for half a second or longer after a failure.
func (i *Issuer) Up() {
	i.t.Helper()
	i.mu.Lock()
	i.down = false
	remotes := slices.Clone(i.remotes)
	i.mu.Unlock()
	for _, remote := range remotes {
		for _, stats := range remote.Stats() {
			if stats.Err == nil {
				continue
			}
			// The test may have changed the source so that it cannot succeed.
			if err := remote.Refresh(context.Background(), stats.Issuer); err != nil {
				i.t.Logf("jwttest: keys still cannot be fetched: %v", err)
			}
		}
	}
}

// Hold makes requests for the JWK Set wait until release is called or the test
// ends. [Issuer.Fetches] counts waiting requests too. After several calls of Hold,
// requests wait until each of the returned functions has been called. Calling release
// again does nothing.
func (i *Issuer) Hold() (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// A context, because the server cannot wait for a channel that is made in a
	// synctest bubble.
	hold, release := context.WithCancel(context.Background())
	i.holds = append(i.holds, hold)
	return release
}

// Fetches returns the number of requests for the JWK Set, including those that got
// an error. It does not count requests for metadata: a gate that discovers the keys
// requests the metadata first, and in an outage requests the JWK Set only if it has found
// it before.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// currentKey returns the key that signs. i.mu is held.
func (i *Issuer) currentKey() *signingKey { return i.keys[len(i.keys)-1] }

// addKey makes a new key, which becomes the current one. i.mu is held, except in
// NewIssuer.
func (i *Issuer) addKey(algorithm string) {
	i.t.Helper()
	i.keysMade++
	k, err := newSigningKey(fmt.Sprintf("key-%d", i.keysMade), algorithm)
	if err != nil {
		i.t.Fatalf("jwttest: no key could be made: %v", err)
	}
	i.keys = append(i.keys[:len(i.keys):len(i.keys)], k)
}

// withOutages returns a handler that answers during an outage and calls next at
// other times. It also counts requests for the JWK Set.
func (i *Issuer) withOutages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		if r.URL.Path == jwksPath {
			i.fetches++
		}
		down, status := i.down, i.status
		i.mu.Unlock()
		switch {
		case !down:
			next.ServeHTTP(w, r)
		case status != 0:
			http.Error(w, "an outage made by the test", status)
		default:
			// Closing the listener instead would let another process take its port.
			panic(http.ErrAbortHandler)
		}
	})
}

func (i *Issuer) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	serveJSON(w, "application/json", map[string]string{"issuer": i.URL, "jwks_uri": i.URL + jwksPath})
}

func (i *Issuer) serveJWKS(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	holds := slices.Clone(i.holds)
	i.mu.Unlock()
	for _, hold := range holds {
		select {
		case <-hold.Done():
		case <-r.Context().Done():
			return
		}
	}
	i.mu.Lock()
	jwks := []map[string]string{}
	for _, k := range i.keys {
		if !k.isSecret() {
			jwks = append(jwks, k.jwk())
		}
	}
	i.mu.Unlock()
	serveJSON(w, "application/jwk-set+json", map[string]any{"keys": jwks})
}

func serveJSON(w http.ResponseWriter, contentType string, document any) {
	w.Header().Set("Content-Type", contentType)
	json.NewEncoder(w).Encode(document) // fails only if the client has closed the connection
}

// A testLog writes log records to a test until the test ends. A fetch may run
// longer than the test, and logging to a test that has ended panics.
type testLog struct {
	t     testing.TB
	mu    sync.Mutex
	ended bool
}

func (l *testLog) Write(record []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.t.Logf("%s", bytes.TrimSpace(record))
	}
	return len(record), nil
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}
