package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// ours returns the issuer, which all tests share because making RSA keys takes time.
var ours = sync.OnceValue(func() *issuer {
	i, err := newIssuer()
	if err != nil {
		panic(err)
	}
	return i
})

func serve(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(newHandler(ours()))
	t.Cleanup(server.Close)
	return server
}

// send sends a request and returns the status, the header and the body of the answer.
func send(t *testing.T, method, url string, header http.Header, body string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for name, values := range header {
		request.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, response.Header, string(text)
}

// ask sends a form like the page and returns the result.
func ask(t *testing.T, server *httptest.Server, f form) result {
	t.Helper()
	body, err := json.Marshal(f)
	require.NoError(t, err)
	status, _, text := send(t, "POST", server.URL+"/api", http.Header{"Content-Type": {"application/json"}}, string(body))
	require.Equal(t, http.StatusOK, status, text)
	var r result
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	return r
}

// clientKeys are keys of a client, as the page has them.
var clientKeys = sync.OnceValue(func() map[string]*ecdsa.PrivateKey {
	keys := map[string]*ecdsa.PrivateKey{}
	for _, name := range []string{"page", "other"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

// publicJWK returns the public key as JSON, in the form of which the thumbprint is made
// (RFC 7638), and the thumbprint.
func publicJWK(t *testing.T, key *ecdsa.PrivateKey) (jwk, thumbprint string) {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	jwk = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, encode(point[1:33]), encode(point[33:]))
	sum := sha256.Sum256([]byte(jwk))
	return jwk, encode(sum[:])
}

// prove fills in what the page fills in: the thumbprint, the token and the proof.
func prove(t *testing.T, server *httptest.Server, f form) form {
	t.Helper()
	_, thumbprint := publicJWK(t, clientKeys()["page"])
	f.Claims = strings.ReplaceAll(f.Claims, "{jkt}", thumbprint)
	if f.Confirm == "" || !strings.Contains(f.Request, "{proof}") {
		return f
	}
	if f.Mode == "mint" {
		body, err := json.Marshal(f)
		require.NoError(t, err)
		status, _, text := send(t, "POST", server.URL+"/mint", http.Header{"Content-Type": {"application/json"}}, string(body))
		require.Equal(t, http.StatusOK, status, text)
		var minted struct{ Token string }
		require.NoError(t, json.Unmarshal([]byte(text), &minted))
		f.Mode, f.Token = "paste", minted.Token
	}
	key := clientKeys()[f.ProofKey]
	jwk, _ := publicJWK(t, key)
	hash := sha256.Sum256([]byte(f.Token))
	encode := base64.RawURLEncoding.EncodeToString
	fill := strings.NewReplacer("{jwk}", jwk, "{jti}", rand.Text(), "{iat}", fmt.Sprint(time.Now().Unix()),
		"{ath}", encode(hash[:]), "{nonce}", ours().nonceAt(time.Now()))
	input := encode([]byte(fill.Replace(f.ProofHeader))) + "." + encode([]byte(fill.Replace(f.ProofClaims)))
	signature, err := jwt.SigningMethodES256.Sign(input, key)
	require.NoError(t, err)
	f.Proof = input + "." + encode(signature)
	return f
}

func presetForms(t *testing.T, server *httptest.Server) map[string]form {
	t.Helper()
	_, _, text := send(t, "GET", server.URL+"/presets", nil, "")
	var all []preset
	require.NoError(t, json.Unmarshal([]byte(text), &all))
	forms := map[string]form{}
	for _, p := range all {
		forms[p.ID] = p.Form
	}
	require.Len(t, forms, len(all), "two presets have the same ID")
	return forms
}

// assertEnds asserts that the request passes all steps before the step id, and that
// the path ends there in the state end.
func assertEnds(t *testing.T, r result, id string, end state) {
	t.Helper()
	require.Empty(t, r.Problems)
	require.Len(t, r.Steps, len(path))
	last := slices.IndexFunc(r.Steps, func(s step) bool { return s.ID == id })
	require.GreaterOrEqual(t, last, 0, id)
	for i, s := range r.Steps {
		switch {
		case i < last:
			assert.Contains(t, []state{passed, unset}, s.State, "%s, but the path was expected to end at %s: %s", s.ID, id, r.Err)
		case i == last:
			assert.Equal(t, end, s.State, "%s: %s", s.ID, r.Err)
		default:
			assert.Equal(t, notReached, s.State, s.ID)
		}
	}
}

func TestPresets(t *testing.T) {
	t.Parallel()
	server := serve(t)
	forms := presetForms(t, server)
	tests := []struct {
		id     string
		status int
		step   string
		state  state
		is     string
	}{
		{"good", 200, "handler", passed, ""},
		{"expired", 401, "times", refused, "ErrExpired"},
		{"audience", 401, "audience", refused, "ErrAudience"},
		{"none", 401, "form", refused, "ErrMalformed"},
		{"confusion", 401, "keys", refused, "ErrAlgorithm"},
		{"duplicate", 401, "issuer", refused, "ErrMalformed"},
		{"crit", 401, "header", refused, "ErrMalformed"},
		{"no-exp", 401, "times", refused, "ErrClaim"},
		{"kid", 401, "keys", refused, "ErrUnknownKey"},
		{"tampered", 401, "signature", refused, "ErrSignature"},
		{"loose", 401, "form", refused, "ErrMalformed"},
		{"two", 400, "extract", refused, "ErrRequest"},
		{"missing", 401, "extract", refused, "ErrNoToken"},
		{"scope", 403, "require", refused, "ErrForbidden"},
		{"outage", 503, "validate", unsure, "ErrUnavailable"},

		{"bound", 200, "handler", passed, ""},
		{"query", 200, "handler", passed, ""},
		{"no-proof", 401, "confirm", refused, "ErrProof"},
		{"bearer", 401, "extract", refused, "ErrClaim"},
		{"replay", 401, "confirm", refused, "ErrProof"},
		{"method", 401, "confirm", refused, "ErrProof"},
		{"url", 401, "confirm", refused, "ErrProof"},
		{"other-token", 401, "confirm", refused, "ErrProof"},
		{"other-key", 401, "confirm", refused, "ErrClaim"},
		{"old", 401, "confirm", refused, "ErrProof"},
		{"nonce", 200, "handler", passed, ""},
		{"no-nonce", 401, "confirm", refused, "ErrProof"},
		{"old-nonce", 401, "confirm", refused, "ErrProof"},
	}
	require.Len(t, tests, len(forms))
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			t.Parallel()
			f, ok := forms[test.id]
			require.True(t, ok)
			r := ask(t, server, prove(t, server, f))
			assertEnds(t, r, test.step, test.state)
			assert.Equal(t, test.status, r.Status)
			assert.True(t, strings.HasPrefix(r.Answer, fmt.Sprintf("HTTP/1.1 %d ", test.status)), r.Answer)
			if test.is == "" {
				assert.Empty(t, r.Is)
				assert.Contains(t, r.Answer, "\r\n\r\nhello alice\n")
			} else {
				assert.Contains(t, r.Is, test.is)
				assert.NotEmpty(t, r.Err)
				// The row of the path says what came and what was wanted, as the log does.
				detail := r.Steps[slices.IndexFunc(r.Steps, func(s step) bool { return s.ID == test.step })].Detail
				assert.NotEmpty(t, detail)
				assert.True(t, strings.HasSuffix(r.Err, detail), "%q is not the end of %q", detail, r.Err)
			}
		})
	}
}

