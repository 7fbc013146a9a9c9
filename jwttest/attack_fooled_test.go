package jwttest_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

// verifiesNothing accepts every request with a bearer token of three segments.
var verifiesNothing = byHand(func(token string) bool { return strings.Count(token, ".") == 2 })

// after returns a handler that calls next for the first n requests, and then broken.
func after(n int64, next, broken http.Handler) http.Handler {
	var requests atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) <= n {
			next.ServeHTTP(w, r)
			return
		}
		broken.ServeHTTP(w, r)
	})
}

// answering returns a handler that answers each request with status.
func answering(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// recovering returns a handler that answers 500 if next panics.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// bearerToken returns the token of a request, or "".
func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// Attack fails for services that seem to refuse, because they answer nothing else, and for
// services whose answers it would misread. The report says what happened.
func TestAttackIsNotFooled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: attacks many handlers, in another process")
	}
	target := attackTarget("HS256")
	target.Strict = false
	gate := attackMust(jwtgate.New(attackOptions(target)))
	guarded := gate.Handler(answer)
	only := func(families ...string) jwttest.Target {
		target := target
		target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool { return family == "valid" || slices.Contains(families, family) })
		return target
	}
	parse := func(key jwt.Keyfunc) http.Handler {
		return byHand(func(token string) bool {
			_, err := jwt.NewParser(jwt.WithIssuer(attackIssuer), jwt.WithAudience(attackAudience), jwt.WithExpirationRequired()).Parse(token, key)
			return err == nil
		})
	}
	// fetching returns a verifier that trusts the keys at any https address in a header
	// parameter.
	fetching := func(parameter string, client *http.Client) http.Handler {
		return parse(func(token *jwt.Token) (any, error) {
			address, _ := token.Header[parameter].(string)
			if !strings.HasPrefix(address, "https://") {
				return target.Key, nil
			}
			response, err := client.Get(address)
			if err != nil {
				return nil, err
			}
			defer response.Body.Close()
			var set struct {
				Keys []struct{ Kty, K string }
			}
			if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
				return nil, err
			}
			return []byte("a secret that nobody has"), nil
		})
	}
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	graphQL := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		token, err := jwt.NewParser().Parse(bearerToken(r), func(*jwt.Token) (any, error) { return target.Key, nil })
		if query, _ := io.ReadAll(r.Body); err != nil || !strings.Contains(string(query), "me") || r.Header.Get("Content-Type") != "application/json" {
			fmt.Fprint(w, `{"errors":[{"message":"not signed in"}]}`)
			return
		}
		subject, _ := token.Claims.GetSubject()
		fmt.Fprintf(w, `{"data":{"me":%q}}`, subject)
	})
	graphQLTarget := only("none", "times")
	graphQLTarget.Routes = []jwttest.Route{{Method: "POST", Path: "/graphql", Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"query":"{me}"}`}}
	graphQLTarget.GotIn = func(r *http.Response) bool {
		body, _ := io.ReadAll(r.Body)
		return strings.Contains(string(body), `"data"`)
	}
	routes := only("none", "signature", "times", "other-places")
	routes.Routes = []jwttest.Route{{Path: "/orders"}, {Method: "POST", Path: "/orders"}, {Path: "/admin?all=1"}, {Path: "/missing"}}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", guarded)
	mux.Handle("POST /orders", guarded)
	mux.Handle("GET /admin", answer)

	var pending []string
	later := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header, _, _ := strings.Cut(bearerToken(r), ".")
		text, _ := base64.RawURLEncoding.DecodeString(header)
		var parameters struct{ Jku string }
		if json.Unmarshal(text, &parameters) == nil && strings.HasPrefix(parameters.Jku, "http") {
			pending = append(pending, parameters.Jku)
		} else {
			for _, address := range pending {
				if response, err := trusting.Get(address); err == nil {
					response.Body.Close()
				}
			}
			pending = nil
		}
		guarded.ServeHTTP(w, r)
	})

	strict := target
	strict.Strict = true
	strict.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool {
		return slices.Contains([]string{"valid", "kid", "duplicate", "nested", "subject", "type"}, family)
	})

	// forgetful checks the signature of a token and nothing else, and remembers good tokens. After
	// 40 bad ones it refuses all tokens that it does not remember.
	var remembered sync.Map
	var bad atomic.Int64
	forgetful := byHand(func(token string) bool {
		if _, ok := remembered.Load(token); ok {
			return true
		}
		if bad.Load() >= 40 {
			return false
		}
		_, err := jwt.NewParser(jwt.WithoutClaimsValidation()).Parse(token, func(*jwt.Token) (any, error) { return target.Key, nil })
		if err != nil {
			bad.Add(1)
			return false
		}
		remembered.Store(token, true)
		return true
	})

	var broken atomic.Bool
	var lock sync.Mutex
	var requests atomic.Int64

	for _, tt := range []struct {
		name    string
		target  jwttest.Target
		handler http.Handler
		finds   []string // texts in the report
		not     []string // texts that are not in the report
		errors  int      // the greatest number of reports
	}{
		{"rate limit", target, after(100, guarded, answering(429)), []string{
			"NOTHING PROVED: the service refuses even the plain good request now\n",
			"429 Too Many Requests, called directly; 429 Too Many Requests, over TCP", "unproved ", "switch the rate limit off for the test",
			"NOT SENT: all further cases. The service still refuses", "jwttest.Attack stopped after ",
		}, []string{"GOT IN", "REFUSED ALTHOUGH VALID"}, 3},

		{"answers 401 after a while", target, after(65, guarded, answering(401)), []string{
			"NOTHING PROVED", "401 Unauthorized, called directly; 401 Unauthorized, over TCP", "may block a client\n", "jwttest.Attack stopped after ",
		}, nil, 3},

		{"remembers good tokens and refuses new ones after a while", only("none", "signature", "times"), forgetful, []string{
			"NOTHING PROVED: the service refuses good tokens that it has not seen now\n", "may block a client\n",
			"NOT SENT: all further cases. The service still refuses good tokens that it has not seen: 401", "jwttest.Attack stopped after ",
		}, []string{"GOT IN"}, 3},

		{"unavailable after a while", target, after(150, verifiesNothing, answering(503)), []string{
			"NOTHING PROVED", "503 Service Unavailable, called directly", "its key source", "jwttest.Attack stopped after ",
		}, nil, 200},

		{"panic that leaves a lock, behind a recoverer", only("none", "signature", "times"), recovering(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Count(bearerToken(r), ".") == 1 {
				broken.Store(true)
			}
			if broken.Load() {
				panic("the map is nil")
			}
			guarded.ServeHTTP(w, r)
		})), []string{
			"NOTHING PROVED", "500 Internal Server Error, called directly", "recovers from panics", "none/without-last-dot", "jwttest.Attack stopped after ",
		}, []string{"GOT IN", "FAILED INSIDE"}, 3},

		{"handler that locks up", only("none", "signature", "times"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lock.Lock()
			if strings.Count(bearerToken(r), ".") == 1 {
				w.WriteHeader(http.StatusUnauthorized)
				return // forgets to unlock
			}
			lock.Unlock()
			guarded.ServeHTTP(w, r)
		}), []string{
			"NO ANSWER: ", "NOTHING PROVED", "no answer after ", "now hangs for every\n", "none/without-last-dot", "jwttest.Attack stopped after ",
		}, []string{"PANICKED"}, 3},

		{"closes every connection after a while", target, after(100, guarded, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })), []string{
			"NOTHING PROVED", "no answer (the handler closed the connection), called directly", "jwttest.Attack stopped after ",
		}, []string{"GOT IN", "PANICKED"}, 3},

		// One disturbance does not end the attack. The service does not check times, which
		// Attack must still find.
		{"one disturbance", only("none", "signature", "times"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n := requests.Add(1); n > 150 && n <= 153 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			byHand(func(token string) bool {
				_, err := jwt.NewParser(jwt.WithoutClaimsValidation()).Parse(token, func(*jwt.Token) (any, error) { return target.Key, nil })
				return err == nil
			}).ServeHTTP(w, r)
		}), []string{
			"NOTHING PROVED", "503 Service Unavailable", "GOT IN: times/exp-an-hour-ago\n",
		}, []string{"jwttest.Attack stopped", "NOT SENT"}, 200},

		{"a limit on bad tokens only", only("none"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if status := statusBehind(guarded, r); status >= 400 {
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}), []string{
			"UNPROVED: none/unsigned-none\n", "429 Too Many Requests, called directly", "no verdict on the token", "as above",
			"NOT SENT: all further cases. The service gave no verdict on 30 cases", "jwttest.Attack stopped after ",
		}, []string{"NOTHING PROVED", "GOT IN"}, 31},

		{"500 for a bad token", only("none"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status := statusBehind(guarded, r)
			if strings.HasPrefix(bearerToken(r), "e30.") {
				status = http.StatusInternalServerError
			}
			w.WriteHeader(status)
		}), []string{
			"FAILED INSIDE: none/without-header\n", "500 Internal Server Error, called directly", "answer 401",
		}, []string{"NOTHING PROVED", "none/unsigned-none"}, 3},

		{"503 for a bad token", only("none"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status := statusBehind(guarded, r)
			if strings.HasPrefix(bearerToken(r), "e30.") {
				status = http.StatusServiceUnavailable
			}
			w.WriteHeader(status)
		}), []string{
			"UNPROVED: none/without-header\n", "503 Service Unavailable, called directly", "find out what the service cannot reach",
		}, []string{"NOTHING PROVED"}, 3},

		// net/http recovers this panic over TCP, where the client sees a closed connection.
		{"panics", only("segments"), http.HandlerFunc(panicsWithoutSegments(guarded)), []string{
			"PANICKED: segments/two\n", "index out of range", "stack    ", "panicsWithoutSegments", "attack_fooled_test.go:",
		}, []string{"GOT IN", "testing.tRunner", "runtime.goPanicIndex"}, 100},

		{"panics over TCP only", only("authorization"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Trailer != nil || r.TransferEncoding != nil {
				panic("no chunks please")
			}
			guarded.ServeHTTP(w, r)
		}), []string{"PANICKED: authorization/in-a-trailer\n", "no chunks please", "stack    "}, []string{"GOT IN"}, 5},

		// The certificate of the bait is self-signed, so the handshake fails.
		{"keys at any https address", only("header-key"), fetching("jku", http.DefaultClient), []string{
			"FETCHED: header-key/jku-over-https\n", "FETCHED: header-key/jku-with-extension-over-https\n", "RFC 8725 section 3.10",
		}, []string{"FETCHED: header-key/jku\n", "FETCHED: header-key/x5u", "after the request was answered"}, 40},

		{"certificates at any https address", only("header-key"), fetching("x5u", http.DefaultClient), []string{
			"FETCHED: header-key/x5u-over-https\n",
		}, []string{"FETCHED: header-key/jku-over-https\n", "after the request was answered"}, 40},

		{"kid as an https address", only("header-key"), fetching("kid", http.DefaultClient), []string{
			"FETCHED: header-key/kid-as-address-over-https\n",
		}, []string{"FETCHED: header-key/jku-over-https\n"}, 40},

		{"keys at any https address with any certificate", only("header-key"), fetching("jku", trusting), []string{
			"FETCHED: header-key/jku-over-https\n",
		}, []string{"FETCHED: header-key/x5u", "after the request was answered"}, 40},

		{"keys fetched later", only("header-key"), later, []string{
			"FETCHED: header-key/jku, after the request was answered", "FETCHED: header-key/jku-over-https, after the request was answered",
		}, []string{"FETCHED: header-key/x5u"}, 60},

		// golang-jwt with all its checks, but neither typ nor events.
		{"checks no typ", strict, byHand(func(token string) bool {
			_, err := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(attackIssuer), jwt.WithAudience(attackAudience), jwt.WithExpirationRequired()).
				Parse(token, func(*jwt.Token) (any, error) { return target.Key, nil })
			return err == nil
		}), []string{
			"GOT IN: type/events-without-typ\n", "GOT IN: type/events-under-jwt\n", "GOT IN: type/logout-without-typ\n", "GOT IN: type/logout-under-jwt\n",
			"RFC 8417 section 2.2 (SHOULD)",
		}, []string{"REFUSED ALTHOUGH VALID"}, 300},

		{"GraphQL", graphQLTarget, graphQL, []string{
			"GOT IN: times/exp-missing\n", "POST /graphql", "200 OK, called directly; 200 OK, over TCP",
		}, []string{"GOT IN: none/", "REFUSED"}, 200},

		{"an unguarded route", routes, mux, []string{
			"GOT IN: none/unsigned-none, GET /admin\n", "GET /admin?all=1", "GOT IN: signature/one-byte, GET /admin\n",
			"GOT IN: other-places/query-access_token, GET /admin\n", "/admin?all=1&access_token=",
			"REFUSED ALTHOUGH VALID: valid/plain, GET /missing\n", "Nothing else was tried on this route",
		}, []string{"/orders\n\n", "none/unsigned-none, POST /orders"}, 20},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if inChild() {
				timeout := 10 * time.Second
				if tt.name == "handler that locks up" {
					timeout = 2 * time.Second
				}
				jwttest.AttackImpatiently(t, tt.handler, tt.target, timeout, timeout/4)
				return
			}
			report, ok := reportsOfChild(t, "TestAttackIsNotFooled")[t.Name()]
			require.True(t, ok, "Attack found nothing")
			for _, want := range tt.finds {
				assert.True(t, strings.Contains(unindented(report), want), "%q is not in the report", want)
			}
			for _, unwanted := range tt.not {
				assert.False(t, strings.Contains(unindented(report), unwanted), "%q is in the report", unwanted)
			}
			reports := len(anyFinding.FindAllString(report, -1))
			assert.LessOrEqual(t, reports, tt.errors)
			t.Logf("%d reports", reports)
			if t.Failed() || testing.Verbose() {
				t.Logf("%.6000s", report)
			}
		})
	}
}

// GotIn decides for services whose status says nothing, and many routes are attacked in
// little time.
func TestAttackPasses(t *testing.T) {
	t.Parallel()
	target := attackTarget("HS256")
	target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool {
		return slices.Contains([]string{"valid", "authorization", "other-places", "none", "signature", "times", "issuer", "audience"}, family)
	})
	target.Claims = map[string]any{"sub": "bob"}
	gate := attackMust(jwtgate.New(attackOptions(target)))

	t.Run("a handler under Optional", func(t *testing.T) {
		t.Parallel()
		target := target
		target.GotIn = func(r *http.Response) bool {
			body, err := io.ReadAll(r.Body)
			return err == nil && r.StatusCode == http.StatusOK && len(body) > len("hello ")
		}
		jwttest.Attack(t, gate.Optional(whoami), target)
	})

	t.Run("GraphQL", func(t *testing.T) {
		t.Parallel()
		target := target
		target.Routes = []jwttest.Route{{Method: "POST", Path: "/graphql", Body: `{"query": "{me {name}}"}`}}
		target.GotIn = func(r *http.Response) bool {
			var answer struct{ Data any }
			return json.NewDecoder(r.Body).Decode(&answer) == nil && answer.Data != nil
		}
		jwttest.Attack(t, newGraphQLService(keys.HS256(target.Key.([]byte))), target)
	})

	t.Run("a handler that refuses security events", func(t *testing.T) {
		t.Parallel()
		target := target
		target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool { return family == "valid" || family == "type" })
		guarded := gate.Handler(answer)
		jwttest.Attack(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			parts := strings.Split(bearerToken(r), ".")
			if claims, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)]); err == nil && strings.Contains(string(claims), `"events"`) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			guarded.ServeHTTP(w, r)
		}), target)
	})

	t.Run("many routes", func(t *testing.T) {
		t.Parallel()
		target := target
		seen := map[string]int{}
		var mu sync.Mutex
		mux := http.NewServeMux()
		for i := range 20 {
			route := jwttest.Route{Method: "POST", Path: fmt.Sprintf("/orders/%d", i), Header: http.Header{"X-Tenant": {"a", "b"}}, Body: "x"}
			target.Routes = append(target.Routes, route)
			mux.Handle(route.Method+" "+route.Path, gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, "x", string(body))
				assert.Equal(t, []string{"a", "b"}, r.Header["X-Tenant"])
				mu.Lock()
				defer mu.Unlock()
				seen[r.URL.Path]++
			})))
		}
		jwttest.Attack(t, mux, target)
		assert.Len(t, seen, 20)
		for path, n := range seen {
			assert.GreaterOrEqual(t, n, 4, path) // at the start and at the end, in two ways
		}
	})
}

// Attack waits for a slow answer, and reads no more of a body than GotIn asks for.
func TestAttackReadsBodies(t *testing.T) {
	t.Parallel()
	target := attackTarget("HS256")
	target.Skip = slices.DeleteFunc(jwttest.Families(), func(family string) bool { return family == "valid" || family == "none" })
	most := 0
	target.GotIn = func(r *http.Response) bool {
		body, err := io.ReadAll(r.Body)
		most = max(most, len(body))
		return err == nil && r.StatusCode == http.StatusOK
	}
	gate := attackMust(jwtgate.New(attackOptions(target)))
	long := make([]byte, 1<<20+1)
	requests := 0
	jwttest.Attack(t, gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests <= 4 {
			_, _ = w.Write(long)
		}
	})), target)
	assert.Equal(t, 1<<20, most)
}

func panicsWithoutSegments(next http.Handler) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if token := bearerToken(r); token != "" {
			_ = strings.Split(token, ".")[2]
		}
		next.ServeHTTP(w, r)
	}
}
