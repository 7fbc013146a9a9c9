package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/redistest"
	"github.com/jwtgate/jwtgate/examples/internal/syncbuf"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A service is a running server with the handler of newHandler. It records its log and
// the events of its gates.
type service struct {
	t      *testing.T
	issuer *jwttest.Issuer
	list   *denyList
	server *httptest.Server
	logged *syncbuf.Buffer

	mu     sync.Mutex
	events []jwtgate.Event
}

// serve starts a service whose deny list is in the Redis at addr.
func serve(t *testing.T, addr string, patience time.Duration, cacheSize int) *service {
	t.Helper()
	s := &service{t: t, issuer: jwttest.NewIssuer(t), list: newDenyList(addr, patience), logged: &syncbuf.Buffer{}}
	t.Cleanup(func() { _ = s.list.close() })
	options := s.issuer.Options()
	options.CacheSize = cacheSize
	options.Observe = func(_ context.Context, e jwtgate.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}
	handler, err := newHandler(options, s.list, slog.New(slog.NewTextHandler(s.logged, nil)))
	require.NoError(t, err)
	s.server = httptest.NewServer(handler)
	s.server.Client().Timeout = time.Minute // a request that hangs fails its test
	t.Cleanup(s.server.Close)
	return s
}

// send sends a request such as "GET /account" and returns the response and its body.
func (s *service) send(request, token string) (*http.Response, string) {
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, nil)
	if !assert.NoError(s.t, err) {
		return &http.Response{}, ""
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := s.server.Client().Do(r)
	if !assert.NoError(s.t, err) {
		return &http.Response{}, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	assert.NoError(s.t, err)
	return response, string(body)
}

// status sends a request and returns the status of the response.
func (s *service) status(request, token string) int {
	response, _ := s.send(request, token)
	return response.StatusCode
}

// last returns the reason of the latest decision, or "" if the request was accepted, and
// reports whether the token was in the gate's cache.
func (s *service) last() (reason string, cached bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !assert.NotEmpty(s.t, s.events) {
		return "", false
	}
	event := s.events[len(s.events)-1]
	var e *jwtgate.Error
	if errors.As(event.Err, &e) {
		reason = e.Reason()
	}
	return reason, event.Cached
}

const longPatience = 30 * time.Second // for tests in which nothing hangs

func TestSignOut(t *testing.T) {
	t.Parallel()
	for name, cacheSize := range map[string]int{"no token is remembered": 0, "tokens are remembered": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, startRedis(t).Addr, longPatience, cacheSize)
			phone, laptop := s.issuer.Token(nil), s.issuer.Token(nil)
			for range 2 {
				require.Equal(t, http.StatusOK, s.status("GET /account", phone))
				require.Equal(t, http.StatusOK, s.status("GET /articles", phone))
			}

			require.Equal(t, http.StatusNoContent, s.status("POST /logout", phone))
			for _, request := range []string{"GET /account", "GET /articles", "POST /articles", "POST /logout"} {
				response, body := s.send(request, phone)
				assert.Equal(t, http.StatusUnauthorized, response.StatusCode, request)
				assert.Contains(t, response.Header.Get("WWW-Authenticate"), `error="invalid_token"`, request)
				assert.Contains(t, body, "The access token is not valid.", request)
				reason, cached := s.last()
				assert.Equal(t, "revoked", reason, request)
				assert.Equal(t, cacheSize > 0, cached, request)
			}
			assert.Equal(t, http.StatusOK, s.status("GET /account", laptop), "the user's other token")
			assert.Empty(t, s.logged.String())
		})
	}
}

