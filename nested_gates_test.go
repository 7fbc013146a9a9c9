package jwtgate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// TestNestedGates puts gates inside one another. Gates derived from the same New are one family: an
// inner gate reuses the token that the outer gate verified for the same request.
func TestNestedGates(t *testing.T) {
	t.Parallel()

	// nested returns two nested gates of one family. The outer one calls change on the request before
	// the inner one sees it. verified counts the verifications of both gates.
	nested := func(t *testing.T, cacheSize int, change func(*http.Request) *http.Request) (handler http.Handler, verified *int) {
		verified = new(int)
		gate := newGate(t, func(o *jwtgate.Options) {
			o.CacheSize = cacheSize
			o.Validate = func(context.Context, *jwtgate.Token) error { *verified++; return nil }
		})
		inner := gate.Handler(writeSubject)
		return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, change(r))
		})), verified
	}
	alice := "Bearer " + hs256Token(nil)
	mallory := "Bearer " + hs256Token(map[string]any{"sub": "mallory"})

	for _, tt := range []struct {
		name   string
		change func(*http.Request) *http.Request
		status int
		body   string
		again  bool // the inner gate verifies the token again
	}{
		{"same request", func(r *http.Request) *http.Request { return r }, 200, "alice,true", false},
		{"prefix stripped", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.URL.Path = "/"
			return r
		}, 200, "alice,true", false},
		// acceptance 51
		{"other credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", mallory)
			return r
		}, 200, "mallory,true", true},
		{"bad credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", alice+"x")
			return r
		}, 401, "", false},
		{"no credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			return r
		}, 401, "", false},
		{"credentials twice", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Add("Authorization", alice)
			return r
		}, 400, "", false},
		{"other method", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Method = "DELETE"
			return r
		}, 200, "alice,true", true},
		{"other target", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.RequestURI = "/other"
			return r
		}, 200, "alice,true", true},
		{"other DPoP proof", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("DPoP", "proof")
			return r
		}, 200, "alice,true", true},
		{"other host", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Host = "other.example.com"
			return r
		}, 200, "alice,true", true},
		{"another request with the same context", func(r *http.Request) *http.Request {
			sub := must(http.NewRequestWithContext(r.Context(), "GET", "/path?query", nil))
			sub.Header.Set("Authorization", alice)
			return sub
		}, 200, "alice,true", true},
		// acceptance 52
		{"token made by hand", func(r *http.Request) *http.Request {
			return r.WithContext(jwtgate.NewContext(r.Context(), &jwtgate.Token{Subject: "root", Expires: now.Add(time.Hour)}))
		}, 200, "alice,true", true},
		{"copy of the token", func(r *http.Request) *http.Request {
			token, _ := jwtgate.FromContext(r.Context())
			copied := *token
			copied.Subject = "root"
			return r.WithContext(jwtgate.NewContext(r.Context(), &copied))
		}, 200, "alice,true", true},
		{"token hidden", func(r *http.Request) *http.Request {
			return r.WithContext(jwtgate.NewContext(r.Context(), nil))
		}, 200, "alice,true", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := 1
			if tt.again {
				want = 2
			}
			for _, cacheSize := range []int{0, 16} {
				handler, verified := nested(t, cacheSize, tt.change)
				for range 3 { // a gate with a cache remembers the token from the second time on
					*verified = 0
					w := serve(handler, request("GET", "Authorization: "+alice))
					assert.Equal(t, tt.status, w.Code)
					if tt.status == 200 {
						assert.Equal(t, tt.body, w.Body.String())
					}
					assert.Equal(t, want, *verified)
				}
			}
		})
	}

	t.Run("another family", func(t *testing.T) { // acceptance 52
		t.Parallel()
		other := newGate(t, func(o *jwtgate.Options) { o.Audiences = []string{"https://other.example.com"} })
		w := serve(newGate(t).Handler(other.Handler(writeSubject)), request("GET", "Authorization: "+alice))
		assert.Equal(t, 401, w.Code)
		same := newGate(t) // two calls of New make two families, even with the same options
		w = serve(newGate(t).Handler(same.Handler(writeSubject)), request("GET", "Authorization: "+alice))
		assert.Equal(t, 200, w.Code)
	})

	t.Run("expired in between", func(t *testing.T) {
		t.Parallel()
		clock := now
		gate := newGate(t, func(o *jwtgate.Options) { o.Now = func() time.Time { return clock } })
		inner := gate.Handler(writeSubject)
		w := serve(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			clock = clock.Add(2 * time.Hour)
			inner.ServeHTTP(w, r)
		})), request("GET", "Authorization: "+alice))
		assert.Equal(t, 401, w.Code)
	})

	t.Run("too old in between", func(t *testing.T) {
		t.Parallel()
		clock := now
		gate := newGate(t, func(o *jwtgate.Options) { o.Now = func() time.Time { return clock }; o.MaxAge = 10 * time.Minute })
		inner := gate.Handler(writeSubject)
		w := serve(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			clock = clock.Add(20 * time.Minute)
			inner.ServeHTTP(w, r)
		})), request("GET", "Authorization: "+alice))
		assert.Equal(t, 401, w.Code)
	})

	t.Run("refused before", func(t *testing.T) {
		t.Parallel()
		// Observe gets the token of a refused request. No gate accepts that token from a context.
		var refused *jwtgate.Token
		revoked := jwtgate.ErrRevoked
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { return revoked }
			o.Observe = func(_ context.Context, e jwtgate.Event) { refused = e.Token }
		})
		r := request("GET", "Authorization: "+alice)
		_, err := gate.Check(r)
		require.ErrorIs(t, err, jwtgate.ErrRevoked)
		require.NotNil(t, refused)
		_, err = gate.Check(r.WithContext(jwtgate.NewContext(r.Context(), refused)))
		require.ErrorIs(t, err, jwtgate.ErrRevoked)
	})

	t.Run("token of no request", func(t *testing.T) {
		t.Parallel()
		// A gate does not reuse a token from Verify, accepted or refused, even for a request that has
		// nothing but the token.
		for _, cacheSize := range []int{0, 4} {
			var seen *jwtgate.Token
			var revoked error
			gate := newGate(t, func(o *jwtgate.Options) {
				o.CacheSize = cacheSize
				o.Validate = func(context.Context, *jwtgate.Token) error { return revoked }
				o.Observe = func(_ context.Context, e jwtgate.Event) { seen = e.Token }
			})
			for _, revoked = range []error{nil, jwtgate.ErrRevoked} {
				_, err := gate.Verify(t.Context(), strings.TrimPrefix(alice, "Bearer "))
				require.Equal(t, revoked == nil, err == nil)
				require.NotNil(t, seen)
				bare := (&http.Request{Header: http.Header{"Authorization": {alice}}}).WithContext(jwtgate.NewContext(t.Context(), seen))
				revoked = jwtgate.ErrRevoked
				_, err = gate.Check(bare)
				require.ErrorIs(t, err, jwtgate.ErrRevoked)
			}
		}
	})

	t.Run("token overwritten by the handler", func(t *testing.T) { // acceptance 52
		t.Parallel()
		for _, cacheSize := range []int{0, 4} {
			gate := newGate(t, func(o *jwtgate.Options) { o.CacheSize = cacheSize })
			inner := gate.Require(jwtgate.Scope("root")).Handler(writeSubject)
			handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token, _ := jwtgate.FromContext(r.Context())
				*token = jwtgate.Token{Subject: "root", Scopes: []string{"root"}, Expires: now.Add(time.Hour)}
				inner.ServeHTTP(w, r)
			}))
			for range 2 {
				assert.Equal(t, 403, serve(handler, request("GET", "Authorization: "+alice)).Code)
			}
		}
	})

	t.Run("each applies its own rules", func(t *testing.T) {
		t.Parallel()
		asked := 0
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Rules = []jwtgate.Rule{jwtgate.RuleFunc(func(r *http.Request, _ *jwtgate.Token) error {
				if asked++; r.Pattern == "/nobody" {
					return errors.New("not here")
				}
				return nil
			})}
		})
		mux := http.NewServeMux()
		mux.Handle("/read", gate.Require(jwtgate.Scope("orders:read")).Handler(writeSubject))
		mux.Handle("/admin", gate.Require(jwtgate.Scope("admin")).Handler(writeSubject))
		mux.Handle("/nobody", gate.Handler(writeSubject))
		handler := gate.Handler(mux)
		for path, status := range map[string]int{"/read": 200, "/admin": 403, "/nobody": 401} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", alice)
			assert.Equal(t, status, serve(handler, r).Code, path)
		}
		assert.Equal(t, 6, asked)
	})

	t.Run("anonymous inside of authenticated", func(t *testing.T) { // acceptance 51
		t.Parallel()
		gate := newGate(t)
		inner := gate.Optional(writeSubject)
		w := serve(gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			inner.ServeHTTP(w, r)
		})), request("GET", "Authorization: "+alice))
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, ",false", w.Body.String(), "an anonymous request must not get the identity of the outer request")
	})

	t.Run("requests without RequestURI", func(t *testing.T) {
		t.Parallel()
		confirmed := 0
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Confirm = jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { confirmed++; return nil })
		})
		r := must(http.NewRequest("GET", "https://a.example.com/a", nil))
		r.Header.Set("Authorization", "Bearer "+hs256Token(map[string]any{"cnf": 1}))
		token, err := gate.Check(r)
		require.NoError(t, err)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		_, err = gate.Check(r)
		require.NoError(t, err)
		assert.Equal(t, 1, confirmed)
		r.URL.Path = "/b"
		_, err = gate.Check(r)
		require.NoError(t, err)
		assert.Equal(t, 2, confirmed)
	})

	t.Run("after Check", func(t *testing.T) {
		t.Parallel()
		verified := 0
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { verified++; return nil }
		})
		r := request("GET", "Authorization: "+alice)
		token, err := gate.Check(r)
		require.NoError(t, err)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		assert.Equal(t, 200, serve(gate.Handler(writeSubject), r).Code)
		assert.Equal(t, 1, verified)

		// A token returned by Verify belongs to no request, so the gate verifies it again.
		token, err = gate.Verify(t.Context(), strings.TrimPrefix(alice, "Bearer "))
		require.NoError(t, err)
		r = request("GET", "Authorization: "+alice)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		assert.Equal(t, 200, serve(gate.Handler(writeSubject), r).Code)
		assert.Equal(t, 3, verified)
	})
}
