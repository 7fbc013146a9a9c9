package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate/examples/internal/syncbuf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	secret       = "front's secret: with + and %20 in it"
	longPatience = time.Hour // longer than any test waits
)

// An interceptor wraps a handler. It counts and records the requests for one path, and
// can answer them instead of the handler.
type interceptor struct {
	path    string
	next    http.Handler
	count   atomic.Int32
	instead atomic.Pointer[http.HandlerFunc]

	mu   sync.Mutex
	seen []http.Header
}

func (i *interceptor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == i.path {
		i.count.Add(1)
		i.mu.Lock()
		i.seen = append(i.seen, r.Header.Clone())
		i.mu.Unlock()
		if instead := i.instead.Load(); instead != nil {
			(*instead)(w, r)
			return
		}
	}
	i.next.ServeHTTP(w, r)
}

// answerWith makes handler answer all requests for the path. If handler is nil, next
// answers them again.
func (i *interceptor) answerWith(handler http.HandlerFunc) {
	if handler == nil {
		i.instead.Store(nil)
		return
	}
	i.instead.Store(&handler)
}

// last returns the headers of the latest request for the path.
func (i *interceptor) last(t *testing.T) http.Header {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	require.NotEmpty(t, i.seen)
	return i.seen[len(i.seen)-1]
}

// A system is the issuer and both services, each with its own server.
type system struct {
	t      *testing.T
	issuer *localIssuer
	token  *interceptor // in front of the token endpoint
	orders *interceptor // in front of back
	front  *httptest.Server
	back   *httptest.Server
	logged *syncbuf.Buffer
}

// start starts a system. lifetime is the lifetime of front's tokens.
func start(t *testing.T, lifetime, patience time.Duration) *system {
	t.Helper()
	s := &system{t: t, logged: &syncbuf.Buffer{}}
	s.token, s.orders = &interceptor{path: "/token"}, &interceptor{path: "/orders"}

	server := httptest.NewUnstartedServer(s.token)
	issuerURL := "http://" + server.Listener.Addr().String()
	var err error
	s.issuer, err = newIssuer(issuerURL, map[string]registration{
		frontClient: {secret: secret, resource: backAudience, scopes: []string{ordersAny, "orders:count"}, lifetime: lifetime},
		"reports":   {secret: "another", resource: backAudience, scopes: []string{ordersAny}, lifetime: lifetime},
	})
	require.NoError(t, err)
	s.token.next = s.issuer
	server.Start()
	t.Cleanup(server.Close)

	s.orders.next, err = newBack(issuerURL)
	require.NoError(t, err)
	s.back = httptest.NewServer(s.orders)
	t.Cleanup(s.back.Close)

	handler, err := front{
		issuer: issuerURL, secret: secret, back: s.back.URL, patience: patience, logger: slog.New(slog.NewTextHandler(s.logged, nil)),
	}.handler()
	require.NoError(t, err)
	s.front = httptest.NewServer(handler)
	s.front.Client().Timeout = time.Minute // a request that hangs fails its test
	t.Cleanup(s.front.Close)
	return s
}

// user returns a token of a user.
func (s *system) user(name string, changes jwt.MapClaims) string {
	s.t.Helper()
	token, err := s.issuer.userToken(name, changes)
	require.NoError(s.t, err)
	return token
}

// get asks front or back for the orders.
func (s *system) get(server *httptest.Server, token string, header http.Header) (*http.Response, string) {
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, server.URL+"/orders", nil)
	if !assert.NoError(s.t, err) {
		return &http.Response{}, ""
	}
	if header != nil {
		request.Header = header
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.front.Client().Do(request)
	if !assert.NoError(s.t, err) {
		return &http.Response{}, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	assert.NoError(s.t, err)
	return response, string(body)
}

// fetch asks the token endpoint for a token.
func (s *system) fetch(id, secret string, form url.Values) (status int, body map[string]any) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.issuer.url+"/token", strings.NewReader(form.Encode()))
	require.NoError(s.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	response, err := s.front.Client().Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	require.NoError(s.t, json.NewDecoder(response.Body).Decode(&body))
	assert.Equal(s.t, "no-store", response.Header.Get("Cache-Control"))
	return response.StatusCode, body
}

const (
	ordersOfAlice = `{"user":"alice","orders":["teapot","lamp"]}`
	ordersOfBob   = `{"user":"bob","orders":["book"]}`
)