func TestRevokedUser(t *testing.T) {
	t.Parallel()
	for name, cacheSize := range map[string]int{"no token is remembered": 0, "tokens are remembered": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, startRedis(t).Addr, longPatience, cacheSize)
			now := time.Now()
			admin := s.issuer.Token(map[string]any{"sub": "root", "scope": "users:revoke"})
			older := s.issuer.Token(map[string]any{"iat": now.Add(-time.Minute)})
			old := s.issuer.Token(map[string]any{"iat": now})
			newer := s.issuer.Token(map[string]any{"iat": now.Add(leeway - 5*time.Second)}) // as if issued after the revocation
			bob := s.issuer.Token(map[string]any{"sub": "bob"})
			for _, token := range []string{admin, older, old, newer, bob} {
				require.Equal(t, http.StatusOK, s.status("GET /account", token))
			}

			require.Equal(t, http.StatusForbidden, s.status("POST /admin/users/alice/revoke", bob))
			require.Equal(t, http.StatusOK, s.status("GET /account", old), "bob may not revoke anybody")
			require.Equal(t, http.StatusNoContent, s.status("POST /admin/users/alice/revoke", admin))
			for _, token := range []string{older, old} {
				for _, request := range []string{"GET /account", "GET /articles"} {
					assert.Equal(t, http.StatusUnauthorized, s.status(request, token), request)
					reason, cached := s.last()
					assert.Equal(t, "revoked", reason, request)
					// Each gate has its own cache, and only one has seen the token.
					assert.Equal(t, cacheSize > 0 && request == "GET /account", cached, request)
				}
			}
			assert.Equal(t, http.StatusOK, s.status("GET /account", newer), "signed in again")
			assert.Equal(t, http.StatusOK, s.status("GET /account", bob))
			assert.Contains(t, s.logged.String(), `msg="revoking a user" user=alice by.iss=`)
		})
	}
}

// A user's ID may contain any characters.
func TestRevokedUserOfAnyName(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, 0)
	admin := s.issuer.Token(map[string]any{"sub": "root", "scope": "users:revoke"})
	for path, user := range map[string]string{
		"a%2Fb": "a/b", "%2E%2E": "..", "*": "*", "%C3%BC": "ü", "a%0Ab": "a\nb", "%00": "\x00", "a%20b": "a b", "auth0%7C42": "auth0|42", "a+b": "a+b",
	} {
		token := s.issuer.Token(map[string]any{"sub": user})
		require.Equal(t, http.StatusOK, s.status("GET /account", token), path)
		require.Equal(t, http.StatusNoContent, s.status("POST /admin/users/"+path+"/revoke", admin), path)
		assert.Equal(t, http.StatusUnauthorized, s.status("GET /account", token), path)
	}
	assert.Equal(t, http.StatusOK, s.status("GET /account", admin))
	assert.Equal(t, http.StatusOK, s.status("GET /account", s.issuer.Token(nil)))
}

// Tokens that could not be revoked are refused.
func TestTokensThatCouldNotBeRevoked(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, 0)
	for name, test := range map[string]struct {
		claims map[string]any
		status int
		reason string
	}{
		"good":          {nil, 200, ""},
		"no jti":        {map[string]any{"jti": nil}, 401, "claim"},
		"empty jti":     {map[string]any{"jti": ""}, 401, "claim"},
		"no iat":        {map[string]any{"iat": nil}, 401, "claim"},
		"lives longer":  {map[string]any{"iat": time.Now().Add(-maxAge - leeway - time.Minute)}, 401, "expired"},
		"no expiration": {map[string]any{"exp": nil}, 401, "claim"},
	} {
		for _, request := range []string{"GET /account", "GET /articles", "POST /logout"} {
			if name == "good" && request == "POST /logout" {
				continue
			}
			assert.Equal(t, test.status, s.status(request, s.issuer.Token(test.claims)), "%s, %s", name, request)
			reason, _ := s.last()
			assert.Equal(t, test.reason, reason, "%s, %s", name, request)
		}
	}
}

// A revocation affects tokens of the same issuer only, whatever the IDs are.
func TestIssuersApart(t *testing.T) {
	t.Parallel()
	list := newDenyList(startRedis(t).Addr, longPatience)
	defer list.close()
	now := time.Now()
	token := func(issuer, id string) *jwtgate.Token {
		return &jwtgate.Token{Issuer: issuer, ID: id, Subject: "s" + id, IssuedAt: now, Expires: now.Add(time.Hour)}
	}
	revoked := []*jwtgate.Token{token("https://a.example/", "1"), token("b", "1:c"), token("", "x"), token("1:a", "b")}
	for _, r := range revoked {
		require.NoError(t, list.revokeToken(t.Context(), r))
		require.NoError(t, list.revokeUser(t.Context(), r.Issuer, "user of "+r.ID, now))
	}
	for _, r := range revoked {
		require.ErrorIs(t, list.check(t.Context(), r), jwtgate.ErrRevoked)
		other := *r
		other.ID, other.Subject = "other", "user of "+r.ID
		require.ErrorIs(t, list.check(t.Context(), &other), jwtgate.ErrRevoked)
	}
	for _, good := range []*jwtgate.Token{
		token("https://b.example/", "1"), token("https://a.example", "/1"), token("https://a.example/1", ""),
		token("b1:", "c"), token("", "b1:c"), token("x", ""), token("", "0:x"), token("", "1:ab"), token("3:1:a", "b"), token("b:1", "c"),
		// An entry for a token does not revoke a user with the same ID, nor the reverse.
		{Issuer: "b", ID: "user of 1:c", Subject: "1:c", IssuedAt: now, Expires: now.Add(time.Hour)},
	} {
		assert.NoError(t, list.check(t.Context(), good), "%q %q", good.Issuer, good.ID)
	}
}