// Each preset has one fault: with the fault corrected it passes.
func TestPresetsHaveOneFault(t *testing.T) {
	t.Parallel()
	server := serve(t)
	forms := presetForms(t, server)
	for id, change := range map[string]func(*form){
		"expired":     func(f *form) { f.Clock = "-90m" },
		"audience":    func(f *form) { f.Audiences += "\nhttps://billing.example.com" },
		"confusion":   func(f *form) { f.Header, f.Signature = strings.Replace(f.Header, "HS256", "RS256", 1), "right" },
		"duplicate":   func(f *form) { f.Claims = strings.Replace(f.Claims, `"sub": "root",`, "", 1) },
		"no-exp":      func(f *form) { f.AllowNoExpiry = true },
		"kid":         func(f *form) { f.Header = strings.Replace(f.Header, "es-2", "es-1", 1) },
		"tampered":    func(f *form) { f.Signature = "right" },
		"loose":       func(f *form) { f.Signature = "right" },
		"scope":       func(f *form) { f.Scopes = "orders:read" },
		"outage":      func(f *form) { f.Validate = "passes" },
		"no-proof":    func(f *form) { f.Request += "\nDPoP: {proof}" },
		"bearer":      func(f *form) { f.Request, f.Claims, f.AllowUnbound = forms["good"].Request, forms["good"].Claims, true },
		"replay":      func(f *form) { f.Twice = false },
		"method":      func(f *form) { f.Request = strings.Replace(f.Request, "GET", "POST", 1) },
		"url":         func(f *form) { f.URLs += "\nhttps://billing.example.com" },
		"other-token": func(f *form) { f.ProofClaims = forms["bound"].ProofClaims },
		"other-key":   func(f *form) { f.ProofKey = "page" },
		"old":         func(f *form) { f.Clock = "-10m" },
		"no-nonce":    func(f *form) { f.Nonces = false },
		"old-nonce":   func(f *form) { f.Clock = "-5m" },
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			f := forms[id]
			change(&f)
			assertEnds(t, ask(t, server, prove(t, server, f)), "handler", passed)
		})
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	server := serve(t)
	good := presetForms(t, server)["good"]
	claim := func(members string) func(*form) { // adds members at the front
		return func(f *form) { f.Claims = "{" + members + "," + f.Claims[1:] }
	}
	without := func(name string) func(*form) {
		return func(f *form) {
			f.Claims = regexp.MustCompile(`(?m)^  "`+name+`": .*\n`).ReplaceAllString(f.Claims, "")
			f.Claims = regexp.MustCompile(`,\s*}`).ReplaceAllString(f.Claims, "}")
		}
	}
	token := func(token string) func(*form) {
		return func(f *form) { f.Mode, f.Token = "paste", token }
	}
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"ES256"}`))
	all := func(changes ...func(*form)) func(*form) {
		return func(f *form) {
			for _, change := range changes {
				change(f)
			}
		}
	}
	loosely := func(f *form) {
		f.Extract, f.ExtractName, f.Request = "header", "X-Token", "GET / HTTP/1.1\nHost: a\nX-Token: {token}"
	}

	for _, test := range []struct {
		name   string
		change func(*form)
		status int
		step   string
		state  state
	}{
		{"no Host", func(f *form) { f.Request = "GET / HTTP/1.1\nAuthorization: Bearer {token}" }, 400, "request", refused},
		{"nothing", func(f *form) { f.Request = "" }, 400, "request", refused},
		{"no HTTP", func(f *form) { f.Request = "hello" }, 400, "request", refused},
		{"another scheme", func(f *form) { f.Request = "GET / HTTP/1.1\nHost: a\nAuthorization: Basic YTpi" }, 401, "extract", refused},
		{"not one token68", func(f *form) { f.Request += " and more" }, 400, "extract", refused},
		{"two cookies", func(f *form) {
			f.Extract, f.ExtractName = "cookie", "t"
			f.Request = "GET / HTTP/1.1\nHost: a\nCookie: t={token}; t={token}"
		}, 400, "extract", refused},

		{"one part", token("abc"), 401, "form", refused},
		{"standard alphabet", all(loosely, token("ab+/.ab.ab")), 401, "form", refused},
		{"longest", token(header + "." + strings.Repeat("A", maxTokenBytes-len(header)-4) + ".AA"), 401, "issuer", refused},
		{"too long", token(header + "." + strings.Repeat("A", maxTokenBytes-len(header)-4) + ".AAA"), 401, "form", refused},
		{"too long, with a bad header too", token("AB." + strings.Repeat("A", maxTokenBytes) + ".AA"), 401, "form", refused},

		{"header in loose base64", token("eyJhbGciOiJFUzI1NiJ9ICB.AA.AA"), 401, "form", refused},
		{"header not JSON", func(f *form) { f.Header = "alg" }, 401, "header", refused},
		{"alg twice", func(f *form) { f.Header = `{"alg":"ES256","alg":"none"}` }, 401, "header", refused},
		{"alg none, though signed", func(f *form) { f.Header = `{"alg":"none"}` }, 401, "header", refused},
		{"alg not among Algorithms", func(f *form) { f.Algorithms = "RS256, EdDSA" }, 401, "header", refused},

		{"claims in loose base64", token(header + ".AB.AA"), 401, "form", refused},
		{"claims not JSON", token(header + ".AA.AA"), 401, "issuer", refused},
		{"no iss", without("iss"), 401, "issuer", refused},
		{"another iss", func(f *form) { f.Issuers = "https://auth.example.com" }, 401, "issuer", refused},
		{"iss a number", all(without("iss"), claim(`"iss": 1`)), 401, "issuer", refused},

		{"shared secret for public keys", func(f *form) { f.Key, f.Header = idHS256, `{"alg":"HS256"}` }, 401, "keys", refused},
		{"signed with another key", func(f *form) { f.Signature = "another" }, 401, "signature", refused},
		{"alg of another key of the set", func(f *form) { f.Header = `{"alg":"EdDSA"}` }, 401, "signature", refused},

		{"duplicate under AnyIssuer", all(claim(`"sub": "root"`), func(f *form) { f.Issuers, f.AnyIssuer = "", true }), 401, "claims", refused},
		{"iss a number under AnyIssuer", all(without("iss"), claim(`"iss": 1`), func(f *form) { f.Issuers, f.AnyIssuer = "", true }), 401, "claims", refused},
		{"aud a number", all(without("aud"), claim(`"aud": 1`)), 401, "claims", refused},
		{"exp a string", all(without("exp"), claim(`"exp": "tomorrow"`)), 401, "claims", refused},
		{"sub empty", all(without("sub"), claim(`"sub": ""`)), 401, "subject", refused},
		{"scope a number, and bound to a key", all(without("scope"), claim(`"scope": 1, "cnf": {}`)), 401, "claims", refused},

		{"id empty", all(claim(`"id": ""`), func(f *form) { f.SubjectClaim = "id" }), 401, "subject", refused},

		{"not yet", claim(`"nbf": 99999999999`), 401, "times", refused},
		{"no exp and no aud", all(without("exp"), without("aud")), 401, "times", refused},
		{"no iat for MaxAge", all(without("iat"), func(f *form) { f.MaxAge = "1h" }), 401, "times", refused},
		{"older than MaxAge", func(f *form) { f.MaxAge, f.Clock = "10m", "20m" }, 401, "times", refused},
		{"as old as Leeway permits", func(f *form) { f.MaxAge, f.Clock, f.Leeway = "10m", "11m", "2m" }, 200, "handler", passed},
		{"no aud", without("aud"), 401, "audience", refused},
		{"typ", func(f *form) { f.Types = "at+jwt" }, 401, "type", refused},
		{"typ among Types", func(f *form) { f.Types = "at+jwt jwt" }, 200, "handler", passed},
		{"absent typ", func(f *form) { f.Header, f.NoType = `{"alg":"ES256"}`, true }, 200, "handler", passed},
		{"absent typ, not among Types", func(f *form) { f.Header, f.Types = `{"alg":"ES256"}`, "JWT" }, 401, "type", refused},
		{"no sub", without("sub"), 401, "subject", refused},
		{"no sub, AllowNoSubject", all(without("sub"), func(f *form) { f.AllowNoSubject = true }), 200, "handler", passed},
		{"no id", func(f *form) { f.SubjectClaim = "id" }, 401, "subject", refused},
		{"id", all(claim(`"id": 7`), func(f *form) { f.SubjectClaim = "id" }), 200, "handler", passed},
		{"bound to a key", claim(`"cnf": {"jkt": "x"}`), 401, "subject", refused},
		{"bound to a certificate", claim(`"cnf": {"x5t#S256": "x"}`), 401, "subject", refused},
		{"cnf without a member", claim(`"cnf": {}`), 401, "claims", refused},
		{"RFC 9068, typ", func(f *form) { f.RFC9068 = true }, 401, "type", refused},
		{"RFC 9068, client_id", func(f *form) { f.RFC9068, f.Header = true, `{"alg":"ES256","typ":"at+jwt"}` }, 401, "subject", refused},

		{"Rules", func(f *form) { f.RuleClaim, f.RuleValues = "client_id", "web" }, 401, "rules", refused},
		{"Rules met", all(claim(`"client_id": "app"`), func(f *form) { f.RuleClaim, f.RuleValues = "client_id", "web\napp" }), 200, "handler", passed},
		{"revoked", func(f *form) { f.Validate = "revoked" }, 401, "validate", refused},
		{"role", func(f *form) { f.RoleClaim, f.RoleValues = "/realm_access/roles", "admin" }, 403, "require", refused},
		{"role met", all(claim(`"realm_access": {"roles": ["user", "admin"]}`), func(f *form) {
			f.RoleClaim, f.RoleValues = "/realm_access/roles", "admin"
		}), 200, "handler", passed},

		{"RS256", func(f *form) { f.Key, f.Header = idRS256, `{"alg":"RS256"}` }, 200, "handler", passed},
		{"EdDSA", func(f *form) { f.Key, f.Header = idEdDSA, `{"alg":"EdDSA"}` }, 200, "handler", passed},
		{"shared secret", func(f *form) { f.Key, f.Header, f.Source = idHS256, `{"alg":"HS256"}`, "secret" }, 200, "handler", passed},
		{"pasted secret", func(f *form) {
			f.Key, f.Header, f.Source, f.Material = idHS256, `{"alg":"HS256"}`, "hs256", string(ours().secret)
		}, 200, "handler", passed},
		{"pasted PEM", func(f *form) { f.Source, f.Material = "pem", publicPEM(t, idES256) }, 200, "handler", passed},
		{"pasted PEM of another key", func(f *form) { f.Source, f.Material = "pem", publicPEM(t, idEdDSA) }, 401, "keys", refused},
		{"pasted JWK Set", func(f *form) {
			// RFC 8037 appendix A: the key and a token of it, whose payload is not JSON.
			f.Source, f.Material = "jwks", rfc8037
			f.Mode, f.Issuers, f.AnyIssuer = "paste", "", true
			f.Token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
		}, 401, "claims", refused},
		{"cookie", func(f *form) {
			f.Extract, f.ExtractName, f.Request = "cookie", "t", "GET / HTTP/1.1\nHost: a\nCookie: t={token}"
		}, 200, "handler", passed},
		{"header", loosely, 200, "handler", passed},
		{"AnyAudience", all(without("aud"), func(f *form) { f.Audiences, f.AnyAudience = "", true }), 200, "handler", passed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := good
			test.change(&f)
			r := ask(t, server, f)
			assertEnds(t, r, test.step, test.state)
			assert.Equal(t, test.status, r.Status, r.Answer)
		})
	}
}

// The request announces a body that never comes. The server stops waiting after a second,
// which takes no time under synctest.
func TestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	issuer := ours()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		f := ours().presets(now)[0].Form
		f.Request += "\nContent-Length: 5"
		r := issuer.try(f, now)
		assertEnds(t, *r, "handler", passed)
		assert.Equal(t, 200, r.Status, r.Answer)
	})
}

// The result of a refused proof has the challenge, the nonce and the record of the log.
func TestProofs(t *testing.T) {
	t.Parallel()
	server := serve(t)
	forms := presetForms(t, server)
	for id, want := range map[string]struct{ code, reason, err string }{
		"no-proof":    {"invalid_dpop_proof", "proof", "the request has no header DPoP"},
		"bearer":      {"invalid_token", "claim", "the token came under the scheme Bearer"},
		"replay":      {"invalid_dpop_proof", "proof", "has been used before"},
		"method":      {"invalid_dpop_proof", "proof", `htm is "POST"`},
		"url":         {"invalid_dpop_proof", "proof", `htu is "https://billing.example.com/orders", wanted is "https://api.example.com/orders"`},
		"other-token": {"invalid_dpop_proof", "proof", "ath is "},
		"other-key":   {"invalid_token", "claim", "the proof is of the key with the thumbprint "},
		"old":         {"invalid_dpop_proof", "proof", "iat was 10m"},
		"no-nonce":    {"use_dpop_nonce", "proof", "the proof has no nonce"},
		"old-nonce":   {"use_dpop_nonce", "proof", "nonce "},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			f := prove(t, server, forms[id])
			r := ask(t, server, f)
			assert.Equal(t, 401, r.Status)
			assert.Regexp(t, `\r\nWww-Authenticate: DPoP realm="api", error="`+want.code+`", [^\r]*algs="ES256 EdDSA Ed25519 PS256"\r\n`, r.Answer)
			assert.Equal(t, want.reason, r.Reason)
			assert.Contains(t, r.Err, want.err)
			assert.Regexp(t, `^level=WARN msg="jwtgate: deny" status=401 reason=`+want.reason+` error=.* decision=deny\n$`, r.Log)
			if id != "bearer" {
				assert.Contains(t, r.Log, "token.bound=dpop")
			}
			assert.NotContains(t, r.Log, r.Token)
			assert.Equal(t, want.code == "use_dpop_nonce", r.Nonce != "")
			assert.Equal(t, r.Nonce != "", strings.Contains(r.Answer, "\r\nDpop-Nonce: "+r.Nonce+"\r\n"))
		})
	}

	r := ask(t, server, prove(t, server, forms["bound"]))
	assert.Contains(t, r.Log, "token.bound=dpop")
	confirm := func(r result) step {
		return r.Steps[slices.IndexFunc(r.Steps, func(s step) bool { return s.ID == "confirm" })]
	}
	assert.Equal(t, "bound by dpop", confirm(r).Detail)

	// Bearer tokens beside bound ones.
	f := forms["good"]
	f.Confirm, f.AllowUnbound = "dpop", true
	r = ask(t, server, f)
	assertEnds(t, r, "handler", passed)
	assert.Equal(t, unset, confirm(r).State)
	f.AllowUnbound = false
	assertEnds(t, ask(t, server, f), "extract", refused)
	f.Request = strings.Replace(f.Request, "Bearer", "DPoP", 1)
	assertEnds(t, ask(t, server, f), "subject", refused)
	f = prove(t, server, forms["bearer"])
	f.AllowUnbound = true
	assertEnds(t, ask(t, server, f), "subject", refused)
	f = prove(t, server, forms["bound"])
	f.Request += "\nAuthorization: DPoP {token}"
	assertEnds(t, ask(t, server, f), "extract", refused)
	f = prove(t, server, forms["bound"])
	f.Token = f.Token[:len(f.Token)-4] + "AAAA"
	assertEnds(t, ask(t, server, f), "signature", refused)
}

// A step without anything to check is shown as "not set", not as passed.
func TestNothingToAsk(t *testing.T) {
	t.Parallel()
	server := serve(t)
	f := presetForms(t, server)["good"]
	states := func(f form) map[string]state {
		all := map[string]state{}
		for _, s := range ask(t, server, f).Steps {
			all[s.ID] = s.State
		}
		return all
	}
	got := states(f)
	for _, id := range []string{"rules", "confirm", "validate", "require"} {
		assert.Equal(t, unset, got[id], id)
	}
	f.Issuers, f.AnyIssuer, f.Audiences, f.AnyAudience = "", true, "", true
	f.RuleClaim, f.RuleValues, f.Validate, f.Scopes = "sub", "alice", "passes", "orders:read"
	got = states(f)
	for id, want := range map[string]state{
		"issuer": unset, "audience": unset, "rules": passed, "confirm": unset, "validate": passed, "require": passed,
	} {
		assert.Equal(t, want, got[id], id)
	}
}

func publicPEM(t *testing.T, id string) string {
	t.Helper()
	public := ours().signers[id].key.(crypto.Signer).Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// The answer is shown as the gate sends it.
func TestAnswer(t *testing.T) {
	t.Parallel()
	server := serve(t)
	f := presetForms(t, server)["missing"]
	f.Realm, f.Scopes = `the "api"`, "orders:read orders:write"
	r := ask(t, server, f)
	want := strings.ReplaceAll(`HTTP/1.1 401 Unauthorized
