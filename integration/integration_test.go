// Package integration_test tests jwtgate end to end against a third-party identity
// provider, the OpenID provider of zitadel/oidc. Both the provider and the API listen
// on loopback. The tokens come from the provider's token endpoint, and the gate
// discovers the provider's keys. It also tests the gate over HTTP/3, between middleware of
// others, with curl, in a browser, with the clients of MCP, and with packages of npm.
// Tests that need a program that is not installed are skipped. Run it with
//
//	go -C integration test ./...
package integration_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	audience     = "https://api.example.com"
	noToken      = `Bearer realm="api"`
	invalidToken = `Bearer realm="api", error="invalid_token", error_description="The access token is not valid."`

	// hangGuard ends a test that hangs. It is so long that a slow machine never
	// reaches it.
	hangGuard = time.Minute
)

func TestAccess(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	token := p.serviceToken(t, audience)
	for name, remote := range map[string]*keys.Remote{
		"keys discovered":     {},
		"keys at a known URL": {URL: p.issuer + "/keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAPI(t, optionsFor(p, remote))
			assert.Equal(t, served(serviceID), a.get(t, token))
			assert.Equal(t, refused(noToken), a.get(t, ""))
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p, other := startProvider(t), startProvider(t)
	good := p.serviceToken(t, audience)
	opaque, idToken := p.userTokens(t)
	require.NotEqual(t, 2, strings.Count(opaque, "."), "the access token of the web client must not be a JWT")
	a := startAPI(t, optionsFor(p, &keys.Remote{MinInterval: time.Hour}))
	require.Equal(t, served(serviceID), a.get(t, good))

	for _, test := range []struct {
		name, token string
		reason      error
	}{
		{"no token", "", jwtgate.ErrNoToken},
		{"tampered subject", replaceIn(t, good, 1, `"sub":"`+serviceID, `"sub":"root`), jwtgate.ErrSignature},
		{"tampered header", replaceIn(t, good, 0, `"typ":"JWT"`, `"typ":"jwt"`), jwtgate.ErrSignature},
		{"signature of another token", strings.TrimSuffix(good, signatureOf(good)) + signatureOf(idToken), jwtgate.ErrSignature},
		{"no signature", strings.TrimSuffix(good, signatureOf(good)), jwtgate.ErrMalformed},
		{"opaque access token", opaque, jwtgate.ErrMalformed},
		{"ID token of the web client", idToken, jwtgate.ErrAudience},
		{"access token for another API", p.serviceToken(t, "https://other.example.com"), jwtgate.ErrAudience},
		{"access token of another provider", other.serviceToken(t, audience), jwtgate.ErrIssuer},
	} {
		t.Run(test.name, func(t *testing.T) {
			challenge := invalidToken
			if test.token == "" {
				challenge = noToken
			}
			assert.Equal(t, refused(challenge), a.get(t, test.token))
			_, err := a.gate.Verify(t.Context(), test.token)
			require.ErrorIs(t, err, test.reason)
		})
	}
	assert.EqualValues(t, 2, p.fetches.Load(), "for the keys, and for the first bad signature")
	assert.Zero(t, other.fetches.Load(), "the issuer is not trusted, so its keys are not fetched")
}

func TestReady(t *testing.T) {
	p := startProvider(t)
	// With these values the test would hang if Refresh obeyed MinInterval.
	remote := &keys.Remote{MinInterval: time.Hour, Timeout: time.Hour}
	a := startAPI(t, optionsFor(p, remote))
	require.NoError(t, a.gate.Ready(t.Context()))
	require.NoError(t, remote.Refresh(t.Context(), p.issuer))
	assert.EqualValues(t, 2, p.fetches.Load())

	p.goDown(t)
	require.NoError(t, a.gate.Ready(t.Context()), "the fetched keys are still in use")
	requireRefusedConnection(t, remote.Refresh(t.Context(), p.issuer))
	p.comeBack(t)
	require.NoError(t, remote.Refresh(t.Context(), p.issuer))
}

func TestNotReady(t *testing.T) {
	p := startProvider(t)
	p.goDown(t)
	remote := &keys.Remote{MinInterval: time.Hour, Timeout: time.Hour}
	a := startAPI(t, optionsFor(p, remote))
	requireRefusedConnection(t, a.gate.Ready(t.Context()))
	requireRefusedConnection(t, remote.Refresh(t.Context(), p.issuer))
	p.comeBack(t)
	require.NoError(t, remote.Refresh(t.Context(), p.issuer), "Refresh does not wait for the backoff")
	require.NoError(t, a.gate.Ready(t.Context()))
}

func TestRotation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		algorithm jose.SignatureAlgorithm
		cacheSize int
	}{
		{name: "to another RSA key", algorithm: jose.RS256},
		{name: "to PS256", algorithm: jose.PS256},
		{name: "to ES256", algorithm: jose.ES256},
		{name: "to EdDSA", algorithm: jose.EdDSA},
		{name: "with remembered tokens", algorithm: jose.ES256, cacheSize: 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, remote := startProvider(t), &keys.Remote{}
			options := optionsFor(p, remote)
			options.CacheSize = test.cacheSize
			a := startAPI(t, options)
			before := p.serviceToken(t, audience)
			require.Equal(t, served(serviceID), a.get(t, before))

			p.keys.rotate(t, test.algorithm)
			after := p.serviceToken(t, audience)
			assert.Equal(t, served(serviceID), a.get(t, after), "the first token with a new key")
			assert.Equal(t, served(serviceID), a.get(t, before), "the old key is still published")
			assert.EqualValues(t, 2, p.fetches.Load(), "one at the start, one for the new key")
			token, err := a.gate.Verify(t.Context(), after)
			require.NoError(t, err)
			assert.Equal(t, string(test.algorithm), token.Algorithm)

			p.keys.withdraw()
			require.NoError(t, remote.Refresh(t.Context(), p.issuer))
			assert.Equal(t, refused(invalidToken), a.get(t, before), "the old key is withdrawn")
			_, err = a.gate.Verify(t.Context(), before)
			require.ErrorIs(t, err, jwtgate.ErrUnknownKey)
			assert.Equal(t, served(serviceID), a.get(t, after))
		})
	}
}

