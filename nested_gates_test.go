package jwtgate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// counts has how often a gate asked for keys, asked Validate, and asked Confirm.
type counts struct{ keys, validate, confirm int }

// countInto returns a change of options that adds to n.
func countInto(n *counts) func(*jwtgate.Options) {
	return func(o *jwtgate.Options) {
		source := o.Keys
		o.Keys = jwtgate.KeySourceFunc(func(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
			n.keys++
			return source.Keys(ctx, issuer, kid)
		})
		o.Validate = func(context.Context, *jwtgate.Token) error { n.validate++; return nil }
		confirmBy(o, func(*http.Request, *jwtgate.Token) error { n.confirm++; return nil })
	}
}

// TestNestedGates puts gates inside one another. Gates derived from the same New are one family: an
// inner gate does not parse the token again that the outer gate verified, and decides everything else
// again. It leaves out Validate if nothing can have changed for it.
func TestNestedGates(t *testing.T) {
	t.Parallel()

	// nested returns two nested gates of one family. The outer one calls change on the request before
	// the inner one sees it.
	nested := func(t *testing.T, cacheSize int, change func(*http.Request) *http.Request) (handler http.Handler, asked *counts) {
		asked = new(counts)
		gate := newGate(t, countInto(asked), func(o *jwtgate.Options) { o.CacheSize = cacheSize })
		inner := gate.Handler(writeSubject)
		return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, change(r))
		})), asked
	}
	type tenant struct{}
	alice := "Bearer " + hs256Token(nil)
	mallory := "Bearer " + hs256Token(map[string]any{"sub": "mallory"})

	for _, tt := range []struct {
		name   string
		change func(*http.Request) *http.Request
		status int
		body   string
		asked  counts // by both gates
	}{
		{"same request", func(r *http.Request) *http.Request { return r }, 200, "alice,true", counts{2, 1, 0}},
		{"prefix stripped", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.URL.Path = "/"
			return r
		}, 200, "alice,true", counts{2, 1, 0}},
		// acceptance 51
		{"other credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", mallory)
			return r
		}, 200, "mallory,true", counts{2, 2, 0}},
		{"bad credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", alice+"x")
			return r
		}, 401, "", counts{2, 1, 0}},
		{"no credentials", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			return r
		}, 401, "", counts{1, 1, 0}},
		{"credentials twice", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Add("Authorization", alice)
			return r
		}, 400, "", counts{1, 1, 0}},
		{"other method", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Method = "DELETE"
			return r
		}, 200, "alice,true", counts{2, 1, 0}},
		{"other target", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.RequestURI = "/other"
			return r
		}, 200, "alice,true", counts{2, 1, 0}},
		{"other DPoP proof", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Header.Set("DPoP", "proof")
			return r
		}, 200, "alice,true", counts{2, 1, 0}},
		{"other host", func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			r.Host = "other.example.com"
			return r
		}, 200, "alice,true", counts{2, 1, 0}},
		{"another request with the same context", func(r *http.Request) *http.Request {
			sub := must(http.NewRequestWithContext(r.Context(), "GET", "/path?query", nil))
			sub.Header.Set("Authorization", alice)
			return sub
		}, 200, "alice,true", counts{2, 1, 0}},
		{"other context", func(r *http.Request) *http.Request {
			return r.WithContext(context.WithValue(r.Context(), tenant{}, "other"))
		}, 200, "alice,true", counts{2, 2, 0}},
		// acceptance 52
		{"token made by hand", func(r *http.Request) *http.Request {
			return r.WithContext(jwtgate.NewContext(r.Context(), &jwtgate.Token{Subject: "root", Expires: now.Add(time.Hour)}))
		}, 200, "alice,true", counts{2, 2, 0}},
		{"copy of the token", func(r *http.Request) *http.Request {
			token, _ := jwtgate.FromContext(r.Context())
			copied := *token
			copied.Subject = "root"
			return r.WithContext(jwtgate.NewContext(r.Context(), &copied))
		}, 200, "alice,true", counts{2, 2, 0}},
		{"token hidden", func(r *http.Request) *http.Request {
			return r.WithContext(jwtgate.NewContext(r.Context(), nil))
		}, 200, "alice,true", counts{2, 2, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, cacheSize := range []int{0, 16} {
				handler, asked := nested(t, cacheSize, tt.change)
				for range 3 { // a gate with a cache remembers the token from the second time on
					*asked = counts{}
					w := serve(handler, request("GET", "Authorization: "+alice))
					assert.Equal(t, tt.status, w.Code)
					if tt.status == 200 {
						assert.Equal(t, tt.body, w.Body.String())
					}
					assert.Equal(t, tt.asked, *asked)
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

	t.Run("after Check", func(t *testing.T) {
		t.Parallel()
		asked := new(counts)
		gate := newGate(t, countInto(asked))
		r := request("GET", "Authorization: "+alice)
		token, err := gate.Check(r)
		require.NoError(t, err)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		assert.Equal(t, 200, serve(gate.Handler(writeSubject), r).Code)
		assert.Equal(t, counts{2, 2, 0}, *asked, "the context is not the one that a gate made")

		// The token of Verify belongs to no request.
		token, err = gate.Verify(t.Context(), strings.TrimPrefix(alice, "Bearer "))
		require.NoError(t, err)
		r = request("GET", "Authorization: "+alice)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		assert.Equal(t, 200, serve(gate.Handler(writeSubject), r).Code)
		assert.Equal(t, counts{4, 4, 0}, *asked)
	})

	t.Run("tenant from the middleware in between", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(ctx context.Context, token *jwtgate.Token) error {
				if wanted, ok := ctx.Value(tenant{}).(string); ok && wanted != "alice's" {
					return fmt.Errorf("%w: of another tenant", jwtgate.ErrForbidden)
				}
				return nil
			}
		})
		inner := gate.Handler(writeSubject)
		for name, status := range map[string]int{"alice's": 200, "bob's": 403} {
			handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenant{}, name)))
			}))
			assert.Equal(t, status, serve(handler, request("GET", "Authorization: "+alice)).Code, name)
		}
	})

	t.Run("route in a value that the context had before", func(t *testing.T) {
		t.Parallel()
		// chi puts a pointer into the context before its middleware runs, and adds the parameters of the
		// route later. The context of the nested gate is then the same.
		var route string
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Validate = func(ctx context.Context, _ *jwtgate.Token) error {
				if route, _ := ctx.Value(tenant{}).(*string); route != nil && *route == "bob's" {
					return jwtgate.ErrForbidden
				}
				return nil
			}
		})
		routed := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				route = "bob's"
				next.ServeHTTP(w, r)
			})
		}
		for name, tt := range map[string]struct {
			handler http.Handler
			status  int
		}{
			"a gate inside, as documented": {routed(gate.Handler(writeSubject)), 403},
			"a gate outside too":           {gate.Handler(routed(gate.Handler(writeSubject))), 200},
		} {
			route = ""
			r := request("GET", "Authorization: "+alice)
			r = r.WithContext(context.WithValue(r.Context(), tenant{}, &route))
			assert.Equal(t, tt.status, serve(tt.handler, r).Code, name)
		}
	})

	// acceptance 48: a handler of a long stream calls Check on the request that has passed.
	t.Run("stream that checks again", func(t *testing.T) {
		t.Parallel()
		for name, tt := range map[string]struct {
			change func(revoke, withdraw, distrust *bool)
			want   error
		}{
			"nothing has changed": {func(_, _, _ *bool) {}, nil},
			"token revoked":       {func(revoke, _, _ *bool) { *revoke = true }, jwtgate.ErrRevoked},
			"key withdrawn":       {func(_, withdraw, _ *bool) { *withdraw = true }, jwtgate.ErrUnknownKey},
			"issuer distrusted":   {func(_, _, distrust *bool) { *distrust = true }, jwtgate.ErrIssuer},
		} {
			for _, cacheSize := range []int{0, 4} {
				var revoked, withdrawn, distrusted bool
				gate := newGate(t, func(o *jwtgate.Options) {
					o.CacheSize = cacheSize
					source := o.Keys
					o.Keys = jwtgate.KeySourceFunc(func(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
						if withdrawn {
							return nil, nil
						}
						return source.Keys(ctx, issuer, kid)
					})
					o.Issuers, o.TrustIssuer = nil, func(string) bool { return !distrusted }
					o.Validate = func(context.Context, *jwtgate.Token) error {
						if revoked {
							return jwtgate.ErrRevoked
						}
						return nil
					}
				})
				w := serve(gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					tt.change(&revoked, &withdrawn, &distrusted)
					token, err := gate.Check(r)
					if tt.want != nil {
						assert.ErrorIs(t, err, tt.want, name)
						return
					}
					if assert.NoError(t, err, name) {
						assert.Equal(t, "alice", token.Subject)
					}
				})), request("GET", "Authorization: "+alice))
				assert.Equal(t, 200, w.Code, name)
			}
		}
	})
}

