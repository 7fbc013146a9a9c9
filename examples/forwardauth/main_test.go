package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/syncbuf"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A site is the endpoint and the service behind a proxy.
type site struct {
	key      ed25519.PrivateKey
	outage   atomic.Bool // the endpoint cannot get its keys
	endpoint *httptest.Server
	service  *httptest.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	s := &site{key: private}
	source := keys.Public(public)
	handler, err := newHandler(jwtgate.KeySourceFunc(func(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
		if s.outage.Load() {
			return nil, errors.New("no connection")
		}
		return source.Keys(ctx, issuer, kid)
	}))
	require.NoError(t, err)
	s.endpoint = httptest.NewServer(handler)
	t.Cleanup(s.endpoint.Close)
	s.service = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if name != "X-User" && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-User") {
				t.Errorf("the service gets the header %s", name)
			}
		}
		assert.Empty(t, r.Header.Get("Authorization"), "the service does not need the token")
		assert.LessOrEqual(t, len(r.Header.Values("X-User")), 1)
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		service(w, r)
	}))
	t.Cleanup(s.service.Close)
	return s
}

func (s *site) token(t *testing.T, changes jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": issuer, "aud": audience, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range changes {
		claims[name] = value
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(s.key)
	require.NoError(t, err)
	return token
}

// configuration returns a file of this directory with the addresses of the site and of the
// proxy.
func (s *site) configuration(t *testing.T, name, proxy string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return strings.NewReplacer(
		"127.0.0.1:8080", proxy,
		"127.0.0.1:9000", s.endpoint.Listener.Addr().String(),
		"127.0.0.1:9001", s.service.Listener.Addr().String(),
	).Replace(string(text))
}