// An entry lasts as long as a gate may accept a token that the entry revokes, and not
// much longer.
func TestEntriesExpire(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, 0)
	remaining := func(key string) time.Duration {
		t.Helper()
		rest, err := s.list.client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		return rest
	}

	expires := time.Now().Add(10 * time.Minute).Truncate(time.Second)
	token := s.issuer.Token(map[string]any{"jti": "one", "exp": expires})
	require.Equal(t, http.StatusNoContent, s.status("POST /logout", token))
	rest := remaining(tokenKey(s.issuer.URL, "one"))
	assert.LessOrEqual(t, rest, 10*time.Minute+leeway+skew)
	assert.GreaterOrEqual(t, rest, time.Until(expires.Add(leeway)), "a gate may accept the token after its entry has expired")

	// This token has expired, but the gate accepts it within the leeway, so it can be
	// revoked.
	token = s.issuer.Token(map[string]any{"jti": "late", "exp": time.Now().Add(-time.Second)})
	require.Equal(t, http.StatusNoContent, s.status("POST /logout", token))
	rest = remaining(tokenKey(s.issuer.URL, "late"))
	assert.Positive(t, rest)
	assert.LessOrEqual(t, rest, leeway+skew)

	before := time.Now()
	require.NoError(t, s.list.revokeUser(t.Context(), s.issuer.URL, "alice", before))
	rest = remaining(userKey(s.issuer.URL, "alice"))
	assert.LessOrEqual(t, rest, maxAge+leeway+2*skew)
	last := before.Add(skew) // the latest iat of a revoked token
	assert.GreaterOrEqual(t, rest, time.Until(last.Add(maxAge+leeway)), "a gate may accept a token after the entry has expired")

	// revokeToken adds no entry for a token that no gate accepts. In particular, it adds no
	// entry that never expires.
	gone := &jwtgate.Token{Issuer: s.issuer.URL, ID: "gone", Expires: time.Now().Add(-time.Hour)}
	require.NoError(t, s.list.revokeToken(t.Context(), gone))
	size, err := s.list.client.DBSize(t.Context()).Result()
	require.NoError(t, err)
	assert.EqualValues(t, 3, size)
}

func TestRevocationIsNotTakenBack(t *testing.T) {
	t.Parallel()
	list := newDenyList(startRedis(t).Addr, longPatience)
	defer list.close()
	now := time.Now()
	token := &jwtgate.Token{Issuer: "i", ID: "1", Subject: "alice", IssuedAt: now}
	require.NoError(t, list.revokeUser(t.Context(), "i", "alice", now.Add(-time.Hour)))
	require.NoError(t, list.check(t.Context(), token))
	require.NoError(t, list.revokeUser(t.Context(), "i", "alice", now))
	require.ErrorIs(t, list.check(t.Context(), token), jwtgate.ErrRevoked)
	require.NoError(t, list.revokeUser(t.Context(), "i", "alice", now.Add(-time.Hour)))
	assert.ErrorIs(t, list.check(t.Context(), token), jwtgate.ErrRevoked)
}

// If an entry cannot be parsed, the gates answer as in an outage.
func TestUnreadableEntry(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, 0)
	require.NoError(t, s.list.client.Set(t.Context(), userKey(s.issuer.URL, "alice"), "yesterday", time.Hour).Err())
	assert.Equal(t, http.StatusServiceUnavailable, s.status("GET /account", s.issuer.Token(nil)))
	assert.Equal(t, http.StatusOK, s.status("GET /articles", s.issuer.Token(nil)))
	assert.Contains(t, s.logged.String(), "reading the deny list")
}

