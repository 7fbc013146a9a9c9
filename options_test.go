package jwtgate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// The keys are fetched from the issuer when the first token arrives.
func ExampleNew() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Rules:     []jwtgate.Rule{jwtgate.Claim("client_id", "web", "mobile")},
		MaxAge:    12 * time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = gate.Check(httptest.NewRequest("GET", "/orders", nil))
	fmt.Println(err)
	// Output:
	// jwtgate: no token: the request has no header "Authorization" (status 401)
}

// New reports every unsafe option at once.
func ExampleNew_wrong() {
	_, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256([]byte("too short")),
		Audiences: []string{""}, // from an environment variable that was not set
	})
	fmt.Println(err)
	// Output:
	// jwtgate.New: Options.Issuers: no issuer is trusted; list the iss values to trust, or set AnyIssuer if the tokens have no iss
	// Options.Audiences: one value is the empty string, which would match an empty claim; was a setting not loaded? Otherwise remove the value
	// Options.Keys: keys.HS256: secret 1: jwtgate: key for "HS256": the secret has 9 bytes and HS256 needs at least 32 (RFC 7518 section 3.2); make one with: openssl rand -hex 32
}

// Validate asks a database whether the user is locked out. If the database does not answer, the
// client gets 503 and stays signed in.
func ExampleOptions_validate() {
	lockedOut := func(_ context.Context, user string) (bool, error) { return user == "mallory", nil }
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) {
		o.Validate = func(ctx context.Context, t *jwtgate.Token) error {
			locked, err := lockedOut(ctx, t.Subject)
			if err != nil {
				return err
			}
			if locked {
				return fmt.Errorf("%w: the user is locked out", jwtgate.ErrRevoked)
			}
			return nil
		}
	}))
	if err != nil {
		panic(err)
	}
	for _, user := range []string{"alice", "mallory"} {
		_, err := gate.Verify(context.Background(), hs256Token(map[string]any{"sub": user}))
		fmt.Println(user, err)
	}
	// Output:
	// alice <nil>
	// mallory jwtgate: token revoked: the user is locked out (status 401)
}

// A web page redirects visitors without a valid token to its login page. Other denials keep the
// standard answer.
func ExampleOptions_onDeny() {
	gate, err := jwtgate.New(options(func(o *jwtgate.Options) {
		o.Extract = jwtgate.Cookie("__Host-session")
		o.OnDeny = func(w http.ResponseWriter, r *http.Request, e *jwtgate.Error) {
			if e.Status == http.StatusUnauthorized {
				http.Redirect(w, r, "/login", http.StatusSeeOther)
			} // writing nothing sends the standard answer
		}
	}))
	if err != nil {
		panic(err)
	}
	w := serve(gate.Handler(writeSubject), request("GET"))
	fmt.Println(w.Code, w.Header().Get("Location"))
	w = serve(gate.Require(jwtgate.Scope("admin")).Handler(writeSubject), request("GET", "Cookie: __Host-session="+hs256Token(nil)))
	fmt.Println(w.Code)
	// Output:
	// 303 /login
	// 403
}

