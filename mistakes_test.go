package jwtgate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// derSigned returns a token whose ES256 signature is in DER, as the functions of most languages write it.
func derSigned(t *testing.T, claims string) string {
	t.Helper()
	input := base64url(`{"alg":"ES256"}`) + "." + base64url(claims)
	digest := sha256.Sum256([]byte(input))
	signature, err := ecdsa.SignASN1(rand.Reader, p256Key().(*ecdsa.PrivateKey), digest[:])
	require.NoError(t, err)
	return input + "." + base64url(signature)
}

// TestMistakes makes the mistakes of a first day with tokens, and reads the one record that AuditLog
// writes, or the error of New. The text must say what came and what was wanted, so that its reader
// knows what to change.
func TestMistakes(t *testing.T) {
	t.Parallel()
	bearer := func(token string) []string { return []string{"Authorization: Bearer " + token} }
	with := func(claim string, value any) []string { return bearer(hs256Token(map[string]any{claim: value})) }
	withClaims := func(payload string) []string {
		return bearer(sign("HS256", secret, `{"alg":"HS256"}`, payload))
	}
	good := hs256Token(nil)
	claims := claimsJSON(nil)
	html := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>Sign in</title>"))
	}))
	t.Cleanup(html.Close)
	none := func(*jwtgate.Options) {}

	for _, tt := range []struct {
		mistake string
		change  func(*jwtgate.Options)
		lines   []string // of the request
		says    []string // parts of the text
	}{
		{"issuer without its slash", none, with("iss", "https://auth.example.com"),
			[]string{`"https://auth.example.com"`, `"https://auth.example.com/"`, "the slash at the end"}},
		{"issuer in other letters", none, with("iss", "https://Auth.example.com/"),
			[]string{"upper and lower case"}},
		{"issuer with http", none, with("iss", "http://auth.example.com/"),
			[]string{"the scheme"}},
		{"issuer without its scheme", none, with("iss", "auth.example.com"),
			[]string{`"auth.example.com"`, "the scheme"}},
		{"issuer with a space", none, with("iss", issuer+" "),
			[]string{"white space at the start or the end"}},
		{"token of another environment", func(o *jwtgate.Options) {
			o.Issuers = []string{"https://one.example.com/", "https://two.example.com/", "https://three.example.com/", "https://four.example.com/"}
		}, bearer(good),
			[]string{`iss is "https://auth.example.com/"`, `"https://one.example.com/", "https://two.example.com/", "https://three.example.com/" and 1 more`}},
		{"issuer left out", none, with("iss", nil), []string{"iss is missing", issuer, "Options.AnyIssuer"}},

		{"audience of another service", none, with("aud", []string{"https://mail.example.com", "account"}),
			[]string{`["https://mail.example.com", "account"]`, `"` + audience + `"`}},
		{"audience is a list joined by spaces", none, with("aud", "account "+audience),
			[]string{"account " + audience, `this service is "` + audience + `"`}},

		{"Bearer forgotten", none, []string{"Authorization: " + good}, []string{`without "Bearer "`}},
		{"Bearer twice", none, []string{"Authorization: Bearer Bearer " + good}, []string{"Bearer"}},
		{"Bearer in a header of its own", func(o *jwtgate.Options) { o.Extract = jwtgate.Header("X-Token") },
			[]string{"X-Token: Bearer " + good}, []string{`starts with "Bearer "`}},
		{"Bearer in a cookie's place", func(o *jwtgate.Options) { o.Extract = jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Cookie("session")) },
			[]string{"Cookie: Session=" + good}, []string{`no header "Authorization"`, `no cookie "session"`}},
		{"no-break space after Bearer", none, []string{"Authorization: Bearer\u00a0" + good}, []string{"no space after Bearer", `\u00a0`}},
		{"space after Bearer escaped", none, []string{"Authorization: Bearer%20" + good}, []string{"no space after Bearer"}},
		{"name of the header in its value", none, []string{"Authorization: Authorization: Bearer " + good},
			[]string{"first word", `":"`}},
		{"token twice", none, []string{"Authorization: Bearer " + good, "Authorization: Bearer " + good},
			[]string{`more than one line of header "Authorization"`}},
		{"word undefined", none, bearer("undefined"), []string{`the word "undefined"`, "the client has no token"}},
		{"opaque token", none, bearer("kX0w2J4b9eLw1u8mYc0tA3bVvN5oPqRs"), []string{"1 segment", "a token has 3", "opaque", "audience"}},
		{"opaque token with a dot", none, bearer("ya29.a0AfH6SMBx-abc_defghijklmno"), []string{"2 segments", "a token has 3", "opaque", "cut"}},
		{"encrypted token", none, bearer("eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA"), []string{"5 segments", "encrypted", "signed", "audience"}},
		{"token cut at its end", none, bearer(good[:len(good)-1]), []string{"signature", "cut"}},
		{"token cut at its start", none, bearer(good[1:]), []string{"header", "cut"}},
		{"signature in DER", func(o *jwtgate.Options) { o.Keys = keys.Public(&p256Key().(*ecdsa.PrivateKey).PublicKey) }, bearer(derSigned(t, claims)),
			[]string{"ES256", "64", "DER"}},

		{"wrong secret", func(o *jwtgate.Options) { o.Keys = keys.HS256([]byte("another secret of thirty-two bytes, at least")) }, bearer(good),
			[]string{"the only secret", "another one", "base64"}},
		{"secret not decoded", func(o *jwtgate.Options) {
			o.Keys = keys.HS256([]byte(base64.StdEncoding.EncodeToString(secret)))
		}, bearer(good), []string{"base64", "decode"}},
		{"public key of another environment", func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("", "ES256"), newKey("", "ES256")) },
			bearer(sign("ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), `{"alg":"ES256","kid":"1"}`, claims)),
			[]string{"none of the 2 keys", `kid "1"`, "another environment"}},
		{"RS256 token, HS256 keys", none, bearer(sign("RS256", rsaKey(), `{"alg":"RS256"}`, claims)),
			[]string{"signed with RS256", "for HS256"}},
		{"RS256 token, named key for ES256", func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("a", "ES256")) },
			bearer(sign("RS256", rsaKey(), `{"alg":"RS256","kid":"a"}`, claims)),
			[]string{"signed with RS256", `key "a" is for ES256`}},
		{"algorithm that is not listed", func(o *jwtgate.Options) { o.Algorithms = []string{"HS256"} },
			bearer(sign("RS256", rsaKey(), `{"alg":"RS256"}`, claims)), []string{`alg is "RS256"`, "Options.Algorithms has HS256"}},
		{"algorithm none", none, bearer(base64url(`{"alg":"none"}`) + "." + base64url(claims) + ".AA"), []string{`alg is "none"`, "not supported"}},
		{"key that was rotated away", func(o *jwtgate.Options) { o.Keys = keys.Static(newKey("b", "ES256")) },
			bearer(sign("ES256", p256Key(), `{"alg":"ES256","kid":"a"}`, claims)), []string{`kid is "a"`, "no key with that ID", "another environment"}},

		{"exp in milliseconds", none, with("exp", now.Add(time.Hour).UnixMilli()), []string{"exp is ", "milliseconds"}},
		{"exp is a string", none, with("exp", "1795835026"), []string{"exp is ", "string", "number"}},
		{"exp left out", none, with("exp", nil), []string{"exp is missing"}},
		{"token of yesterday", none, with("exp", now.Add(-24*time.Hour).Unix()), []string{"24h ago"}},
		{"clock of the issuer ahead", none, with("iat", now.Add(250*time.Second).Unix()), []string{"4m10s", "30s"}},

		{"sub is a number", none, with("sub", 42), []string{"subject", "SubjectClaim"}},
		{"no subject", none, with("sub", nil), []string{"subject", "AllowNoSubject"}},
		{"user ID in another claim", none, bearer(hs256Token(map[string]any{"sub": nil, "user_id": 42})),
			[]string{`"sub"`, "missing", "Options.SubjectClaim"}},
		{"path as the subject claim", func(o *jwtgate.Options) { o.SubjectClaim = "user.id" },
			with("user", map[string]any{"id": 42}), []string{`"user.id"`, "top-level claim"}},
		{"exp is a duration", none, with("exp", 3600), []string{"exp is 3600", "a duration", "since 1970"}},
		{"token with many groups", none, with("groups", strings.Repeat("a", 20000)), []string{" has 26969 bytes", "Options.MaxTokenBytes is 16384"}},
		{"audience left out", none, bearer(hs256Token(map[string]any{"aud": nil, "client_id": "app"})),
			[]string{"aud is missing", "Options.AnyAudience", audience}},
		{"audience is a list joined by commas", none, with("aud", "account,"+audience), []string{"JSON array"}},
		{"key-bound token", none, with("cnf", map[string]any{"jkt": "a"}), []string{"cnf", "Options.Confirm"}},
		{"logout token", none, bearer(sign("HS256", secret, `{"alg":"HS256","typ":"logout+jwt"}`, claims)), []string{`typ is "logout+jwt"`}},
		{"ID token kept out by a rule", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.NoClaim("at_hash")} },
			with("at_hash", "x"), []string{"at_hash"}},
		{"ID token instead of access token", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Claim("token_use", "access")} },
			with("token_use", "id"), []string{`"token_use"`, `"id"`, `"access"`}},
		{"permissions instead of scopes", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("orders:write")} },
			bearer(hs256Token(map[string]any{"scope": nil, "permissions": []string{"orders:write"}})), []string{"no scope", "no scp", "Claim"}},
		{"scopes joined by commas", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("orders:write")} },
			with("scope", "orders:read,orders:write"), []string{"orders:read,orders:write", "separated by spaces"}},
		{"roles joined by spaces", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Claim("roles", "admin")} },
			with("roles", "user admin"), []string{`"user admin"`, `wanted "admin"`, "JSON array"}},
		{"duplicate member", none, withClaims(strings.Replace(claims, "{", `{"role":"a","role":"b",`, 1)), []string{`"role"`, "twice"}},
		{"members that differ in case", none, withClaims(strings.Replace(claims, "{", `{"role":"a","Role":"b",`, 1)), []string{`"Role"`, "letter case"}},
		{"lone surrogate", none, withClaims(strings.Replace(claims, "{", `{"a":"\ud800",`, 1)), []string{"surrogate"}},
		{"nested too deeply", none, withClaims(strings.Replace(claims, "{", `{"a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`,`, 1)), []string{"32"}},

		{"Validate returns a plain error", func(o *jwtgate.Options) {
			o.Validate = func(context.Context, *jwtgate.Token) error { return errors.New("user is locked") }
		}, bearer(good), []string{"user is locked", "ErrRevoked", "ErrForbidden"}},
		{"address of the keys answers a page", func(o *jwtgate.Options) {
			o.Keys = &keys.Remote{URL: html.URL + "/jwks", Client: html.Client(), Logger: slog.New(slog.DiscardHandler)}
		}, bearer(good), []string{html.URL + "/jwks", "HTML", "text/html"}},
		{"issuer with a private CA", func(o *jwtgate.Options) {
			o.Keys = &keys.Remote{URL: html.URL + "/jwks", Logger: slog.New(slog.DiscardHandler)}
		}, bearer(good), []string{html.URL + "/jwks", "unknown authority", "Remote.Client", "CA"}},

		{"placeholder in the issuer", func(o *jwtgate.Options) { o.Keys, o.Issuers = &keys.Remote{}, []string{"https://${DOMAIN}/"} }, nil,
			[]string{"https://${DOMAIN}/", "placeholder"}},
		{"PEM text that is cut short", func(o *jwtgate.Options) {
			o.Keys = keys.PEM([]byte("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"))
		}, nil, []string{"block 1", "PUBLIC KEY", "truncated"}},
		{"empty secret", func(o *jwtgate.Options) { o.Keys = keys.HS256(nil) }, nil, []string{"empty", "was a setting not loaded?"}},
		{"address given to JWKS", func(o *jwtgate.Options) { o.Keys = keys.JWKS([]byte("https://auth.example.com/jwks")) }, nil, []string{"keys.Remote"}},
		{"file name given to PEM", func(o *jwtgate.Options) { o.Keys = keys.PEM([]byte("/etc/keys/issuer.pem")) }, nil, []string{"keys.File"}},
		{"FreshFor without a unit", func(o *jwtgate.Options) { o.Keys = &keys.Remote{FreshFor: 600} }, nil, []string{"FreshFor", "600ns", "600*time.Second"}},
		{"Timeout without a unit", func(o *jwtgate.Options) { o.Keys = &keys.Remote{Timeout: 5} }, nil, []string{"Timeout", "5ns", "5*time.Second"}},
		{"MaxAge without a unit", func(o *jwtgate.Options) { o.MaxAge = 3600 }, nil, []string{"MaxAge", "3.6", "3600*time.Second"}},
		{"Leeway without a unit", func(o *jwtgate.Options) { o.Leeway = 30 }, nil, []string{"Leeway", "30ns", "30*time.Second"}},
		{"algorithm that no key has", func(o *jwtgate.Options) { o.Algorithms = []string{"RS256"} }, nil, []string{"RS256", "HS256"}},
		{"no issuer", func(o *jwtgate.Options) { o.Issuers = nil }, nil, []string{"Issuers", "AnyIssuer"}},
		{"empty audience", func(o *jwtgate.Options) { o.Audiences = []string{""} }, nil, []string{"Audiences", "was a setting not loaded?"}},
	} {
		t.Run(tt.mistake, func(t *testing.T) {
			t.Parallel()
			if tt.lines == nil {
				_, err := jwtgate.New(options(tt.change))
				require.Error(t, err)
				for _, part := range tt.says {
					assert.Contains(t, err.Error(), part)
				}
				t.Log(err)
				return
			}
			var log bytes.Buffer
			gate := newGate(t, tt.change, func(o *jwtgate.Options) {
				o.Observe = jwtgate.AuditLog(slog.New(slog.NewJSONHandler(&log, nil)))
			})
			w := serve(gate.Handler(writeSubject), request("GET", tt.lines...))
			assert.GreaterOrEqual(t, w.Code, 400)
			var record struct{ Error string }
			require.NoError(t, json.Unmarshal(log.Bytes(), &record), log.String())
			for _, part := range tt.says {
				assert.Contains(t, record.Error, part)
			}
			assert.LessOrEqual(t, len(record.Error), 512)
			assert.NotContains(t, log.String(), good)
			t.Log(record.Error)
		})
	}
}

// A browser asks whether a page may send a token before it sends one. The text says that the gate
// was asked this question.
func TestMistakes_Preflight(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	gate := newGate(t, func(o *jwtgate.Options) {
		o.Observe = jwtgate.AuditLog(slog.New(slog.NewTextHandler(&log, nil)))
	})
	r := request("OPTIONS", "Origin: https://app.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
	w := serve(gate.Handler(writeSubject), r)
	assert.Equal(t, http.StatusUnauthorized, w.Code)
	for _, part := range []string{"reason=no_token", "CORS preflight", "outside the gate"} {
		assert.Contains(t, log.String(), part)
	}
}
