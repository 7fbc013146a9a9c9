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
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// An Issuer stands for an identity provider: it signs tokens and publishes its
// keys on loopback, as OpenID Connect Discovery and RFC 8414 have it. Make one
// with [NewIssuer].
//
// Its methods are safe for concurrent use. Those that can fail, for claims that
// are no JSON say, end the test by Fatal, which is for the goroutine of the
// test: elsewhere it ends that goroutine and fails the test.
//
// An Issuer has a server, whose goroutines wait for the network. Under
// testing/synctest make it outside the bubble, or the bubble's time stands still.
type Issuer struct {
	// URL is the iss of the tokens, and where the metadata is found. The JWK Set
	// is at URL + "/jwks", for a keys.Remote with an address and for tokens with
	// an iss that is not on loopback. URL must not be changed.
	URL string
	// Audience is the aud of the tokens. It may be changed before the first call
	// of a method.
	Audience string

	t   testing.TB
	log *slog.Logger

	mu       sync.Mutex
	keys     []*signingKey // those that count; tokens are signed with the last
	keysMade int           // keys, those that do not count any more included
	fetches  int
	down     bool
	status   int               // of the answers while it is down; 0 for none
	holds    []context.Context // that answers wait for
	remotes  []*keys.Remote    // of Options
}

// NewIssuer starts an issuer on a free port of loopback. It has one key, for
// ES256, and is closed when the test ends.
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
	i.addKey(defaultMethod)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.serveMetadata)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", i.serveMetadata)
	mux.HandleFunc("GET "+jwksPath, i.serveJWKS)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: i.withOutages(mux)}}
	server.Start()
	t.Cleanup(func() {
		log.end()
		// Those who still wait for an answer are gone when the connections are.
		server.CloseClientConnections()
		server.Close()
	})
	return i
}

// Options returns options of a gate that accepts the tokens of i. Change what
// you like before [jwtgate.New] gets them. Each call makes a key source of its
// own, so that gates share nothing.
//
// Keys is a [*keys.Remote] that finds the keys by discovery, fetches them for
// every unknown key ID, without the usual limit, and logs to the test. With an
// HS algorithm it is [keys.Static] with the secrets of now, since a secret is
// never published.
func (i *Issuer) Options() jwtgate.Options {
	i.t.Helper()
	return jwtgate.Options{Keys: i.keySource(), Issuers: []string{i.URL}, Audiences: []string{i.Audience}}
}

func (i *Issuer) keySource() jwtgate.KeySource {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.currentKey().isSecret() {
		remote := &keys.Remote{MinInterval: time.Nanosecond, Logger: i.log}
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

// Token returns a token that the gates of [Issuer.Options] accept, unless claims
// say otherwise: they replace the default ones and add to them. A nil value
// drops a claim; json.RawMessage("null") is for a null. A [time.Time] becomes
// the number of seconds that exp, nbf and iat are.
//
// By default iss is URL, aud is Audience, sub is "alice", iat is now, exp is in
// an hour, and jti is another one each time.
func (i *Issuer) Token(claims map[string]any) string {
	i.t.Helper()
	return i.Sign(nil, claims)
}

// Sign is like [Issuer.Token], and header does for the header what claims do for
// the claims. By default typ is "JWT", alg the algorithm and kid the ID of the
// current key, "key-1" for the first.
//
// The key is always the current one. An alg in header does not choose another:
// see [Issuer.SetAlgorithm].
func (i *Issuer) Sign(header, claims map[string]any) string {
	i.t.Helper()
	return i.sign(header, claims, func(k *signingKey) (any, error) { return k.private, nil })
}

// Forge is like [Issuer.Sign], but signs with a key that is not the issuer's, and
// says that it is: only the signature is wrong.
func (i *Issuer) Forge(header, claims map[string]any) string {
	i.t.Helper()
	return i.sign(header, claims, func(k *signingKey) (any, error) { return signingAlgorithms[k.algorithm].forgersKey() })
}

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

// SetAlgorithm has tokens from now on signed with a new key for another
// algorithm, one of those that [jwtgate.NewKey] has, and withdraws the keys
// there were. Call it before Options if the algorithm is an HS one, since only
// then the gate gets the secret. An RSA key takes a moment to make.
func (i *Issuer) SetAlgorithm(algorithm string) {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.addKey(algorithm)
	i.dropOldKeys()
}

// Rotate has tokens from now on signed with a new key. The old one stays
// published, so that the tokens there are remain good; see [Issuer.Withdraw]. A
// gate that finds the keys by itself accepts new tokens at once; one with a
// secret has to be made anew, from Options.
func (i *Issuer) Rotate() {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.addKey(i.currentKey().algorithm)
}

// Withdraw stops publishing all keys but the current one. Right after Rotate it
// makes a rotation without overlap.
//
// A gate notices at its next fetch, and refuses tokens of the other keys from
// then on. With gates of Options the first token of a new key causes one, and so
// does any with an unknown key ID, or the Refresh of their keys.Remote.
func (i *Issuer) Withdraw() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dropOldKeys()
}

func (i *Issuer) dropOldKeys() { i.keys = i.keys[len(i.keys)-1:] }

// Down makes an outage, until [Issuer.Up]: each request to the issuer is answered
// with status, such as 503. With 0 there is no answer, and the connection is
// closed. Any other status that is not an error ends the test. Tokens can be
// signed all the same.
func (i *Issuer) Down(status int) {
	i.t.Helper()
	if status != 0 && (status < 400 || status > 599) {
		i.t.Fatalf("jwttest: Down(%d): use a status from 400 to 599, or 0 for no answer", status)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down, i.status = true, status
}

// Up ends an outage. Gates of Options that could not fetch their keys do so now;
// other ones find out when they try next, for which [keys.Remote] waits half a
// second or more.
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
			// What a test has made of the source may keep it from succeeding.
			if err := remote.Refresh(context.Background(), stats.Issuer); err != nil {
				i.t.Logf("jwttest: keys still cannot be fetched: %v", err)
			}
		}
	}
}

// Hold keeps back the JWK Set: whoever asks for it waits until release is called
// or the test ends. [Issuer.Fetches] counts those who wait, too. Each Hold has a
// release of its own; calling it again does nothing.
func (i *Issuer) Hold() (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	// Unlike a channel, a context may be made in a synctest bubble and waited
	// for outside.
	hold, release := context.WithCancel(context.Background())
	i.holds = append(i.holds, hold)
	return release
}

// Fetches returns how often the JWK Set was asked for, whatever the answer was.
// Gates that use discovery ask for the metadata first, and in an outage get no
// further.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// current returns the key that tokens are signed with. The lock is held.
func (i *Issuer) currentKey() *signingKey { return i.keys[len(i.keys)-1] }

// addKey makes a new key the current one. The lock is held, but in NewIssuer.
func (i *Issuer) addKey(algorithm string) {
	i.t.Helper()
	i.keysMade++
	k, err := newSigningKey(fmt.Sprintf("key-%d", i.keysMade), algorithm)
	if err != nil {
		i.t.Fatalf("jwttest: no key could be made: %v", err)
	}
	i.keys = append(i.keys[:len(i.keys):len(i.keys)], k)
}

// failing returns what answers in an outage, and otherwise leaves it to next.
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
			// Closing the listener instead would let somebody else have its port.
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
	json.NewEncoder(w).Encode(document) // an error means that the client has gone
}

// A testLog passes what is written on to a test, until it ends: a fetch may
// outlive it, and to log to a test that has ended is a panic.
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
