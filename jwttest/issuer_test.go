package jwttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

// guard returns a gate with the options. The test ends if New refuses them.
func guard(t *testing.T, options jwtgate.Options) *jwtgate.Gate {
	t.Helper()
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	return gate
}

// accepted returns the verified token. The test ends if the gate refuses it.
func accepted(t *testing.T, gate *jwtgate.Gate, token string) *jwtgate.Token {
	t.Helper()
	verified, err := gate.Verify(t.Context(), token)
	require.NoError(t, err)
	return verified
}

// refused returns the error of the gate. The test ends if the gate accepts token.
func refused(t *testing.T, gate *jwtgate.Gate, token string) error {
	t.Helper()
	_, err := gate.Verify(t.Context(), token)
	require.Error(t, err)
	return err
}

// A fakeT is a testing.TB that fails or ends without effect on the test that uses it.
type fakeT struct {
	testing.TB // nil: calls of other methods panic

	mu       sync.Mutex
	failure  string
	logs     []string
	cleanups []func()
}

// inFakeTest runs a test with a fakeT, including its cleanups, and returns the fakeT.
func inFakeTest(test func(t *fakeT)) *fakeT {
	t := &fakeT{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer t.end()
		test(t)
	}()
	<-done
	return t
}

func (t *fakeT) end() {
	for len(t.cleanups) > 0 {
		last := t.cleanups[len(t.cleanups)-1]
		t.cleanups = t.cleanups[:len(t.cleanups)-1]
		last()
	}
}

func (t *fakeT) Helper() {}

func (t *fakeT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *fakeT) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logs = append(t.logs, fmt.Sprintf(format, args...))
}

func (t *fakeT) log() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.logs, "\n")
}

func (t *fakeT) Fatalf(format string, args ...any) {
	t.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{
		"ES256", "ES384", "ES512", "EdDSA", "Ed25519",
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "HS256", "HS384", "HS512",
	} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && slices.Contains([]string{"RS384", "RS512", "PS384", "PS512"}, algorithm) {
				t.Skip("short: making RSA keys is slow")
			}
			issuer := jwttest.NewIssuer(t)
			issuer.SetAlgorithm(algorithm)
			gate := guard(t, issuer.Options())
			require.NoError(t, gate.Ready(t.Context()))

			old := issuer.Token(nil)
			got := accepted(t, gate, old)
			assert.Equal(t, algorithm, got.Algorithm)
			assert.Equal(t, "key-2", got.KeyID)
			assert.Equal(t, "alice", got.Subject)
			assert.ErrorIs(t, refused(t, gate, issuer.Forge(nil, nil)), jwtgate.ErrSignature)
			assert.ErrorIs(t, refused(t, gate, issuer.Forge(map[string]any{"kid": nil}, nil)), jwtgate.ErrSignature)

			issuer.Rotate()
			if strings.HasPrefix(algorithm, "HS") {
				assert.ErrorIs(t, refused(t, gate, issuer.Token(nil)), jwtgate.ErrUnknownKey)
				gate = guard(t, issuer.Options())
			}
			assert.Equal(t, "key-3", accepted(t, gate, issuer.Token(nil)).KeyID)
			accepted(t, gate, old)

			issuer.Withdraw()
			if strings.HasPrefix(algorithm, "HS") {
				gate = guard(t, issuer.Options())
			}
			unknown := issuer.Sign(map[string]any{"kid": "unknown"}, nil) // the gate fetches
			assert.ErrorIs(t, refused(t, gate, unknown), jwtgate.ErrUnknownKey)
			assert.ErrorIs(t, refused(t, gate, old), jwtgate.ErrUnknownKey)
			accepted(t, gate, issuer.Token(nil))
		})
	}
}

// An issuer changes its algorithm after a gate has fetched its keys.
func TestIssuer_SetAlgorithm(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	gate := guard(t, issuer.Options())
	old := issuer.Token(nil)
	assert.Equal(t, "ES256", accepted(t, gate, old).Algorithm)
	issuer.SetAlgorithm("EdDSA")
	assert.Equal(t, "EdDSA", accepted(t, gate, issuer.Token(nil)).Algorithm)
	assert.ErrorIs(t, refused(t, gate, old), jwtgate.ErrUnknownKey)

	issuer.SetAlgorithm("HS256")
	assert.Equal(t, 503, statusOf(gate, issuer.Token(nil)), "there is no usable key in the set any more")
	_, body := get(t, issuer.URL+"/jwks")
	assert.JSONEq(t, `{"keys": []}`, body)
}

