package jwtgate_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// getMetadata returns the answer of a server that has registered the metadata of gate to a request for the address
// in its challenges.
func getMetadata(t *testing.T, gate *jwtgate.Gate, method, address string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(gate.Metadata())
	mux.Handle("/", gate.Handler(writeSubject))
	r := httptest.NewRequest(method, address, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return serve(mux, r)
}

// acceptance 64 and 67: where the metadata is, and that challenges name that address.
func TestMetadataAddress(t *testing.T) {
	t.Parallel()
	const wellKnown = "/.well-known/oauth-protected-resource"
	for _, tt := range []struct{ resource, address string }{
		{"https://api.example.com", "https://api.example.com" + wellKnown},
		{"https://api.example.com/", "https://api.example.com" + wellKnown},
		{"https://api.example.com:8443", "https://api.example.com:8443" + wellKnown},
		{"https://api.example.com/orders", "https://api.example.com" + wellKnown + "/orders"},
		{"https://api.example.com/orders/", "https://api.example.com" + wellKnown + "/orders/"},
		{"https://api.example.com/a/b", "https://api.example.com" + wellKnown + "/a/b"},
		{"https://api.example.com/a%2Fb/%7Eu", "https://api.example.com" + wellKnown + "/a%2Fb/%7Eu"},
		{"https://api.example.com/?t=1", "https://api.example.com" + wellKnown + "?t=1"},
		{"https://api.example.com?t=1", "https://api.example.com" + wellKnown + "?t=1"},
		{"https://api.example.com/a?t=1&u=2", "https://api.example.com" + wellKnown + "/a?t=1&u=2"},
		{"http://localhost:8080/mcp", "http://localhost:8080" + wellKnown + "/mcp"},
		{"http://[::1]:8080/mcp", "http://[::1]:8080" + wellKnown + "/mcp"},
	} {
		t.Run(tt.resource, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, func(o *jwtgate.Options) { o.Resource = tt.resource })
			for _, lines := range [][]string{nil, {"Authorization: Bearer a b"}, {"Authorization: Bearer " + hs256Token(map[string]any{"aud": "other"})}} {
				w := serve(gate.Handler(writeSubject), request("GET", lines...))
				assert.Contains(t, w.Header().Get("WWW-Authenticate"), `, resource_metadata="`+tt.address+`"`)
			}
			w := getMetadata(t, gate, "GET", tt.address)
			require.Equal(t, 200, w.Code)
			var document map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &document))
			assert.Equal(t, tt.resource, document["resource"], "character for character") // acceptance 63
			u := must(url.Parse(tt.address))
			assert.Equal(t, 401, getMetadata(t, gate, "GET", u.Scheme+"://"+u.Host+"/").Code)
			assert.NotEqual(t, 200, getMetadata(t, gate, "GET", u.Scheme+"://"+u.Host+strings.TrimSuffix(u.EscapedPath(), "/")+"/below").Code)
			if u.RawQuery != "" {
				assert.Equal(t, 404, getMetadata(t, gate, "GET", u.Scheme+"://"+u.Host+u.EscapedPath()).Code)
			}
		})
	}
	t.Run("without Resource", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t)
		assert.Panics(t, func() { gate.Metadata() })
		assert.Panics(t, func() { new(jwtgate.Gate).Metadata() })
		w := serve(gate.Handler(writeSubject), request("GET"))
		assert.NotContains(t, w.Header().Get("WWW-Authenticate"), "resource_metadata")
	})
}

// acceptance 63: what Resource must not be.
func TestResourceRefused(t *testing.T) {
	t.Parallel()
	for _, resource := range []string{
		"api.example.com", "/orders", "http://api.example.com", "http://localhost.example.com/", "ftp://api.example.com", "https://", "https:///a",
		"https://api.example.com/#", "https://api.example.com/#a", "https://user@api.example.com/", "https://user:pw@api.example.com/",
		" https://api.example.com/", "https://api.example.com/{tenant}", "https://api.example.com/a/../b", "https://api.example.com//a",
		"https://api.example.com/./a", "https://api.example.com/a b\n", "urn:example:api",
	} {
		_, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Resource = resource }))
		assert.ErrorContains(t, err, "Options.Resource: ", resource)
	}
}

