package jwttest_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
)

func TestContext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   func(*testing.T, *jwtgate.Token)
	}{
		{"default", nil, func(t *testing.T, token *jwtgate.Token) {
			assert.Equal(t, "alice", token.Subject)
			assert.Equal(t, "https://auth.example.com/", token.Issuer)
			assert.Equal(t, []string{"https://api.example.com"}, token.Audience)
			assert.NotEmpty(t, token.ID)
			assert.Equal(t, time.Hour, token.Expires.Sub(token.IssuedAt))
		}},
		{"others", map[string]any{
			"iss": "https://login.example.com/", "aud": "orders", "sub": "bob", "scope": "orders:read", "client_id": "app",
			"exp": time.Now().Add(2 * time.Hour),
		}, func(t *testing.T, token *jwtgate.Token) {
			assert.Equal(t, "bob", token.Subject)
			assert.Equal(t, "https://login.example.com/", token.Issuer)
			assert.Equal(t, []string{"orders"}, token.Audience)
			assert.Equal(t, []string{"orders:read"}, token.Scopes)
			assert.Equal(t, "app", token.ClientID)
			assert.Greater(t, time.Until(token.Expires), time.Hour, "not the default")
		}},
		{"none", map[string]any{"iss": nil, "aud": nil, "sub": nil, "iat": nil, "exp": nil, "jti": nil}, func(t *testing.T, token *jwtgate.Token) {
			assert.Empty(t, token.Subject)
			assert.Empty(t, token.Issuer)
			assert.Empty(t, token.Audience)
			assert.True(t, token.Expires.IsZero())
		}},
		{"bound to a key", map[string]any{"cnf": map[string]any{"jkt": "abc"}}, nil},
		{"long", map[string]any{"groups": make([]string, 10_000)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := jwttest.Context(t, t.Context(), tt.claims)
			token, ok := jwtgate.FromContext(ctx)
			require.True(t, ok)
			assert.Equal(t, token.Subject, jwtgate.Subject(ctx))
			claims, err := jwtgate.Decode[map[string]any](ctx)
			require.NoError(t, err)
			for name, value := range tt.claims {
				if value == nil {
					assert.NotContains(t, claims, name)
				} else {
					assert.Contains(t, claims, name)
				}
			}
			if tt.want != nil {
				tt.want(t, token)
			}
		})
	}
}

func TestContextWithSubjectClaim(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, claim string
		claims      map[string]any
		want        string
	}{
		{"default", "oid", nil, "alice"},
		{"another subject", "oid", map[string]any{"oid": "bob"}, "bob"},
		{"sub does not matter", "oid", map[string]any{"sub": "bob"}, "alice"},
		{"an integer", "uid", map[string]any{"uid": 42}, "42"},
		{"none", "oid", map[string]any{"oid": nil}, ""},
		{"sub", "sub", map[string]any{"sub": "bob"}, "bob"},
		{"empty", "", map[string]any{"sub": "bob"}, "bob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx := jwttest.ContextWithSubjectClaim(t, t.Context(), tt.claim, tt.claims)
			assert.Equal(t, tt.want, jwtgate.Subject(ctx))
			claims, err := jwtgate.Decode[map[string]any](ctx)
			require.NoError(t, err)
			if tt.claims["sub"] == nil {
				assert.Equal(t, "alice", claims["sub"])
			}
		})
	}

	ended := inFakeTest(func(ft *fakeT) {
		jwttest.ContextWithSubjectClaim(ft, t.Context(), "oid", map[string]any{"oid": true})
	})
	assert.Contains(t, ended.failure, "jwttest: no handler would see a token with these claims: ")
}

// The token of an issuer needs only the claim itself.
func TestContextWithSubjectClaim_IsLikeAGate(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	o := issuer.Options()
	o.SubjectClaim = "uid"
	for _, uid := range []any{"bob", 42} {
		claims := map[string]any{"uid": uid}
		token, err := guard(t, o).Verify(t.Context(), issuer.Token(claims))
		require.NoError(t, err)
		assert.Equal(t, token.Subject, jwtgate.Subject(jwttest.ContextWithSubjectClaim(t, t.Context(), "uid", claims)))
	}
}

func TestContext_KeepsTheContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	cancel() // a test may pass a context that has ended
	ctx := jwttest.Context(t, parent, nil)
	assert.Equal(t, "value", ctx.Value(key{}))
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
	assert.Empty(t, jwtgate.Subject(parent))
}

// A gate does not trust the token of Context.
func TestContext_PassesNoGate(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	gate := guard(t, issuer.Options())
	r := httptest.NewRequest("GET", "/", nil)
	_, err := gate.Check(r.WithContext(jwttest.Context(t, r.Context(), map[string]any{"iss": issuer.URL, "aud": issuer.Audience})))
	assert.ErrorIs(t, err, jwtgate.ErrNoToken)
}

func TestContext_MistakesEndTheTest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		claims map[string]any
		text   string
	}{
		{"expired", map[string]any{"exp": time.Now().Add(-time.Hour)}, "expired"},
		{"a subject that is a number", map[string]any{"sub": 7}, `the subject, "sub", is the number 7`},
		{"a subject that is too long", map[string]any{"sub": strings.Repeat("a", 2000)}, "the subject"},
		{"scopes that are numbers", map[string]any{"scope": []int{1}}, "scope"},
		{"what is not JSON", map[string]any{"f": func() {}}, "cannot be written as JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ended := inFakeTest(func(ft *fakeT) { jwttest.Context(ft, t.Context(), tt.claims) })
			assert.Contains(t, ended.failure, "jwttest: no handler would see a token with these claims: ")
			assert.Contains(t, ended.failure, tt.text)
		})
	}
}

func TestContext_Concurrently(t *testing.T) {
	t.Parallel()
	var workers sync.WaitGroup
	claims := map[string]any{"sub": "bob", "exp": time.Now().Add(time.Hour)}
	for range 8 {
		workers.Go(func() {
			assert.Equal(t, "bob", jwtgate.Subject(jwttest.Context(t, t.Context(), claims)))
		})
	}
	workers.Wait()
	assert.IsType(t, time.Time{}, claims["exp"])
}