func TestIssuer_Token(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   func(t *testing.T, token *jwtgate.Token)
		err    error
	}{
		{"default", nil, func(t *testing.T, token *jwtgate.Token) {
			assert.Equal(t, "alice", token.Subject)
			assert.Equal(t, []string{"https://api.example.com"}, token.Audience)
			assert.Equal(t, "JWT", token.Type)
			assert.False(t, token.IssuedAt.Before(now.Truncate(time.Second)), "issued before the test began")
			assert.False(t, token.IssuedAt.After(time.Now()), "issued in the future")
			assert.Equal(t, time.Hour, token.Expires.Sub(token.IssuedAt))
			assert.True(t, token.NotBefore.IsZero())
			assert.NotEmpty(t, token.ID)
		}, nil},
		{"another subject, and more", map[string]any{"sub": "bob", "scope": "a b", "nested": map[string]any{"roles": []string{"x"}}}, func(t *testing.T, token *jwtgate.Token) {
			assert.Equal(t, "bob", token.Subject)
			assert.Equal(t, []string{"a", "b"}, token.Scopes)
			var claims struct{ Nested struct{ Roles []string } }
			require.NoError(t, token.Decode(&claims))
			assert.Equal(t, []string{"x"}, claims.Nested.Roles)
		}, nil},
		{"several audiences", map[string]any{"aud": []string{"https://other.example", "https://api.example.com"}}, nil, nil},
		{"a time", map[string]any{"exp": now.Add(time.Hour), "nbf": now.Add(-time.Minute)}, func(t *testing.T, token *jwtgate.Token) {
			assert.Equal(t, now.Add(time.Hour).Unix(), token.Expires.Unix())
			assert.Equal(t, now.Add(-time.Minute).Unix(), token.NotBefore.Unix())
		}, nil},
		{"null", map[string]any{"email": json.RawMessage("null")}, func(t *testing.T, token *jwtgate.Token) {
			var claims map[string]any
			require.NoError(t, token.Decode(&claims))
			assert.Contains(t, claims, "email")
			assert.Nil(t, claims["email"])
		}, nil},
		{"an ID", map[string]any{"jti": "1"}, func(t *testing.T, token *jwtgate.Token) { assert.Equal(t, "1", token.ID) }, nil},
		{"without what may be missing", map[string]any{"jti": nil, "iat": nil}, func(t *testing.T, token *jwtgate.Token) {
			assert.Empty(t, token.ID)
			assert.True(t, token.IssuedAt.IsZero())
		}, nil},
		{"without expiry", map[string]any{"exp": nil}, nil, jwtgate.ErrClaim},
		{"without subject", map[string]any{"sub": nil}, nil, jwtgate.ErrClaim},
		{"without audience", map[string]any{"aud": nil}, nil, jwtgate.ErrAudience},
		{"without issuer", map[string]any{"iss": nil}, nil, jwtgate.ErrIssuer},
		{"of another issuer", map[string]any{"iss": "https://other.example"}, nil, jwtgate.ErrIssuer},
		{"for another audience", map[string]any{"aud": "https://other.example"}, nil, jwtgate.ErrAudience},
		{"expired", map[string]any{"exp": now.Add(-time.Minute)}, nil, jwtgate.ErrExpired},
		{"not yet valid", map[string]any{"nbf": now.Add(time.Hour)}, nil, jwtgate.ErrNotYetValid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			issuer := jwttest.NewIssuer(t)
			gate := guard(t, issuer.Options())
			if tt.err != nil {
				assert.ErrorIs(t, refused(t, gate, issuer.Token(tt.claims)), tt.err)
				return
			}
			token := accepted(t, gate, issuer.Token(tt.claims))
			assert.Equal(t, issuer.URL, token.Issuer)
			if tt.want != nil {
				tt.want(t, token)
			}
		})
	}
}