func TestUsers(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	for name, test := range map[string]struct {
		token  string
		header http.Header
		status int
		body   string
	}{
		"alice":                     {s.user("alice", nil), nil, 200, ordersOfAlice},
		"bob":                       {s.user("bob", nil), nil, 200, ordersOfBob},
		"alice as bob":              {s.user("alice", nil), http.Header{"X-User": {"bob"}}, 200, ordersOfAlice},
		"alice as bob, twice":       {s.user("alice", nil), http.Header{"X-User": {"bob", "bob"}}, 200, ordersOfAlice},
		"alice as bob, in a cookie": {s.user("alice", nil), http.Header{"Cookie": {"X-User=bob"}}, 200, ordersOfAlice},
		"nobody":                    {"", http.Header{"X-User": {"bob"}}, 401, "unauthorized"},
		"for back":                  {s.user("alice", jwt.MapClaims{"aud": backAudience}), nil, 401, "invalid_token"},
		"expired":                   {s.user("alice", jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), nil, 401, "has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := s.get(s.front, test.token, test.header)
			assert.Equal(t, test.status, response.StatusCode)
			if test.status == http.StatusOK {
				assert.JSONEq(t, test.body, body)
			} else {
				assert.Contains(t, body, test.body)
			}
		})
	}
}

// Back gets front's token, the user's ID, and nothing else from the user's request.
func TestWhatIsForwarded(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	token := s.user("alice", nil)
	response, _ := s.get(s.front, token, http.Header{
		"X-User": {"bob"}, "X-Role": {"admin"}, "Cookie": {"session=1"}, "User-Agent": {"browser"}, "Accept-Language": {"de"},
	})
	require.Equal(t, http.StatusOK, response.StatusCode)

	header := s.orders.last(t)
	assert.Equal(t, []string{"alice"}, header.Values("X-User"))
	_, credential, _ := strings.Cut(header.Get("Authorization"), " ")
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(credential, claims)
	require.NoError(t, err)
	assert.Equal(t, frontClient, claims["sub"])
	assert.Equal(t, frontClient, claims["client_id"])
	assert.Equal(t, backAudience, claims["aud"])
	assert.Equal(t, ordersAny, claims["scope"])
	for name, values := range header {
		for _, value := range values {
			for _, users := range []string{token, "bob", "admin", "session=1", "browser", "de"} {
				assert.NotEqual(t, users, value, name)
			}
		}
	}
}

// Back gets the user's ID unchanged, whatever characters it has.
func TestAnyUser(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	for _, user := range []string{
		"auth0|42", " alice", "alice ", "bob\r\nX-User: alice", "a,b", "ü\x00", "a+b%20c", "%61lice", strings.Repeat("x", 1024),
	} {
		response, body := s.get(s.front, s.user(user, nil), nil)
		if !assert.Equal(t, http.StatusOK, response.StatusCode, "%q", user) {
			continue
		}
		var got struct {
			User   string
			Orders []string
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got))
		assert.Equal(t, user, got.User)
		assert.Empty(t, got.Orders, "%q", user)
	}
}

func TestBackAcceptsFrontOnly(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	client := func(id, secret string, scope string) string {
		status, body := s.fetch(id, secret, url.Values{"grant_type": {"client_credentials"}, "resource": {backAudience}, "scope": {scope}})
		require.Equal(t, http.StatusOK, status)
		return body["access_token"].(string)
	}
	own := client(frontClient, secret, ordersAny)
	plain, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": s.issuer.url, "aud": backAudience, "sub": frontClient, "client_id": frontClient, "scope": ordersAny,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "jti": "1",
	}).SignedString(s.issuer.key)
	require.NoError(t, err)
	bob := http.Header{"X-User": {"bob"}}
	for name, test := range map[string]struct {
		token  string
		header http.Header
		status int
		body   string
	}{
		"front": {own, bob, 200, ordersOfBob},

		"no token":          {"", bob, 401, "unauthorized"},
		"a user's token":    {s.user("alice", nil), bob, 401, "invalid_token"},
		"not at+jwt":        {plain, bob, 401, "invalid_token"},
		"another service":   {client("reports", "another", ordersAny), bob, 403, "insufficient_scope"},
		"without the scope": {client(frontClient, secret, "orders:count"), bob, 403, "insufficient_scope"},
		"a user's token for back": {
			s.user("alice", jwt.MapClaims{"aud": backAudience, "scope": ordersAny}), bob, 403, "insufficient_scope"},
		"a user's token for back, got through front": {
			s.user("alice", jwt.MapClaims{"aud": backAudience, "scope": ordersAny, "client_id": frontClient}), bob, 403, "insufficient_scope"},
		"a user called front": {
			s.user(frontClient, jwt.MapClaims{"aud": backAudience, "scope": ordersAny}), bob, 403, "insufficient_scope"},

		"for nobody":      {own, http.Header{}, 400, "X-User"},
		"for \"\"":        {own, http.Header{"X-User": {""}}, 400, "X-User"},
		"for two":         {own, http.Header{"X-User": {"alice", "bob"}}, 400, "X-User"},
		"for bad escapes": {own, http.Header{"X-User": {"%zz"}}, 400, "X-User"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := s.get(s.back, test.token, test.header.Clone())
			assert.Equal(t, test.status, response.StatusCode)
			if test.status == http.StatusOK {
				assert.JSONEq(t, test.body, body)
			} else {
				assert.Contains(t, body, test.body)
			}
		})
	}
}