// acceptance 65 and 66
func TestMetadataDocument(t *testing.T) {
	t.Parallel()
	resource := func(o *jwtgate.Options) { o.Resource = "https://api.example.com/mcp" }
	for _, tt := range []struct {
		name   string
		change func(*jwtgate.Options)
		want   string
	}{
		{"bearer", func(*jwtgate.Options) {}, `{"resource":"https://api.example.com/mcp","authorization_servers":["` + issuer + `"],"bearer_methods_supported":["header"]}`},
		{"two issuers", func(o *jwtgate.Options) { o.Issuers = []string{issuer, "https://b.example.com"} },
			`{"resource":"https://api.example.com/mcp","authorization_servers":["` + issuer + `","https://b.example.com"],"bearer_methods_supported":["header"]}`},
		{"tenants", func(o *jwtgate.Options) { o.Issuers, o.TrustIssuer = nil, func(string) bool { return true } },
			`{"resource":"https://api.example.com/mcp","bearer_methods_supported":["header"]}`},
		{"further members", func(o *jwtgate.Options) {
			o.Metadata = map[string]any{
				"scopes_supported": []string{"orders:read"}, "resource_name": "Orders", "resource_name#de": "Bestellungen", "x": 1,
				"authorization_servers": []string{"https://other.example.com"}, "resource_documentation": "", "jwks_uri": nil, "list": []string{},
			}
		}, `{"resource":"https://api.example.com/mcp","authorization_servers":["https://other.example.com"],"bearer_methods_supported":["header"],
			"scopes_supported":["orders:read"],"resource_name":"Orders","resource_name#de":"Bestellungen","x":1}`},
		{"cookie", func(o *jwtgate.Options) { o.Extract = jwtgate.Cookie("token") }, `{"resource":"https://api.example.com/mcp","authorization_servers":["` + issuer + `"]}`},
		{"DPoP", func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{newDPoP()} },
			`{"resource":"https://api.example.com/mcp","authorization_servers":["` + issuer + `"],"bearer_methods_supported":[],
			"dpop_bound_access_tokens_required":true,"dpop_signing_alg_values_supported":["ES256","EdDSA"]}`},
		{"DPoP and unbound", func(o *jwtgate.Options) { o.Confirm, o.AllowUnbound = []jwtgate.Confirmer{newDPoP()}, true },
			`{"resource":"https://api.example.com/mcp","authorization_servers":["` + issuer + `"],"bearer_methods_supported":["header"],
			"dpop_bound_access_tokens_required":false,"dpop_signing_alg_values_supported":["ES256","EdDSA"]}`},
		{"certificates", func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{yes("x5t#S256")} },
			`{"resource":"https://api.example.com/mcp","authorization_servers":["` + issuer + `"],"bearer_methods_supported":["header"],
			"tls_client_certificate_bound_access_tokens":true}`},
		{"certificates and unbound", func(o *jwtgate.Options) { o.Confirm, o.AllowUnbound = []jwtgate.Confirmer{yes("x5t#S256")}, true },
			`{"resource":"https://api.example.com/mcp","authorization_servers":["` + issuer + `"],"bearer_methods_supported":["header"],
			"tls_client_certificate_bound_access_tokens":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, resource, tt.change)
			const address = "/.well-known/oauth-protected-resource/mcp"
			for _, host := range []string{"https://api.example.com", "http://evil.example"} { // the Host is the client's word
				w := getMetadata(t, gate, "GET", host+address, "Authorization", "Bearer x", "X-Forwarded-Host", "evil.example")
				require.Equal(t, 200, w.Code)
				assert.JSONEq(t, tt.want, w.Body.String())
				assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
				assert.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
				assert.Equal(t, "public, max-age=3600", w.Header().Get("Cache-Control"))
			}
			assert.Equal(t, 200, getMetadata(t, gate, "HEAD", address).Code)
			w := getMetadata(t, gate, "OPTIONS", address, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "mcp-protocol-version")
			assert.Equal(t, 204, w.Code)
			assert.Equal(t, "mcp-protocol-version", w.Header().Get("Access-Control-Allow-Headers"))
			assert.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
			assert.Equal(t, "*", getMetadata(t, gate, "OPTIONS", address).Header().Get("Access-Control-Allow-Headers"))
			w = getMetadata(t, gate, "POST", address)
			assert.Equal(t, 405, w.Code)
			assert.Equal(t, "GET, HEAD, OPTIONS", w.Header().Get("Allow"))
		})
	}
	t.Run("derived gates", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, resource)
		pattern, _ := gate.Metadata()
		derived, _ := gate.Require(jwtgate.Scope("a")).Metadata()
		assert.Equal(t, pattern, derived)
	})
}

// acceptance 87: the answer to a user who has to sign in again.
func TestAuthenticated(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	gate := newGate(t, func(o *jwtgate.Options) { o.Now = func() time.Time { return now } })
	const stepUp = `error="insufficient_user_authentication", error_description="This request needs a user who has signed in more recently or more strongly."`
	both := jwtgate.Authenticated(10*time.Minute, "mfa", "hwk")
	for _, tt := range []struct {
		name   string
		rules  []jwtgate.Rule
		claims map[string]any
		with   string // of the challenge; "" if the request passes
	}{
		{"acr and time", []jwtgate.Rule{both}, map[string]any{"acr": "hwk", "auth_time": at(-10 * time.Minute)}, ""},
		{"within the leeway", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": at(-10*time.Minute - 30*time.Second)}, ""},
		{"beyond the leeway", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": at(-10*time.Minute - 31*time.Second)}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"ahead within the leeway", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": at(30 * time.Second)}, ""},
		{"ahead", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": at(31 * time.Second)}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"fraction", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": float64(at(0)) + 0.5}, ""},
		{"another acr", []jwtgate.Rule{both}, map[string]any{"acr": "pwd", "auth_time": at(0)}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"acr in another case", []jwtgate.Rule{both}, map[string]any{"acr": "MFA", "auth_time": at(0)}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"no acr", []jwtgate.Rule{both}, map[string]any{"auth_time": at(0)}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"acr an array", []jwtgate.Rule{both}, map[string]any{"acr": []string{"mfa"}, "auth_time": at(0)}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"acr null", []jwtgate.Rule{both}, map[string]any{"acr": json.RawMessage("null"), "auth_time": at(0)}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"no auth_time", []jwtgate.Rule{both}, map[string]any{"acr": "mfa"}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"auth_time a string", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": "1795867200"}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"auth_time in milliseconds", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": at(0) * 1000}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"auth_time negative", []jwtgate.Rule{both}, map[string]any{"acr": "mfa", "auth_time": -1}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"acr alone", []jwtgate.Rule{jwtgate.Authenticated(0, "mfa")}, nil, stepUp + `, acr_values="mfa"`},
		{"acr alone, met", []jwtgate.Rule{jwtgate.Authenticated(0, "mfa")}, map[string]any{"acr": "mfa"}, ""},
		{"time alone", []jwtgate.Rule{jwtgate.Authenticated(1500 * time.Millisecond)}, nil, stepUp + `, max_age="2"`},
		{"time alone, met", []jwtgate.Rule{jwtgate.Authenticated(time.Second)}, map[string]any{"auth_time": at(0)}, ""},
		{"scope is there", []jwtgate.Rule{jwtgate.Scope("pay"), both}, map[string]any{"scope": "pay"}, stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"scope lacks too", []jwtgate.Rule{jwtgate.Scope("pay"), both}, nil, `scope="pay", ` + stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"scope lacks too, after", []jwtgate.Rule{both, jwtgate.Scope("pay")}, nil, `scope="pay", ` + stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"scope lacks too, in AllOf", []jwtgate.Rule{jwtgate.AllOf(jwtgate.Scope("pay"), both)}, nil, `scope="pay", ` + stepUp + `, acr_values="mfa hwk", max_age="600"`},
		{"an alternative", []jwtgate.Rule{jwtgate.AnyOf(jwtgate.Scope("pay"), both)}, map[string]any{"scope": "pay"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			claims := map[string]any{"iat": at(0), "exp": at(time.Hour)}
			for name, value := range tt.claims {
				claims[name] = value
			}
			w := serve(gate.Require(tt.rules...).Handler(writeSubject), request("GET", "Authorization: Bearer "+hs256Token(claims)))
			if tt.with == "" {
				assert.Equal(t, 200, w.Code, w.Header())
				return
			}
			assert.Equal(t, 401, w.Code)
			assert.Equal(t, `Bearer realm="api", `+tt.with, w.Header().Get("WWW-Authenticate"))
		})
	}
	for name, rule := range map[string]func() jwtgate.Rule{
		"nothing":      func() jwtgate.Rule { return jwtgate.Authenticated(0) },
		"negative":     func() jwtgate.Rule { return jwtgate.Authenticated(-time.Second) },
		"without unit": func() jwtgate.Rule { return jwtgate.Authenticated(600) },
		"empty acr":    func() jwtgate.Rule { return jwtgate.Authenticated(0, "") },
		"a list":       func() jwtgate.Rule { return jwtgate.Authenticated(0, "mfa hwk") },
		"a quote":      func() jwtgate.Rule { return jwtgate.Authenticated(0, `m"fa`) },
		"AllOf":        func() jwtgate.Rule { return jwtgate.AllOf() },
		"AllOf of nil": func() jwtgate.Rule { return jwtgate.AllOf(nil) },
	} {
		assert.Panics(t, func() { rule() }, name)
	}
}