// proxies start the proxies. Each returns the command, which serves at addr.
var proxies = map[string]func(t *testing.T, s *site, addr string) *exec.Cmd{
	"nginx": func(t *testing.T, s *site, addr string) *exec.Cmd {
		dir := t.TempDir()
		config := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr notice;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
%[2]s}
`, dir, s.configuration(t, "nginx.conf", addr))
		path := filepath.Join(dir, "nginx.conf")
		require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
		return exec.Command("nginx", "-p", dir, "-e", "stderr", "-c", path)
	},
	"caddy": func(t *testing.T, s *site, addr string) *exec.Cmd {
		dir := t.TempDir()
		path := filepath.Join(dir, "Caddyfile")
		config := "{\n\tadmin off\n\tauto_https off\n}\n" + s.configuration(t, "Caddyfile", addr)
		require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
		command := exec.Command("caddy", "run", "--config", path, "--adapter", "caddyfile")
		command.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
		return command
	},
}

// start starts a proxy and returns its address. It skips the test if the proxy is not
// installed.
func start(t *testing.T, name string, s *site) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("SKIPPED: this test starts %[1]s: %[2]v; install Debian's package %[1]s", name, err)
	}
	var output syncbuf.Buffer
	for range 5 { // another process may take the port first
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := listener.Addr().String()
		require.NoError(t, listener.Close())
		command := proxies[name](t, s, addr)
		command.Stdout, command.Stderr = &output, &output
		require.NoError(t, command.Start())
		ended := make(chan struct{})
		go func() {
			_ = command.Wait()
			close(ended)
		}()
		t.Cleanup(func() {
			_ = command.Process.Kill()
			<-ended
		})
		if answers(addr, ended) {
			return addr
		}
	}
	require.Fail(t, name+" did not start", output.String())
	return ""
}

// answers waits until a server accepts connections at addr or has ended.
func answers(addr string, ended <-chan struct{}) bool {
	deadline := time.After(30 * time.Second)
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestProxies(t *testing.T) {
	t.Parallel()
	for name := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			addr := start(t, name, s)
			good := s.token(t, nil)
			reader := s.token(t, jwt.MapClaims{"scope": "reports:read", "sub": "rita"})
			bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
			with := func(token, name string, values ...string) http.Header {
				h := bearer(token)
				h[name] = values
				return h
			}
			for name, test := range map[string]struct {
				request string
				header  http.Header
				status  int
				want    string // in the body of 200, otherwise in the challenge
			}{
				"user":                        {"GET /me", bearer(good), 200, `GET /me for "alice"`},
				"user sends a body":           {"POST /orders", bearer(good), 200, `POST /orders for "alice"`},
				"user with the scope":         {"GET /reports/1", bearer(reader), 200, `GET /reports/1 for "rita"`},
				"public":                      {"GET /health", nil, 200, `GET /health for ""`},
				"public with a bad token":     {"GET /health", bearer("x"), 200, `GET /health for ""`},
				"forged user":                 {"GET /me", with(good, "X-User", "root"), 200, `for "alice"`},
				"user forged twice":           {"GET /me", with(good, "X-User", "root", "admin"), 200, `for "alice"`},
				"user forged in lower case":   {"GET /me", with(good, "x-user", "root"), 200, `for "alice"`},
				"user forged with underscore": {"GET /me", with(good, "X_user", "root"), 200, `for "alice"`},
				"user forged in public":       {"GET /health", http.Header{"X-User": {"root"}}, 200, `for ""`},
				"error of the service":        {"GET /broken", bearer(good), 500, ""},

				"no token":               {"GET /me", nil, 401, `Bearer realm="api"`},
				"only a forged user":     {"GET /me", http.Header{"X-User": {"root"}}, 401, `Bearer realm="api"`},
				"unknown path":           {"GET /unknown", nil, 401, `Bearer realm="api"`},
				"expired":                {"GET /me", bearer(s.token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()})), 401, `error="invalid_token"`},
				"subject is no header":   {"GET /me", bearer(s.token(t, jwt.MapClaims{"sub": "alice\r\nX-Admin: 1"})), 401, `error="invalid_token"`},
				"no scope":               {"GET /reports", bearer(good), 403, `scope="reports:read"`},
				"no scope, by a detour":  {"GET /me/../reports", bearer(good), 403, `scope="reports:read"`},
				"no scope, slashes":      {"GET //reports/1", bearer(good), 403, `scope="reports:read"`},
				"no scope, escaped":      {"GET /%72eports/1", bearer(good), 403, `scope="reports:read"`},
				"no scope, escaped dots": {"GET /me/%2e%2e/reports", bearer(good), 403, `scope="reports:read"`},
				"malformed credentials":  {"GET /me", http.Header{"Authorization": {"Bearer"}}, 400, `error="invalid_request"`},
				"asks for the location":  {"GET /_verify", bearer(good), 404, ""},
				"endpoint of the client": {"GET /me", with(good, "X-Original-Uri", "/health"), 200, `for "alice"`},
			} {
				if name == "asks for the location" && t.Name() != "TestProxies/nginx" {
					continue
				}
				t.Run(name, func(t *testing.T) {
					response, body := send(t, addr, test.request, test.header)
					assert.Equal(t, test.status, response.StatusCode)
					if test.status == http.StatusOK {
						assert.Contains(t, body, test.want)
					} else {
						assert.Contains(t, response.Header.Get("WWW-Authenticate"), test.want)
						assert.Equal(t, test.status == 500, strings.Contains(body, `for "`), "the service was asked")
					}
				})
			}
			t.Run("two tokens", func(t *testing.T) {
				response, body := send(t, addr, "GET /me", http.Header{"Authorization": {"Bearer " + good, "Bearer " + reader}})
				assert.Equal(t, 400, response.StatusCode, body)
			})
			t.Run("outage of the keys", func(t *testing.T) {
				s.outage.Store(true)
				defer s.outage.Store(false)
				response, _ := send(t, addr, "GET /me", bearer(s.token(t, jwt.MapClaims{"sub": "new"})))
				assert.Equal(t, 503, response.StatusCode)
				assert.Equal(t, "5", response.Header.Get("Retry-After"))
				assert.Empty(t, response.Header.Get("WWW-Authenticate"), "the token is good")
			})
			t.Run("endpoint is down", func(t *testing.T) {
				s.endpoint.Close()
				response, body := send(t, addr, "GET /me", bearer(good))
				assert.Contains(t, []int{502, 503}, response.StatusCode)
				assert.NotContains(t, body, "alice")
				response, _ = send(t, addr, "GET /health", nil)
				assert.Equal(t, 200, response.StatusCode)
			})
		})
	}
}

// send sends a request without changing its path, and returns the answer and its body.
func send(t *testing.T, addr, request string, header http.Header) (*http.Response, string) {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	var content io.Reader
	if method == http.MethodPost {
		content = strings.NewReader("two shirts")
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr, content)
	require.NoError(t, err)
	r.URL.Opaque = "//" + addr + path // sent unchanged, dots included
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

// The endpoint refuses what the proxies refuse, without a proxy.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	addr := s.endpoint.Listener.Addr().String()
	for name, test := range map[string]struct {
		path, authorization string
		status              int
		user                string
	}{
		"user":             {"/verify", "Bearer " + s.token(t, nil), 204, "alice"},
		"no token":         {"/verify", "", 401, ""},
		"no scope":         {"/verify/reports", "Bearer " + s.token(t, nil), 403, ""},
		"malformed":        {"/verify", "Bearer", 400, ""},
		"unknown endpoint": {"/verify/everything", "Bearer " + s.token(t, nil), 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if test.authorization != "" {
				header.Set("Authorization", test.authorization)
			}
			response, _ := send(t, addr, "GET "+test.path, header)
			assert.Equal(t, test.status, response.StatusCode)
			assert.Equal(t, test.user, response.Header.Get("X-User"))
		})
	}
}