func TestOneFetchForManyRequests(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	for range 10 {
		response, _ := s.get(s.front, s.user("alice", nil), nil)
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
	assert.EqualValues(t, 10, s.orders.count.Load())
	assert.EqualValues(t, 1, s.token.count.Load())
}

// Front renews a token from 10 seconds before it expires. A token with a lifetime of 8
// seconds is therefore renewed for each request.
func TestRenewal(t *testing.T) {
	t.Parallel()
	s := start(t, 8*time.Second, longPatience)
	used := map[string]bool{}
	for i := range 3 {
		response, _ := s.get(s.front, s.user("alice", nil), nil)
		require.Equal(t, http.StatusOK, response.StatusCode)
		used[s.orders.last(t).Get("Authorization")] = true
		assert.EqualValues(t, i+1, s.token.count.Load())
	}
	assert.Len(t, used, 3)
}

func TestOneFetchForConcurrentRequests(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.token.answerWith(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-release
		s.issuer.ServeHTTP(w, r)
	})
	token := s.user("alice", nil)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			response, body := s.get(s.front, token, nil)
			assert.Equal(t, http.StatusOK, response.StatusCode)
			assert.JSONEq(t, ordersOfAlice, body)
		})
	}
	<-asked
	close(release)
	group.Wait()
	assert.EqualValues(t, 20, s.orders.count.Load())
	assert.EqualValues(t, 1, s.token.count.Load())
}

// assertBlameless asserts that an answer does not blame the user's token.
func assertBlameless(t *testing.T, response *http.Response, body string, status int) {
	t.Helper()
	assert.Equal(t, status, response.StatusCode)
	assert.Empty(t, response.Header.Get("WWW-Authenticate"))
	if status == http.StatusServiceUnavailable {
		assert.Equal(t, "5", response.Header.Get("Retry-After"))
		assert.Equal(t, "the orders are unavailable at the moment\n", body)
	} else {
		assert.Equal(t, "something is wrong with the orders\n", body)
	}
}

func TestIssuerDoesNotGiveTokens(t *testing.T) {
	t.Parallel()
	for name, instead := range map[string]http.HandlerFunc{
		"is down": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) },
		"refuses us": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 401, map[string]string{"error": "invalid_client"})
		},
		"closes the connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/token", http.StatusTemporaryRedirect)
		},
		"does not say when the token expires": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]string{"access_token": "x", "token_type": "Bearer"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, time.Hour, longPatience)
			s.token.answerWith(instead)
			response, body := s.get(s.front, s.user("alice", nil), nil)
			assertBlameless(t, response, body, http.StatusServiceUnavailable)
			assert.Zero(t, s.orders.count.Load())
			assert.EqualValues(t, 1, s.token.count.Load(), "no retry, and no redirect followed")
			assert.Contains(t, s.logged.String(), "getting a token for back")
			assert.NotContains(t, s.logged.String(), secret)
		})
	}
}