// Each tenant has its own issuer. Tenants are added and removed while the service is running.
func ExampleOptions_trustIssuer() {
	var tenants sync.Map // from issuer to tenant, kept up to date by you
	tenants.Store("https://acme.example.com/", "acme")
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:        &keys.Remote{}, // keeps the tenants' keys apart
		TrustIssuer: func(issuer string) bool { _, ok := tenants.Load(issuer); return ok },
		Audiences:   []string{"https://api.example.com"},
	})
	if err != nil {
		panic(err)
	}
	_, err = gate.Verify(context.Background(), hs256Token(map[string]any{"iss": "https://other.example.com/"}))
	fmt.Println(err)
	// Output:
	// jwtgate: issuer not trusted: iss is "https://other.example.com/", which Options.TrustIssuer does not trust (status 401)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	var nilRule jwtgate.RuleFunc
	var nilSource *recordingSource
	for _, tt := range []struct {
		name    string
		change  func(*jwtgate.Options)
		message string
	}{
		{"no keys", func(o *jwtgate.Options) { o.Keys = nil }, "Options.Keys: there is no key source; use one of package keys"},
		{"keys a nil func", func(o *jwtgate.Options) { o.Keys = jwtgate.KeySourceFunc(nil) }, "Options.Keys: there is no key source"},
		{"keys a nil pointer", func(o *jwtgate.Options) { o.Keys = nilSource }, "Options.Keys: there is no key source"},
		{"unusable PEM", func(o *jwtgate.Options) { o.Keys = keys.PEM([]byte("x")) }, "Options.Keys: keys.PEM: it has no PEM block"},
		{"CheckIssuers fails", func(o *jwtgate.Options) { o.Keys = &recordingSource{err: errors.New("no route")} }, "Options.Keys: no route"},
		{"no issuers", func(o *jwtgate.Options) { o.Issuers = nil }, "Options.Issuers: no issuer is trusted; list the iss values"},
		{"empty issuers", func(o *jwtgate.Options) { o.Issuers = []string{} }, "Options.Issuers: the list is empty"},
		{"empty issuer", func(o *jwtgate.Options) { o.Issuers = []string{issuer, ""} }, "Options.Issuers: one value is the empty string"},
		{"issuer not trimmed", func(o *jwtgate.Options) { o.Issuers = []string{issuer + "\n"} }, "trim it"},
		{"issuer too long", func(o *jwtgate.Options) { o.Issuers = []string{strings.Repeat("i", 1025)} }, "longer than 1024 bytes"},
		{"Issuers and AnyIssuer", func(o *jwtgate.Options) { o.AnyIssuer = true }, "keep one"},
		{"Issuers and TrustIssuer", func(o *jwtgate.Options) { o.TrustIssuer = func(string) bool { return true } }, "keep one"},
		{"TrustIssuer and AnyIssuer", func(o *jwtgate.Options) {
			o.Issuers = nil
			o.AnyIssuer = true
			o.TrustIssuer = func(string) bool { return true }
		}, "keep one"},
		{"no audiences", func(o *jwtgate.Options) { o.Audiences = nil }, "Options.Audiences: no audience is accepted; list the aud values"},
		{"empty audiences", func(o *jwtgate.Options) { o.Audiences = []string{} }, "Options.Audiences: no audience is accepted"},
		{"empty audience", func(o *jwtgate.Options) { o.Audiences = []string{""} }, "Options.Audiences: one value is the empty string"},
		{"audience not trimmed", func(o *jwtgate.Options) { o.Audiences = []string{" " + audience} }, "trim it"},
		{"Audiences and AnyAudience", func(o *jwtgate.Options) { o.AnyAudience = true }, "turns the check of aud off"},
		{"nil rule", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("a"), nil} }, "Options.Rules: rule 2 is nil"},
		{"nil rule func", func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{nilRule} }, "Options.Rules: rule 1 is nil"},
		{"unknown algorithm", func(o *jwtgate.Options) { o.Algorithms = []string{"RS257"} }, `Options.Algorithms: "RS257" is not supported; choose from HS256`},
		{"algorithm none", func(o *jwtgate.Options) { o.Algorithms = []string{"none"} }, `"none" is not supported`},
		{"algorithm in lower case", func(o *jwtgate.Options) { o.Algorithms = []string{"hs256"} }, `"hs256" is not supported`},
		{"empty algorithms", func(o *jwtgate.Options) { o.Algorithms = []string{} }, "Options.Algorithms: the list is empty"},
		{"empty types", func(o *jwtgate.Options) { o.Types = []string{} }, "Options.Types: the list is empty"},
		{"type not trimmed", func(o *jwtgate.Options) { o.Types = []string{"JWT "} }, "not a media type"},
		{"Types and RFC9068", func(o *jwtgate.Options) { o.Types = []string{"JWT"}; o.RFC9068 = true }, "Options.Types: RFC9068 accepts only at+jwt"},
		{"RFC9068 and AnyIssuer", func(o *jwtgate.Options) { o.Issuers = nil; o.AnyIssuer = true; o.RFC9068 = true }, "Options.AnyIssuer: RFC9068"},
		{"RFC9068 and AnyAudience", func(o *jwtgate.Options) { o.Audiences = nil; o.AnyAudience = true; o.RFC9068 = true }, "Options.AnyAudience: RFC9068"},
		{"RFC9068 and AllowNoSubject", func(o *jwtgate.Options) { o.AllowNoSubject = true; o.RFC9068 = true }, "Options.AllowNoSubject: RFC9068"},
		{"RFC9068 and AllowNoExpiry", func(o *jwtgate.Options) { o.AllowNoExpiry = true; o.RFC9068 = true }, "Options.AllowNoExpiry: RFC9068"},
		{"leeway too long", func(o *jwtgate.Options) { o.Leeway = 5*time.Minute + 1 }, "Options.Leeway"},
		{"leeway without a unit", func(o *jwtgate.Options) { o.Leeway = 30 }, "Options.Leeway: 30ns is less than 1ms"},
		{"leeway just too short", func(o *jwtgate.Options) { o.Leeway = time.Millisecond - 1 }, "Options.Leeway: 999.999µs is less than 1ms"},
		{"MaxAge without a unit", func(o *jwtgate.Options) { o.MaxAge = 3600 }, "Options.MaxAge: 3.6µs is less than 1s"},
		{"MaxAge just too short", func(o *jwtgate.Options) { o.MaxAge = time.Second - 1 }, "Options.MaxAge: 999.999999ms is less than 1s"},
		{"subject claim a path", func(o *jwtgate.Options) { o.SubjectClaim = "/user/id" }, "Options.SubjectClaim"},
		{"subject claim not trimmed", func(o *jwtgate.Options) { o.SubjectClaim = " sub" }, "Options.SubjectClaim"},
		{"negative MaxAge", func(o *jwtgate.Options) { o.MaxAge = -1 }, "Options.MaxAge"},
		{"negative MaxTokenBytes", func(o *jwtgate.Options) { o.MaxTokenBytes = -1 }, "Options.MaxTokenBytes"},
		{"huge MaxTokenBytes", func(o *jwtgate.Options) { o.MaxTokenBytes = 1<<20 + 1 }, "Options.MaxTokenBytes"},
		{"negative CacheSize", func(o *jwtgate.Options) { o.CacheSize = -1 }, "Options.CacheSize"},
		{"huge CacheSize", func(o *jwtgate.Options) { o.CacheSize = 1<<20 + 1 }, "Options.CacheSize"},
		{"realm with a line break", func(o *jwtgate.Options) { o.Realm = "a\r\nSet-Cookie: x" }, "Options.Realm"},
		{"realm beyond ASCII", func(o *jwtgate.Options) { o.Realm = "größe" }, "Options.Realm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate, err := jwtgate.New(options(tt.change))
			require.ErrorContains(t, err, tt.message)
			assert.True(t, strings.HasPrefix(err.Error(), "jwtgate.New: "), err)
			assert.NotContains(t, err.Error(), "\n", "one mistake, one problem")
			assert.Nil(t, gate)
		})
	}
}