func TestIssuer_Sign(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header map[string]any
		change func(*jwtgate.Options)
		err    error
	}{
		{"default", nil, nil, nil},
		{"an access token", map[string]any{"typ": "at+jwt"}, func(o *jwtgate.Options) { o.RFC9068 = true }, nil},
		{"another type", map[string]any{"typ": "logout+jwt"}, nil, jwtgate.ErrType},
		{"without type", map[string]any{"typ": nil}, nil, nil},
		{"without key ID", map[string]any{"kid": nil}, nil, nil},
		{"an unknown key ID", map[string]any{"kid": "other"}, nil, jwtgate.ErrUnknownKey},
		{"a parameter more", map[string]any{"x5t": "abc"}, nil, nil},
		{"a critical one", map[string]any{"crit": []string{"exp"}}, nil, jwtgate.ErrMalformed},
		{"none as algorithm", map[string]any{"alg": "none"}, nil, jwtgate.ErrAlgorithm},
		{"an algorithm that is not the key's", map[string]any{"alg": "RS256"}, nil, jwtgate.ErrAlgorithm},
		{"without algorithm", map[string]any{"alg": nil}, nil, jwtgate.ErrAlgorithm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			issuer := jwttest.NewIssuer(t)
			options := issuer.Options()
			if tt.change != nil {
				tt.change(&options)
			}
			gate := guard(t, options)
			token := issuer.Sign(tt.header, map[string]any{"client_id": "app", "sub": "bob"})
			if tt.err != nil {
				assert.ErrorIs(t, refused(t, gate, token), tt.err)
				return
			}
			assert.Equal(t, "bob", accepted(t, gate, token).Subject)
		})
	}
}

func TestIssuer_Options(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	issuer.Audience = "orders"
	token := issuer.Token(map[string]any{"client_id": "app"})

	t.Run("can be changed", func(t *testing.T) {
		t.Parallel()
		var events []jwtgate.Event
		options := issuer.Options()
		options.CacheSize = 10
		options.Rules = []jwtgate.Rule{jwtgate.Claim("client_id", "app")}
		options.Observe = func(_ context.Context, e jwtgate.Event) { events = append(events, e) }
		late := false
		options.Now = func() time.Time {
			if late {
				return time.Now().Add(2 * time.Hour)
			}
			return time.Now()
		}
		gate := guard(t, options)
		assert.Equal(t, []string{"orders"}, accepted(t, gate, token).Audience)
		accepted(t, gate, token)
		assert.True(t, events[1].Cached)
		assert.ErrorIs(t, refused(t, gate, issuer.Token(nil)), jwtgate.ErrClaim)
		late = true
		assert.ErrorIs(t, refused(t, gate, token), jwtgate.ErrExpired)
	})
	t.Run("are independent", func(t *testing.T) {
		t.Parallel()
		other := jwttest.NewIssuer(t)
		one, two := guard(t, other.Options()), guard(t, other.Options())
		accepted(t, one, other.Token(nil))
		other.Down(503)
		assert.Equal(t, 503, statusOf(two, other.Token(nil)))
		assert.Equal(t, 200, statusOf(one, other.Token(nil)))
	})
	t.Run("find each of many new keys", func(t *testing.T) {
		t.Parallel()
		other := jwttest.NewIssuer(t)
		gate := guard(t, other.Options())
		for n := range 10 {
			accepted(t, gate, other.Token(nil))
			assert.Equal(t, n+1, other.Fetches())
			accepted(t, gate, other.Token(nil))
			assert.Equal(t, n+1, other.Fetches())
			other.Rotate()
		}
	})
	t.Run("do not accept what another issuer signs", func(t *testing.T) {
		t.Parallel()
		other := jwttest.NewIssuer(t)
		gate := guard(t, issuer.Options())
		assert.ErrorIs(t, refused(t, gate, other.Token(map[string]any{"iss": issuer.URL, "aud": "orders"})), jwtgate.ErrSignature)
	})
}

// statusOf returns the status of the answer of a service behind gate to a token.
func statusOf(gate *jwtgate.Gate, token string) int {
	return statusWithin(context.Background(), gate, token)
}

func statusWithin(ctx context.Context, gate *jwtgate.Gate, token string) int {
	r := httptest.NewRequestWithContext(ctx, "GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w.Code
}

func get(t *testing.T, url string) (contentType, body string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 200, response.StatusCode)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.Header.Get("Content-Type"), string(text)
}

func TestIssuer_Publishes(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		contentType, body := get(t, issuer.URL+path)
		assert.Equal(t, "application/json", contentType)
		assert.JSONEq(t, fmt.Sprintf(`{"issuer": %q, "jwks_uri": %q}`, issuer.URL, issuer.URL+"/jwks"), body)
	}
	issuer.Rotate()
	contentType, body := get(t, issuer.URL+"/jwks")
	assert.Equal(t, "application/jwk-set+json", contentType)
	found, err := keys.JWKS([]byte(body)).Keys(t.Context(), "", "")
	require.NoError(t, err)
	assert.Equal(t, `[key "key-1" for ES256 key "key-2" for ES256]`, fmt.Sprint(found))
	assert.Equal(t, 1, issuer.Fetches())

	// A token may have an iss other than the URL of the issuer.
	gate := guard(t, jwtgate.Options{
		Keys:      &keys.Remote{URL: issuer.URL + "/jwks", Logger: quiet("").Logger},
		Issuers:   []string{"https://login.example.com/"},
		Audiences: []string{issuer.Audience},
	})
	accepted(t, gate, issuer.Token(map[string]any{"iss": "https://login.example.com/"}))
	response, err := http.Get(issuer.URL + "/nothing")
	require.NoError(t, err)
	response.Body.Close()
	assert.Equal(t, 404, response.StatusCode)
}