// acceptance 88: further parameters of a challenge.
func TestErrorParams(t *testing.T) {
	t.Parallel()
	shared := &jwtgate.Error{Status: 401, Code: "invalid_token", Params: map[string]string{
		"error_uri": "https://e.example/?a=\"b\\c\"", "max_age": "60", "realm": "other", "SCOPE": "admin", "error": "none", "resource_metadata": "https://evil.example",
		"a b": "x", "": "x", "line": "a\nb", "umlaut": "größe", "algs": "none",
	}}
	rule := jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return shared })
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Rules = []jwtgate.Rule{rule}
		o.Resource = "https://api.example.com"
		o.OnDeny = func(_ http.ResponseWriter, _ *http.Request, e *jwtgate.Error) { e.Params["max_age"] = "changed" }
	})
	for range 2 {
		w := serve(gate.Handler(writeSubject), request("GET", "Authorization: Bearer "+hs256Token(nil)))
		assert.Equal(t, `Bearer realm="api", error="invalid_token", error_description="The access token is not valid.", `+
			`resource_metadata="https://api.example.com/.well-known/oauth-protected-resource", algs="none", error_uri="https://e.example/?a=\"b\\c\"", max_age="60"`,
			w.Header().Get("WWW-Authenticate"))
	}
	dpop := newGate(t, func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{newDPoP()} })
	w := httptest.NewRecorder()
	dpop.Deny(w, request("GET"), shared)
	assert.Contains(t, w.Header().Get("WWW-Authenticate"), `algs="ES256 EdDSA"`)
	assert.NotContains(t, w.Header().Get("WWW-Authenticate"), `none`)
}