// Every message names the field, says what is wrong with its value, and how to correct it.
func TestMessagesOfNew(t *testing.T) {
	t.Parallel()
	trustAll := func(string) bool { return true }
	algorithms := "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519" + furtherAlgorithms
	long := strings.Repeat("i", 1025)
	var messages []string
	for message, change := range map[string]func(*jwtgate.Options){
		"Keys: there is no key source; use one of package keys, such as &keys.Remote{}, keys.HS256 or keys.PEM": func(o *jwtgate.Options) { o.Keys = nil },
		"Keys: no route; mend it": func(o *jwtgate.Options) { o.Keys = &recordingSource{err: errors.New("no route; mend it")} },
		"Issuers: no issuer is trusted; list the iss values to trust, or set AnyIssuer if the tokens have no iss":                          func(o *jwtgate.Options) { o.Issuers = nil },
		"Issuers: the list is empty; list the iss values to trust, or set AnyIssuer if the tokens have no iss":                             func(o *jwtgate.Options) { o.Issuers = []string{} },
		"Issuers: Issuers and AnyIssuer are set, and only one of them can decide; keep one":                                                func(o *jwtgate.Options) { o.AnyIssuer = true },
		"Issuers: Issuers and TrustIssuer and AnyIssuer are set, and only one of them can decide; keep one":                                func(o *jwtgate.Options) { o.AnyIssuer, o.TrustIssuer = true, trustAll },
		"Issuers: one value is the empty string, which would match an empty claim; was a setting not loaded? Otherwise remove the value":   func(o *jwtgate.Options) { o.Issuers = []string{""} },
		`Issuers: "https://auth.example.com/\n" has white space around it, and no claim would match it; trim it`:                           func(o *jwtgate.Options) { o.Issuers = []string{issuer + "\n"} },
		"Issuers: \"" + long[:95] + "... is longer than 1024 bytes, the longest iss that is accepted; list the iss of the tokens":          func(o *jwtgate.Options) { o.Issuers = []string{long} },
		"Audiences: no audience is accepted; list the aud values that name this service, or set AnyAudience if the tokens have no aud":     func(o *jwtgate.Options) { o.Audiences = nil },
		"Audiences: AnyAudience is set too, which turns the check of aud off; keep one of the two":                                         func(o *jwtgate.Options) { o.AnyAudience = true },
		"Audiences: one value is the empty string, which would match an empty claim; was a setting not loaded? Otherwise remove the value": func(o *jwtgate.Options) { o.Audiences = []string{audience, ""} },
		`Audiences: " api" has white space around it, and no claim would match it; trim it`:                                                func(o *jwtgate.Options) { o.Audiences = []string{" api"} },
		"Rules: rule 2 is nil; remove it": func(o *jwtgate.Options) { o.Rules = []jwtgate.Rule{jwtgate.Scope("a"), nil} },
		"Algorithms: the list is empty; leave the field out to accept the algorithms of the keys": func(o *jwtgate.Options) { o.Algorithms = []string{} },
		`Algorithms: "none" is not supported; choose from ` + algorithms:                          func(o *jwtgate.Options) { o.Algorithms = []string{"none"} },
		"Algorithms: keys.HS256 has no key for RS256, only for HS256; list only algorithms of its keys, or leave Algorithms out: a key never verifies another algorithm than its own": func(o *jwtgate.Options) {
			o.Keys, o.Algorithms = keys.HS256(secret), []string{"RS256"}
		},
		"Types: the list is empty; leave the field out for the default, or list the typ values to accept":                                                func(o *jwtgate.Options) { o.Types = []string{} },
		`Types: "JWT " is not a media type, such as "at+jwt"; remove white space, quotes and characters beyond ASCII`:                                    func(o *jwtgate.Options) { o.Types = []string{"JWT "} },
		"Types: RFC9068 accepts only at+jwt; leave Types out":                                                                                            func(o *jwtgate.Options) { o.RFC9068, o.Types = true, []string{"JWT"} },
		"AnyIssuer: RFC9068 requires iss, which this option waives; remove one of the two":                                                               func(o *jwtgate.Options) { o.RFC9068, o.AnyIssuer, o.Issuers = true, true, nil },
		"AnyAudience: RFC9068 requires aud, which this option waives; remove one of the two":                                                             func(o *jwtgate.Options) { o.RFC9068, o.AnyAudience, o.Audiences = true, true, nil },
		"AllowNoSubject: RFC9068 requires sub, which this option waives; remove one of the two":                                                          func(o *jwtgate.Options) { o.RFC9068, o.AllowNoSubject = true, true },
		"AllowNoExpiry: RFC9068 requires exp, which this option waives; remove one of the two":                                                           func(o *jwtgate.Options) { o.RFC9068, o.AllowNoExpiry = true, true },
		`SubjectClaim: "/user/id" is a path into a claim, which is not followed; name a claim of the top level, such as "id"`:                            func(o *jwtgate.Options) { o.SubjectClaim = "/user/id" },
		`SubjectClaim: "id " has white space around it, and no claim would match it; trim it`:                                                            func(o *jwtgate.Options) { o.SubjectClaim = "id " },
		"Leeway: 1h0m0s is more than 5m0s; use less, and set the clocks":                                                                                 func(o *jwtgate.Options) { o.Leeway = time.Hour },
		"Leeway: 30ns is less than 1ms, the shortest time that can be meant: a number without a unit counts as nanoseconds; write 30*time.Second":        func(o *jwtgate.Options) { o.Leeway = 30 },
		"Leeway: 5µs is less than 1ms, the shortest time that can be meant: a number without a unit counts as nanoseconds; write 5000*time.Millisecond":  func(o *jwtgate.Options) { o.Leeway = 5000 },
		"MaxAge: 3.6µs is less than 1s, the shortest time that can be meant: a number without a unit counts as nanoseconds; write 3600*time.Second":      func(o *jwtgate.Options) { o.MaxAge = 3600 },
		"MaxAge: 2.592ms is less than 1s, the shortest time that can be meant: a number without a unit counts as nanoseconds; write 2592000*time.Second": func(o *jwtgate.Options) { o.MaxAge = 30 * 24 * 3600 },
		"MaxAge: 500ms is less than 1s, the shortest time that can be meant; use 1s or more":                                                             func(o *jwtgate.Options) { o.MaxAge = time.Second / 2 },
		"MaxAge: -1s is negative; use 0 for no limit":                                                                                                    func(o *jwtgate.Options) { o.MaxAge = -time.Second },
		"MaxTokenBytes: -1 is out of range; use up to 1048576, or 0 for 16384":                                                                           func(o *jwtgate.Options) { o.MaxTokenBytes = -1 },
		"CacheSize: 1048577 is out of range; use up to 1048576, or 0 to remember no token":                                                               func(o *jwtgate.Options) { o.CacheSize = 1<<20 + 1 },
		"Confirm: Confirmer 1 is nil; remove it":                                                                                                         func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{nil} },
		"Confirm: Confirmer 2 is nil; remove it":                                                                                                         func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{yes("jkt"), (*schemeConfirmer)(nil)} },
		`Confirm: the Method of the jwtgate_test.confirmer is empty; it must be a member of cnf`:                                                         func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{yes("")} },
		`Confirm: two Confirmers check the member "jkt" of cnf; keep one`:                                                                                func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{yes("jkt"), yes("jkt")} },
		`Confirm: the Scheme "D P" of the *jwtgate_test.schemeConfirmer is not the name of an authentication scheme, such as DPoP; return one word`: func(o *jwtgate.Options) {
			o.Confirm = []jwtgate.Confirmer{&schemeConfirmer{method: "jkt", scheme: "D P"}}
		},
		`Confirm: the Scheme of the *jwtgate_test.schemeConfirmer is Bearer, under which anybody can send a token; leave out the method Scheme`: func(o *jwtgate.Options) {
			o.Confirm = []jwtgate.Confirmer{&schemeConfirmer{method: "jkt", scheme: "bearer"}}
		},
		`Confirm: two Confirmers have the scheme dpop; keep one`: func(o *jwtgate.Options) {
			o.Confirm = []jwtgate.Confirmer{newDPoP(), &schemeConfirmer{method: "kid", scheme: "dpop"}}
		},
		`Confirm: no URLs; list them`: func(o *jwtgate.Options) {
			o.Confirm = []jwtgate.Confirmer{&schemeConfirmer{method: "jkt", scheme: "DPoP", problem: errors.New("no URLs; list them")}}
		},
		"AllowUnbound: Confirm is not set, so tokens that are not bound are accepted anyway; remove AllowUnbound, or set Confirm": func(o *jwtgate.Options) { o.AllowUnbound = true },
		"Extract: the Confirmer for the scheme DPoP takes tokens from the Authorization header; leave Extract out": func(o *jwtgate.Options) {
			o.Confirm, o.Extract = []jwtgate.Confirmer{newDPoP()}, jwtgate.Bearer
		},
		`Resource: "api.example.com" does not start with https://; write the whole URL by which clients call this service`: func(o *jwtgate.Options) { o.Resource = "api.example.com" },
		"Metadata: Resource is empty, so there is no metadata; set it, or leave Metadata out":                              func(o *jwtgate.Options) { o.Metadata = map[string]any{"resource_name": "Orders"} },
		`Metadata: the gate writes "resource" itself; remove it`: func(o *jwtgate.Options) {
			o.Resource, o.Metadata = "https://api.example.com", map[string]any{"resource": "https://other.example.com"}
		},
		`Metadata: the gate writes "bearer_methods_supported" itself; remove it`: func(o *jwtgate.Options) {
			o.Resource, o.Metadata = "https://api.example.com", map[string]any{"bearer_methods_supported": []string{"query"}}
		},
		"Metadata: it cannot be written as JSON: json: unsupported type: func(); use strings, lists and maps": func(o *jwtgate.Options) {
			o.Resource, o.Metadata = "https://api.example.com", map[string]any{"x": func() {}}
		},
		`Realm: "größe" has control characters or characters beyond ASCII, which a challenge cannot contain; remove them`: func(o *jwtgate.Options) { o.Realm = "größe" },
	} {
		_, err := jwtgate.New(options(change))
		assert.EqualError(t, err, "jwtgate.New: Options."+message)
		assert.Regexp(t, `^[[:alnum:]]+: .+; .+`, message)
		messages = append(messages, message)
	}

	// These files have no message that the table above lacks.
	var added [][]string
	for _, file := range []string{"options.go", "confirm.go", "resource.go"} {
		found := regexp.MustCompile(`p\.add\(("(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(string(must(os.ReadFile(file))), -1)
		assert.NotEmpty(t, found)
		added = append(added, found...)
	}
	for _, m := range added {
		format := regexp.QuoteMeta(must(strconv.Unquote(m[1])))
		format = regexp.MustCompile(`%[a-zA-Z]`).ReplaceAllString(format, ".+")
		assert.True(t, slices.ContainsFunc(messages, regexp.MustCompile("^"+format+"$").MatchString), "not tried: %s", m[1])
	}
}

// The shortest durations that New accepts, and a negative leeway, which means none.
func TestNewAcceptsShortDurations(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*jwtgate.Options){
		func(o *jwtgate.Options) { o.Leeway = time.Millisecond },
		func(o *jwtgate.Options) { o.Leeway = -1 },
		func(o *jwtgate.Options) { o.Leeway = -time.Hour },
		func(o *jwtgate.Options) { o.MaxAge = time.Second },
	} {
		_, err := jwtgate.New(options(change))
		assert.NoError(t, err)
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := jwtgate.New(jwtgate.Options{})
	require.Error(t, err)
	for _, field := range []string{"Keys", "Issuers", "Audiences"} {
		assert.ErrorContains(t, err, "Options."+field+":")
	}
	broken := errors.New("broken")
	_, err = jwtgate.New(jwtgate.Options{Keys: &recordingSource{err: broken}, MaxAge: -1})
	assert.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "Options.MaxAge")
}

// A recordingSource keeps the issuers that CheckIssuers was called with.
type recordingSource struct {
	jwtgate.KeySource
	err   error
	asked []string
	calls int
}

func (s *recordingSource) CheckIssuers(issuers []string) error {
	s.asked, s.calls = issuers, s.calls+1
	return s.err
}

// New calls CheckIssuers once: with Issuers, with "" for AnyIssuer, or with nil for TrustIssuer.
func TestNewCallsCheckIssuers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*jwtgate.Options)
		want   []string
	}{
		"Issuers":     {func(o *jwtgate.Options) { o.Issuers = []string{"a", "b"} }, []string{"a", "b"}},
		"AnyIssuer":   {func(o *jwtgate.Options) { o.Issuers = nil; o.AnyIssuer = true }, []string{""}},
		"TrustIssuer": {func(o *jwtgate.Options) { o.Issuers = nil; o.TrustIssuer = func(string) bool { return true } }, nil},
	} {
		s := &recordingSource{}
		newGate(t, tt.change, func(o *jwtgate.Options) { o.Keys = s })
		assert.Equal(t, tt.want, s.asked, name)
		assert.Equal(t, 1, s.calls, name)
	}
}

// An algorithmSource keeps the algorithms that CheckAlgorithms was called with.
type algorithmSource struct {
	recordingSource
	refuses    error
	algorithms []string
	checks     int
}

func (s *algorithmSource) CheckAlgorithms(algorithms []string) error {
	s.algorithms, s.checks = algorithms, s.checks+1
	return s.refuses
}

// New calls CheckAlgorithms once if there is a list, with the names that Key.Algorithm returns, and only
// if CheckIssuers has accepted the source.
func TestNewCallsCheckAlgorithms(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		listed, want []string
	}{
		"no list":              {nil, nil},
		"one":                  {[]string{"HS256"}, []string{"HS256"}},
		"two names of one":     {[]string{"Ed25519", "ES256", "EdDSA"}, []string{"EdDSA", "ES256"}},
		"the newer name alone": {[]string{"Ed25519"}, []string{"EdDSA"}},
	} {
		s := &algorithmSource{}
		newGate(t, func(o *jwtgate.Options) { o.Keys, o.Algorithms = s, tt.listed })
		assert.Equal(t, tt.want, s.algorithms, name)
		assert.Equal(t, min(len(tt.want), 1), s.checks, name)
	}

	s := &algorithmSource{refuses: errors.New("no key for HS256; add one")}
	_, err := jwtgate.New(options(func(o *jwtgate.Options) { o.Keys, o.Algorithms = s, []string{"HS256"} }))
	assert.EqualError(t, err, "jwtgate.New: Options.Algorithms: no key for HS256; add one")
	assert.ErrorIs(t, err, s.refuses)
	s.err = errors.New("no route")
	_, err = jwtgate.New(options(func(o *jwtgate.Options) { o.Keys, o.Algorithms = s, []string{"HS256"} }))
	assert.EqualError(t, err, "jwtgate.New: Options.Keys: no route")
	s.err = nil
	_, err = jwtgate.New(options(func(o *jwtgate.Options) { o.Keys, o.Algorithms = s, []string{"none"} }))
	assert.NotContains(t, err.Error(), "no key for")
	assert.Equal(t, 1, s.checks)
}

func TestNewCopiesSlices(t *testing.T) {
	t.Parallel()
	o := options(func(o *jwtgate.Options) {
		o.Rules = []jwtgate.Rule{jwtgate.Scope("orders:read")}
		o.Algorithms = []string{"HS256"}
		o.Types = []string{""}
	})
	gate, err := jwtgate.New(o)
	require.NoError(t, err)
	o.Issuers[0], o.Audiences[0], o.Algorithms[0], o.Types[0] = "x", "x", "RS256", "x"
	o.Rules[0] = jwtgate.Scope("x")
	_, err = gate.Verify(t.Context(), hs256Token(nil))
	require.NoError(t, err)

	rules := []jwtgate.Rule{jwtgate.Scope("orders:read")}
	strict := gate.Require(rules...)
	rules[0] = jwtgate.Scope("x")
	_, err = strict.Verify(t.Context(), hs256Token(nil))
	require.NoError(t, err)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	// Without Options.Now a gate uses time.Now. The clock of synctest does not move here, so the first
	// token cannot expire on a slow machine.
	synctest.Test(t, func(t *testing.T) {
		gate := newGate(t, func(o *jwtgate.Options) { o.Now = nil })
		_, err := gate.Verify(t.Context(), hs256Token(map[string]any{"iat": nil, "exp": time.Now().Add(time.Minute).Unix()}))
		require.NoError(t, err)
		_, err = gate.Verify(t.Context(), hs256Token(map[string]any{"iat": nil, "exp": time.Now().Add(-time.Minute).Unix()}))
		require.ErrorIs(t, err, jwtgate.ErrExpired)
	})

	// EdDSA and Ed25519 are two names of one algorithm.
	for _, name := range []string{"EdDSA", "Ed25519"} {
		gate := newGate(t, func(o *jwtgate.Options) {
			o.Algorithms = []string{name}
			o.Keys = keys.Static(must(jwtgate.NewKey("", name, publicKey(edKey()))))
		})
		for _, alg := range []string{"EdDSA", "Ed25519"} {
			_, err := gate.Verify(t.Context(), sign("EdDSA", edKey(), `{"alg":"`+alg+`"}`, claimsJSON(nil)))
			require.NoError(t, err)
		}
	}
}

// Handler has the type of a middleware, as routers expect it.
var _ func(http.Handler) http.Handler = (&jwtgate.Gate{}).Handler