func TestIssuer_Withdraw(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	options := issuer.Options()
	gate := guard(t, options)
	old := issuer.Token(nil)
	accepted(t, gate, old)

	issuer.Rotate()
	accepted(t, gate, issuer.Token(nil))
	accepted(t, gate, old)
	issuer.Withdraw()
	accepted(t, gate, old) // the gate has not fetched the keys again
	require.NoError(t, options.Keys.(*keys.Remote).Refresh(t.Context(), issuer.URL))
	assert.ErrorIs(t, refused(t, gate, old), jwtgate.ErrUnknownKey)
	accepted(t, gate, issuer.Token(nil))
	issuer.Withdraw()
	accepted(t, gate, issuer.Token(nil))
}

func TestIssuer_Down(t *testing.T) {
	t.Parallel()
	for _, status := range []int{0, 404, 429, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			issuer := jwttest.NewIssuer(t)
			// Time does not advance in the bubble, so no source tries again by itself.
			synctest.Test(t, func(t *testing.T) {
				warm, cold := guard(t, issuer.Options()), guard(t, issuer.Options())
				remote := quiet(issuer.URL + "/jwks")
				options := issuer.Options()
				options.Keys = remote
				direct := guard(t, options)
				token := issuer.Token(nil)
				accepted(t, warm, token)

				issuer.Down(status)
				assert.Equal(t, 200, statusOf(warm, token))
				assert.Equal(t, 503, statusOf(warm, issuer.Sign(map[string]any{"kid": "unknown"}, nil)))
				for range 3 {
					assert.Equal(t, 503, statusOf(cold, token))
					assert.Equal(t, 503, statusOf(direct, token))
				}
				assert.Equal(t, 3, issuer.Fetches(), "two of warm, which asks where its keys were, and one of direct")
				response, err := oneRequest.Get(issuer.URL)
				if status == 0 {
					assert.ErrorIs(t, err, io.EOF)
				} else if assert.NoError(t, err) {
					response.Body.Close()
					assert.Equal(t, status, response.StatusCode)
				}

				issuer.Up()
				assert.Equal(t, 200, statusOf(warm, token))
				assert.Equal(t, 200, statusOf(cold, token))
				assert.Equal(t, 401, statusOf(cold, issuer.Sign(map[string]any{"kid": "unknown"}, nil)))
				require.NoError(t, remote.Refresh(t.Context(), "")) // Up refreshes only the sources of Options
				assert.Equal(t, 200, statusOf(direct, token))
				before := issuer.Fetches()
				issuer.Up()
				assert.Equal(t, before, issuer.Fetches())
			})
		})
	}
}

// oneRequest closes its connections after each request: the goroutines of a connection
// must end before the bubble does.
var oneRequest = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func TestIssuer_Up_SourceThatCannotFetch(t *testing.T) {
	t.Parallel()
	ended := inFakeTest(func(ft *fakeT) {
		issuer := jwttest.NewIssuer(ft)
		options := issuer.Options()
		options.Keys.(*keys.Remote).Client = &http.Client{Transport: noNetwork{}}
		gate, err := jwtgate.New(options)
		assert.NoError(t, err)
		assert.Equal(t, 503, statusOf(gate, issuer.Token(nil)))
		issuer.Up()
	})
	assert.Empty(t, ended.failure)
	assert.Contains(t, ended.log(), "jwttest: keys still cannot be fetched: ")
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("there is no network")
}

func TestIssuer_Hold(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	gate := guard(t, issuer.Options())
	token := issuer.Token(nil)
	release, releaseAgain := issuer.Hold(), issuer.Hold()

	impatient, cancel := context.WithCancel(t.Context())
	statuses := make(chan int, 2)
	go func() { statuses <- statusWithin(impatient, gate, token) }()
	require.Eventually(t, func() bool { return issuer.Fetches() == 1 }, hang, time.Millisecond)
	cancel()
	assert.Equal(t, 503, <-statuses)

	go func() { statuses <- statusOf(gate, token) }()
	release()
	release()
	releaseAgain()
	assert.Equal(t, 200, <-statuses)
	assert.Equal(t, 1, issuer.Fetches())
	assert.Equal(t, 200, statusOf(gate, token))
}