func TestOutageOfTheIssuer(t *testing.T) {
	t.Parallel()
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	t.Run("the token is still good", func(t *testing.T) {
		t.Parallel()
		s := start(t, time.Hour, longPatience)
		response, _ := s.get(s.front, s.user("alice", nil), nil)
		require.Equal(t, http.StatusOK, response.StatusCode)
		s.token.answerWith(down)
		response, _ = s.get(s.front, s.user("alice", nil), nil)
		assert.Equal(t, http.StatusOK, response.StatusCode)
	})
	t.Run("the token is due for renewal", func(t *testing.T) {
		t.Parallel()
		s := start(t, 8*time.Second, longPatience)
		response, _ := s.get(s.front, s.user("alice", nil), nil)
		require.Equal(t, http.StatusOK, response.StatusCode)
		s.token.answerWith(down)
		response, body := s.get(s.front, s.user("alice", nil), nil)
		assertBlameless(t, response, body, http.StatusServiceUnavailable)
		s.token.answerWith(nil)
		response, _ = s.get(s.front, s.user("alice", nil), nil)
		assert.Equal(t, http.StatusOK, response.StatusCode)
	})
}

func TestBadAnswersOfBack(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Error("a redirect was followed: ", r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	for name, instead := range map[string]http.HandlerFunc{
		"401": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"403":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"500":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"too long": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `"%s"`, strings.Repeat("x", maxAnswer-1)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, time.Hour, longPatience)
			s.orders.answerWith(instead)
			response, body := s.get(s.front, s.user("alice", nil), nil)
			assertBlameless(t, response, body, http.StatusBadGateway)
			assert.EqualValues(t, 1, s.orders.count.Load())
			assert.Contains(t, s.logged.String(), "no good answer")
		})
	}
}

// The gate of back refuses front's token, because its audience is another service.
func TestBackRefusesFront(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	signed, err := s.issuer.sign(jwt.MapClaims{
		"aud": "https://other.example.internal", "sub": frontClient, "client_id": frontClient, "scope": ordersAny,
		"exp": time.Now().Add(time.Hour).Unix(),
	})
	require.NoError(t, err)
	s.token.answerWith(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"access_token": signed, "token_type": "Bearer", "expires_in": 3600})
	})
	response, body := s.get(s.front, s.user("alice", nil), nil)
	assertBlameless(t, response, body, http.StatusBadGateway)
	assert.Contains(t, s.logged.String(), "401 Unauthorized")
}

func TestBackIsDown(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	s.back.Close()
	response, body := s.get(s.front, s.user("alice", nil), nil)
	assertBlameless(t, response, body, http.StatusServiceUnavailable)
}

// hang returns a handler that does not answer until the test ends or the client
// disconnects. It sends to arrived when a request arrives, and to left when its client
// has disconnected.
func hang(t *testing.T) (handler http.HandlerFunc, arrived, left chan struct{}) {
	arrived, left = make(chan struct{}, 100), make(chan struct{}, 100)
	return func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		// The server notices a disconnect only after the body has been read.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			left <- struct{}{}
		case <-t.Context().Done():
		}
	}, arrived, left
}

// If back or the issuer hangs, front answers after patience.
func TestHanging(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"back", "issuer"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, time.Hour, 100*time.Millisecond)
			handler, _, _ := hang(t)
			if name == "back" {
				s.orders.answerWith(handler)
			} else {
				s.token.answerWith(handler)
			}
			response, body := s.get(s.front, s.user("alice", nil), nil)
			assertBlameless(t, response, body, http.StatusServiceUnavailable)
		})
	}
}

// If the user disconnects, the request to back ends.
func TestUserLeaves(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	handler, arrived, left := hang(t)
	s.orders.answerWith(handler)
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.front.URL+"/orders", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+s.user("alice", nil))
	ended := make(chan error, 1)
	go func() {
		_, err := s.front.Client().Do(request)
		ended <- err
	}()
	<-arrived
	leave()
	require.ErrorIs(t, <-ended, context.Canceled)
	select {
	case <-left:
	case <-time.After(time.Minute):
		require.Fail(t, "the request to back did not end")
	}
}