func TestWithdrawalIsNoticed(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	remote := &keys.Remote{FreshFor: time.Second}
	a := startAPI(t, optionsFor(p, remote))
	before := p.serviceToken(t, audience)
	require.Equal(t, served(serviceID), a.get(t, before))
	p.keys.rotate(t, jose.ES256)
	p.keys.withdraw()
	a.eventually(t, before, refused(invalidToken), served(serviceID))
}

func TestOutage(t *testing.T) {
	p := startProvider(t)
	a := startAPI(t, optionsFor(p, &keys.Remote{}))
	known := p.serviceToken(t, audience)
	require.Equal(t, served(serviceID), a.get(t, known))
	p.keys.rotate(t, jose.ES256)
	unknown := p.serviceToken(t, audience)

	p.goDown(t)
	for range 3 {
		assert.Equal(t, unavailable, a.get(t, unknown))
		assert.Equal(t, served(serviceID), a.get(t, known))
	}
	p.comeBack(t)
	a.eventually(t, unknown, served(serviceID), unavailable)
	assert.Equal(t, served(serviceID), a.get(t, known))
}

func TestOutageAtStart(t *testing.T) {
	p := startProvider(t)
	token := p.serviceToken(t, audience)
	p.goDown(t)
	a := startAPI(t, optionsFor(p, &keys.Remote{}))
	for range 3 {
		assert.Equal(t, unavailable, a.get(t, token))
		assert.Equal(t, refused(noToken), a.get(t, ""), "this answer needs no keys")
	}
	p.comeBack(t)
	a.eventually(t, token, served(serviceID), unavailable)
	assert.EqualValues(t, 1, p.fetches.Load())
}