Cache-Control: no-store
Content-Type: application/json
Www-Authenticate: Bearer realm="the \"api\"", scope="orders:read orders:write"
X-Content-Type-Options: nosniff
Date: now
Content-Length: 83

`, "\n", "\r\n") + `{"error":"unauthorized","error_description":"This request needs an access token."}` + "\n"
	assert.Equal(t, want, regexp.MustCompile(`Date: .* GMT`).ReplaceAllString(r.Answer, "Date: now"))
	assert.Equal(t, "no_token", r.Reason)

	f.Request = strings.Replace(f.Request, "GET", "HEAD", 1)
	r = ask(t, server, f)
	assert.Equal(t, 401, r.Status)
	assert.True(t, strings.HasSuffix(r.Answer, "\r\n\r\n"), "a body: %s", r.Answer)

	f.Request += "\n\nGET /second HTTP/1.1\nHost: a"
	r = ask(t, server, f)
	assert.Equal(t, 1, strings.Count(r.Answer, "HTTP/1.1"), "two requests: %s", r.Answer)
}

// Header and claims are signed byte for byte. A pasted token is sent unchanged.
func TestToken(t *testing.T) {
	t.Parallel()
	server := serve(t)
	f := presetForms(t, server)["good"]
	f.Header, f.Claims = "{ \"alg\":\"ES256\"\t}", `{"sub":"a","sub":"<script>"}`
	r := ask(t, server, f)
	assert.True(t, strings.HasPrefix(r.Token, base64.RawURLEncoding.EncodeToString([]byte(f.Header))+"."+
		base64.RawURLEncoding.EncodeToString([]byte(f.Claims))+"."), r.Token)
	assert.Equal(t, f.Header, r.Header)
	assert.Equal(t, f.Claims, r.Claims)

	confused := presetForms(t, server)["confusion"]
	token := ask(t, server, confused).Token
	input, signature := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
	decoded, err := base64.RawURLEncoding.DecodeString(signature)
	require.NoError(t, err)
	require.NoError(t, jwt.SigningMethodHS256.Verify(input, decoded, []byte(publicPEM(t, idRS256))), "the signature needs only the public key")

	f.Mode, f.Token = "paste", " "+r.Token+"\n"
	again := ask(t, server, f)
	assert.Equal(t, r.Token, again.Token)
	assert.Equal(t, f.Claims, again.Claims)

	for _, text := range []string{"no token", "Bearer " + r.Token, "Authorization: DPoP " + r.Token, "AA.AA.AA", "_w.gICA.AA"} {
		f.Token = text
		again = ask(t, server, f)
		assert.Equal(t, text, again.Token)
		assert.Empty(t, again.Header, text)
		if !strings.HasSuffix(text, r.Token) {
			assert.Empty(t, again.Claims, text)
		}
	}
}

// The errors of New are shown unchanged, and no step is shown as reached.
func TestProblems(t *testing.T) {
	t.Parallel()
	server := serve(t)
	good := presetForms(t, server)["good"]
	newSays := func(o jwtgate.Options) []string {
		_, err := jwtgate.New(o)
		require.Error(t, err)
		return strings.Split(strings.TrimPrefix(err.Error(), "jwtgate.New: "), "\n")
	}
	for name, test := range map[string]struct {
		change func(*form)
		want   []string
	}{
		"nothing trusted": {
			func(f *form) { f.Issuers, f.Audiences = "", "" },
			newSays(jwtgate.Options{Keys: ours().accepted}),
		},
		"several": {
			func(f *form) { f.AnyIssuer, f.Audiences, f.Algorithms, f.Leeway = true, " x", "none", "1h" },
			newSays(jwtgate.Options{Keys: ours().accepted, Issuers: []string{"https://auth.example.com/"}, AnyIssuer: true,
				Audiences: []string{" x"}, Algorithms: []string{"none"}, Leeway: time.Hour}),
		},
		"profile": {
			func(f *form) { f.RFC9068, f.AllowNoExpiry, f.NoType = true, true, true },
			newSays(jwtgate.Options{Keys: ours().accepted, Issuers: []string{"https://auth.example.com/"},
				Audiences: []string{"https://api.example.com"}, RFC9068: true, AllowNoExpiry: true, Types: []string{""}}),
		},
		"private key": {
			func(f *form) {
				f.Source, f.Material = "pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
			},
			[]string{"Options.Keys: keys.PEM: "},
		},
		"short secret":   {func(f *form) { f.Source, f.Material = "hs512", strings.Repeat("x", 63) }, []string{"Options.Keys: keys.HS512: "}},
		"what panics":    {func(f *form) { f.RuleClaim, f.RoleValues = "a", "b" }, []string{"jwtgate.Claim: ", "jwtgate.Claim: "}},
		"name of cookie": {func(f *form) { f.Extract = "cookie" }, []string{"jwtgate.Cookie: "}},
		"Authorization":  {func(f *form) { f.Extract, f.ExtractName = "header", "authorization" }, []string{"jwtgate.Header: "}},
		"durations":      {func(f *form) { f.Leeway, f.MaxAge, f.Clock = "5", "x", "1 h" }, []string{"Leeway: ", "MaxAge: ", "Clock offset: "}},
		"no such choice": {func(f *form) { f.Extract, f.Validate = "body", "maybe" }, []string{"extract: ", "validate: "}},
		"no URL":         {func(f *form) { f.Confirm, f.URLs = "dpop", "" }, []string{"Options.Confirm: dpop.Verifier.URLs: "}},
		"no such check":  {func(f *form) { f.Confirm = "mtls" }, []string{"confirm: "}},
		"proof, cookie":  {func(f *form) { f.Confirm, f.Extract, f.ExtractName = "dpop", "cookie", "a" }, []string{"Options.Extract: "}},
		"no such source": {func(f *form) { f.Source = "ftp" }, []string{"source: "}},
		"no such key":    {func(f *form) { f.Key = "es-2" }, []string{"key: "}},
		"no such way":    {func(f *form) { f.Signature = "wrong" }, []string{"signature: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := good
			test.change(&f)
			r := ask(t, server, f)
			require.Len(t, r.Problems, len(test.want), "%q", r.Problems)
			for i, want := range test.want {
				assert.True(t, strings.HasPrefix(r.Problems[i], want), "want %q, got %q", want, r.Problems[i])
			}
			for _, s := range r.Steps {
				assert.Equal(t, notReached, s.State)
			}
			assert.Empty(t, r.Answer)
		})
	}
}

func TestOtherSites(t *testing.T) {
	t.Parallel()
	server := serve(t)
	body, err := json.Marshal(presetForms(t, server)["good"])
	require.NoError(t, err)
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	for _, test := range []struct {
		name, method, path string
		header             http.Header
		status             int
	}{
		{"this page", "POST", "/api", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {server.URL}}, 200},
		{"no browser", "POST", "/api", nil, 200},
		{"the other name", "POST", "/api", http.Header{"Host": {"localhost" + port}}, 200},
		{"another site", "POST", "/api", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"another port of this machine", "POST", "/api", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://127.0.0.1:1"}}, 403},
		{"another site in an old browser", "POST", "/api", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"a foreign name that resolves to loopback", "POST", "/api", http.Header{"Host": {"evil.example" + port}}, 421},
		{"the foreign name, for the page", "GET", "/", http.Header{"Host": {"evil.example" + port}}, 421},
		{"the foreign name, for the presets", "GET", "/presets", http.Header{"Host": {"evil.example"}}, 421},
		{"a name that looks like loopback", "GET", "/", http.Header{"Host": {"127.0.0.1.evil.example" + port}}, 421},
		{"in a URL", "GET", "/api", nil, 404},
		{"another site, for a token", "POST", "/mint", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"no such page", "GET", "/../main.go", nil, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Content-Type": {"application/json"}}
			for name, values := range test.header {
				header[name] = values
			}
			status, got, text := send(t, test.method, server.URL+test.path, header, string(body))
			assert.Equal(t, test.status, status, text)
			assert.Empty(t, got.Get("Access-Control-Allow-Origin"))
			if test.status != http.StatusNotFound { // http.FileServerFS deletes Cache-Control from its 404
				assert.Equal(t, "no-store", got.Get("Cache-Control"))
			}
			assert.Equal(t, "nosniff", got.Get("X-Content-Type-Options"))
			assert.Contains(t, got.Get("Content-Security-Policy"), "default-src 'none'; ")
			assert.Contains(t, got.Get("Content-Security-Policy"), "frame-ancestors 'none'; ")
			assert.NotContains(t, got.Get("Content-Security-Policy"), "unsafe")
		})
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	server := serve(t)
	for name, test := range map[string]struct {
		kind, body string
		status     int
	}{
		"as large as may be": {"application/json", `{"source":"` + strings.Repeat("x", maxBody-13) + `"}`, 200},
		"larger":             {"application/json", `{"source":"` + strings.Repeat("x", maxBody-12) + `"}`, 413},
		"with a charset":     {"application/json; charset=utf-8", `{}`, 200},
		"a form of HTML":     {"text/plain", `{}`, 415},
		"no type":            {"", `{}`, 415},
		"not JSON":           {"application/json", `token`, 400},
		"unknown field":      {"application/json", `{"tokens":""}`, 400},
		"wrong type":         {"application/json", `{"anyIssuer":"yes"}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, _, text := send(t, "POST", server.URL+"/api", http.Header{"Content-Type": {test.kind}}, test.body)
			assert.Equal(t, test.status, status, text)
		})
	}
}