// A test may end while a request waits for the issuer, and gates may be used after
// the test.
func TestIssuer_Ends(t *testing.T) {
	t.Parallel()
	var gate, other *jwtgate.Gate
	var url, token string
	statuses, errs := make(chan int, 1), make(chan error, 1)
	ended := inFakeTest(func(ft *fakeT) {
		issuer := jwttest.NewIssuer(ft)
		url, token = issuer.URL, issuer.Token(nil)
		gate, other = guard(t, issuer.Options()), guard(t, issuer.Options())
		accepted(t, gate, token)
		issuer.Hold()
		go func() { statuses <- statusOf(other, token) }()
		go func() {
			_, err := http.Get(url + "/jwks") // waits until the issuer stops
			errs <- err
		}()
		assert.Eventually(t, func() bool { return issuer.Fetches() == 3 }, hang, time.Millisecond)
	})
	assert.Empty(t, ended.failure)
	assert.Contains(t, ended.log(), "jwtgate: keys fetched")
	before := ended.log()
	assert.Equal(t, 503, <-statuses)
	assert.Error(t, <-errs)
	assert.Equal(t, 503, statusOf(gate, withUnknownKey(t, token)))
	assert.Equal(t, before, ended.log())
	_, err := http.Get(url)
	assert.Error(t, err)
}

// withUnknownKey returns token with a header that names an unknown key.
func withUnknownKey(t *testing.T, token string) string {
	t.Helper()
	other := jwttest.NewIssuer(t)
	_, claims, _ := strings.Cut(token, ".")
	header, _, _ := strings.Cut(other.Sign(map[string]any{"kid": "unknown"}, nil), ".")
	return header + "." + claims
}

func TestIssuer_MistakesEndTheTest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		mistake func(*jwttest.Issuer)
		text    string
	}{
		{"no such algorithm", func(i *jwttest.Issuer) { i.SetAlgorithm("none") }, `no key could be made: the algorithm "none" is not supported; use one of ES256, `},
		{"an algorithm in lower case", func(i *jwttest.Issuer) { i.SetAlgorithm("rs256") }, `"rs256" is not supported`},
		{"no error", func(i *jwttest.Issuer) { i.Down(200) }, "Down(200): use a status from 400 to 599, or 0 for no answer"},
		{"no status", func(i *jwttest.Issuer) { i.Down(-1) }, "Down(-1)"},
		{"a claim that is not JSON", func(i *jwttest.Issuer) { i.Token(map[string]any{"f": func() {}}) }, "no token could be made: its claims cannot be written as JSON: "},
		{"a header that is not JSON", func(i *jwttest.Issuer) { i.Forge(map[string]any{"f": make(chan int)}, nil) }, "its header cannot be written as JSON: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			after := false
			ended := inFakeTest(func(t *fakeT) {
				issuer := jwttest.NewIssuer(t)
				tt.mistake(issuer)
				after = true
			})
			assert.Contains(t, ended.failure, "jwttest: ")
			assert.Contains(t, ended.failure, tt.text)
			assert.False(t, after)
		})
	}
}

func TestIssuer_Concurrently(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	gate := guard(t, issuer.Options())
	ids := make(chan string, 400)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 50 {
				token, err := gate.Verify(t.Context(), issuer.Token(map[string]any{"sub": "bob"}))
				if assert.NoError(t, err) {
					ids <- token.ID
				}
			}
		})
	}
	workers.Go(func() {
		for range 10 {
			issuer.Rotate()
			issuer.Hold()()
			issuer.Forge(nil, nil)
			issuer.Options()
		}
	})
	workers.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		seen[id] = true
	}
	assert.Len(t, seen, 400)
	assert.Positive(t, issuer.Fetches())
}

// Tokens that are made in a synctest bubble have the time of the bubble.
func TestIssuer_InBubble(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		gate := guard(t, issuer.Options())
		token := issuer.Token(nil)
		assert.Equal(t, 2000, accepted(t, gate, token).IssuedAt.Year())
		time.Sleep(time.Hour)
		accepted(t, gate, token) // within the leeway
		time.Sleep(time.Minute)
		assert.ErrorIs(t, refused(t, gate, token), jwtgate.ErrExpired)
		accepted(t, gate, issuer.Token(nil))

		release := issuer.Hold()
		issuer.Rotate()
		done := make(chan int)
		go func() { done <- statusOf(gate, issuer.Token(nil)) }()
		release()
		assert.Equal(t, 200, <-done)
	})
}
