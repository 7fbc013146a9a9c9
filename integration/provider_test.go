package integration_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The example storage has the service and the user. startProvider adds the web client.
const (
	serviceID, serviceSecret = "sid1", "verysecret"
	userName, userPassword   = "test-user2", "verysecure"
	webID, webSecret         = "web", "secret"
	webCallback              = "http://localhost:9999/auth/callback"
)

// client sends requests to the provider. It opens a new connection for each request:
// a kept one could hide that the provider is down.
var client = &http.Client{
	Timeout:       hangGuard,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// A provider is an OpenID provider on loopback, which can go down and come back.
type provider struct {
	issuer  string
	handler http.Handler
	keys    *keyring
	storage *storage.Storage
	stop    func()

	discoveries, fetches atomic.Int64 // requests for the discovery document, and for the keys
	// While a test holds this lock, requests for the keys wait.
	hold sync.RWMutex
}

// startProvider returns a provider that is up.
func startProvider(t *testing.T) *provider {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &provider{issuer: "http://" + listener.Addr().String()}
	p.storage = storage.NewStorageWithClients(storage.NewUserStore(p.issuer),
		map[string]*storage.Client{webID: storage.WebClient(webID, webSecret, webCallback)})
	p.keys, err = newKeyring(t.Context(), p.storage)
	require.NoError(t, err)
	config := &op.Config{}
	_, err = rand.Read(config.CryptoKey[:])
	require.NoError(t, err)
	endpoints, err := op.NewProvider(config, store{p.storage, p.keys}, op.StaticIssuer(p.issuer), op.WithAllowInsecure())
	require.NoError(t, err)

	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			p.discoveries.Add(1)
		case "/keys":
			p.fetches.Add(1)
			p.hold.RLock()
			defer p.hold.RUnlock()
		}
		endpoints.ServeHTTP(w, r)
	})
	p.serve(listener)
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *provider) serve(listener net.Listener) {
	server, ended := &http.Server{Handler: p.handler}, make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	p.stop = sync.OnceFunc(func() {
		_ = server.Close()
		<-ended
	})
}

// goDown stops the provider, so that connections to it are refused. A test that calls
// goDown must not be parallel: the server of another test could get the port.
func (p *provider) goDown(t *testing.T) {
	t.Helper()
	p.stop()
	connection, err := net.Dial("tcp", p.address())
	if err == nil {
		_ = connection.Close()
	}
	require.Error(t, err, "something still listens there")
}

// comeBack starts the provider again, on the same port.
func (p *provider) comeBack(t *testing.T) {
	t.Helper()
	var listener net.Listener
	require.Eventually(t, func() bool {
		// Another program may use the port for an outgoing connection for a moment.
		var err error
		listener, err = net.Listen("tcp", p.address())
		return err == nil
	}, hangGuard, 10*time.Millisecond)
	p.serve(listener)
}

func (p *provider) address() string { return strings.TrimPrefix(p.issuer, "http://") }

// serviceToken returns an access token of the service for an audience. The token is a
// JWT, from the client credentials grant (RFC 6749 section 4.4).
func (p *provider) serviceToken(t *testing.T, audience string) string {
	t.Helper()
	accessToken, _ := p.tokens(t, serviceID, serviceSecret, url.Values{"grant_type": {"client_credentials"}, "scope": {audience}})
	return accessToken
}

// userTokens returns the tokens that the web client gets when the user has logged in:
// an opaque access token and an ID token. They come from the authorization code flow
// (OpenID Connect Core 1.0 section 3.1).
func (p *provider) userTokens(t *testing.T) (accessToken, idToken string) {
	t.Helper()
	login := p.redirect(t, "/authorize", url.Values{
		"response_type": {"code"}, "client_id": {webID}, "redirect_uri": {webCallback}, "scope": {"openid"}, "state": {"any"},
	})
	id := login.Get("authRequestID")
	// This replaces the login page, which the provider does not have.
	require.NoError(t, p.storage.CheckUsernamePassword(userName, userPassword, id))
	callback := p.redirect(t, "/authorize/callback", url.Values{"id": {id}})
	return p.tokens(t, webID, webSecret, url.Values{
		"grant_type": {"authorization_code"}, "code": {callback.Get("code")}, "redirect_uri": {webCallback},
	})
}