// The page loads nothing from another origin and has no inline script or style.
func TestPage(t *testing.T) {
	t.Parallel()
	server := serve(t)
	status, header, html := send(t, "GET", server.URL+"/", nil, "")
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, "text/html; charset=utf-8", header.Get("Content-Type"))
	assert.NotRegexp(t, `(?i)<style|\sstyle=|\son\w+=|<script(?: [^>]*)?>[^<]|javascript:`, html)
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#][^"]*)"`).FindAllStringSubmatch(html, -1) {
		status, _, _ := send(t, "GET", server.URL+"/"+m[1], nil, "")
		assert.Equal(t, http.StatusOK, status, m[1])
	}
	require.NoError(t, fs.WalkDir(assets, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(assets, name)
		for _, address := range regexp.MustCompile(`https?://[^"'\s]*`).FindAllString(string(text), -1) {
			assert.Equal(t, "http://www.w3.org/2000/svg", address, name)
		}
		assert.NotRegexp(t, `innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|@import|url\(`, string(text), name)
		return err
	}))
	// The page has all fields of the form and no others.
	fields, err := json.Marshal(form{})
	require.NoError(t, err)
	var names map[string]any
	require.NoError(t, json.Unmarshal(fields, &names))
	for _, m := range regexp.MustCompile(`<(?:input|select|textarea)[^>]* name="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		assert.Contains(t, names, m[1])
		names[m[1]] = true
	}
	for name, seen := range names {
		assert.Equal(t, true, seen, name)
	}
}

// TestMain runs the program instead of the tests if TestProgram asks for it.
func TestMain(m *testing.M) {
	if os.Getenv(runsProgram) != "" {
		main()
		return
	}
	m.Run()
}

const runsProgram = "PLAYGROUND_TEST_RUNS_PROGRAM"

// The program listens on loopback. It prints its address and nothing else, whatever
// is pasted. The test runs its own binary as the program, so it builds nothing.
func TestProgram(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	require.NoError(t, err)
	command := exec.Command(program, "-port", "0")
	command.Env = append(os.Environ(), runsProgram+"=1")
	var rest, stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	read := sync.OnceValue(func() string { // ends the program and returns the rest of its output
		require.NoError(t, command.Process.Kill())
		_, _ = io.Copy(&rest, stdout)
		_ = command.Wait()
		return rest.String() + stderr.String()
	})
	defer read()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	m := regexp.MustCompile(`^open (http://127\.0\.0\.1:\d+/)\n$`).FindStringSubmatch(line)
	require.NotNil(t, m, line)

	jwks := `{"keys":[{"kty":"EC","kid":"skipped"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	for _, f := range []form{
		{Mode: "paste", Token: "se.cr.et", Source: "jwks", Material: jwks, AnyIssuer: true, AnyAudience: true, Request: "GET /?se.cr.et HTTP/1.1\nHost: a\nAuthorization: {token}"},
		{Mode: "paste", Token: "se.cr.et", Source: "hs256", Material: "secret", Request: "{token}"},
	} {
		body, err := json.Marshal(f)
		require.NoError(t, err)
		status, _, text := send(t, "POST", m[1]+"api?se.cr.et", http.Header{"Content-Type": {"application/json"}}, string(body))
		require.Equal(t, http.StatusOK, status, text)
	}
	_, _, _ = send(t, "POST", m[1]+"api", nil, "se.cr.et")
	assert.Empty(t, read())
}

func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	require.NoError(t, run(ctx, &out, 0))
	assert.Contains(t, out.String(), "http://127.0.0.1:")
	require.Error(t, run(t.Context(), &out, 1<<16))
}