// testOutage tests the answers of a service while Redis does not answer.
func testOutage(s *service, token string) {
	s.t.Helper()
	for _, request := range []string{"GET /account", "POST /articles", "POST /logout"} {
		response, body := s.send(request, token)
		assert.Equal(s.t, http.StatusServiceUnavailable, response.StatusCode, request)
		assert.Equal(s.t, "5", response.Header.Get("Retry-After"), request)
		assert.Empty(s.t, response.Header.Get("WWW-Authenticate"), "%s: the token is good", request)
		assert.Contains(s.t, body, "temporarily_unavailable", request)
		reason, _ := s.last()
		assert.Equal(s.t, "unavailable", reason, request)
	}
	assert.NotContains(s.t, s.logged.String(), "letting it pass")

	response, body := s.send("GET /articles", token)
	assert.Equal(s.t, http.StatusOK, response.StatusCode)
	assert.Equal(s.t, "articles for alice\n", body)
	assert.Contains(s.t, s.logged.String(), `level=ERROR msg="not known whether a token is revoked, letting it pass" token.iss=`+s.issuer.URL)
	assert.NotContains(s.t, s.logged.String(), token)

	// Bad tokens are still refused.
	assert.Equal(s.t, http.StatusUnauthorized, s.status("GET /articles", s.issuer.Token(map[string]any{"jti": nil})))
	assert.Equal(s.t, http.StatusUnauthorized, s.status("GET /articles", s.issuer.Forge(nil, nil)))
}

func TestRedisDies(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	s := serve(t, redis.Addr, longPatience, 100)
	token := s.issuer.Token(nil)
	for _, request := range []string{"GET /account", "GET /articles"} {
		require.Equal(t, http.StatusOK, s.status(request, token), request)
	}

	redis.Kill()
	testOutage(s, token)

	redis.Restart()
	// After many failures go-redis tries to connect only once a second.
	require.Eventually(t, func() bool { return s.status("GET /account", token) == http.StatusOK }, time.Minute, 10*time.Millisecond)
	for _, request := range []string{"GET /account", "POST /articles", "GET /articles"} {
		assert.Equal(t, http.StatusOK, s.status(request, token), request)
	}
	assert.Equal(t, http.StatusNoContent, s.status("POST /logout", token))
	for _, request := range []string{"GET /account", "GET /articles"} {
		assert.Equal(t, http.StatusUnauthorized, s.status(request, token), request)
	}
}

// If Redis dies between the gate and the handler, the answer does not say that the token
// was revoked.
func TestRevocationFails(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	s := serve(t, redis.Addr, longPatience, 0)
	redis.Kill()
	for name, handler := range map[string]http.Handler{
		"logout":     logout(s.list, slog.New(slog.NewTextHandler(s.logged, nil))),
		"revokeUser": revokeUser(s.list, slog.New(slog.NewTextHandler(s.logged, nil))),
	} {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequest("POST", "/", nil)
		handler.ServeHTTP(recorder, request.WithContext(jwttest.Context(t, t.Context(), nil)))
		assert.Equal(t, http.StatusServiceUnavailable, recorder.Code, name)
		assert.Equal(t, "5", recorder.Header().Get("Retry-After"), name)
		assert.Equal(t, "nothing was revoked; try again\n", recorder.Body.String(), name)

		recorder = httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		assert.Equal(t, http.StatusInternalServerError, recorder.Code, "%s without a gate", name)
	}
	assert.Equal(t, 2, strings.Count(s.logged.String(), `msg="not revoked"`))
}

// If Redis accepts connections and never answers, a request waits no longer than
// patience.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	s := serve(t, redistest.HangingServer(t), 50*time.Millisecond, 0)
	testOutage(s, s.issuer.Token(nil))

	// Send more requests than the pool has connections.
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			assert.Equal(t, http.StatusServiceUnavailable, s.status("GET /account", s.issuer.Token(nil)))
		})
	}
	group.Wait()
}

// If Redis closes every connection, a request tries two connections and then fails. It
// does not keep retrying until patience ends.
func TestRedisClosesConnections(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	s := serve(t, redistest.ServeConnections(t, func(c net.Conn) {
		connections.Add(1)
		_ = c.Close()
	}), longPatience, 0)
	assert.Equal(t, http.StatusServiceUnavailable, s.status("GET /account", s.issuer.Token(nil)))
	assert.EqualValues(t, 2, connections.Load())
}