// redirect sends a request and returns the query of the URL that the provider redirects
// to.
func (p *provider) redirect(t *testing.T, path string, query url.Values) url.Values {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.issuer+path+"?"+query.Encode(), nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	target, err := response.Location()
	require.NoError(t, err, "status %d of %s", response.StatusCode, path)
	return target.Query()
}

// tokens returns the answer of the token endpoint.
func (p *provider) tokens(t *testing.T, clientID, secret string, form url.Values) (accessToken, idToken string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.issuer+"/oauth/token", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(clientID, secret)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	var got struct {
		AccessToken string `json:"access_token"`
		IDToken     string `json:"id_token"`
		Problem     string `json:"error_description"`
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&got))
	require.Equal(t, http.StatusOK, response.StatusCode, got.Problem)
	require.NotEmpty(t, got.AccessToken)
	return got.AccessToken, got.IDToken
}

// store is the example storage with two changes: its keys can be rotated, and the
// access tokens of services are JWTs.
type store struct {
	*storage.Storage
	keys *keyring
}

func (s store) SigningKey(context.Context) (op.SigningKey, error) { return s.keys.signing(), nil }

func (s store) KeySet(context.Context) ([]op.Key, error) { return s.keys.published(), nil }

func (s store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{s.keys.signing().SignatureAlgorithm()}, nil
}

func (s store) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	c, err := s.Storage.ClientCredentials(ctx, id, secret)
	return jwtClient{c}, err
}

// ClientCredentialsTokenRequest uses the requested scopes as audiences. The provider
// lets its storage choose how a client requests an audience.
func (s store) ClientCredentialsTokenRequest(ctx context.Context, id string, scopes []string) (op.TokenRequest, error) {
	request, err := s.Storage.ClientCredentialsTokenRequest(ctx, id, scopes)
	return audienceRequest{request}, err
}

type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

type audienceRequest struct{ op.TokenRequest }

func (r audienceRequest) GetAudience() []string { return r.GetScopes() }

// A keyring has the provider's published keys. The last one belongs to the key that
// signs.
type keyring struct {
	mu      sync.Mutex
	signer  op.SigningKey
	publics []op.Key
}

// newKeyring returns a keyring with the key of the example storage.
func newKeyring(ctx context.Context, s *storage.Storage) (k *keyring, err error) {
	k = &keyring{}
	if k.signer, err = s.SigningKey(ctx); err != nil {
		return nil, err
	}
	k.publics, err = s.KeySet(ctx)
	return k, err
}

func (k *keyring) signing() op.SigningKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.signer
}

func (k *keyring) published() []op.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.publics)
}

// rotate makes the provider sign with a new key, and publish it beside the others.
func (k *keyring) rotate(t *testing.T, algorithm jose.SignatureAlgorithm) {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	require.NoError(t, err)
	k.mu.Lock()
	defer k.mu.Unlock()
	id := rand.Text()
	k.signer = key{id, algorithm, private}
	k.publics = append(k.publics, key{id, algorithm, private.Public()})
}

// withdraw makes the provider publish only the key that signs.
func (k *keyring) withdraw() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.publics = k.publics[len(k.publics)-1:]
}

// A key is a private or a public key.
type key struct {
	id        string
	algorithm jose.SignatureAlgorithm
	material  any
}

func (k key) ID() string                                  { return k.id }
func (k key) Use() string                                 { return "sig" }
func (k key) Key() any                                    { return k.material }
func (k key) Algorithm() jose.SignatureAlgorithm          { return k.algorithm }
func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return k.algorithm }