// TestNestedGates_Confirm checks that each gate asks Confirm about a key-bound token. Only the proof
// of a request that has passed is not asked about again, because it may be used only once.
func TestNestedGates_Confirm(t *testing.T) {
	t.Parallel()
	jkt := map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
	certificate := map[string]any{"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}
	clone := func(change func(*http.Request)) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			r = r.Clone(r.Context())
			change(r)
			return r
		}
	}
	same := func(r *http.Request) *http.Request { return r }
	for _, tt := range []struct {
		name      string
		cnf       any
		proofs    []string
		change    func(*http.Request) *http.Request
		confirmed int
	}{
		{"proof of the same request", jkt, []string{"p1"}, same, 1},
		{"a copy of the request", jkt, []string{"p1"}, clone(func(*http.Request) {}), 1},
		{"other context", jkt, []string{"p1"}, func(r *http.Request) *http.Request {
			return r.WithContext(context.WithValue(r.Context(), counts{}, 1))
		}, 1},
		{"other method", jkt, []string{"p1"}, clone(func(r *http.Request) { r.Method = "DELETE" }), 2},
		{"other host", jkt, []string{"p1"}, clone(func(r *http.Request) { r.Host = "other.example.com" }), 2},
		{"other RequestURI", jkt, []string{"p1"}, clone(func(r *http.Request) { r.RequestURI = "/other" }), 2},
		{"other path", jkt, []string{"p1"}, clone(func(r *http.Request) { r.URL.Path = "/other" }), 2},
		{"other query", jkt, []string{"p1"}, clone(func(r *http.Request) { r.URL.RawQuery = "other" }), 2},
		{"no URL", jkt, []string{"p1"}, clone(func(r *http.Request) { r.URL = nil }), 2},
		{"other proof", jkt, []string{"p1"}, clone(func(r *http.Request) { r.Header.Set("DPoP", "p2") }), 2},
		{"second proof", jkt, []string{"p1"}, clone(func(r *http.Request) { r.Header.Add("DPoP", "p1") }), 2},
		{"proof removed", jkt, []string{"p1"}, clone(func(r *http.Request) { r.Header.Del("DPoP") }), 2},
		{"two proofs", jkt, []string{"p1", "p2"}, same, 2},
		{"no proof", jkt, nil, same, 2},
		{"certificate", certificate, nil, same, 2},
		{"certificate, and a proof that nobody asked for", certificate, []string{"p1"}, same, 2},
		{"certificate from another header", certificate, []string{"p1"}, clone(func(r *http.Request) { r.Header.Set("Client-Cert", ":other:") }), 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token := hs256Token(map[string]any{"cnf": tt.cnf})
			for _, cacheSize := range []int{0, 4} {
				asked := new(counts)
				gate := newGate(t, countInto(asked), func(o *jwtgate.Options) { o.CacheSize = cacheSize })
				innermost := gate.Handler(writeSubject)
				inner := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					before := asked.confirm
					innermost.ServeHTTP(w, r)
					// The proof that the gate in the middle has accepted counts for the innermost gate.
					if proof, _ := tt.cnf.(map[string]any); proof["jkt"] != nil && len(proof) == 1 && len(r.Header["Dpop"]) == 1 && r.URL != nil {
						assert.Equal(t, before, asked.confirm)
					} else {
						assert.Equal(t, before+1, asked.confirm)
					}
					asked.confirm = before
				}))
				handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					inner.ServeHTTP(w, tt.change(r))
				}))
				for range 2 {
					*asked = counts{}
					r := request("GET", "Authorization: Bearer "+token)
					r.Header["Dpop"] = tt.proofs
					w := serve(handler, r)
					assert.Equal(t, 200, w.Code)
					assert.Equal(t, "alice,true", w.Body.String())
					assert.Equal(t, tt.confirmed, asked.confirm)
				}
			}
		})
	}

	t.Run("refused inside", func(t *testing.T) {
		t.Parallel()
		var accepted string
		gate := newGate(t, func(o *jwtgate.Options) {
			confirmBy(o, func(r *http.Request, _ *jwtgate.Token) error {
				if r.Header.Get("Client-Cert") != accepted {
					return errors.New("another certificate")
				}
				return nil
			})
		})
		accepted = ":alice:"
		inner := gate.Handler(writeSubject)
		handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Client-Cert", ":mallory:")
			inner.ServeHTTP(w, r)
		}))
		w := serve(handler, request("GET", "Authorization: Bearer "+hs256Token(map[string]any{"cnf": certificate}), "Client-Cert: :alice:"))
		assert.Equal(t, 401, w.Code)
	})

	t.Run("requests without RequestURI", func(t *testing.T) {
		t.Parallel()
		asked := new(counts)
		gate := newGate(t, countInto(asked))
		r := must(http.NewRequest("GET", "https://a.example.com/a", nil))
		r.Header.Set("Authorization", "Bearer "+hs256Token(map[string]any{"cnf": jkt}))
		r.Header.Set("DPoP", "proof")
		token, err := gate.Check(r)
		require.NoError(t, err)
		r = r.WithContext(jwtgate.NewContext(r.Context(), token))
		_, err = gate.Check(r)
		require.NoError(t, err)
		assert.Equal(t, 1, asked.confirm)
		r.URL.Path = "/b"
		_, err = gate.Check(r)
		require.NoError(t, err)
		assert.Equal(t, 2, asked.confirm)
	})
}