// A disconnect of the client is not logged as an outage.
func TestClientHasGone(t *testing.T) {
	t.Parallel()
	list := newDenyList(startRedis(t).Addr, longPatience)
	defer list.close()
	var logged syncbuf.Buffer
	gone, leave := context.WithCancel(t.Context())
	leave()
	now := time.Now()
	token := &jwtgate.Token{Issuer: "i", ID: "1", Subject: "alice", IssuedAt: now, Expires: now.Add(time.Hour)}
	validate := list.checkIfPossible(slog.New(slog.NewTextHandler(&logged, nil)))
	require.ErrorIs(t, validate(gone, token), context.Canceled)
	assert.Empty(t, logged.String())

	// A revocation is completed nevertheless.
	require.NoError(t, list.revokeToken(gone, token))
	require.ErrorIs(t, validate(t.Context(), token), jwtgate.ErrRevoked)
	require.NoError(t, list.revokeUser(gone, "i", "bob", now))
	token = &jwtgate.Token{Issuer: "i", ID: "2", Subject: "bob", IssuedAt: now, Expires: now.Add(time.Hour)}
	require.ErrorIs(t, validate(t.Context(), token), jwtgate.ErrRevoked)
}

// After the answer to a revocation every request with the token is refused, even if many
// users send requests at the same time.
func TestConcurrently(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, 16) // the cache holds fewer tokens than are in use
	admin := s.issuer.Token(map[string]any{"sub": "root", "scope": "users:revoke"})
	var group sync.WaitGroup
	for i := range 20 {
		user := fmt.Sprint("user-", i)
		phone, laptop := s.issuer.Token(map[string]any{"sub": user}), s.issuer.Token(map[string]any{"sub": user})
		group.Go(func() {
			for range 3 {
				assert.Equal(t, http.StatusOK, s.status("GET /account", phone))
				assert.Equal(t, http.StatusOK, s.status("GET /articles", laptop))
			}
			assert.Equal(t, http.StatusNoContent, s.status("POST /logout", phone))
			for range 3 {
				assert.Equal(t, http.StatusUnauthorized, s.status("GET /account", phone))
				assert.Equal(t, http.StatusOK, s.status("GET /articles", laptop))
			}
			assert.Equal(t, http.StatusNoContent, s.status("POST /admin/users/"+user+"/revoke", admin))
			for range 3 {
				assert.Equal(t, http.StatusUnauthorized, s.status("GET /articles", laptop))
			}
		})
	}
	group.Wait()
	assert.NotContains(t, s.logged.String(), "letting it pass")
}

func TestProgram(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, writer, "127.0.0.1:0", redis.Addr, longPatience)
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
	require.Len(t, lines, 8)
	client := &http.Client{Timeout: time.Minute}
	for i, status := range []int{200, 204, 401, 200, 204, 401} {
		assert.Equal(t, status, answer(t, client, lines[i]), lines[i])
	}
	redis.Kill()
	for i, status := range []int{503, 200} {
		assert.Equal(t, status, answer(t, client, lines[6+i]), lines[6+i])
	}
	client.CloseIdleConnections()
	interrupt()
	require.NoError(t, <-ended)
}

var curlLine = regexp.MustCompile(`^curl -i(?: -X ([A-Z]+))? -H "([^:"]+): ([^"]+)" (http://\S+)$`)

// answer sends the request of a curl line and returns the status of the answer.
func answer(t *testing.T, client *http.Client, line string) int {
	t.Helper()
	parts := curlLine.FindStringSubmatch(line)
	require.NotNil(t, parts, line)
	request, err := http.NewRequestWithContext(t.Context(), parts[1], parts[4], nil)
	require.NoError(t, err)
	request.Header.Set(parts[2], parts[3])
	response, err := client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

func TestProgramWithoutRedis(t *testing.T) {
	t.Parallel()
	addr := redistest.FreeAddress(t)
	_, port, _ := strings.Cut(addr, ":")
	err := run(t.Context(), io.Discard, "127.0.0.1:0", addr, patience)
	require.ErrorContains(t, err, "no Redis answers at "+addr)
	require.ErrorContains(t, err, "redis-server --port "+port+" --bind 127.0.0.1 ")

	err = run(t.Context(), io.Discard, "127.0.0.1:0", redistest.HangingServer(t), patience)
	require.ErrorContains(t, err, "no Redis answers at ")

	err = run(t.Context(), io.Discard, "127.0.0.1:0", "localhost", patience)
	require.ErrorContains(t, err, "-redis: ")
}

// startRedis starts a Redis that keeps nothing on disk.
func startRedis(t *testing.T) *redistest.Server {
	t.Helper()
	return redistest.Start(t, "--appendonly", "no")
}