// Callers that wait for the token may leave. The shared fetch continues for the others,
// whether it succeeds or fails.
func TestWaitersLeave(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"and the token comes": false, "and no token comes": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, time.Hour, longPatience)
			asked, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			s.token.answerWith(func(w http.ResponseWriter, r *http.Request) {
				once.Do(func() { close(asked) })
				<-release
				if down {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				s.issuer.ServeHTTP(w, r)
			})
			own := newClientToken(s.issuer.url, secret, &http.Client{Timeout: time.Minute})
			stays := make(chan error, 1)
			go func() {
				_, err := own.get(t.Context())
				stays <- err
			}()
			<-asked
			for range 10 {
				gone, leave := context.WithCancel(t.Context())
				leave()
				_, err := own.get(gone)
				require.ErrorIs(t, err, context.Canceled)
			}
			close(release)
			err := <-stays
			assert.Equal(t, down, err != nil)
			// If the callers that have left were still queued, their fetches would start now.
			for range 10 {
				_, err := own.get(t.Context())
				assert.Equal(t, down, err != nil)
			}
			if down {
				assert.EqualValues(t, 1+10, s.token.count.Load())
			} else {
				assert.EqualValues(t, 1, s.token.count.Load())
			}
		})
	}
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	s := start(t, time.Hour, longPatience)
	form := func(changes url.Values) url.Values {
		form := url.Values{"grant_type": {"client_credentials"}, "resource": {backAudience}, "scope": {ordersAny}}
		for name, values := range changes {
			form[name] = values
		}
		return form
	}
	for name, test := range map[string]struct {
		id, secret string
		form       url.Values
		status     int
		code       any
	}{
		"good":                     {frontClient, secret, form(nil), 200, nil},
		"no scope":                 {frontClient, secret, form(url.Values{"scope": nil}), 200, nil},
		"no credentials":           {"", "", form(nil), 401, "invalid_client"},
		"credentials in the body":  {"", "", form(url.Values{"client_id": {frontClient}, "client_secret": {secret}}), 401, "invalid_client"},
		"wrong secret":             {frontClient, "guess", form(nil), 401, "invalid_client"},
		"no secret":                {frontClient, "", form(nil), 401, "invalid_client"},
		"somebody else's secret":   {frontClient, "another", form(nil), 401, "invalid_client"},
		"unknown client":           {"mallory", "", form(nil), 401, "invalid_client"},
		"another grant":            {frontClient, secret, form(url.Values{"grant_type": {"password"}}), 400, "unsupported_grant_type"},
		"another resource":         {frontClient, secret, form(url.Values{"resource": {frontAudience}}), 400, "invalid_target"},
		"another scope":            {"reports", "another", form(url.Values{"scope": {ordersAny + " orders:count"}}), 400, "invalid_scope"},
		"a form that is too large": {frontClient, secret, form(url.Values{"x": {strings.Repeat("x", 17<<10)}}), 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := s.fetch(test.id, test.secret, test.form)
			assert.Equal(t, test.status, status)
			assert.Equal(t, test.code, body["error"])
			if test.status == http.StatusOK {
				assert.Equal(t, "Bearer", body["token_type"])
				assert.EqualValues(t, 3600, body["expires_in"])
			} else {
				assert.NotContains(t, body, "access_token")
			}
		})
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, writer, "127.0.0.1:0")
		writer.CloseWithError(err) // so that the scan below ends if run fails
		ended <- err
	}()

	var lines []string
	for scanner := bufio.NewScanner(reader); scanner.Scan(); {
		if strings.HasPrefix(scanner.Text(), "curl ") {
			lines = append(lines, scanner.Text())
		}
		if strings.HasPrefix(scanner.Text(), "Ctrl-C") {
			break
		}
	}
	require.Len(t, lines, 3)
	client := &http.Client{Timeout: time.Minute}
	for i, want := range []struct {
		status int
		body   string
	}{
		{http.StatusOK, ordersOfAlice},
		{http.StatusOK, ordersOfAlice},
		{http.StatusUnauthorized, `{"error":"invalid_token","error_description":"The access token is not valid."}`},
	} {
		response, err := client.Do(requestOf(t, lines[i]))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, want.status, response.StatusCode, lines[i])
		assert.JSONEq(t, want.body, string(body), lines[i])
	}
	client.CloseIdleConnections()
	interrupt()
	require.NoError(t, <-ended)
}

func TestProgramWhoseAddressIsTaken(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	require.ErrorContains(t, run(t.Context(), io.Discard, listener.Addr().String()), listener.Addr().String())
}

var curlLine = regexp.MustCompile(`^curl -i -H "([^:"]+): ([^"]+)"(?: -H "([^:"]+): ([^"]+)")? (http://\S+)$`)

// requestOf returns the request that a curl line sends.
func requestOf(t *testing.T, line string) *http.Request {
	t.Helper()
	parts := curlLine.FindStringSubmatch(line)
	require.NotNil(t, parts, line)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, parts[5], nil)
	require.NoError(t, err)
	request.Header.Set(parts[1], parts[2])
	if parts[3] != "" {
		request.Header.Set(parts[3], parts[4])
	}
	return request
}