func TestFetches(t *testing.T) {
	t.Parallel()
	const crowd = 200
	p := startProvider(t)
	var arrived atomic.Int64
	remote := &keys.Remote{MinInterval: time.Hour}
	options := optionsFor(p, remote)
	options.Extract = func(r *http.Request) (string, error) {
		if arrived.Add(1) == crowd {
			p.hold.Unlock()
		}
		return jwtgate.Bearer(r)
	}
	a := startAPI(t, options)

	first := p.serviceToken(t, audience)
	p.hold.Lock() // until all requests have arrived
	a.crowd(t, slices.Repeat([]string{first}, crowd), served(serviceID))
	assert.EqualValues(t, 1, p.fetches.Load(), "at a cold start")

	p.keys.rotate(t, jose.ES256)
	second := p.serviceToken(t, audience)
	a.crowd(t, slices.Repeat([]string{first, second}, crowd/2), served(serviceID))
	assert.EqualValues(t, 2, p.fetches.Load(), "after a rotation")

	forged := make([]string, crowd)
	for i := range forged {
		forged[i] = replaceIn(t, first, 0, `"kid":"`, fmt.Sprintf(`"kid":"%d-`, i))
	}
	a.crowd(t, forged, refused(invalidToken))
	assert.EqualValues(t, 4, p.fetches.Load(), "with forged key IDs: two, until the limit is reached")
	limited := remote.Stats()[0].LimitedLookups
	a.crowd(t, forged, refused(invalidToken))
	assert.EqualValues(t, 4, p.fetches.Load(), "the limit is reached")
	assert.EqualValues(t, 4, p.discoveries.Load(), "one for each fetch")

	stats := remote.Stats()
	require.Len(t, stats, 1)
	assert.EqualValues(t, 4, stats[0].Fetches)
	assert.EqualValues(t, crowd, stats[0].LimitedLookups-limited)
	assert.Equal(t, 2, stats[0].Keys)
	assert.Equal(t, p.issuer+"/keys", stats[0].URL)
}

// optionsFor returns options for tokens of p, with keys from remote. On a slow machine
// a fetch may take longer than the default Timeout, so remote gets a longer one.
func optionsFor(p *provider, remote *keys.Remote) jwtgate.Options {
	if remote.Timeout == 0 {
		remote.Timeout = hangGuard
	}
	return jwtgate.Options{Keys: remote, Issuers: []string{p.issuer}, Audiences: []string{audience}}
}

// An api is a service behind a gate. It answers with the subject.
type api struct {
	gate   *jwtgate.Gate
	server *httptest.Server
}

func startAPI(t *testing.T, options jwtgate.Options) *api {
	t.Helper()
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	server := httptest.NewServer(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, jwtgate.Subject(r.Context()))
	})))
	t.Cleanup(server.Close)
	return &api{gate, server}
}

// An answer has the parts of a response that the tests compare.
type answer struct {
	status     int
	subject    string // of a served request
	challenge  string
	retryAfter bool // Retry-After is a number from 1 to 30
}

var unavailable = answer{status: http.StatusServiceUnavailable, retryAfter: true}

func served(subject string) answer { return answer{status: http.StatusOK, subject: subject} }

func refused(challenge string) answer {
	return answer{status: http.StatusUnauthorized, challenge: challenge}
}

func (a *api) get(t *testing.T, token string) answer {
	got, err := a.ask(t.Context(), token)
	require.NoError(t, err)
	return got
}

// ask is safe for concurrent use.
func (a *api) ask(ctx context.Context, token string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server.URL, nil)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := a.server.Client().Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	got := answer{
		status:     response.StatusCode,
		challenge:  response.Header.Get("WWW-Authenticate"),
		retryAfter: 1 <= seconds && seconds <= 30,
	}
	if got.status == http.StatusOK {
		got.subject = string(body)
	}
	return got, err
}

// crowd sends one request for each token, all at the same time.
func (a *api) crowd(t *testing.T, tokens []string, want answer) {
	t.Helper()
	var wg sync.WaitGroup
	for _, token := range tokens {
		wg.Go(func() {
			got, err := a.ask(t.Context(), token)
			assert.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
	wg.Wait()
}

// eventually sends requests until the answer is want. Each earlier answer must equal meanwhile.
func (a *api) eventually(t *testing.T, token string, want, meanwhile answer) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, err := a.ask(t.Context(), token)
		if assert.NoError(t, err) && got != want {
			assert.Equal(t, meanwhile, got)
		}
		return got == want
	}, hangGuard, 20*time.Millisecond)
}

// requireRefusedConnection requires that err reports a refused connection, not a
// timeout.
func requireRefusedConnection(t *testing.T, err error) {
	t.Helper()
	var dial *net.OpError
	require.ErrorAs(t, err, &dial)
	assert.Equal(t, "dial", dial.Op)
	assert.False(t, dial.Timeout())
}

// replaceIn replaces text in the header (part 0) or the claims (part 1) of a token.
func replaceIn(t *testing.T, token string, part int, before, after string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[part])
	require.NoError(t, err)
	require.Contains(t, string(text), before)
	parts[part] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(text), before, after, 1)))
	return strings.Join(parts, ".")
}

// signatureOf returns the last part of a token.
func signatureOf(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }
