package main

import (
	"encoding/json"
	"fmt"
	"go/format"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostile is text that must be quoted in the code.
const hostile = "\"+panic(1)+\"`\\ */ // context.errors.os.time. {{}} \u2028\u00e9 %s\x00\n"

// changes are the cases of TestCode. Each sets one or more fields of the form.
var changes = map[string]func(*form){
	"nothing": func(*form) {},
	"secret":  func(f *form) { f.Key, f.Header, f.Source = idHS256, `{"alg":"HS256"}`, "secret" },
	"hs256":   func(f *form) { f.Source, f.Material = "hs256", string(ours().secret) },
	"hs384": func(f *form) {
		f.Key, f.Header, f.Source, f.Material = idHS256, `{"alg":"HS256"}`, "hs384", string(ours().secret)
	},
	"jwks":            func(f *form) { f.Source, f.Material = "jwks", rfc8037 },
	"AnyIssuer":       func(f *form) { f.Issuers, f.AnyIssuer = "", true },
	"Issuers":         func(f *form) { f.Issuers += "\r\n" + strings.TrimSpace(hostile) + "\n\n" },
	"AnyAudience":     func(f *form) { f.Audiences, f.AnyAudience = "", true },
	"Audiences":       func(f *form) { f.Audiences = "https://other.example.com\n" + strings.TrimSpace(hostile) },
	"Algorithms":      func(f *form) { f.Algorithms = " ES256, ES256" },
	"Types":           func(f *form) { f.Types, f.NoType = "at+jwt application/x-jwt", true },
	"no typ":          func(f *form) { f.NoType = true },
	"RFC9068":         func(f *form) { f.RFC9068 = true },
	"SubjectClaim":    func(f *form) { f.SubjectClaim = "id" + strings.TrimSpace(hostile) },
	"AllowNoSubject":  func(f *form) { f.SubjectClaim, f.AllowNoSubject = "id", true },
	"AllowNoExpiry":   func(f *form) { f.AllowNoExpiry, f.Claims = true, withoutExpiry },
	"Leeway":          func(f *form) { f.Leeway = "-1ns" },
	"MaxAge":          func(f *form) { f.MaxAge, f.Clock = "10m", "20m" },
	"Leeway enough":   func(f *form) { f.MaxAge, f.Clock, f.Leeway = "10m", "12m", "3m" },
	"Now":             func(f *form) { f.Clock = "-1h" },
	"Now by much":     func(f *form) { f.Clock = "1h2m3s4ms" },
	"Rules":           func(f *form) { f.RuleClaim, f.RuleValues = hostile, hostile },
	"Rules met":       func(f *form) { f.RuleClaim, f.RuleValues = "sub", "bob\nalice" },
	"Validate":        func(f *form) { f.Validate = "passes" },
	"ErrRevoked":      func(f *form) { f.Validate = "revoked" },
	"Validate fails":  func(f *form) { f.Validate = "outage" },
	"Scope":           func(f *form) { f.Scopes = "orders:read %s */orders // `" },
	"Scope met":       func(f *form) { f.Scopes = "orders:read" },
	"Claim":           func(f *form) { f.RoleClaim, f.RoleValues = "/realm_access/roles", hostile },
	"Scope and Claim": func(f *form) { f.Scopes, f.RoleClaim, f.RoleValues = "orders:read", "sub", "bob" },
	"Realm":           func(f *form) { f.Realm = `the "time." \ %s` + "`" },
	"Cookie": func(f *form) {
		f.Extract, f.ExtractName, f.Request = "cookie", "__Host-session", "GET / HTTP/1.1\nHost: a\nCookie: __Host-session={token}"
	},
	"no token68": func(f *form) { f.Request += " more" },
	"DPoP": func(f *form) {
		f.Confirm, f.URLs, f.Request = "dpop", "https://api.example.com\nhttps://example.com/api", "GET / HTTP/1.1\nHost: a\nAuthorization: DPoP {token}"
		f.Claims = strings.Replace(f.Claims, "{", `{"cnf": {"jkt": "x"},`, 1)
	},
	"DPoP nonces": func(f *form) {
		f.Confirm, f.Nonces, f.AllowUnbound = "dpop", true, true
	},
	"Header": func(f *form) { // the request has no such header
		f.Extract, f.ExtractName = "header", "`!#$%&'*+"
	},
	"everything": func(f *form) {
		f.Algorithms, f.Types, f.SubjectClaim, f.Leeway, f.MaxAge, f.Clock = "ES256", "JWT", "sub", "1m", "2h", "1m"
		f.AllowNoSubject, f.AllowNoExpiry, f.Validate, f.Realm = true, true, "passes", "orders"
		f.RuleClaim, f.RuleValues, f.Scopes, f.RoleClaim, f.RoleValues = "sub", "alice", "orders:read", "scope", "orders:read"
	},
}

const withoutExpiry = `{"iss":"https://auth.example.com/","aud":"https://api.example.com","sub":"alice"}`

// rfc8037 is a JWK Set with the key of RFC 8037 appendix A.
const rfc8037 = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

// The code passes gofmt and go vet, compiles, and decides and answers as the page
// says. The code of all cases is compiled as one package, which is faster than a
// package for each case. So the functions guard and validate get numbers.
func TestCode(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles the code of all cases")
	}
	now := time.Now()
	names := slices.Sorted(maps.Keys(changes))
	dir := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	functions := regexp.MustCompile(`\b(guard|validate)\b`)
	writeCode := func(file, suffix, code string) {
		formatted, err := format.Source([]byte(code))
		require.NoError(t, err, file)
		require.Equal(t, string(formatted), code, file)
		require.Contains(t, code, "package api\n", file)
		write("api/"+file+".go", functions.ReplaceAllString(code, "${1}"+suffix))
	}
	type answer struct {
		Status    int
		Challenge string
	}
	var guards strings.Builder
	var requests []string
	want := map[string]answer{}
	for i, name := range names {
		f := ours().presets(now)[0].Form
		// The code with keys.Remote is only compiled: running it would fetch keys.
		discovered := f
		changes[name](&discovered)
		if discovered.Source == "issuer" {
			r := ours().try(discovered, now)
			require.Empty(t, r.Problems, name)
			assert.Equal(t, name == "Issuers", r.CodeProblem != "", "%s: %s", name, r.CodeProblem)
			assert.Contains(t, r.Code, "&keys.Remote{")
			writeCode(fmt.Sprintf("remote%d", i), fmt.Sprintf("Remote%d", i), r.Code)
		}
		f.Source, f.Material = "pem", publicPEM(t, idES256)
		changes[name](&f)
		r := ours().try(f, now)
		require.Empty(t, r.Problems, name)
		writeCode(fmt.Sprintf("case%d", i), fmt.Sprint(i), r.Code)
		fmt.Fprintf(&guards, "guard%d, ", i)
		requests = append(requests, strings.ReplaceAll(f.Request, "{token}", r.Token))
		want[name] = answer{r.Status, challenge(r.Answer)}
	}
	statuses := map[int]bool{}
	for _, a := range want {
		statuses[a.Status] = true
	}
	require.Len(t, statuses, 5, "200, 400, 401, 403 and 503: %v", statuses)

	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	_, required, _ := strings.Cut(string(module), "\n\n")
	write("go.mod", "module example.com/service\n\n"+required+"\nrequire github.com/jwtgate/jwtgate v0.0.0\n"+
		"replace github.com/jwtgate/jwtgate => "+root+"\n")
	write("go.sum", string(sum))
	write("issuer.pem", publicPEM(t, idES256))
	write("jwks.json", rfc8037)
	encoded, err := json.Marshal(requests)
	require.NoError(t, err)
	write("requests.json", string(encoded))
	write("api/guards.go", "package api\n\nimport \"net/http\"\n\n"+
		"var Guards = []func(http.Handler) (http.Handler, error){"+guards.String()+"}\n")
	write("main.go", caller)

	invoke := func(arguments ...string) []byte {
		command := exec.Command("go", arguments...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "JWT_SECRET="+string(ours().secret),
			"DPOP_NONCE_KEY="+string(ours().nonceKey))
		out, err := command.Output()
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		require.NoError(t, err, "go %v: %s%s", arguments, out, stderr)
		return out
	}
	invoke("vet", "./...")
	var got []answer
	require.NoError(t, json.Unmarshal(invoke("run", "."), &got))
	require.Len(t, got, len(names))
	for i, name := range names {
		assert.Equal(t, want[name], got[i], name)
	}
}

func challenge(answer string) string {
	_, rest, _ := strings.Cut(answer, "\r\nWww-Authenticate: ")
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}

// caller is a program that sends each guard its request and prints the answers.
const caller = `package main

import (
	"bufio"
	"encoding/json"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"example.com/service/api"
)

func main() {
	text, err := os.ReadFile("requests.json")
	if err != nil {
		log.Fatal(err)
	}
	var requests []string
	if err := json.Unmarshal(text, &requests); err != nil {
		log.Fatal(err)
	}
	type answer struct {
		Status    int
		Challenge string
	}
	var answers []answer
	for i, guard := range api.Guards {
		handler, err := guard(http.NotFoundHandler())
		if err != nil {
			log.Fatal(i, err)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(requests[i], "\n", "\r\n") + "\r\n\r\n")))
		if err != nil {
			log.Fatal(i, err)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusNotFound {
			w.Code = http.StatusOK // the gate called the handler
		}
		answers = append(answers, answer{w.Code, w.Header().Get("WWW-Authenticate")})
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}
`

// The code has the fields that were set and no others.
func TestCodeIsShort(t *testing.T) {
	t.Parallel()
	f := ours().presets(time.Now())[0].Form
	f.Scopes, f.Leeway = "orders:read orders:write", "1m"
	got, err := code(f)
	require.NoError(t, err)
	assert.Equal(t, `package api

import (
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// guard returns next behind a gate.
func guard(next http.Handler) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{}, // found through the issuer
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Leeway:    time.Minute,
	})
	if err != nil {
		return nil, err
	}
	return gate.Require(jwtgate.Scope("orders:read", "orders:write")).Handler(next), nil
}
`, got)
}

// The code contains no secret.
func TestCodeHasNoSecret(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"secret", "hs256", "hs384", "hs512", "pem", "jwks"} {
		f := ours().presets(time.Now())[0].Form
		f.Source, f.Material = source, strings.Repeat("the secret", 10)
		got, err := code(f)
		require.NoError(t, err)
		assert.NotContains(t, got, "the secret", source)
		assert.NotContains(t, got, string(ours().secret), source)
		f.Confirm, f.Nonces = "dpop", true
		got, err = code(f)
		require.NoError(t, err)
		assert.NotContains(t, got, string(ours().nonceKey), source)
	}
}

// The code for tokens in cookies protects against requests from other sites (CSRF).
func TestCodeForCookie(t *testing.T) {
	t.Parallel()
	f := ours().presets(time.Now())[0].Form
	for extract, want := range map[string]bool{"": false, "header": false, "cookie": true} {
		f.Extract, f.ExtractName = extract, "session"
		got, err := code(f)
		require.NoError(t, err)
		assert.Equal(t, want, strings.Contains(got, "return http.NewCrossOriginProtection().Handler(gate.Handler(next)), nil"), got)
	}
}

// If New refuses the keys.Remote of the code, here because of an http issuer, the
// page says so, although the page's own gate accepts the token.
func TestCodeProblem(t *testing.T) {
	t.Parallel()
	f := ours().presets(time.Now())[0].Form
	f.Issuers = "http://auth.example.com/"
	f.Claims = strings.Replace(f.Claims, "https://auth", "http://auth", 1)
	r := ours().try(f, time.Now())
	assert.Equal(t, 200, r.Status)
	assert.Contains(t, r.CodeProblem, "keys.Remote: ")
	f.Source = "secret"
	assert.Empty(t, ours().try(f, time.Now()).CodeProblem)
}

func TestExpression(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1h": "time.Hour", "-1h": "-time.Hour", "90m": "90 * time.Minute", "-30s": "-30 * time.Second", "1ms": "time.Millisecond",
		"1us": "1000 * time.Nanosecond", "-2562047h47m16.854775808s": "-9223372036854775808 * time.Nanosecond",
	} {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		assert.Equal(t, want, expression(d))
	}
}
